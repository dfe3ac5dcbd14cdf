"""Replays one trace with any selector: prepares its tables once, then runs kernel after kernel."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from time import perf_counter

import numpy as np

from hedgespec.bundled import trace_folder
from hedgespec.costs.estimate import costs_of, evaluating_seconds, own_seconds
from hedgespec.errors import HedgespecError, arg
from hedgespec.results.labels import BEST_FIXED, BEST_SINGLE, FIXED, ORACLE, PROMPT
from hedgespec.selectors import CHOSEN, FULL, NONE, ConfiguredSelector, parse_selector
from hedgespec.selectors.feedback import Feedback
from hedgespec.selectors.learning import Loss, check_learning
from hedgespec.selectors.losses import estimator_arrays, per_second
from hedgespec.simulator.arms import make_arms
from hedgespec.simulator.kernels import (
    compile_or_load,
    drawing_kernel,
    exact_kernel,
    schedule_kernel,
    selector_kernel,
    table_kernels,
)
from hedgespec.simulator.references import is_reference, knowledge, router_trace
from hedgespec.simulator.router import check_route, route
from hedgespec.simulator.tasks import ChosenTask, ExactTask, FullTask
from hedgespec.traces import Trace, read_trace

REPLAYED, EXACT = "replayed", "exact"


@dataclass(frozen=True)
class Replay:
    """One replay of a whole trace, or the exact expectation over all replays of it.

    `choice` (T, int16) holds the drafter of the round that started at a token, -1 where none
    did; None if exact. `visits` (T) are the rounds started at a token and `usage` (Q, N) those of
    each drafter: counts, or expectations if exact. `variance` (Q) is that of a query's rounds, None
    if replayed. `seconds` is the kernel's wall-clock time. `plays`, None if replayed, are the
    probabilities of the drafters in a round from each token, (T, N), or the drafter itself, (T).
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
    variance: np.ndarray | None
    seconds: float
    plays: np.ndarray | None = None

    @property
    def feedback_label(self) -> str:
        """How tables name the feedback."""
        return self.feedback.label if self.knows == FULL else self.knows

    @property
    def loss_label(self) -> str:
        """How tables name the loss."""
        if self.knows == FULL:
            return self.loss.label
        return "emitted" if self.knows == CHOSEN else NONE

    def in_rounds(self, values: np.ndarray) -> np.ndarray:
        """Of `values` (N) that of the drafter of a round from each token, expected if exact (T).

        Where no round starts it means nothing.
        """
        arms = self.choice if self.plays is None else self.plays
        assert arms is not None
        found: np.ndarray = values[arms] if arms.ndim == 1 else arms @ values
        return found


