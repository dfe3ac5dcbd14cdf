"""Runs target and drafters on fixed tensors; on a GPU each part of a round is a CUDA graph.

A round is three graphs: the chosen drafter drafts, the target verifies, all drafters are evaluated.
They follow each other on the device; the host waits for the tokens, and for the statistics when the
selector needs them. Drafters that copy from the text do so on the host: see static_lookup.py.
"""

import math
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch

from hedgespec.costs.examples import example_texts
from hedgespec.costs.measure import costs_from
from hedgespec.costs.timing import Measurement, Timed, Timings
from hedgespec.live.batched import BatchedRound, counts_up_to
from hedgespec.live.clock import Clock
from hedgespec.live.engine import Engine, Evaluation
from hedgespec.live.evaluated import no_statistics, unpack
from hedgespec.live.failures import DrafterFailureError, warn_dropped
from hedgespec.live.graphs import Captured, Fetched
from hedgespec.live.plan import RoundPlan
from hedgespec.live.static_drafters import can_run_static
from hedgespec.live.static_lookup import Copying, Packed, copies
from hedgespec.live.static_round import MANY, StaticRound, room_for
from hedgespec.live.static_statistics import KEPT
from hedgespec.live.watch import Watch
from hedgespec.models.drafters.base import Drafter
from hedgespec.models.fixed_tensors import has_plain_attention
from hedgespec.models.logits import decoded, refuse_rows
from hedgespec.models.target import LanguageModel
from hedgespec.rules import Statistics
from hedgespec.traces import Costs
from hedgespec.traces.costs import (
    EVALUATE_ALL,
    begin_part,
    draft_part,
    evaluate_part,
    read_part,
    target_part,
)


@dataclass
class _Result:
    """Statistics on their way, of tokens up to the text's `end`-th."""

    fetched: Fetched
    end: int


@dataclass(frozen=True)
class _Own:
    """Statistics of one drafter on their way: some rows of a table, and its column there."""

    fetched: Fetched
    rows: slice
    column: int

    def wait(self) -> torch.Tensor:
        """Statistics (1+S, n, 1)."""
        return self.fetched.wait()[:, self.rows, self.column : self.column + 1]


