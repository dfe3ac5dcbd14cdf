"""The jobs of a sweep: a selector with its settings, run with each seed, as result tables."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import polars as pl

from hedgespec.costs.parts import PARTS, doubled
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
from hedgespec.results.schema import PER_QUERY, QUERY_NAMES, ROUNDS_OF, SEED, SUMMARY
from hedgespec.results.store import Results
from hedgespec.selectors import BUILT_IN, DEFAULT, FULL, NONE, ConfiguredSelector
from hedgespec.selectors.feedback import Feedback
from hedgespec.selectors.learning import Loss
from hedgespec.selectors.online import replay_only
from hedgespec.simulator.adoption import rounds_until_best
from hedgespec.simulator.answer import answer_table, most_switching, rounds_of
from hedgespec.simulator.basis import CostBasis
from hedgespec.simulator.choosers import Chooser, as_chooser
from hedgespec.simulator.curves import CurveGrid
from hedgespec.simulator.measures import Measures
from hedgespec.simulator.pairs import GROUPS, Pair, possible_pairs
from hedgespec.simulator.references import Reference
from hedgespec.simulator.replay import Replay
from hedgespec.simulator.replayer import Replayer
from hedgespec.simulator.settings import SweepSettings


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
    choosers = [replayer.chooser(one)
                for one in _expanded(settings.selectors, replayer.arms.names, costly)]
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
        return [Job(chooser, None, None, _exact(replayer, chooser, None, settings.mode),
                    settings.seeds)]
    return [Job(chooser, feedback, _loss(replayer, chooser, feedback, loss),
                _exact(replayer, chooser, feedback, settings.mode), settings.seeds)
            for feedback, loss in pairs]


def _loss(replayer: Replayer, chooser: ConfiguredSelector, feedback: Feedback | None,
          loss: Loss | None) -> Loss | None:
    """What is named, or the default; None of learners that are not fed with losses."""
    if loss is not None or chooser.selector.feedback != FULL:
        return loss
    return replayer.default_loss(feedback or Feedback())


def _exact(replayer: Replayer, chooser: Chooser, feedback: Feedback | None, mode: str) -> bool:
    possible = replayer.is_exact(chooser, feedback)
    if mode == "exact" and not possible:
        raise HedgespecError(f"{arg('mode', 'exact')}: {chooser.label} has no exact expectation "
                             f"with these settings; use {arg('mode', 'auto')}")
    return possible and mode != "replayed"


class TraceJobs:
    """Runs jobs on one trace, and counts their seconds under every one of some costs.

    The answer to the query with the id `answer` is shown in detail; if there is none, that in which
    changing the drafter would help most. With `rounds` those of a job's first run are kept one by
    one, if it chooses drafters.
    """

    def __init__(
        self, replayer: Replayer, bases: Sequence[CostBasis], answer: str | None = None,
        rounds: bool = True,
    ):
        self._rounds = rounds
        self._replayer = replayer
        self._costed = [_Costed(replayer, basis) for basis in bases]
        self._grid = CurveGrid(replayer)
        self._measures = Measures(replayer)
        self._best: dict[int | None, Replay] = {}
        offsets = replayer.trace.offsets
        self._gamma = replayer.statistics(0, offsets[-1])[0][:, 0]  # of a round's first draft token
        self._mean_gamma = self._per_query(self._gamma) / np.diff(offsets)[:, None]
        ids = replayer.trace.queries["query_id"].to_list()
        self._shown = (ids.index(answer) if answer in ids
                       else most_switching(self._gamma, offsets))

    def run(self, job: Job, report: Callable[[int], None]) -> Results:
        """The job's tables; `report` is called with each run's number before it.

        Regret is counted against the best fixed drafter of the same seed, or of exact expectations.
        Rounds are run once, unless they depend on seconds.
        """
        kept: list[list[_Kept]] = [[] for _ in self._costed]
        for number, seed in enumerate(job.runs):
            report(number)
            best, run = self._best_fixed(seed), None
            for costed, found in zip(self._costed, kept, strict=True):
                if run is None or job.timed:
                    run = best if job.chooser.label == BEST_FIXED else _run(
                        costed.replayer, job, seed)
                summary, per_query = self._tables(job, run, best, costed)
                if number == 0 and self._rounds and job.chooses:
                    per_query = per_query.with_columns(
                        PER_QUERY.cast(**rounds_of(self._replayer, run)))
                found.append(_Kept(
                    run if number == 0 else None, summary, per_query,
                    self._grid.curves(run, best, costed.replayer)))
        return Results.joined([self._results(costed.basis, found) for costed, found
                               in zip(self._costed, kept, strict=True)])

    def _results(self, basis: CostBasis, found: "list[_Kept]") -> Results:
        """What the runs of a job found under some costs."""
        first = found[0].run
        assert first is not None
        key = self._key(first, basis)
        return Results(pl.concat([one.summary for one in found]),
                       pl.concat([one.per_query for one in found]),
                       self._grid.table(key, [one.curves for one in found]),
                       answer_table(self._replayer, key, first, self._shown, self._gamma))

    def _key(self, run: Replay, basis: CostBasis) -> RunKey:
        replayer = self._replayer
        return RunKey(replayer.trace.name, run.label, run.feedback_label, run.loss_label,
                      replayer.draft_length, join_arms(replayer.arms_asked), replayer.carry,
                      replayer.rule, run.mode, basis.name, basis.batch)

    def _tables(
        self, job: Job, run: Replay, best: Replay, costed: "_Costed"
    ) -> tuple[pl.DataFrame, pl.DataFrame]:
        """The summary row and the rows of each query."""
        replayer, trace, basis = self._replayer, self._replayer.trace, costed.basis
        keys = {**asdict(self._key(run, basis)), SEED.name: run.seed}
        tokens = np.diff(trace.offsets)
        rounds, fewest = replayer.rounds_per_query(run), replayer.rounds_per_query(best)
        seconds, evaluation = (self._per_query(values) for values in costed.replayer.seconds(run))
        evaluations, drafters = (self._per_query(values) for values in (
            run.evaluated, replayer.evaluated_drafters(run)))
        gamma, until_best = self._adoption(run)
        summary = SUMMARY.made({
            **keys,
            "queries": len(tokens),
            "tokens": tokens.sum(),
            "rounds": rounds.sum(),
            "evaluations": evaluations.sum(),
            "rounds_sd": None if run.variance is None else np.sqrt(run.variance.sum()),
            "mat": tokens.sum() / rounds.sum(),
            "mat_per_query": np.mean(tokens / rounds),
            "regret_rounds": rounds.sum() - fewest.sum(),
            "tokens_per_second": (None if basis.costs is None
                                  else tokens.sum() / seconds.sum()),
            "rounds_per_second": rounds.sum() / run.seconds,
            "evaluated_drafters": drafters.sum(),
            **self._acceptance(run),
            **_of_losses(run.label, costed.replayer),
            **costed.spread(run),
            "runnable": job.runnable,
            "by_seconds": job.timed,
        })
        per_query = PER_QUERY.made({
            **keys,
            **trace.queries.select(QUERY_NAMES).to_dict(),
            "tokens": tokens,
            "rounds": rounds,
            "mat": tokens / rounds,
            "regret_rounds": rounds - fewest,
            "evaluations": evaluations,
            "seconds": seconds,
            "evaluation_seconds": evaluation,
            **{f"{part}_seconds": self._per_query(values)
               for part, values in costed.parts(run).items()},
            "gamma": gamma,
            "rounds_until_best": until_best,
            "evaluated_drafters": drafters,
            **{f"{ROUNDS_OF}{name}": run.usage[:, arm]
               for arm, name in enumerate(replayer.arms.names)},
            "token_regret": self._measures.token_regret(run),
            "length_regret": self._measures.length_regret(run),
            **dict.fromkeys(("round_tokens", "round_drafter", "round_weight")),
        })
        return summary, per_query

    def _acceptance(self, run: Replay) -> dict[str, object]:
        """Of a fixed drafter's drafts, nothing of others."""
        names, arm = self._replayer.arms.names, SelectorLabel.parse(run.label).arm
        rate, at, given = None, None, None
        if arm in names:
            found = self._measures.acceptance(names.index(arm))
            rate, at, given = found.rate, found.at, found.given
        return {"acceptance_rate": pl.Series([rate]), **{
            name: pl.Series([None if values is None else pl.Series(values, nan_to_null=True)],
                            dtype=pl.List(pl.Float64))
            for name, values in (("accepted_at", at), ("accepted_given", given))}}

    def _per_query(self, values: np.ndarray) -> np.ndarray:
        """Sums (Q, ...) of what each token has, (T, ...)."""
        return np.add.reduceat(values, self._replayer.trace.offsets[:-1], dtype=np.float64)

    def _adoption(self, run: Replay) -> tuple[np.ndarray, np.ndarray]:
        """How well each query's drafters' tokens were accepted, and how soon the best of them ran,
        (Q) each."""
        replayer = self._replayer
        rounds = run.usage.sum(axis=1)
        gamma = np.divide((run.usage * self._mean_gamma).sum(axis=1), rounds,
                          out=np.full(len(rounds), np.nan), where=rounds > 0)
        until = rounds_until_best(run, replayer.expected_rounds.argmin(axis=1),
                                  replayer.trace.offsets)
        return gamma, until

    def _best_fixed(self, seed: int | None) -> Replay:
        if seed not in self._best:
            job = Job(as_chooser(BEST_FIXED), None, None, seed is None, 1)
            self._best[seed] = _run(self._replayer, job, seed)
        return self._best[seed]