class Replayer:
    """A trace made ready for replays with draft length K under one verification rule."""

    def __init__(
        self,
        trace: Trace,
        draft_length: int | None = None,
        rule: str = "auto",
        threads: int = 1,
        carry: int | None = None,
        arm_lengths: tuple[int, ...] = (),
        arms: tuple[str, ...] = (),
    ):
        """Prepare `trace`; `draft_length` None takes the trace's own.

        With `arm_lengths` selectors choose between all pairs of a drafter and one of these draft
        lengths, and `draft_length` is the greatest of them; with `arms`, between those (see
        `make_arms`). With `carry` learners are not reset
        between queries, which come in an order drawn with this seed. Raises HedgespecError for a
        rule or draft length that does not fit the trace.
        """
        self.trace = trace
        if arm_lengths and draft_length is not None:
            raise HedgespecError(f"give {arg('draft_length')} or {arg('arm_lengths')}, not both")
        if arm_lengths and arms:
            raise HedgespecError(f"give {arg('arms')} or {arg('arm_lengths')}, not both")
        self.arms = make_arms(trace, draft_length, arm_lengths, arms, rule)
        self.draft_length, self.rule = self.arms.longest, self.arms.rule
        self.arm_lengths = arm_lengths
        self.arms_asked = arms or arm_lengths
        self._asked = rule, arms
        self.carry = carry
        queries = len(trace.offsets) - 1
        self.threads = 1 if carry is not None else min(threads, queries)
        self._order = np.arange(queries)
        if carry is not None:
            self._order = np.random.default_rng(carry).permutation(queries)
        self._acceptance = self.arms.spread(lambda rule, length: rule.realised(trace, length))
        self._gamma = self.arms.spread(lambda rule, length: rule.expected(trace, length))
        self._losses: dict[Loss, np.ndarray] = {}
        self._routes: dict[str, np.ndarray] = {}
        self._teachers: dict[str, Replayer] = {}
        self._blocks = _query_blocks(trace.offsets, 1 if self.threads == 1 else 4 * self.threads)

    def run(
        self, text: str, seed: int, feedback: Feedback | None = None, loss: Loss | None = None,
        acceptance: np.ndarray | None = None,
    ) -> Replay:
        """Replay the selector or reference called `text`; see `parse_selector`.

        `feedback` and `loss` are those of full-information learners, None for the defaults.
        `acceptance` (T, D, N) replaces the realised acceptance probabilities of the rounds, not
        what is learned from. Raises HedgespecError where a setting makes no sense for the selector.
        """
        accepted = self._acceptance if acceptance is None else acceptance
        if is_reference(text):
            return self._run_schedule(text, seed, accepted)
        configured = parse_selector(text)
        check_learning(configured.selector, feedback, loss)
        return self._run_selector(configured, seed, feedback or Feedback(), loss or Loss(),
                                  accepted)

    def statistics(self, start: int, end: int) -> tuple[np.ndarray, np.ndarray]:
        """gamma and realised acceptance of tokens start..end-1, each (end-start, D, N)."""
        return self._gamma[start:end], self._acceptance[start:end]

    def learns(self, text: str) -> bool:
        """Whether feedback means something to the selector or reference."""
        return not is_reference(text) and parse_selector(text).selector.feedback != NONE

    def check(self, text: str, feedback: Feedback | None, loss: Loss | None) -> None:
        """Raise HedgespecError as `run` does."""
        check_learning(parse_selector(text).selector, feedback, loss)

    def is_exact(self, text: str, feedback: Feedback | None = None) -> bool:
        """Whether `run_exact` can be had: the play must depend on the position only."""
        if is_reference(text):
            return True
        selector = parse_selector(text).selector
        return (selector.feedback != CHOSEN and not selector.draws and self.carry is None
                and (feedback or Feedback()).by_position)

    def run_exact(
        self, text: str, feedback: Feedback | None = None, loss: Loss | None = None
    ) -> Replay:
        """Exact expectations of what `run` replays; see `tables.moments`.

        Raises HedgespecError as `run` does, and where `is_exact` is False.
        """
        if not self.is_exact(text, feedback):
            raise HedgespecError(f"{text}: no exact expectation with these settings; replay it")
        if is_reference(text):
            return self._exact_schedule(text)
        configured = parse_selector(text)
        check_learning(configured.selector, feedback, loss)
        return self._exact_selector(configured, feedback or Feedback(), loss or Loss())

    def label(self, text: str) -> str:
        """How results name `text`. Raises HedgespecError if it is no selector for this trace."""
        if text.startswith(FIXED):
            self._drafter(text)
        if is_reference(text) and knowledge(text) == PROMPT:
            check_route(self.trace, self._teacher(text).trace)
        return text if is_reference(text) else parse_selector(text).label

    @cached_property
    def expected_rounds(self) -> np.ndarray:
        """Exact expected rounds of each fixed drafter, shape (Q, N)."""
        rounds = np.zeros((len(self.trace.offsets) - 1, self._arms))
        self._over_queries(table_kernels().expected_rounds, self.trace.offsets, self._acceptance,
                           self.draft_length, rounds)
        return rounds

    def losses(self, loss: Loss) -> np.ndarray:
        """Loss of every start position, shape (T, N); NaN where never observable."""
        if loss not in self._losses and loss.seconds:
            self._losses[loss] = per_second(
                self.losses(replace(loss, seconds=False)), self.own_seconds(),
                self.draft_length)
        if loss not in self._losses:
            table = np.empty((len(self.trace.tokens), self._arms))
            self._over_queries(
                table_kernels().loss_table, self.trace.offsets, *self._estimates(loss),
                self._gamma, loss.accept_weight, loss.window(self.draft_length),
                self.draft_length, table)
            self._losses[loss] = table
        return self._losses[loss]

    def _estimates(self, loss: Loss) -> tuple[np.ndarray, np.ndarray]:
        """The arrays (survive, end) of the loss's estimator, (T, D, N)."""
        depths = slice(None, 1) if loss.prefill else slice(None)
        survive, end = estimator_arrays(
            loss.estimator, self._gamma, self._acceptance, self.arms.path_only)
        return np.ascontiguousarray(survive[:, depths]), np.ascontiguousarray(end[:, depths])

    def seconds_per_round(self, run: Replay) -> np.ndarray | None:
        """Estimated seconds of a round of each drafter, (N,); None if the trace has no costs.

        The evaluation of the other drafters is in them.
        """
        if self.trace.manifest.costs is None:
            return None
        return self.own_seconds() + self.evaluation_per_round(run)

    def own_seconds(self) -> np.ndarray:
        """Seconds of a round of each arm alone, (N,). Raises HedgespecError without costs."""
        return own_seconds(costs_of(self.trace), self.arms.drafter_names(self.trace),
                           self.arms.lengths, self.arms.verified(self.trace))

    def evaluation_per_round(self, run: Replay) -> np.ndarray:
        """Those of these seconds in which the other drafters are evaluated, (N,).

        Under a full-information learner it happens in every round or every M-th, else never.
        Raises HedgespecError if the trace holds no costs.
        """
        if run.knows != FULL:
            return np.zeros(len(self.arms.names))
        seconds = evaluating_seconds(costs_of(self.trace), self.arms.drafter_names(self.trace))
        return seconds * run.feedback.evaluated_share

    def one_replay(self, run: Replay, query: int) -> np.ndarray:
        """Decisions (L) in one query: the run's own; of an expectation those with seed 0."""
        begin, end = self.trace.offsets[query : query + 2]
        choice = run.choice
        if choice is None:
            schedule = run.plays
            assert schedule is not None
            if schedule.ndim == 2:
                schedule = drawing_kernel()(0, query, begin, end, schedule)
            choice = self._no_choice()
            schedule_kernel()(query, query + 1, self.trace.offsets, self._acceptance, schedule,
                              self.draft_length, 0, choice)
        return choice[begin:end]

    def rounds_per_query(self, run: Replay) -> np.ndarray:
        """Number of rounds of each query, expected if exact, shape (Q,)."""
        return np.add.reduceat(run.visits, self.trace.offsets[:-1], dtype=np.float64)

    @property
    def _arms(self) -> int:
        return self._acceptance.shape[2]

    def _run_selector(
        self, configured: ConfiguredSelector, seed: int, feedback: Feedback, loss: Loss,
        acceptance: np.ndarray,
    ) -> Replay:
        selector = configured.selector
        kernel = selector_kernel(configured, feedback != Feedback())
        choice = self._no_choice()
        order, offsets, carry = self._order, self.trace.offsets, self.carry is not None
        params, state_size = configured.parameter_array(), selector.state_size(self._arms)
        task: FullTask | ChosenTask
        if selector.feedback == CHOSEN:
            task = ChosenTask(order, offsets, acceptance, self._gamma, self.draft_length, carry,
                              seed, params, state_size)
        else:
            schedule = feedback.schedule(loss.window(self.draft_length))
            task = FullTask(order, offsets, acceptance, self.losses(loss), *self._estimates(loss),
                            schedule, self.draft_length, carry, seed, params, state_size)
        compile_or_load(kernel, configured.name, task, choice)  # outside the measured time
        seconds = self._over_queries(kernel, task, choice)
        return self._replayed(configured.label, selector.feedback, feedback, loss, seed, choice,
                              seconds)

    def _exact_selector(
        self, configured: ConfiguredSelector, feedback: Feedback, loss: Loss
    ) -> Replay:
        selector = configured.selector
        kernel = exact_kernel(configured)
        plays = np.zeros((len(self.trace.tokens), self._arms))
        visits, usage, variance = self._no_moments()
        task = ExactTask(self.trace.offsets, self._acceptance, self.losses(loss),
                         feedback.schedule(loss.window(self.draft_length)), self.draft_length,
                         configured.parameter_array(), selector.state_size(self._arms))
        compile_or_load(kernel, configured.name, task, plays, visits, usage, variance)
        seconds = self._over_queries(kernel, task, plays, visits, usage, variance)
        return Replay(configured.label, selector.feedback, feedback, loss, EXACT, None, None,
                      visits, usage, variance, seconds, plays)

    def _run_schedule(self, text: str, seed: int, acceptance: np.ndarray) -> Replay:
        kernel = schedule_kernel()
        choice = self._no_choice()
        arguments = (self.trace.offsets, acceptance, self._schedule(text),
                     self.draft_length, seed, choice)
        kernel(0, 0, *arguments)
        seconds = self._over_queries(kernel, *arguments)
        return self._replayed(text, knowledge(text), Feedback(), Loss(), seed, choice, seconds)

    def _exact_schedule(self, text: str) -> Replay:
        kernel = table_kernels().schedule_moments
        schedule = self._schedule(text)
        visits, usage, variance = self._no_moments()
        arguments = (self.trace.offsets, self._acceptance, schedule,
                     self.draft_length, visits, usage, variance)
        kernel(0, 0, *arguments)
        seconds = self._over_queries(kernel, *arguments)
        return Replay(text, knowledge(text), Feedback(), Loss(), EXACT, None, None, visits, usage,
                      variance, seconds, schedule)

    def _replayed(
        self, label: str, knows: str, feedback: Feedback, loss: Loss, seed: int,
        choice: np.ndarray, seconds: float,
    ) -> Replay:
        queries, starts = len(self.trace.offsets) - 1, np.flatnonzero(choice >= 0)
        query = np.searchsorted(self.trace.offsets, starts, side="right") - 1
        usage = np.bincount(query * self._arms + choice[starts], minlength=queries * self._arms)
        usage = usage.reshape(queries, self._arms)
        return Replay(label, knows, feedback, loss, REPLAYED, seed, choice, choice >= 0, usage,
                      None, seconds)

    def _no_moments(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        queries = len(self.trace.offsets) - 1
        return (np.zeros(len(self.trace.tokens)), np.zeros((queries, self._arms)),
                np.zeros(queries))

    def _schedule(self, text: str) -> np.ndarray:
        """Drafter of a round that would start at each token, shape (T,), int16."""
        if text == BEST_FIXED:
            return self._throughout(self.expected_rounds.argmin(axis=1))
        if text == BEST_SINGLE:
            best = self.expected_rounds.sum(axis=0).argmin()
            return np.full(len(self.trace.tokens), best, dtype=np.int16)
        if knowledge(text) == PROMPT:
            return self._throughout(self._route(text))
        if text == ORACLE:
            emitted = np.empty((len(self.trace.tokens), self._arms))
            self._over_queries(table_kernels().round_table, self.trace.offsets, self._acceptance,
                               self.draft_length, emitted)
            return emitted.argmax(axis=1).astype(np.int16)
        return np.full(len(self.trace.tokens), self._drafter(text), dtype=np.int16)

    def _throughout(self, arm: np.ndarray) -> np.ndarray:
        """An arm for each query (Q) as a schedule (T)."""
        return np.repeat(arm, np.diff(self.trace.offsets)).astype(np.int16)

    def _route(self, text: str) -> np.ndarray:
        """The router's arm for each query (Q)."""
        if text not in self._routes:
            teacher = self._teacher(text)
            best = teacher.expected_rounds.argmin(axis=1)
            self._routes[text] = route(self.trace, teacher.trace, best, self._arms)
        return self._routes[text]

    def _teacher(self, text: str) -> "Replayer":
        """The replays that a router learns from: of its own trace, or of another one."""
        training = router_trace(text)
        if training is None:
            return self
        if text not in self._teachers:  # asked for when it is checked and when it is trained
            rule, arms = self._asked
            teacher = Replayer(
                read_trace(trace_folder(training)),
                None if self.arm_lengths or arms else self.draft_length, rule, self.threads,
                arm_lengths=self.arm_lengths, arms=arms)
            if teacher.arms.names != self.arms.names:
                raise HedgespecError(
                    f"{text}: that trace has other drafters than {self.trace.name}")
            self._teachers[text] = teacher
        return self._teachers[text]

    def _drafter(self, text: str) -> int:
        names = self.arms.names
        name = text.removeprefix(FIXED)
        if name not in names:
            raise HedgespecError(
                f"{text}: trace {self.trace.name} has no drafter {name!r}; it has: "
                f"{', '.join(names)}"
            )
        return names.index(name)

    def _no_choice(self) -> np.ndarray:
        return np.full(len(self.trace.tokens), -1, dtype=np.int16)

    def _over_queries(self, kernel: Callable[..., None], *arguments: object) -> float:
        """Run `kernel` over all queries, on several threads if asked; return the seconds."""
        started = perf_counter()
        if len(self._blocks) == 1:
            kernel(*self._blocks[0], *arguments)
        else:
            with ThreadPoolExecutor(self.threads) as pool:
                for done in [pool.submit(kernel, *block, *arguments) for block in self._blocks]:
                    done.result()
        return perf_counter() - started


def _query_blocks(offsets: np.ndarray, blocks: int) -> list[tuple[int, int]]:
    """Cut the queries into at most `blocks` ranges of about equally many tokens."""
    targets = np.linspace(0, offsets[-1], blocks + 1)
    bounds = np.unique(np.searchsorted(offsets, targets))
    return list(zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True))
