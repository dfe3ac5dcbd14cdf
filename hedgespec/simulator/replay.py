"""What a replay found: the rounds that were run, or their expectations."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hedgespec.results.labels import EMITTED
from hedgespec.selectors import CHOSEN, FULL, NONE
from hedgespec.selectors.feedback import Feedback
from hedgespec.selectors.learning import Loss

REPLAYED, EXACT = "replayed", "exact"


@dataclass(frozen=True)
class DraftCounts:
    """Expected numbers of drafts in each query, each of N arms being used throughout.

    `drafts` and `drafted` (Q, N): drafts of at least one token, and the tokens of all of them;
    `reached` and `accepted` (Q, K, N): drafts whose k-th token is asked for, those before it being
    accepted, and those whose k-th token is accepted.
    """

    drafts: np.ndarray
    drafted: np.ndarray
    reached: np.ndarray
    accepted: np.ndarray


@dataclass(frozen=True)
class Replay:
    """One replay of a whole trace, or the exact expectation over all replays of it.

    `choice` (T, int16) holds the drafter of the round that started at a token, -1 where none
    did; None if exact. `visits` (T) are the rounds started at a token and `usage` (Q, N) those of
    each drafter, `evaluated` (T) those rounds before which drafters are evaluated: counts, or
    expectations if exact. `sets` (T, N) are the arms whose drafters are evaluated before the round
    from a token, None if those of all are. `variance` (Q) is that of a query's rounds, None
    if replayed. `seconds` is the kernel's wall-clock time. `plays`, None if replayed, are the
    probabilities of the drafters in a round from each token, (T, N), or the drafter itself, (T).
    Without `drafts` nothing is drafted in any round: `choice` is None, and `plays` are 0.
    `knows` is what the selector learns from: FULL, CHOSEN or NONE, or what a reference knows;
    `feedback` and `loss` mean nothing but for FULL.
    """

    label: str
    knows: str
    feedback: Feedback
    loss: Loss
    mode: str
    seed: int | None
    choice: np.ndarray | None
    visits: np.ndarray
    usage: np.ndarray
    evaluated: np.ndarray
    variance: np.ndarray | None
    seconds: float
    plays: np.ndarray | None = None
    sets: np.ndarray | None = None
    drafts: bool = True

    @property
    def by_selector(self) -> bool:
        """Whether what ran could be run live: a selector, no reference that knows the trace."""
        return self.knows in (FULL, CHOSEN, NONE)

    @property
    def feedback_label(self) -> str:
        """How tables name the feedback."""
        return self.feedback.label if self.knows == FULL else self.knows

    @property
    def loss_label(self) -> str:
        """How tables name the loss."""
        if self.knows == FULL:
            return self.loss.label
        return EMITTED if self.knows == CHOSEN else NONE

    def in_rounds(self, values: np.ndarray, undrafted: float = 0.0) -> np.ndarray:
        """Of `values` that of the drafter of a round from each token, expected if exact (T).

        They are (N), or by token: (T, N), or (1, N) if all are alike. Where no round starts the
        result means nothing; where nothing is drafted it is `undrafted`.
        """
        arms = self.choice if self.plays is None else self.plays
        if not self.drafts:
            return np.full(len(self.visits), undrafted)
        assert arms is not None
        found: np.ndarray
        if values.ndim == 2 and len(values) == 1:
            values = values[0]
        if values.ndim == 1:
            found = values[arms] if arms.ndim == 1 else arms @ values
        elif arms.ndim == 1:
            found = np.zeros(len(arms))
            found[self._starts] = values[self._starts, arms[self._starts]]
        else:
            found = (arms * values).sum(axis=1)
        return found

    @cached_property
    def _starts(self) -> np.ndarray:
        """The tokens from which rounds start, or may."""
        return np.flatnonzero(self.visits)