def _of_losses(label: str, costed: Replayer) -> dict[str, float | None]:
    """What losses say of a fixed drafter on average, beside what comes of it."""
    name, arms = SelectorLabel.parse(label).arm, costed.arms.names
    if name is None:
        return {"eal": None, "seconds_per_token": None}
    arm = arms.index(name)
    return {"eal": _known(costed.mean_emitted[arm]),
            "seconds_per_token": _known(costed.mean_seconds_per_token[arm])}


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


class _Costed:
    """A replayer under some costs, and where all their parts are at one end of what was measured.
    """

    def __init__(self, replayer: Replayer, basis: CostBasis):
        self.basis, self.replayer = basis, replayer.under(basis.costs)
        self._ends = {name: None if costs is None else replayer.under(costs) for name, costs in (
            ("tokens_per_second_low", basis.slow), ("tokens_per_second_high", basis.fast))}
        self._twice = {part: self.replayer if basis.costs is None
                       else replayer.under(doubled(basis.costs, part)) for part in PARTS}

    def parts(self, run: Replay) -> dict[str, np.ndarray]:
        """Of the seconds of rounds from each token, (T), those of each part; NaN without costs."""
        once = self.replayer.seconds(run)[0]
        return {part: twice.seconds(run)[0] - once for part, twice in self._twice.items()}

    def spread(self, run: Replay) -> dict[str, float | None]:
        """Tokens per second at both ends."""
        tokens = len(self.replayer.trace.tokens)
        return {name: None if end is None else tokens / end.seconds(run)[0].sum()
                for name, end in self._ends.items()}


@dataclass(frozen=True)
class _Kept:
    """What is kept of a run of a job: of the first one all of it, of the others tables."""

    run: Replay | None
    summary: pl.DataFrame
    per_query: pl.DataFrame
    curves: np.ndarray


def _run(replayer: Replayer, job: Job, seed: int | None) -> Replay:
    if seed is None:
        return replayer.run_exact(job.chooser, job.feedback, job.loss)
    return replayer.run(job.chooser, seed, job.feedback, job.loss)
