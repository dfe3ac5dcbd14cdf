"""What a piece of a trace takes in memory while jobs run on it: what is kept, array by array.

`tests/simulator/test_footprint.py` compares it with what is allocated.
"""

from collections.abc import Sequence
from dataclasses import replace

from hedgespec.selectors.learning import Loss
from hedgespec.simulator.basis import CostBasis
from hedgespec.simulator.curves import CURVE_POINTS
from hedgespec.simulator.replayer import Replayer
from hedgespec.simulator.runs import Job
from hedgespec.traces import Trace
from hedgespec.traces.schema import MAX_ROWS_PER_SHARD

_REAL, _STATISTIC = 8, 4  # bytes of a number, of tables and as it is recorded
_OF_DEPTH = 13  # bytes of what is recorded of a drafter at a draft depth


def bytes_of_a_token(
    recorded: Trace, sample: Replayer, jobs: Sequence[Job], bases: Sequence[CostBasis]
) -> int:
    """Bytes for each token of a piece of a trace, of which `recorded` is a few queries.

    `sample` replays these, of a pool of drafters perhaps; `jobs` run under `bases`.
    """
    found = columns_of_a_token(recorded) + _of_trace(recorded)
    if sample.trace.manifest is not recorded.manifest:
        found += _of_trace(sample.trace)
    return round(
        found
        + _of_tables(sample, jobs, bases)
        + _of_runs(sample, jobs, bases)
        + _of_one_run(sample, bases)
    )


def bytes_of_a_shard(recorded: Trace) -> int:
    """Bytes of a shard, which the reader keeps beside a piece: the next one may begin in it."""
    return round(columns_of_a_token(recorded)) * min(MAX_ROWS_PER_SHARD, recorded.manifest.tokens)


def columns_of_a_token(recorded: Trace) -> float:
    """Bytes of a row as it is read, before a drafter's only depth stands at all depths."""
    drafters = recorded.manifest.drafters
    depths = max(drafter.depths for drafter in drafters)
    twice = sum(depths - drafter.depths for drafter in drafters)
    return _of_trace(recorded) - _OF_DEPTH * twice


def _of_trace(trace: Trace) -> float:
    return trace.bytes / len(trace.tokens)


def _of_tables(sample: Replayer, jobs: Sequence[Job], bases: Sequence[CostBasis]) -> int:
    """Acceptance and gamma by depth; losses; seconds of rounds and of drafting, where drafts differ
    in length."""
    arms, longest = len(sample.arms.names), sample.arms.longest
    named = {job.loss for job in jobs if job.loss is not None}
    losses = {Loss(), *(replace(loss, seconds=False) for loss in named)}
    in_seconds = {Loss(seconds=True), *(loss for loss in named if loss.seconds)}
    costed = [basis for basis in bases if basis.costs is not None]
    tables = len(losses) + len(in_seconds) * len(costed)
    if len(sample.arms.drafted(sample.trace)) == len(sample.trace.tokens):
        ends = sum((basis.slow is not None) + (basis.fast is not None) for basis in costed)
        tables += bool(costed) + ends + sum(2 + len(basis.twice) for basis in costed)
    measured = _STATISTIC + _REAL  # gamma of the first draft token, and lengths of drafts
    return 2 * _STATISTIC * arms * longest + (measured + _REAL * tables) * arms + 2 * _REAL


def _of_runs(sample: Replayer, jobs: Sequence[Job], bases: Sequence[CostBasis]) -> float:
    """The best fixed drafter's run with each seed, and its curves."""
    queries = sample.in_whole.trace.queries
    length = queries["output_tokens"].mean()
    assert isinstance(length, float)
    seeds = max((job.seeds for job in jobs if not job.exact), default=0)
    exact = any(job.exact for job in jobs)
    curves = 2 * _REAL * CURVE_POINTS / length
    return exact * 3 * _REAL + seeds * _STATISTIC + (exact + seeds + 4) * curves * len(bases)


def _of_one_run(sample: Replayer, bases: Sequence[CostBasis]) -> int:
    """A run's probabilities of drafters, what is made of them on the way, and its seconds."""
    arms, longest = len(sample.arms.names), sample.arms.longest
    parts = max(len(basis.twice) for basis in bases)
    return _STATISTIC * arms * longest + 2 * _REAL * arms + _REAL * (parts + 4)
