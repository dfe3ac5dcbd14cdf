"""What a sweep runs on which piece of which trace: parts, and units of work."""

import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from hedgespec.errors import HedgespecError, arg
from hedgespec.files import sha256_file
from hedgespec.simulator.basis import CostBasis, cost_bases
from hedgespec.simulator.footprint import bytes_of_a_shard, bytes_of_a_token
from hedgespec.simulator.replayer import Replayer, carried_order
from hedgespec.simulator.runs import Job, TraceJobs, jobs_of
from hedgespec.simulator.settings import SweepSettings
from hedgespec.simulator.whole import Whole
from hedgespec.traces import Trace, TraceReader
from hedgespec.traces.resize_pool import resize_pool
from hedgespec.traces.schema import MANIFEST

RUNS_OF_A_UNIT = 64
_SHARE = 4  # of the machine's memory, one part


class Unit(NamedTuple):
    """Some runs of a job on a piece of a trace: the smallest work that is done at one place.

    All are numbers: of the part in the plan, of the piece, the job, and its block of runs. Where
    learners are carried over queries the piece 0 stands for all of them.
    """

    part: int
    piece: int
    job: int
    block: int


@dataclass
class Part:
    """The jobs of a trace with one pool, rule and draft length.

    `sample` replays a first query of it, to see what can be run. `identity` says what besides a job
    shapes its results, `made` what of that the trace's file says; `first` whether it belongs to the
    first settings of the sweep. A piece of the trace that is replayed takes at most about `memory`
    bytes.
    """

    source: TraceReader
    settings: SweepSettings
    pool: tuple[int, int] | None
    rule: str
    length: int | None
    memory: int
    made: list[object]
    first: bool

    def __reduce__(self) -> tuple[Any, ...]:
        """Another process opens the trace itself."""
        return Part, self.made_of

    @property
    def made_of(self) -> tuple[Any, ...]:
        """The fields that it was made from."""
        return tuple(getattr(self, field.name) for field in fields(self))

    def __post_init__(self) -> None:
        """Raises HedgespecError for what cannot be run."""
        trace = self.source.read(np.arange(1))
        resized = self._resized(trace)
        self.sample = self._replayer(resized)
        self.sample = self._replayer(
            resized, Whole(self.source, self.sample.arms, self._replayers, self._replayer)
        )
        _check_copies(trace, resized, self.sample)
        settings = self.settings
        bases = cost_bases(trace, settings.costs, settings.batches, settings.arms)
        self.bases = bases if self.pool is None else [CostBasis()]  # other sizes have no costs
        least = min(self.bases, key=lambda basis: basis.costs is not None)  # without is refused
        self.jobs: list[Job] = jobs_of(self.sample.under(least.costs), settings)
        room = max(self.memory - bytes_of_a_shard(trace), self.memory // 2)
        self._tokens = max(1, room // bytes_of_a_token(trace, self.sample, self.jobs, self.bases))
        self.identity = [
            *self.made,
            [asdict(basis) for basis in bases],
            settings.answer,
            self.pool,
            self.sample.draft_length,
            self.sample.rule,
            settings.carry,
            settings.arm_lengths,
            settings.arms,
        ]

    @cached_property
    def pieces(self) -> list[np.ndarray]:
        """The numbers of the queries of each piece."""
        pieces = self.source.pieces(self.most_tokens)
        if not self.carried or len(pieces) == 1:
            return pieces
        order = carried_order(self.source.manifest.queries, self.settings.carry or 0)
        return self.source.pieces(self.most_tokens, order)

    @property
    def most_tokens(self) -> int:
        """Tokens of a piece, if it is more than one query, at most."""
        return self._tokens

    @property
    def carried(self) -> bool:
        """Whether learners are carried over queries: then one unit is done on piece after piece."""
        return self.settings.carry is not None

    def trace_jobs(self, trace: Trace) -> TraceJobs:
        """What runs the jobs on a piece."""
        whole = self.sample.in_whole if len(self.pieces) > 1 else None
        assert whole is None or isinstance(whole, Whole)
        return TraceJobs(
            self._replayer(self._resized(trace), whole),
            self.bases,
            self.settings.answer,
            self.first,
        )

    def blocks(self, job: Job) -> list[list[int | None]]:
        """The runs of a job, in blocks that are always the same: sums over runs are sums over
        blocks, wherever these are done."""
        runs = job.runs
        return [
            runs[begin : begin + RUNS_OF_A_UNIT] for begin in range(0, len(runs), RUNS_OF_A_UNIT)
        ]

    def units(self, part: int, job: int) -> list[Unit]:
        """The units of a job of this part, by piece."""
        return [
            Unit(part, piece, job, block)
            for piece in range(1 if self.carried else len(self.pieces))
            for block in range(len(self.blocks(self.jobs[job])))
        ]

    def _replayers(self) -> Iterator[Replayer]:
        return (self._replayer(self._resized(self.source.read(piece))) for piece in self.pieces)

    def _resized(self, trace: Trace) -> Trace:
        return trace if self.pool is None else resize_pool(trace, *self.pool)

    def _replayer(self, trace: Trace, whole: Whole | None = None) -> Replayer:
        settings = self.settings
        return Replayer(
            trace,
            self.length,
            self.rule,
            settings.threads,
            settings.carry,
            settings.arm_lengths,
            settings.arms,
            whole=whole,
        )


def parts_of(source: TraceReader, settings: SweepSettings, first: bool) -> list[Part]:
    """What runs on a trace, for each pool, rule and draft length.

    Raises HedgespecError for what cannot be run on it.
    """
    made: list[object] = [sha256_file(source.folder / MANIFEST)]
    memory = settings.memory * 2**20 if settings.memory else machine_memory() // _SHARE
    sizes: list[tuple[int, int] | None] = [*wanted_pools(settings)]
    return [
        Part(source, settings, pool, rule, length, memory, made, first)
        for pool, rule, length in product(
            sizes or [None],
            dict.fromkeys(settings.rules) or ["auto"],
            dict.fromkeys(settings.draft_lengths) or [None],
        )
    ]


def wanted_pools(settings: SweepSettings) -> list[tuple[int, int]]:
    """Sizes and seeds of the pools that are asked for."""
    if settings.pool_seeds and not settings.pools:
        raise HedgespecError(f"{arg('pool_seeds')} draw the drafters of {arg('pools')}: give both")
    return list(product(settings.pools, settings.pool_seeds or [0]))


def machine_memory() -> int:
    """Bytes of this machine's memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _check_copies(trace: Trace, resized: Trace, replayer: Replayer) -> None:
    """Weakened copies have c times the gamma and a of their originals: enough for few rules."""
    size = len(resized.manifest.drafters)
    enough = all(rule.label == "sampling" or rule.recorded for rule in replayer.arms.rules)
    if size > len(trace.manifest.drafters) and not enough:
        raise HedgespecError(
            f"{arg('pools', size)}: weakened copies of drafters have no "
            f"statistics of rule {replayer.rule}; use "
            f"{arg('rules', ['sampling'])}"
        )
