"""Replays one trace with any selector: prepares its tables once, then runs kernel after kernel."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from copy import copy
from dataclasses import dataclass, replace
from functools import cache, cached_property
from time import perf_counter

import numpy as np

from hedgespec.costs.estimate import (
    alone_seconds,
    arm_seconds,
    costs_of,
    drafting_seconds,
    evaluating_seconds,
    has_reads,
    reads_first,
    round_seconds,
    together_seconds,
    undrafted_seconds,
)
from hedgespec.errors import HedgespecError, arg
from hedgespec.options import check_seed
from hedgespec.selectors import CHOSEN, FULL, ConfiguredSelector, Selector
from hedgespec.selectors.feedback import ArmSeconds, Feedback, no_seconds
from hedgespec.selectors.learning import Loss, check_learning, default_loss
from hedgespec.selectors.losses import by_seconds, estimator_arrays, per_second
from hedgespec.simulator.arms import make_arms
from hedgespec.simulator.choosers import Chooser, as_chooser
from hedgespec.simulator.features import feature_table
from hedgespec.simulator.guarded import Task, guarded
from hedgespec.simulator.kernels import (
    assigned_kernel,
    compile_or_load,
    drawing_kernel,
    evaluation_kernels,
    exact_kernel,
    selector_kernel,
    table_kernels,
)
from hedgespec.simulator.references import Reference
from hedgespec.simulator.replay import EXACT, REPLAYED, DraftCounts, Replay
from hedgespec.simulator.router import Router
from hedgespec.simulator.tasks import (
    NO_FEATURES,
    ChosenTask,
    ExactTask,
    FullTask,
    LearnerRun,
    PartialTask,
)
from hedgespec.simulator.whole import Whole
from hedgespec.traces import Costs, Trace

# What is kept of a replayer's costs.
_OF_COSTS = (
    "expected_seconds",
    "_known_seconds",
    "_known_drafting",
    "_known_evaluating",
    "_known_arm_seconds",
)


@dataclass
class Carried:
    """The state of a learner between two pieces of a trace; None before the first."""

    state: np.ndarray | None = None

    def of(self, copies: int, size: int) -> np.ndarray:
        """The state, (copies, size), which a replay that carries it over queries changes."""
        if self.state is None:
            self.state = np.zeros((copies, size))
        return self.state


def carried_order(queries: int, seed: int) -> np.ndarray:
    """The numbers of all queries of a trace in the order in which learners are carried over them."""
    return np.random.default_rng(seed).permutation(queries)


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
        round_seconds: tuple[float, ...] | None = None,
        whole: Whole | None = None,
    ):
        """Prepare `trace`; `draft_length` None takes the trace's own.

        With `arm_lengths` selectors choose between all pairs of a drafter and one of these draft
        lengths, and `draft_length` is the greatest of them; with `arms`, between those (see
        `make_arms`). With `carry` learners are not reset
        between queries, which come in an order drawn with this seed. `round_seconds` (N) are those
        of a round of each arm alone, instead of what the trace's costs say. `whole` is the trace
        that this one is a piece of. Raises HedgespecError for a rule or draft length that does not
        fit the trace.
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
        self._given_seconds = None if round_seconds is None else np.array(round_seconds)
        self.carry = None if carry is None else check_seed("carry", carry)
        queries = len(trace.offsets) - 1
        self.threads = 1 if carry is not None else min(threads, queries)
        self._order = np.arange(queries)
        if carry is not None:
            place = np.argsort(carried_order(trace.manifest.queries, carry))
            self._order = np.argsort(place[trace.numbers])
        self._whole = whole
        self._losses: dict[Loss, np.ndarray] = {}
        self._timed_losses: dict[Loss, np.ndarray] = {}
        self._blocks = _query_blocks(trace.offsets, 1 if self.threads == 1 else 4 * self.threads)

    @cached_property
    def _acceptance(self) -> np.ndarray:
        return self.arms.spread_by_rule(lambda rule, length: rule.realised(self.trace, length))

    @cached_property
    def _gamma(self) -> np.ndarray:
        return self.arms.spread_by_rule(lambda rule, length: rule.expected(self.trace, length))

    @cached_property
    def first_gamma(self) -> np.ndarray:
        """gamma of a round's first draft token, for a round from any position on, (T, N)."""
        return np.ascontiguousarray(self._gamma[:, 0])

    @property
    def in_whole(self) -> "Whole | Replayer":
        """What is known of the whole trace, of which this may be a piece."""
        return self._whole or self

    def under(self, costs: Costs | None) -> "Replayer":
        """The same replayer with other costs of its trace's drafters; tables are shared."""
        self.expected_rounds, self._gamma  # noqa: B018 - found once for all
        if costs is not None:
            self._drafted  # noqa: B018 - likewise
        other = copy(self)
        other._whole = None if self._whole is None else self._whole.under(costs)
        other.trace = replace(self.trace, manifest=replace(self.trace.manifest, costs=costs))
        other._timed_losses = {}
        for name in _OF_COSTS:
            vars(other).pop(name, None)
        return other

    def run(
        self,
        chooser: str | Selector | Chooser,
        seed: int,
        feedback: Feedback | None = None,
        loss: Loss | None = None,
        acceptance: np.ndarray | None = None,
        carried: Carried | None = None,
    ) -> Replay:
        """Replay a selector or reference, given as such or by its label.

        `feedback` and `loss` are those of full-information learners, None for the defaults.
        `carried` hands a learner's state on from the piece before, and to the piece after.
        `acceptance` (T, D, N) replaces the realised acceptance probabilities of the rounds, not
        what is learned from. Raises HedgespecError where a setting makes no sense for the selector.
        """
        chooser, seed = as_chooser(chooser), check_seed("seed", seed)
        accepted = self._acceptance if acceptance is None else acceptance
        if isinstance(chooser, Reference):
            return self._run_reference(chooser, seed, accepted)
        check_learning(chooser.selector, feedback, loss)
        feedback = feedback or Feedback()
        return self._run_selector(
            chooser,
            seed,
            feedback,
            loss or self.default_loss(feedback),
            accepted,
            carried or Carried(),
        )

    def default_loss(self, feedback: Feedback) -> Loss:
        """That of full-information learners where none is named: it depends on the costs."""
        return default_loss(feedback, timed=self.timed)

    def statistics(self, start: int, end: int) -> tuple[np.ndarray, np.ndarray]:
        """gamma and realised acceptance of tokens start..end-1, each (end-start, D, N)."""
        return self._gamma[start:end], self._acceptance[start:end]

    def is_exact(self, chooser: str | Selector | Chooser, feedback: Feedback | None = None) -> bool:
        """Whether `run_exact` can be had: the play must depend on the position only."""
        chooser = as_chooser(chooser)
        if isinstance(chooser, Reference):
            return True
        selector = chooser.selector
        return (
            selector.feedback != CHOSEN
            and not selector.draws
            and self.carry is None
            and (feedback or Feedback()).by_position
        )

    def run_exact(
        self,
        chooser: str | Selector | Chooser,
        feedback: Feedback | None = None,
        loss: Loss | None = None,
    ) -> Replay:
        """Exact expectations of what `run` replays; see `expectations.moments`.

        Raises HedgespecError as `run` does, and where `is_exact` is False.
        """
        chooser = as_chooser(chooser)
        if not self.is_exact(chooser, feedback):
            raise HedgespecError(
                f"{chooser.label}: no exact expectation with these settings; replay it"
            )
        if isinstance(chooser, Reference):
            return self._exact_reference(chooser)
        check_learning(chooser.selector, feedback, loss)
        feedback = feedback or Feedback()
        return self._exact_selector(chooser, feedback, loss or self.default_loss(feedback))

    def chooser(self, what: str | Selector | Chooser) -> Chooser:
        """Whatever is named. Raises HedgespecError if it cannot be had on this trace."""
        found = as_chooser(what)
        if isinstance(found, Reference):
            found.check(self)
        else:
            found.check_on(self._arms, self.draft_length)
            self._features(found.selector)  # which may not have been recorded
        return found

    @cached_property
    def _router(self) -> Router:
        rule, arms = self._asked
        return Router(
            self,
            lambda trace: Replayer(
                trace,
                None if self.arm_lengths or arms else self.draft_length,
                rule,
                self.threads,
                arm_lengths=self.arm_lengths,
                arms=arms,
            ),
        )

    def route(self, training: str | None) -> np.ndarray:
        """The arm (Q) that a router takes by the prompt; see `Known`."""
        if self._whole is not None:
            routes: np.ndarray = self._whole.route(training)[self.trace.numbers]
            return routes
        return self._router.route(training)

    def check_router(self, training: str | None) -> None:
        """Raise HedgespecError if `route` would."""
        if self._whole is not None:
            return self._whole.check_router(training)
        self._router.check(training)

    @cached_property
    def expected_rounds(self) -> np.ndarray:
        """Exact expected rounds of each fixed drafter, shape (Q, N)."""
        return self._expected_sums(np.ones((1, self._arms)))

    @cached_property
    def expected_seconds(self) -> np.ndarray:
        """Exact expected seconds of each fixed drafter, shape (Q, N). Raises HedgespecError without
        costs."""
        return self._expected_sums(self.round_seconds())

    def _expected_sums(self, each: np.ndarray) -> np.ndarray:
        """Of what a round from each token has, over those of each fixed drafter, (Q, N)."""
        sums = np.zeros((len(self.trace.offsets) - 1, self._arms))
        self._over_queries(
            table_kernels().expected_sums,
            self.trace.offsets,
            self._acceptance,
            self.draft_length,
            each,
            sums,
        )
        return sums

    @cached_property
    def draft_counts(self) -> DraftCounts:
        """What becomes of each fixed drafter's drafts in each query. A draft that the answer's end
        cuts counts whole among those drafted."""
        shape = len(self.trace.offsets) - 1, self.draft_length, self._arms
        whole, by_depth = np.zeros((2, shape[0], shape[2])), np.zeros((2, *shape))
        self._over_queries(
            table_kernels().draft_counts,
            self.trace.offsets,
            self._acceptance,
            self.draft_length,
            self._drafted,
            *whole,
            *by_depth,
        )
        return DraftCounts(*whole, *by_depth)

    def covered(self, run: Replay, values: np.ndarray) -> np.ndarray:
        """Expected sum over tokens of what `values` (T, N) says of the drafter of their round, (Q).

        `run` is an expectation.
        """
        plays = run.plays
        assert plays is not None
        if plays.ndim == 1:
            plays = np.eye(self._arms)[plays]
        sums = np.zeros(len(self.trace.offsets) - 1)
        self._over_queries(
            table_kernels().covered_values,
            self.trace.offsets,
            self._acceptance,
            self.draft_length,
            values,
            run.visits,
            plays,
            sums,
        )
        return sums

    def table(self, kernel: Callable[..., None]) -> np.ndarray:
        """What a kernel of start positions finds for each, (T, N)."""
        found = np.empty((len(self.trace.tokens), self._arms))
        self._over_queries(kernel, self.trace.offsets, self._acceptance, self.draft_length, found)
        return found

    def losses(self, loss: Loss) -> np.ndarray:
        """Loss of every start position, shape (T, N); NaN where never observable."""
        if loss.seconds:
            if loss not in self._timed_losses:
                self._timed_losses[loss] = self._loss_in_seconds(loss)
            return self._timed_losses[loss]
        if loss not in self._losses:
            self._losses[loss] = self._loss_table(loss)
        return self._losses[loss]

    def _loss_in_seconds(self, loss: Loss) -> np.ndarray:
        table, seconds = self.losses(replace(loss, seconds=False)), self.own_seconds()
        if loss.visit:
            return by_seconds(table, seconds)
        return per_second(table, seconds, self.draft_length)

    def _loss_table(self, loss: Loss) -> np.ndarray:
        table = np.empty((len(self.trace.tokens), self._arms))
        if loss.visit:
            self._over_queries(
                table_kernels().visit_table,
                self.trace.offsets,
                *self._estimates(loss),
                self.draft_length,
                table,
            )
        else:
            self._over_queries(
                table_kernels().loss_table,
                self.trace.offsets,
                *self._estimates(loss),
                self._gamma,
                loss.accept_weight,
                loss.window(self.draft_length),
                self.draft_length,
                table,
            )
        return table

    def _estimates(self, loss: Loss) -> tuple[np.ndarray, np.ndarray]:
        """The arrays (survive, end) of the loss's estimator, (T, D, N)."""
        survive, end = estimator_arrays(
            loss.estimator, self._gamma, self._acceptance, self.arms.path_only
        )
        if loss.prefill:
            survive, end = self.arms.first_depth(survive), self.arms.first_depth(end)
        return np.ascontiguousarray(survive), np.ascontiguousarray(end)

    def seconds(self, run: Replay) -> tuple[np.ndarray, np.ndarray]:
        """Estimated seconds of the rounds from each token, and those of them in which the other
        drafters are evaluated, (T) each; NaN if the trace has no costs."""
        if self.trace.manifest.costs is None:
            unknown = np.full(len(run.visits), np.nan)
            return unknown, unknown
        costs = costs_of(self.trace)
        undrafted = 0.0 if run.drafts else undrafted_seconds(costs)
        own = run.visits * run.in_rounds(self.round_seconds(), undrafted)
        if not self._reads_on(run):
            evaluation = run.evaluated * run.in_rounds(self.evaluating_seconds())
            return own + evaluation, evaluation
        evaluation, catching_up, _ = self._reading_seconds(run)
        return own + evaluation + catching_up, evaluation

    def seconds_of_arms(self, run: Replay) -> tuple[np.ndarray, np.ndarray]:
        """Of the seconds of each query's rounds those in which each arm drafts, and those in which
        its drafter reads alone, (Q, N) each; what else is read is read in one batch.

        Who drafts with several arms reads as the first of them. Raises HedgespecError without
        costs.
        """
        costs, names = costs_of(self.trace), self.arms.drafter_names(self.trace)
        drafting = self._by_arm(run, run.visits, self._known_drafting)
        each, first = alone_seconds(costs, names), self.arms.first
        begun, reading = run.usage, np.zeros(run.usage.shape)
        if self._reads_on(run):
            reading += self._reading_seconds(run)[2]
        else:  # who drafts after an evaluation has read in it
            begun = begun - self._by_arm(run, run.evaluated)
            if each[first].sum() <= together_seconds(costs, first.sum()):
                reading += self.per_query(run.evaluated)[:, None] * (first * each)
        for arm, owner in enumerate(self.arms.owner):
            reading[:, owner] += begun[:, arm] * (reads_first(costs, names) * each)[arm]
        return drafting, reading

    def _by_arm(
        self, run: Replay, rounds: np.ndarray, values: np.ndarray | None = None
    ) -> np.ndarray:
        """Sums over `rounds` (T) of each query by their arm, (Q, N): of `values` (T, N), or (1, N)
        if all are alike, without them of rounds."""
        if not run.drafts or not rounds.any():
            return np.zeros((len(self.trace.offsets) - 1, self._arms))
        arms = run.choice if run.plays is None else run.plays
        assert arms is not None
        known = np.broadcast_to(1.0 if values is None else values, (len(rounds), self._arms))
        if arms.ndim == 2:
            return self.per_query(rounds[:, None] * arms * known)
        starts = np.flatnonzero(rounds)
        return self._sums_by_arm(starts, arms[starts], rounds[starts] * known[starts, arms[starts]])

    def _sums_by_arm(
        self, starts: np.ndarray, arms: np.ndarray, values: np.ndarray | None = None
    ) -> np.ndarray:
        """Sums (Q, N) of `values` of rounds from the tokens `starts` by their `arms`; without them
        of ones."""
        queries = len(self.trace.offsets) - 1
        query = np.searchsorted(self.trace.offsets, starts, side="right") - 1
        sums: np.ndarray = np.bincount(
            query * self._arms + arms, values, minlength=queries * self._arms
        ).reshape(queries, self._arms)
        return sums

    def _reads_on(self, run: Replay) -> bool:
        """Whether it matters how many tokens each drafter has not read before a round.

        Not in an expectation with evaluations: all are evaluated before each round then.
        """
        return run.sets is not None or (
            run.by_selector
            and run.drafts
            and (run.choice is not None or not run.evaluated.any())
            and has_reads(costs_of(self.trace))
        )

    def round_seconds(self) -> np.ndarray:
        """Seconds of a round of each arm alone from each token, (T, N), or (1, N) if all are alike.

        Raises HedgespecError without costs.
        """
        return self._known_seconds

    @cached_property
    def _known_seconds(self) -> np.ndarray:
        return round_seconds(
            costs_of(self.trace),
            self.arms.drafter_names(self.trace),
            self.arms.lengths,
            self._drafted,
        )

    @cached_property
    def _known_drafting(self) -> np.ndarray:
        return drafting_seconds(
            costs_of(self.trace),
            self.arms.drafter_names(self.trace),
            self.arms.lengths,
            self._drafted,
        )

    def own_seconds(self) -> np.ndarray:
        """The same in the mean over all tokens, or as they were given, (N,)."""
        if self._given_seconds is not None:
            return self._given_seconds
        if self._whole is not None:
            return self._whole.own_seconds()
        seconds = self.round_seconds()
        if len(seconds) > 1:
            seconds = self.per_query(seconds).sum(axis=0, keepdims=True) / len(seconds)
        mean: np.ndarray = seconds[0]
        return mean

    def per_query(self, values: np.ndarray) -> np.ndarray:
        """Sums (Q, ...) of what each token has, (T, ...)."""
        sums: np.ndarray = np.add.reduceat(values, self.trace.offsets[:-1], dtype=np.float64)
        return sums

    @cached_property
    def _drafted(self) -> np.ndarray:
        return self.arms.drafted(self.trace)

    def loss_of_queries(self, loss: Loss) -> tuple[np.ndarray, np.ndarray]:
        """Sums of a loss over each query's positions that have one, (Q, N), and their number (Q)."""
        table = self.losses(loss)
        known = ~np.isnan(table[:, :1])
        return self.per_query(np.where(known, table, 0.0)), self.per_query(known[:, 0])

    def running_sums(self, values: np.ndarray, places: np.ndarray) -> np.ndarray:
        """Sums of what each token has, (T), over the tokens of each query before `places` (Q, G),
        which rise; (Q, G)."""
        sums = np.zeros(places.shape)
        self._over_queries(
            table_kernels().running_sums,
            self.trace.offsets,
            places,
            np.asarray(values, dtype=np.float64),
            sums,
        )
        return sums

    def evaluating_seconds(self) -> np.ndarray:
        """Further seconds of a round of each arm before which all drafters are evaluated, (N,).

        Raises HedgespecError without costs.
        """
        return self._known_evaluating

    @cached_property
    def _known_evaluating(self) -> np.ndarray:
        return evaluating_seconds(costs_of(self.trace), self.arms.drafter_names(self.trace))

    def evaluated_drafters(self, run: Replay) -> np.ndarray:
        """Drafters evaluated before the round from each token, expected if exact, (T)."""
        if run.sets is None:
            return run.evaluated * float(self.arms.first.sum())
        found: np.ndarray = run.sets[:, self.arms.first].sum(axis=1)
        return found

    def _one_choice(self, run: Replay) -> np.ndarray:
        """Decisions (T): the run's own; of an expectation those of one replay of it."""
        if run.choice is not None:
            return run.choice
        queries = range(len(self.trace.offsets) - 1)
        return np.concatenate([self.one_replay(run, query) for query in queries])

    def _reading_seconds(self, run: Replay) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Further seconds of the rounds from each token: of evaluation, and of drafters that catch
        up before they draft, (T) each; and of both those that each drafter reads alone, (Q, N).

        Of an expectation those of one replay of it: how many tokens a drafter has not read hangs on
        all rounds before.
        """
        choice, sets = self._one_choice(run), run.sets
        if sets is None:
            sets = np.repeat(run.evaluated.astype(bool)[:, None], self._arms, axis=1)
        evaluation, catching_up = np.zeros((2, len(choice)))
        alone = np.zeros((len(self.trace.offsets) - 1, self._arms))
        self._over_queries(
            evaluation_kernels().reading_seconds,
            self.trace.offsets,
            choice,
            sets,
            self._known_arm_seconds if run.sets is None else self._seconds_in_part,
            evaluation,
            catching_up,
            alone,
        )
        return evaluation, catching_up, alone

    @property
    def _seconds_in_part(self) -> ArmSeconds:
        """`_known_arm_seconds` where some drafters are evaluated."""
        overhead = costs_of(self.trace).overhead_in_part
        return self._known_arm_seconds._replace(overhead=overhead)

    @cached_property
    def _known_arm_seconds(self) -> ArmSeconds:
        """What reading adds to rounds. Raises HedgespecError without costs."""
        costs, names = costs_of(self.trace), self.arms.drafter_names(self.trace)
        longest = int(np.diff(self.trace.offsets).max())
        return arm_seconds(costs, names, self.arms.owner, self.arms.first, longest)

    def one_replay(self, run: Replay, query: int) -> np.ndarray:
        """Decisions (L) in one query: the run's own; of an expectation those with seed 0.

        N stands for a round in which nothing is drafted.
        """
        begin, end = self.trace.offsets[query : query + 2]
        if not run.drafts:
            return np.full(end - begin, self._arms)
        if run.choice is not None:
            return run.choice[begin:end]
        assert run.plays is not None
        assigned, length = run.plays[begin:end], end - begin
        if assigned.ndim == 2:
            assigned = drawing_kernel()(0, self.trace.numbers[query], 0, length, assigned)
        choice = np.full(length, -1, dtype=np.int16)
        assigned_kernel()(
            0,
            1,
            np.array([0, length]),
            self.trace.numbers[query : query + 1],
            self._acceptance[begin:end],
            assigned,
            self.draft_length,
            0,
            choice,
        )
        return choice

    def rounds_per_query(self, run: Replay) -> np.ndarray:
        """Number of rounds of each query, expected if exact, shape (Q,)."""
        return self.per_query(run.visits)

    @property
    def _arms(self) -> int:
        return len(self.arms.names)

    @property
    def timed(self) -> bool:
        """Whether the seconds of a round are known."""
        return self._given_seconds is not None or self.trace.manifest.costs is not None

    def _run_selector(
        self,
        configured: ConfiguredSelector,
        seed: int,
        feedback: Feedback,
        loss: Loss,
        acceptance: np.ndarray,
        carried: "Carried",
    ) -> Replay:
        configured.check_on(self._arms, self.draft_length)
        selector = configured.selector
        kernel = selector_kernel(configured, feedback)
        choice, sets = self._no_choice(), None
        queries = self._order, self.trace.offsets, self.trace.numbers
        window = loss.window(self.draft_length)
        schedule = feedback.schedule(window)
        full = selector.feedback != CHOSEN and not feedback.partial
        follows, state_size = carried.state is not None, selector.state_size(self._arms)
        learner = LearnerRun(
            self.draft_length,
            self.carry is not None,
            follows,
            carried.of(schedule.copies if full else 1, state_size),
            seed,
            configured.parameter_array(self.arms.lengths, window),
            state_size,
        )
        task: FullTask | PartialTask | ChosenTask
        if selector.feedback == CHOSEN:
            task = ChosenTask(*queries, acceptance, self._gamma, self.arms.lengths, learner)
        elif feedback.partial:
            task = PartialTask(
                *queries,
                acceptance,
                self.losses(loss),
                schedule,
                learner,
                self._seconds_in_part._replace(own=self.own_seconds())
                if feedback.timed
                else no_seconds(self.arms.owner, self.arms.first),
            )
            sets = np.zeros((len(choice), self._arms), dtype=bool)
        else:
            task = FullTask(
                *queries,
                acceptance,
                self.losses(loss),
                *self._estimates(loss),
                schedule,
                learner,
                self._features(selector),
            )
        outputs = (choice,) if sets is None else (sets, choice)
        seconds = self._run_learner(configured, kernel, task, *outputs)
        return self._replayed(
            configured.label, selector.feedback, feedback, loss, seed, choice, seconds, sets
        )

    def _features(self, selector: Selector) -> np.ndarray:
        """What a learner reads of each position, (T, F); F = 0 of those that read nothing."""
        return self._feature_table if selector.uses_features else NO_FEATURES

    @cached_property
    def _feature_table(self) -> np.ndarray:
        return feature_table(self.trace, self.arms).reshape(len(self.trace.tokens), -1)

    def _exact_selector(
        self, configured: ConfiguredSelector, feedback: Feedback, loss: Loss
    ) -> Replay:
        configured.check_on(self._arms, self.draft_length)
        selector = configured.selector
        kernel = exact_kernel(configured)
        plays = np.zeros((len(self.trace.tokens), self._arms))
        visits, usage, variance = self._no_moments()
        window = loss.window(self.draft_length)
        task = ExactTask(
            self.trace.offsets,
            self.losses(loss),
            feedback.schedule(window),
            self.draft_length,
            configured.parameter_array(self.arms.lengths, window),
            selector.state_size(self._arms),
            self._features(selector),
        )
        seconds = self._run_learner(configured, kernel, task, plays)
        seconds += self._moments(table_kernels().played_moments, plays, visits, usage, variance)
        return Replay(
            configured.label,
            selector.feedback,
            feedback,
            loss,
            EXACT,
            None,
            None,
            visits,
            usage,
            self._each_round(selector.feedback, visits),
            variance,
            seconds,
            plays,
        )

    def _run_learner(
        self,
        configured: ConfiguredSelector,
        kernel: Callable[..., None],
        task: Task,
        *outputs: np.ndarray,
    ) -> float:
        """Fill the outputs; return the seconds, without those of compiling."""
        if not configured.own:
            compile_or_load(kernel, configured.name, task, *outputs)
            return self._over_queries(kernel, task, *outputs)
        compile_or_load(kernel, configured.name, task, *outputs)
        return self._over_queries(guarded(kernel, configured, self.trace), task, *outputs)

    def _run_reference(self, chooser: Reference, seed: int, acceptance: np.ndarray) -> Replay:
        if not chooser.kind.drafts:
            return self._undrafted(chooser, seed)
        kernel = assigned_kernel()
        choice = self._no_choice()
        arguments = (
            self.trace.offsets,
            self.trace.numbers,
            acceptance,
            chooser.assign(self),
            self.draft_length,
            seed,
            choice,
        )
        kernel(0, 0, *arguments)
        seconds = self._over_queries(kernel, *arguments)
        return self._replayed(
            chooser.label, chooser.knows, Feedback(), Loss(), seed, choice, seconds
        )

    def _exact_reference(self, chooser: Reference) -> Replay:
        if not chooser.kind.drafts:
            return self._undrafted(chooser, None)
        assigned = chooser.assign(self)
        visits, usage, variance = self._no_moments()
        seconds = self._moments(table_kernels().assigned_moments, assigned, visits, usage, variance)
        return Replay(
            chooser.label,
            chooser.knows,
            Feedback(),
            Loss(),
            EXACT,
            None,
            None,
            visits,
            usage,
            np.zeros_like(visits),
            variance,
            seconds,
            assigned,
        )

    def _moments(self, kernel: Callable[..., None], plays: np.ndarray, *found: np.ndarray) -> float:
        """Fill the exact moments of what is played; return the seconds, without those of
        compiling."""
        arguments = self.trace.offsets, self._acceptance, plays, self.draft_length, *found
        kernel(0, 0, *arguments)
        return self._over_queries(kernel, *arguments)

    def _undrafted(self, chooser: Reference, seed: int | None) -> Replay:
        """A round from each token, whatever the seed; None: the expectation."""
        tokens, queries = len(self.trace.tokens), len(self.trace.offsets) - 1
        started = perf_counter()
        rounds, plays = np.ones(tokens), np.zeros((tokens, self._arms))
        return Replay(
            chooser.label,
            chooser.knows,
            Feedback(),
            Loss(),
            EXACT if seed is None else REPLAYED,
            seed,
            None,
            rounds,
            np.zeros((queries, self._arms)),
            np.zeros(tokens),
            np.zeros(queries) if seed is None else None,
            perf_counter() - started,
            plays,
            drafts=False,
        )

    def _replayed(
        self,
        label: str,
        knows: str,
        feedback: Feedback,
        loss: Loss,
        seed: int,
        choice: np.ndarray,
        seconds: float,
        sets: np.ndarray | None = None,
    ) -> Replay:
        starts = np.flatnonzero(choice >= 0)
        usage = self._sums_by_arm(starts, choice[starts])
        evaluated = (
            self._evaluated(knows, feedback, loss, seed, choice)
            if sets is None
            else np.any(sets[:, self.arms.first], axis=1)
        )
        return Replay(
            label,
            knows,
            feedback,
            loss,
            REPLAYED,
            seed,
            choice,
            choice >= 0,
            usage,
            evaluated,
            None,
            seconds,
            sets=sets,
        )

    def _evaluated(
        self, knows: str, feedback: Feedback, loss: Loss, seed: int, choice: np.ndarray
    ) -> np.ndarray:
        """The rounds from each token before which all drafters are evaluated, (T)."""
        if knows != FULL or not feedback.spares:
            return self._each_round(knows, choice >= 0)
        evaluated = np.zeros(len(choice), dtype=bool)
        self._over_queries(
            evaluation_kernels().mark_evaluated,
            self.trace.offsets,
            self.trace.numbers,
            choice,
            feedback.schedule(loss.window(self.draft_length)),
            seed,
            evaluated,
        )
        return evaluated

    def _each_round(self, knows: str, visits: np.ndarray) -> np.ndarray:
        """All rounds but a text's first, before which there is nothing to evaluate, (T)."""
        if knows != FULL:
            return np.zeros_like(visits)
        evaluated = visits.copy()
        evaluated[self.trace.offsets[:-1]] = 0
        return evaluated

    def _no_moments(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        queries = len(self.trace.offsets) - 1
        return (
            np.zeros(len(self.trace.tokens)),
            np.zeros((queries, self._arms)),
            np.zeros(queries),
        )

    def _no_choice(self) -> np.ndarray:
        return np.full(len(self.trace.tokens), -1, dtype=np.int16)

    def _over_queries(self, kernel: Callable[..., None], *arguments: object) -> float:
        """Run `kernel` over all queries, on several threads if asked; return the seconds."""
        started = perf_counter()
        if len(self._blocks) == 1:
            kernel(*self._blocks[0], *arguments)
        else:
            pool = _pool(self.threads, os.getpid())
            running = [pool.submit(kernel, *block, *arguments) for block in self._blocks]
            try:
                for done in running:
                    done.result()
            finally:  # nothing is written behind an error
                wait(running)
        return perf_counter() - started


@cache
def _pool(threads: int, process: int) -> ThreadPoolExecutor:
    """Started once in a process, for a forked one has none of its threads: a sweep runs thousands
    of kernels, many of which take less than a thread does to start."""
    return ThreadPoolExecutor(threads)


def _query_blocks(offsets: np.ndarray, blocks: int) -> list[tuple[int, int]]:
    """Cut the queries into at most `blocks` ranges of about equally many tokens."""
    targets = np.linspace(0, offsets[-1], blocks + 1)
    bounds = np.unique(np.searchsorted(offsets, targets))
    return list(zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True))