class StaticEngine(Engine):
    """For targets and drafters of plain attention, EAGLE heads, and what copies from the text.

    Heads of one shape are evaluated as one batch: after each round, when needed, or beside the next
    round on a stream of their own (see Evaluation). Where some drafters are evaluated without the
    others they are so one by one, and what a drafter reads to draft counts as read. A drafter that
    raises, takes more than `seconds` for one call (see Watch), or whose logits break their contract
    (models/logits.py), is dropped.
    """

    @staticmethod
    def can_run(target: LanguageModel, drafters: list[Drafter]) -> bool:
        """Whether all of them work on fixed tensors, or copy from the text."""
        return (
            has_plain_attention(target)
            and len(target.devices) == 1
            and all(copies(drafter) or can_run_static(drafter) for drafter in drafters)
        )

    def __init__(
        self,
        target: LanguageModel,
        drafters: list[Drafter],
        plan: RoundPlan,
        evaluation: Evaluation,
        compiled: bool = False,
        *,
        any_shape: bool = False,
        seconds: float = math.inf,
    ):
        """`compiled` and `any_shape` as in StaticRound."""
        self._drafters = drafters
        self._names = [drafter.name for drafter in drafters]
        self._vocabulary = target.vocabulary_size
        self._target, self._plan, self._compiled = target, plan, compiled
        self._draft_length, self.evaluation, self._rule = plan.draft_length, evaluation, plan.rule
        self._watch = Watch(seconds, target.device)
        self._copying = Copying(drafters, plan, self._vocabulary, self._watch)
        self._make = partial(
            StaticRound,
            target,
            drafters,
            plan,
            watch=self._watch,
            apart=evaluation is Evaluation.ASIDE,
            compiled=compiled,
            any_shape=any_shape,
        )
        self._device = target.device
        self._side = (
            torch.cuda.Stream(self._device)
            if (evaluation is Evaluation.ASIDE and self._device.type == "cuda")
            else None
        )
        self.dropped: dict[str, str] = {}
        self._room = 0

    @property
    def beside(self) -> bool:  # type: ignore[override]
        """On a stream of its own."""
        return self.evaluation is Evaluation.ASIDE

    def begin(self, prompt: list[int], limit: int) -> None:
        """Read the prompt. The first text, or one longer than all before, takes some seconds."""
        self._wait_aside()
        needed = len(prompt) + limit + self._draft_length + 1 + self._many
        larger = needed > self._room
        if larger:
            self._room = room_for(needed)
            self._parts = self._make(self._room)
            self.forget_graphs()
        while not self._done(lambda: self._read_prompt(prompt)):
            pass
        if larger and self._copying.arms:
            self._make_rounds_ready(prompt)
        self._prompt = self._length = self._evaluated = self._launched = len(prompt)
        self._known = [len(prompt)] * len(self._names)
        self._results: deque[_Result] = deque()
        self._own: list[list[_Own]] = [[] for _ in self._names]  # in part, not asked for yet
        self.waiting = 0

    def _make_rounds_ready(self, prompt: list[int]) -> None:
        """Drafters that copy propose a whole draft or nothing: no kernel for a round of the
        target's one token is to be compiled between two rounds."""
        for length in 2 * [self._draft_length, 0]:  # compiled, then captured
            self._parts.rewind(len(prompt))
            self._verify(length)
            if self.evaluation is Evaluation.EACH_ROUND:
                self._evaluate_in_batch(length + 1)
        self._read_prompt(prompt)

    def _read_prompt(self, prompt: list[int]) -> None:
        with self._watch.part("begin", timed=not self._compiled):
            self._parts.begin(prompt, self._dropped_arms())
        self._copying.begin(prompt, self._dropped_arms())

    def round(
        self, drafter: int, noise: torch.Tensor, room: int, clock: Clock
    ) -> tuple[int, list[int]]:
        """As in Engine; the full length is drafted. Each draft length has graphs of its own."""
        parts = self._parts
        parts.uniforms[: len(noise)].copy_(noise, non_blocking=True)
        few = 1 + self._drafted(drafter, noise[:-1])
        clock.read("draft")
        position = self._length - self._prompt
        with decoded(f"target {self._target.id}", position):
            self._verify(few - 1)
        packet = Fetched(parts.packets[few - 1])
        clock.read("verify")
        each = self.evaluation is Evaluation.EACH_ROUND
        if each:  # before the host knows how many tokens there are
            self._launch(few)
            clock.read("evaluate")
        accepted, *rest = packet.wait().tolist()
        emitted, faults, broken = rest[: accepted + 1], rest[few : 2 * few], rest[2 * few :]
        faulty = any(faults[:room])  # then the text ends before this round
        self._start, self._length = self._length, self._length + (not faulty) * (accepted + 1)
        self._copying.go_on(self._start, emitted)
        if each:
            self._evaluation_reached(few, self._length)
        for number in [number for number, flag in enumerate(broken) if flag]:
            self._drop([number], "gave NaN or infinite logits")
        for arms, reason in self._watch.too_long():
            self._drop(arms, reason)
        if faulty:
            self._room = 0  # keys and values may be spoilt
            refuse_rows(f"target {self._target.id}", faults[:room], position)
        return min(few - 1, room), emitted[:room]

    def keep(self, count: int) -> None:
        """Note how many; start an evaluation aside."""
        self._length = self._start + count
        if self.evaluation is Evaluation.NEVER:
            return
        if self.evaluation is Evaluation.ASIDE:
            self._launch_to_end()
        self.waiting = self._length - self._evaluated

    def evaluate(self, until: int) -> Statistics:
        """Launch what was not launched yet, and wait for as much as is needed."""
        goal = min(self._prompt + until, self._length)
        if self._launched < goal:
            self._launch_to_end()
        found = []
        while self._evaluated < goal:
            result = self._results.popleft()
            count = min(result.end, self._length) - self._evaluated
            found.append(result.fetched.wait()[:, :count])
            self._evaluated += count
        self.waiting = self._length - self._evaluated
        values = torch.cat(found, dim=1)
        return unpack(self._rule, values[0, :, 0], values[1:])

    def evaluate_some(self, arms: Sequence[int]) -> list[Statistics]:
        """All of them together, if they were so not long ago, or one by one."""
        if len(arms) == len(self._names) and self._length - self._launched <= KEPT:
            self._evaluate_together()
        for arm in arms:
            self._catch_up(arm)
        return [self._collected(arm) for arm in arms]

    def _evaluate_together(self) -> None:
        """From where they were so last; of each what it has not read since."""
        known, begin = self._known, self._launched
        self._launch_to_end()
        while self._results:
            result = self._results.popleft()
            for arm, own in enumerate(self._own):
                rows = slice(max(known[arm] - begin, 0), result.end - begin)
                if rows.start < rows.stop:
                    own.append(_Own(result.fetched, rows, arm))
            begin = result.end

    def _collected(self, arm: int) -> Statistics:
        """What came of a drafter's reading since it was asked for last."""
        values = torch.cat([part.wait() for part in self._own[arm]], dim=1)
        self._own[arm] = []
        return unpack(self._rule, values[0, :, 0], values[1:])

    def evaluate_one(self, arm: int) -> Statistics:
        """The drafter reads the round's tokens."""
        few, count = self._draft_length + 1, self._length - self._start
        self._known[arm] = self._start  # who copies has read nothing to draft
        self._read_on(arm, few, statistics=True)
        if self._names[arm] in self.dropped:
            return unpack(self._rule, torch.zeros(count), no_statistics(self._rule, count))
        found = Fetched(self._parts.tables[few, 1]).wait()[:, :count]
        return unpack(self._rule, found[0, :, 0], found[1:])

    def unlimited(self) -> AbstractContextManager[None]:
        """The watch is paused."""
        return self._watch.paused()

    def measurement(self, context: int = 256, widths: Sequence[int] = ()) -> Measurement:
        """Of each graph alone, and of evaluating 1, 2, 4, ... drafters together.

        Evaluation on more tokens than a round's is one pass over MANY, however few there are.
        The target's pass over one token is that of decoding undrafted.
        """
        self._prepare_to_measure(context)
        few, many = self._draft_length + 1, self._many

        def prepare() -> None:
            self._parts.rewind(context)
            self._parts.place(context - few, context)

        timed = [
            Timed(target_part(few), prepare, partial(self._verify, few - 1)),
            Timed(EVALUATE_ALL, prepare, partial(self._evaluate_all, few)),
            Timed(read_part(many), prepare, partial(self._evaluate_all, many)),
        ]
        timed += [
            self._plain(width)._target_part(context, width)
            for width in sorted({1, *widths} - {few})
        ]
        for arm, name in enumerate(self._names):
            timed += (
                self._copying_parts(arm, prepare)
                if arm in self._copying
                else [
                    Timed(draft_part(name), prepare, partial(self._draft, arm, few - 1)),
                    *self._evaluation_parts(arm, prepare),
                ]
            )
        in_batch = self._in_batch
        one = BatchedRound(self._target, in_batch, self._plan, 1, context, self._compiled)
        timed += one.together(
            [count for count in counts_up_to(len(in_batch)) if 0 < count < len(self._names)]
        )
        least = min(few + 1, many)

        def costs(found: Timings) -> Costs:
            found.repeat(
                {read_part(least, name): read_part(many, name) for name in ("", *self._names)}
            )
            return costs_from(
                found,
                self._target,
                self._drafters,
                self._draft_length,
                context,
                self._engine,
                reads=sorted({least, many}),
            )

        return Measurement(timed, self._device, costs, partial(self._prepare_to_measure, context))

    def _evaluate_all(self, count: int) -> None:
        """All drafters on `count` tokens; those that copy on the text's last ones."""
        self._evaluate_in_batch(count)
        if self._copying.arms:
            self._look_up_last(self._copying.arms, count, together=True)

    def _look_up_last(self, arms: list[int], count: int, together: bool = False) -> None:
        self._look_up(arms, count, max(1, self._length - count), together)

    def _evaluation_parts(self, arm: int, prepare: Callable[[], None]) -> list[Timed]:
        name, few, many = self._names[arm], self._draft_length + 1, self._many
        alone = self._parts.is_from_states(arm)

        def read(count: int) -> None:
            key = "read", arm, count, alone
            self._run(key, partial(self._parts.read_on, arm, count, alone))

        def begin() -> None:
            self._run(("begin", arm), partial(self._parts.draft_begin, arm))

        return [
            Timed(evaluate_part(name), prepare, partial(read, few)),
            Timed(read_part(many, name), prepare, partial(read, many)),
            *([Timed(begin_part(name), prepare, begin)] if alone else []),
        ]

    def _copying_parts(
        self, arm: int, prepare: Callable[[], object], texts: int = 1
    ) -> list[Timed]:
        """Of a drafter that copies, for one text after another: the host's work and the copy to the
        device, of texts as people and models write them. A draft begins with the first look-up,
        which is all where it finds nothing."""
        name, few, many = self._names[arm], self._draft_length + 1, self._many
        noise = torch.rand(few - 1, self._rule.width(self._vocabulary), dtype=torch.float64)
        found, nothing = self._copying.examples(arm, self._length, few - 1)

        def timed(part: str, examples: list[np.ndarray], work: Callable[[], object]) -> Timed:
            return Timed(
                part,
                prepare,
                partial(self._copying.on_each, examples, work),
                len(examples) / texts,
            )

        return [
            timed(draft_part(name), found, partial(self._copy, arm, noise)),
            timed(
                begin_part(name),
                nothing,
                partial(self._done, partial(self._copying.draft, arm, noise[:1])),
            ),
            timed(evaluate_part(name), found, partial(self._look_up_last, [arm], few)),
            timed(read_part(many, name), found, partial(self._look_up_last, [arm], many)),
        ]

    def costs_of_texts(self, texts: int, context: int, repeats: int | None = None) -> Costs:
        """Of graphs as those of one text. Drafters that copy do so for one text after another."""
        self.forget_graphs()
        in_batch, parts = self._in_batch, list[Timed]()
        if self._copying.arms:
            self._prepare_to_measure(context)
            parts = [
                part
                for arm in self._copying.arms
                for part in self._copying_parts(arm, lambda: None, texts)
            ]
        return BatchedRound(
            self._target, in_batch, self._plan, texts, context, self._compiled
        ).costs(
            repeats,
            sorted({min(1, len(in_batch)), len(in_batch)} - {0}),
            self._engine,
            self._drafters,
            parts,
        )

    @property
    def _in_batch(self) -> list[Drafter]:
        """The drafters that do not copy."""
        return [one for arm, one in enumerate(self._drafters) if arm not in self._copying]

    @property
    def _many(self) -> int:
        """Tokens read at once by who has more to read than a round's."""
        return max(MANY, self._draft_length + 1)

    @property
    def _engine(self) -> str:
        return "compiled" if self._compiled else "fixed tensors"

    def _target_part(self, context: int, width: int) -> Timed:
        """The target's pass over `width` tokens, K + 1."""
        self._prepare_to_measure(context)
        parts = self._parts
        return Timed(
            target_part(width), lambda: parts.rewind(context), partial(self._verify, width - 1)
        )

    def _plain(self, width: int) -> "StaticEngine":
        """The target without drafters, reading `width` tokens in a round: those of one width are
        what decoding undrafted runs, the others' kernels are made once for all."""
        return StaticEngine(
            self._target,
            [],
            replace(self._plan, draft_length=width - 1),
            Evaluation.NEVER,
            self._compiled,
            any_shape=True,
        )

    def _prepare_to_measure(self, context: int) -> None:
        self.begin(example_texts(1, context, self._vocabulary)[0].tolist(), 1)

    def _catch_up(self, arm: int) -> None:
        """Have a drafter read what was verified since it read last."""
        while (behind := self._length - self._known[arm]) > 0:
            few = self._draft_length + 1
            count, begin = few if behind <= few else self._many, self._known[arm]
            in_part = self.evaluation is Evaluation.IN_PART
            self._read_on(arm, count, statistics=in_part)
            if in_part:
                table = (
                    self._parts.nothing(count)
                    if self._names[arm] in self.dropped
                    else self._parts.tables[count, 1]
                )
                rows = slice(self._known[arm] - begin)
                self._own[arm].append(_Own(Fetched(table), rows, 0))

    def _read_on(self, arm: int, count: int, statistics: bool) -> None:
        parts = self._parts
        parts.place(self._known[arm], self._length)
        if arm in self._copying:
            if statistics:
                self._look_up([arm], count, self._known[arm], together=False)
        elif self._names[arm] not in self.dropped and (statistics or not parts.is_from_states(arm)):
            self._done(
                lambda: self._run(
                    ("read", arm, count, statistics), partial(parts.read_on, arm, count, statistics)
                )
            )
        self._known[arm] = min(self._known[arm] + count, self._length)

    def _drafted(self, arm: int, noise: torch.Tensor) -> int:
        """Draft by the rule's noise (k, W); how many tokens there are to verify, k at most."""
        if not len(noise):
            return 0
        if arm in self._copying:
            return self._copy(arm, noise)
        self._catch_up(arm)
        self._draft(arm, len(noise))
        return len(noise)

    def _copy(self, arm: int, noise: torch.Tensor) -> int:
        """As `_drafted`, of a drafter that copies."""
        found: list[Packed | None] = []
        self._done(lambda: found.append(self._copying.draft(arm, noise)))
        if not found or found[0] is None:
            return 0
        name = self._parts.receive("draft", found[0])
        self._run(name, partial(self._parts.draft_listed, name))
        return found[0].shape[0]

    def _draft(self, arm: int, length: int) -> None:
        if self._names[arm] not in self.dropped:
            self._done(
                lambda: self._run(("draft", arm, length), partial(self._parts.draft, arm, length))
            )
        if self._names[arm] in self.dropped:
            self._parts.draft_nothing()

    def _verify(self, length: int) -> None:
        self._run(("verify", length), partial(self._parts.verify, length))

    def _launch_to_end(self) -> None:
        few = self._draft_length + 1
        while (behind := self._length - self._launched) > 0:
            count = few if behind <= few else self._many
            self._launch(count)
            self._evaluation_reached(count, min(self._launched + count, self._length))

    def _launch(self, count: int) -> None:
        """Evaluate the next tokens, at most `count` of them, as far as it needs no host."""
        parts, aside = self._parts, self.evaluation is Evaluation.ASIDE
        with torch.cuda.stream(self._side):  # none: the current one
            parts.aim(self._length if aside else None)
            while not self._done(lambda: self._evaluate_in_batch(count, self._pools[aside])):
                pass
            if not self._copying.arms:
                self._fetch(count)

    def _evaluation_reached(self, count: int, end: int) -> None:
        """What was launched on `count` tokens is of those up to the text's `end`-th."""
        if self._copying.arms:
            with torch.cuda.stream(self._side):
                self._look_up(self._copying.arms, count, self._launched, together=True)
                self._fetch(count)
        self._results[-1].end = self._launched = end
        if self.evaluation is not Evaluation.ASIDE:
            self._known = [end] * len(self._names)

    def _evaluate_in_batch(self, count: int, pool: object = None) -> None:
        """All drafters that do not copy, on the next tokens, at most `count` of them."""
        self._run(("evaluate", count), partial(self._parts.evaluate, count), pool)

    def _fetch(self, count: int) -> None:
        table = self._parts.tables[count, len(self._names)]
        self._results.append(_Result(Fetched(table), 0))

    def _look_up(self, arms: list[int], count: int, begin: int, together: bool) -> None:
        """What drafters that copy propose for the next tokens, at most `count` of them: into the
        table of all drafters, or of one that is alone."""
        parts, found = self._parts, list[Packed]()
        while not self._done(
            lambda: found.append(self._copying.propose(arms, begin, self._length, count))
        ):
            pass
        name = parts.receive("evaluate" if together else "read", found[0])
        work = parts.evaluate_listed if together else parts.read_listed
        self._run(
            name, partial(work, name), self._pools[together and self.evaluation is Evaluation.ASIDE]
        )

    def _run(self, key: Hashable, work: Callable[[], object], pool: object = None) -> None:
        if key not in self._graphs:
            self._graphs[key] = Captured(work, self._device, pool or self._pools[0])
        graph = self._graphs[key]
        with self._watch.part(key, timed=graph.called or not self._compiled):
            graph()

    def _done(self, work: Callable[[], object]) -> bool:
        """Whether it could be done; if not, the drafters that failed are dropped."""
        try:
            work()
        except DrafterFailureError as failure:
            self._drop(failure.arms, failure.reason)
            return False
        return True

    def _drop(self, arms: list[int], reason: str) -> None:
        for arm in arms:
            name = self._names[arm]
            if name not in self.dropped:
                self.dropped[name] = reason
                self._parts.leave_out(arm)
                self._copying.leave_out(arm)
                self.forget_graphs()  # they are made anew without it
                warn_dropped(name, reason)

    def forget_graphs(self) -> None:
        """Have the graphs made anew, in new pools: one that no graph uses any more is gone."""
        self._graphs: dict[Hashable, Captured] = {}
        self._watch.forget()
        self._pools = [
            torch.cuda.graph_pool_handle() if self._device.type == "cuda" else None
            for _ in range(2)
        ]

    def _dropped_arms(self) -> list[int]:
        return [arm for arm, name in enumerate(self._names) if name in self.dropped]

    def _wait_aside(self) -> None:
        if self._side is not None:
            self._side.synchronize()
