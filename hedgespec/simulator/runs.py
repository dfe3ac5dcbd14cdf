"""The jobs of a sweep: a selector with its settings, run with each seed, and what it finds."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from hedgespec.errors import HedgespecError, arg
from hedgespec.results.keys import RunKey
from hedgespec.results.labels import (
    BEST_FIXED,
    HINDSIGHT,
    ORACLE,
    SelectorLabel,
    fixed,
    join_arms,
)
from hedgespec.results.schema import DRAFTING_OF, READING_OF, ROUNDS_OF
from hedgespec.selectors import BUILT_IN, DEFAULT, FULL, NONE, ConfiguredSelector
from hedgespec.selectors.feedback import Feedback
from hedgespec.selectors.learning import Loss
from hedgespec.selectors.online import replay_only
from hedgespec.simulator.adoption import rounds_until_best
from hedgespec.simulator.answer import answer_table, gains_of_switching, rounds_of
from hedgespec.simulator.basis import CostBasis
from hedgespec.simulator.choosers import Chooser, as_chooser
from hedgespec.simulator.curves import CurveGrid
from hedgespec.simulator.found import Counted, Found
from hedgespec.simulator.measures import Measures
from hedgespec.simulator.pairs import GROUPS, Pair, possible_pairs
from hedgespec.simulator.references import Reference
from hedgespec.simulator.replay import Replay
from hedgespec.simulator.replayer import Carried, Replayer
from hedgespec.simulator.settings import SweepSettings

CarriedStates = defaultdict[tuple[int | None, int], Carried]  # of each seed and costs


@dataclass(frozen=True)
class Job:
    """A chooser with its settings, evaluated exactly or replayed with seeds 0..seeds-1."""

    chooser: Chooser
    feedback: Feedback | None
    loss: Loss | None
    exact: bool
    seeds: int

    @property
    def runs(self) -> list[int | None]:
        """The seeds; None for an exact expectation."""
        return [None] if self.exact else list(range(self.seeds))

    @property
    def timed(self) -> bool:
        """Whether its decisions depend on seconds, so that it is run under each costs anew."""
        if isinstance(self.chooser, Reference):
            return self.chooser.kind.timed
        spends = self.feedback is not None and self.feedback.timed
        return spends or (self.loss is not None and self.loss.seconds)

    @property
    def chooses(self) -> bool:
        """Whether it chooses between drafters, and knows no more than an engine would."""
        label = self.chooser.label
        return self.runnable and label != NONE and SelectorLabel.parse(label).arm is None

    @property
    def runnable(self) -> bool:
        """Whether an engine can do it: nothing is known before it is written or measured."""
        if isinstance(self.chooser, Reference):
            return self.chooser.knows != HINDSIGHT
        return not replay_only(self.chooser, self.feedback or Feedback())


def jobs_of(replayer: Replayer, settings: SweepSettings) -> list[Job]:
    """What the settings run on a trace.

    Of several learners those that learn from their own rounds keep their own feedback and loss, and
    what makes no sense is left out with a warning. Raises HedgespecError if it is all that was
    asked for.
    """
    costly = replayer.trace.manifest.costs is not None
    choosers = [
        replayer.chooser(one) for one in _expanded(settings.selectors, replayer.arms.names, costly)
    ]
    found = possible_pairs({one.label: one for one in choosers}.values(), settings)
    return [job for chooser, pairs in found for job in _jobs(replayer, chooser, pairs, settings)]


def _expanded(
    selectors: Sequence[str | Chooser], names: list[str], costly: bool
) -> list[str | Chooser]:
    """The selectors with "default" and "all" spelled out; none given is "default".

    Not drafting is the default's baseline where there are seconds.
    """
    default = [*map(fixed, names), BEST_FIXED, ORACLE, *DEFAULT, *[NONE] * costly]
    groups = dict(zip(GROUPS, (default, list(BUILT_IN)), strict=True))
    found: list[str | Chooser] = []
    for one in selectors or GROUPS[:1]:
        found += groups.get(one, [one]) if isinstance(one, str) else [one]
    return found


def _jobs(
    replayer: Replayer, chooser: Chooser, pairs: list[Pair], settings: SweepSettings
) -> list[Job]:
    if isinstance(chooser, Reference) or chooser.selector.feedback == NONE:
        return [
            Job(chooser, None, None, _exact(replayer, chooser, None, settings.mode), settings.seeds)
        ]
    return [
        Job(
            chooser,
            feedback,
            _loss(replayer, chooser, feedback, loss),
            _exact(replayer, chooser, feedback, settings.mode),
            settings.seeds,
        )
        for feedback, loss in pairs
    ]


def _loss(
    replayer: Replayer, chooser: ConfiguredSelector, feedback: Feedback | None, loss: Loss | None
) -> Loss | None:
    """What is named, or the default; None of learners that are not fed with losses."""
    if loss is not None or chooser.selector.feedback != FULL:
        return loss
    return replayer.default_loss(feedback or Feedback())


def _exact(replayer: Replayer, chooser: Chooser, feedback: Feedback | None, mode: str) -> bool:
    possible = replayer.is_exact(chooser, feedback)
    if mode == "exact" and not possible:
        raise HedgespecError(
            f"{arg('mode', 'exact')}: {chooser.label} has no exact expectation "
            f"with these settings; use {arg('mode', 'auto')}"
        )
    return possible and mode != "replayed"


class TraceJobs:
    """Runs jobs on a trace, or a piece of one, and counts their seconds under every one of some
    costs.

    The answer to the query with the id `answer` is shown in detail; if there is none, that in which
    changing the drafter would help most. With `rounds` those of a job's first run are kept one by
    one, if it chooses drafters.
    """

    def __init__(
        self,
        replayer: Replayer,
        bases: Sequence[CostBasis],
        answer: str | None = None,
        rounds: bool = True,
    ):
        self._rounds = rounds
        self._replayer = replayer
        self._costed = [_Costed(replayer, basis) for basis in bases]
        self._grid = CurveGrid(replayer)
        self._measures = Measures(replayer)
        self._best: dict[int | None, Replay] = {}
        ids = replayer.trace.queries["query_id"].to_list()
        gains = gains_of_switching(replayer.first_gamma, replayer.trace.offsets)
        self._shown = ids.index(answer) if answer in ids else int(np.argmax(gains))
        self._gain = np.inf if answer in ids else float(gains[self._shown])

    def run(
        self,
        job: Job,
        report: Callable[[int], None],
        runs: Sequence[int | None] | None = None,
        carried: "CarriedStates | None" = None,
    ) -> list[Found]:
        """What the job, or some of its runs, found, under each of the costs.

        `report` is called with each run's place among `runs` before it. `carried` hands the
        learners' states on from piece to piece. Regret is counted against
        the best fixed drafter of the same seed, or of exact expectations. Rounds are run once,
        unless they depend on seconds.
        """
        kept = [_Kept() for _ in self._costed]
        first = job.runs[0]
        for number, seed in enumerate(job.runs if runs is None else runs):
            report(number)
            best, run = self._best_fixed(seed), None
            for place, (costed, found) in enumerate(zip(self._costed, kept, strict=True)):
                if run is None or job.timed:
                    run = (
                        best
                        if job.chooser.label == BEST_FIXED
                        else replayed(
                            costed.replayer,
                            job,
                            seed,
                            None if carried is None else carried[seed, place],
                        )
                    )
                spent, evaluating = costed.replayer.seconds(run)
                counted = self._counted(run, best, costed, spent, evaluating)
                if seed == first and self._rounds and job.chooses:
                    counted = counted.told(rounds_of(self._replayer, run))
                found.add(run, counted, self._grid.curves(run, spent, best, costed.replayer))
        return [
            self._found(job, costed.basis, found)
            for costed, found in zip(self._costed, kept, strict=True)
        ]

    def _found(self, job: Job, basis: CostBasis, kept: "_Kept") -> Found:
        """What the runs of a job found under some costs."""
        first, curves = kept.first, kept.curves
        assert first is not None
        assert curves is not None
        key = self._key(first, basis)
        return Found(
            key,
            self._replayer.trace.numbers,
            kept.counted,
            curves,
            answer_table(self._replayer, key, first, self._shown),
            self._gain,
            {"runnable": job.runnable, "by_seconds": job.timed},
        )

    def _key(self, run: Replay, basis: CostBasis) -> RunKey:
        replayer = self._replayer
        return RunKey(
            replayer.trace.name,
            run.label,
            run.feedback_label,
            run.loss_label,
            replayer.draft_length,
            join_arms(replayer.arms_asked),
            replayer.carry,
            replayer.rule,
            run.mode,
            basis.name,
            basis.batch,
        )

    def _counted(
        self,
        run: Replay,
        best: Replay,
        costed: "_Costed",
        spent: np.ndarray,
        evaluating: np.ndarray,
    ) -> Counted:
        """What the rows of each query say, and what their summary is made of; `spent` and
        `evaluating` (T) are the seconds of the rounds from each token."""
        replayer = self._replayer
        tokens = np.diff(replayer.trace.offsets)
        rounds, fewest = replayer.rounds_per_query(run), replayer.rounds_per_query(best)
        columns = {
            "tokens": tokens,
            "rounds": rounds,
            "mat": tokens / rounds,
            "regret_rounds": rounds - fewest,
            "evaluations": replayer.per_query(run.evaluated),
            "seconds": replayer.per_query(spent),
            "evaluation_seconds": replayer.per_query(evaluating),
            **{
                f"{part}_seconds": replayer.per_query(values)
                for part, values in costed.parts(run, spent).items()
            },
            "gamma": self._measures.gamma(run),
            "rounds_until_best": rounds_until_best(
                run, replayer.expected_rounds.argmin(axis=1), replayer.trace.offsets
            ),
            "evaluated_drafters": replayer.per_query(replayer.evaluated_drafters(run)),
            **{
                f"{ROUNDS_OF}{name}": run.usage[:, arm]
                for arm, name in enumerate(replayer.arms.names)
            },
            **costed.of_arms(run),
            "token_regret": self._measures.token_regret(run),
            "length_regret": self._measures.length_regret(run),
        }
        sums = {"fewest": fewest, **self._of_fixed(run.label, costed.replayer), **costed.ends(run)}
        if run.variance is not None:
            sums["variance"] = run.variance
        return Counted(run.seed, pl.DataFrame(columns, nan_to_null=True), sums, run.seconds)

    def _of_fixed(self, label: str, costed: Replayer) -> dict[str, np.ndarray]:
        """Of a fixed drafter, whose drafts are accepted and what its losses are, by query."""
        names, name = self._replayer.arms.names, SelectorLabel.parse(label).arm
        if name not in names:
            return {}
        arm, counts = names.index(name), self._replayer.draft_counts
        losses, positions = self._replayer.loss_of_queries(Loss())
        found = {
            "drafts": counts.drafts[:, arm],
            "drafted": counts.drafted[:, arm],
            "reached": counts.reached[..., arm],
            "accepted": counts.accepted[..., arm],
            "positions": positions,
            "length_losses": losses[:, arm],
        }
        if costed.timed:
            losses, _ = costed.loss_of_queries(Loss(seconds=True))
            found["seconds_losses"] = losses[:, arm] * costed.own_seconds().max()
        return found

    def _best_fixed(self, seed: int | None) -> Replay:
        if seed not in self._best:
            job = Job(as_chooser(BEST_FIXED), None, None, seed is None, 1)
            self._best[seed] = replayed(self._replayer, job, seed)
        return self._best[seed]


class _Costed:
    """A replayer under some costs, and where all their parts are at one end of what was measured."""

    def __init__(self, replayer: Replayer, basis: CostBasis):
        self.basis, self.replayer = basis, replayer.under(basis.costs)
        self._ends = {
            name: replayer.under(costs)
            for name, costs in (("low", basis.slow), ("high", basis.fast))
            if costs is not None
        }
        self._twice = {part: replayer.under(costs) for part, costs in basis.twice.items()}

    def parts(self, run: Replay, spent: np.ndarray) -> dict[str, np.ndarray]:
        """Of the seconds `spent` (T) by rounds from each token those of each part, (T); NaN without
        costs."""
        return {part: twice.seconds(run)[0] - spent for part, twice in self._twice.items()}

    def of_arms(self, run: Replay) -> dict[str, np.ndarray]:
        """The columns of each arm's seconds, (Q) each; none without costs."""
        if self.basis.costs is None:
            return {}
        columns = zip((DRAFTING_OF, READING_OF), self.replayer.seconds_of_arms(run), strict=True)
        return {
            f"{column}{name}": seconds[:, arm]
            for column, seconds in columns
            for arm, name in enumerate(self.replayer.arms.names)
        }

    def ends(self, run: Replay) -> dict[str, np.ndarray]:
        """Seconds of each query's rounds at both ends, (Q)."""
        return {name: end.per_query(end.seconds(run)[0]) for name, end in self._ends.items()}


@dataclass
class _Kept:
    """What is kept of the runs of a job: of the first one all of it, of curves their sum."""

    first: Replay | None = None
    counted: list[Counted] = field(default_factory=list)
    curves: np.ndarray | None = None

    def add(self, run: Replay, counted: Counted, curves: np.ndarray) -> None:
        """Take one more run."""
        self.first = self.first or run
        self.counted.append(counted)
        self.curves = curves if self.curves is None else self.curves + curves


def replayed(
    replayer: Replayer, job: Job, seed: int | None, carried: Carried | None = None
) -> Replay:
    """One run of a job; the seed None is its exact expectation."""
    if seed is None:
        return replayer.run_exact(job.chooser, job.feedback, job.loss)
    return replayer.run(job.chooser, seed, job.feedback, job.loss, carried=carried)
