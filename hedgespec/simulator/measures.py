"""What tables say of rounds besides their number: gamma, regret by token, acceptance of drafts."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hedgespec.simulator.kernels import table_kernels
from hedgespec.simulator.replay import Replay
from hedgespec.simulator.replayer import Replayer


@dataclass(frozen=True)
class Acceptance:
    """How the drafts of one drafter fare, in the words of engines.

    `rate` is the share of drafted tokens that is accepted. `at` (K) is the share of drafts whose
    k-th token is accepted, `given` (K) the same of those that have it and whose tokens before it
    are accepted; NaN where there are none. Rounds without a draft are not counted.
    """

    rate: np.floating
    at: np.ndarray
    given: np.ndarray


class Measures:
    """Of replays: gamma, regrets against the best fixed drafter of each query, and acceptance."""

    def __init__(self, replayer: Replayer):
        self._replayer, self._offsets = replayer, replayer.trace.offsets
        self._best = np.repeat(replayer.expected_rounds.argmin(axis=1), np.diff(self._offsets))
        self._places = np.arange(self._offsets[-1])
        self._gamma = replayer.first_gamma

    def gamma(self, run: Replay) -> np.ndarray:
        """Mean gamma over a query's tokens, of the drafters by their rounds, (Q); NaN of none."""
        rounds = run.usage.sum(axis=1)
        found: np.ndarray = np.divide(
            (run.usage * self._mean_gamma).sum(axis=1),
            rounds,
            out=np.full(len(rounds), np.nan),
            where=rounds > 0,
        )
        return found

    def token_regret(self, run: Replay) -> np.ndarray:
        """Sum over tokens of gamma_t[best] - gamma_t[drafter of its round], (Q); expected if exact.

        gamma is that of the first draft depth; without a drafter it is 0.
        """
        best = self._sums(self._gamma[self._places, self._best])
        if not run.drafts:
            return best
        if run.choice is not None:
            starts = np.maximum.accumulate(np.where(run.choice >= 0, self._places, 0))
            chosen = self._sums(self._gamma[self._places, run.choice[starts]])
        else:
            chosen = self._replayer.covered(run, self._gamma)
        found: np.ndarray = best - chosen
        return found

    def length_regret(self, run: Replay) -> np.ndarray:
        """Sum over rounds of the tokens expected from there of the best fixed drafter minus those
        of the round's drafter, given the text, (Q); expected if exact."""
        best = self._lengths[self._places, self._best]
        return self._sums(run.visits * (best - run.in_rounds(self._lengths, 1.0)))

    def acceptance(self, arm: int) -> Acceptance:
        """Of a fixed drafter, exact."""
        counts = self._replayer.draft_counts
        return acceptance_of(
            counts.drafts[:, arm],
            counts.drafted[:, arm],
            counts.reached[..., arm],
            counts.accepted[..., arm],
        )

    @cached_property
    def _mean_gamma(self) -> np.ndarray:
        """By query and drafter, (Q, N)."""
        means: np.ndarray = self._sums(self._gamma) / np.diff(self._offsets)[:, None]
        return means

    @cached_property
    def _lengths(self) -> np.ndarray:
        return self._replayer.table(table_kernels().round_table)

    def _sums(self, values: np.ndarray) -> np.ndarray:
        return np.add.reduceat(values, self._offsets[:-1], dtype=np.float64)


def acceptance_of(
    drafts: np.ndarray, drafted: np.ndarray, reached: np.ndarray, accepted: np.ndarray
) -> Acceptance:
    """From a drafter's counts in each query: (Q), (Q), (Q, K) and (Q, K); see `DraftCounts`."""
    taken = accepted.sum(axis=0)
    with np.errstate(invalid="ignore"):
        return Acceptance(
            taken.sum() / drafted.sum(), taken / drafts.sum(), taken / reached.sum(axis=0)
        )
