"""What a policy's drafts become on a trace, in engines' words: what exports are made from."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np

from hedgespec.errors import HedgespecError, arg
from hedgespec.options import Option, check_ranges
from hedgespec.simulator import Replay, Replayer
from hedgespec.traces import Trace


@dataclass(frozen=True)
class ExportSettings:
    """Which policy is exported. `draft_length` None is the trace's own."""

    policy: Annotated[
        str,
        Option(
            "a selector or reference of `hedgespec selectors`, such as fixed:DRAFTER or normalhedge"
        ),
    ] = "normalhedge"
    draft_length: Annotated[
        int | None, Option("draft length (default: the trace's)", "K", low=1)
    ] = None
    rule: Annotated[str, Option("verification rule")] = "auto"
    seeds: Annotated[
        int, Option("replays to average over, if the policy's rounds are random", "N", low=1)
    ] = 5
    out: Annotated[Path | None, Option("file to write (default: print)", "FILE", made=True)] = None

    def __post_init__(self) -> None:
        """Raises HedgespecError for a number out of range."""
        check_ranges(self)


@dataclass(frozen=True)
class Drafting:
    """How the drafts of a policy fare on a trace, as engines count it.

    `marginal` (K) is the share of drafts whose first k tokens are accepted, `conditional` (K) the
    same of those that have a k-th token and whose tokens before are accepted. `drafting` is the
    share of rounds that draft, `mat` the tokens of a round (the answers' ends included), `replay`
    one replay of the rounds; None if all is an expectation.
    """

    trace: Trace
    policy: str
    rule: str
    marginal: np.ndarray
    conditional: np.ndarray
    drafting: float
    mat: float
    replay: Replay

    @property
    def draft_length(self) -> int:
        """K."""
        return len(self.marginal)

    @property
    def length(self) -> float:
        """Acceptance length: tokens of a round, the target's own included; of a draft that an
        answer's end cuts nothing is accepted behind it."""
        return float(1 + self.drafting * self.marginal.sum())


def drafting_of(trace: Trace, settings: ExportSettings) -> Drafting:
    """Replay a policy. Raises HedgespecError if it makes no sense on the trace or never drafts."""
    replayer = Replayer(trace, settings.draft_length, settings.rule)
    chooser = replayer.chooser(settings.policy)
    first = replayer.run(chooser, 0)
    if not first.drafts:
        raise HedgespecError(
            f"{arg('policy', settings.policy)}: drafts nothing, so that there is "
            "no acceptance to export"
        )
    runs = (
        [replayer.run_exact(chooser)]
        if replayer.is_exact(chooser)
        else [first, *(replayer.run(chooser, seed) for seed in range(1, settings.seeds))]
    )
    counts = np.sum([_counts(replayer, run) for run in runs], axis=0)
    rounds, drafts = counts[:2]
    reached, accepted = counts[2:].reshape(2, replayer.draft_length)
    if not drafts:
        raise HedgespecError(f"{arg('policy', settings.policy)}: no round drafts on {trace.name}")
    with np.errstate(invalid="ignore"):
        given = np.nan_to_num(accepted / reached)
    return Drafting(
        trace,
        chooser.label,
        replayer.rule,
        accepted / drafts,
        given,
        float(drafts / rounds),
        float(len(runs) * len(trace.tokens) / rounds),
        first,
    )


def _counts(replayer: Replayer, run: Replay) -> np.ndarray:
    """Rounds, drafts, and, K each, drafts whose k-th token is reached, and accepted."""
    trace, depths = replayer.trace, replayer.draft_length
    weights = run.visits[:, None] * _plays(replayer, run)  # (T, N)
    drafted = np.broadcast_to(replayer.arms.drafted(trace), weights.shape)
    left = np.repeat(trace.offsets[1:], np.diff(trace.offsets)) - np.arange(len(weights))
    _, acceptance = replayer.statistics(0, len(weights))
    found = [weights.sum(), (weights * (drafted > 0)).sum()]
    reached, accepted = [], []
    for step in range(depths):
        there = (drafted > step) & (left[:, None] > step)
        weights = weights * there
        reached.append(weights.sum())
        place = np.minimum(np.arange(len(weights)) + step, len(weights) - 1)
        weights = weights * acceptance[place, min(step, acceptance.shape[1] - 1)]
        accepted.append(weights.sum())
    return np.array([*found, *reached, *accepted])


def _plays(replayer: Replayer, run: Replay) -> np.ndarray:
    """Probabilities of the arms in a round from each token, (T, N)."""
    arms = run.choice if run.plays is None else run.plays
    assert arms is not None
    return arms if arms.ndim == 2 else np.eye(len(replayer.arms.names))[np.maximum(arms, 0)]
