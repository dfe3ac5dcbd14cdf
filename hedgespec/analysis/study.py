"""What a report is about: a run, and the traces, learners and baseline selector looked at."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl

from hedgespec.analysis.results import ResultSet, arm_parts
from hedgespec.analysis.verdict import Judged, judge
from hedgespec.errors import HedgespecError, did_you_mean
from hedgespec.results.keys import CHOICES
from hedgespec.results.labels import (
    BEST_SINGLE,
    CHOSEN,
    FIXED,
    HINDSIGHT,
    NONE,
    PROMPT,
)

UNIFORM = "uniform"  # chooses a drafter blindly
MOST_LEARNERS = 8  # drawn unless more are asked for


@dataclass(frozen=True)
class Study:
    """A run and what was chosen of it.

    `traces` are recorded ones, without pools of other sizes; `learners` are selectors, in the order
    of the figures; `against` is the selector that gains are counted from, or None; `verdicts` say
    what to do on each recorded trace that is looked at.
    """

    run: ResultSet
    traces: tuple[str, ...]
    learners: tuple[str, ...]
    against: str | None
    verdicts: tuple[Judged, ...]

    @classmethod
    def of(
        cls, run: ResultSet, traces: list[str], learners: list[str], against: str | None
    ) -> "Study":
        """Check the names, or choose. Raises HedgespecError for names not in the results."""
        recorded = [name for name in run.traces if run.pool(name) is None] or run.traces
        _check(run, "trace", traces, recorded)
        shown = traces or recorded
        usual = run.settings.filter(pl.col("usual"), pl.col("trace").is_in(shown))
        known = usual["selector"].unique(maintain_order=True).to_list()
        _check(run, "selector", [*learners, *([against] if against else [])], known)
        verdicts = tuple(one for one in judge(run) if one.trace in shown)
        return cls(
            run,
            tuple(shown),
            tuple(learners or _common_learners(usual, verdicts)),
            against or _baseline(usual),
            verdicts,
        )

    @cached_property
    def drawn(self) -> tuple[str, ...]:
        """The learners, and the selector they are measured against."""
        extra = [self.against] if self.against and self.against not in self.learners else []
        return (*self.learners, *extra)

    def columns(self, trace: str, selectors: tuple[str, ...]) -> dict[str, int]:
        """Column of each selector's usual setting in the answers of `trace`, where there is one."""
        rows = self.run.answers(trace).settings.with_row_index("column").filter(pl.col("usual"))
        column = dict(zip(rows["selector"], rows["column"], strict=True))
        return {name: column[name] for name in selectors if name in column}

    def sized(self, trace: str) -> str:
        """The trace with its number of questions, and of queries if that is another."""
        name = self.run.pool(trace)
        answers = self.run.answers(trace)
        questions, queries = len(np.unique(answers.question)), len(answers.question)
        beside = f" ({queries} queries)" if queries != questions else ""
        return f"{name.trace if name else trace}, n = {questions} questions{beside}"

    def beside_baseline(self, trace: str) -> dict[str, int] | None:
        """Columns of the selector that gains are counted from and, behind it, of the learners.

        None where one of the two is not there.
        """
        base = self.columns(trace, (self.against,) if self.against else ())
        chosen = base | self.columns(trace, self.learners)
        return chosen if base and len(chosen) > 1 else None

    def against_words(self, trace: str) -> str:
        """A sentence that says which drafter best-single is, if that is what gains are from."""
        single = self.run.only_arm(trace, self.against) if self.against == BEST_SINGLE else None
        return f"{BEST_SINGLE} is {''.join(arm_parts(single))} here. " if single else ""

    def most_queries(self, traces: Sequence[str]) -> str:
        """The trace of `traces` with the most queries; what is claimed of one is claimed of it."""
        return max(traces, key=lambda name: len(self.run.answers(name).tokens))

    def full_and_bandit(self, trace: str) -> tuple[int, int] | None:
        """Columns of the full-information learner and of the bandit with the least regret.

        Of the learners drawn; None where one of the two is not among them. Whether the bandit is
        the first of all is seen from `bandits`.
        """
        answers = self.run.answers(trace)
        columns = list(self.columns(trace, self.learners).values())
        feedback, means = answers.settings["feedback"], answers.regret.mean(axis=0)
        bandits = [i for i in self.bandits(trace) if i in columns]
        full = [i for i in columns if feedback[i] not in (CHOSEN, NONE, PROMPT, HINDSIGHT)]
        if not bandits or not full:
            return None
        return min(full, key=means.__getitem__), min(bandits, key=means.__getitem__)

    def bandits(self, trace: str) -> list[int]:
        """Columns of all bandits that ran on `trace`, drawn or not, at their usual setting."""
        settings = self.run.answers(trace).settings
        return np.flatnonzero(settings["usual"] & (settings["feedback"] == CHOSEN)).tolist()

    def fixed(self, trace: str) -> tuple[str, ...]:
        """Selectors of the trace that always take one drafter."""
        names = self.run.answers(trace).settings["selector"].unique(maintain_order=True)
        return tuple(name for name in names if name.startswith(FIXED))

    def varied(self, trace: str, selector: str, parameter: str) -> pl.DataFrame:
        """Settings of `selector` that differ from its usual one in the column `parameter` only.

        The usual setting is among them; `column` is the place in the answers of `trace`.
        """
        rows = (
            self.run.answers(trace)
            .settings.with_row_index("column")
            .filter(pl.col("selector") == selector)
        )
        usual = rows.filter(pl.col("usual"))
        # Of settings without a loss of their own the default may differ, by feedback.
        others = ["own_loss" if name == "loss" else name for name in CHOICES if name != parameter]
        return rows.join(usual.select(others), on=others, how="semi", nulls_equal=True).unique(
            parameter, keep="first", maintain_order=True
        )


def _check(run: ResultSet, kind: str, names: list[str], known: list[str]) -> None:
    missing = [name for name in names if name not in known]
    if missing:
        raise HedgespecError(
            f"{run.folder}: has no {kind} {', '.join(map(repr, missing))}; "
            f"there are {', '.join(known)}" + did_you_mean(missing[0], known)
        )


def _common_learners(usual: pl.DataFrame, verdicts: Sequence[Judged]) -> list[str]:
    """Learners on the most traces, least regret first; among them what is advised on a trace, and a
    bandit if there is one."""
    ranked = (
        usual.filter(
            pl.col("feedback") != HINDSIGHT,
            ~pl.col("selector").str.starts_with(FIXED),
            pl.col("selector") != NONE,
        )
        .group_by("selector", maintain_order=True)
        .agg(
            pl.len().alias("traces"),
            pl.col("regret").mean(),
            (pl.col("feedback") == CHOSEN).any().alias("bandit"),
        )
        .sort("regret", "selector")
    )
    most = ranked.filter(pl.col("traces") == pl.col("traces").max())
    advised = pl.col("selector").is_in(
        [(one.speed or one.rounds).advised.label for one in verdicts]
    )
    bandit = pl.col("bandit") & (pl.col("bandit").cum_sum() == 1)
    first = most.with_row_index("place").sort(~bandit, ~advised, "place").head(MOST_LEARNERS)
    return first.sort("place")["selector"].to_list()


def _baseline(usual: pl.DataFrame) -> str | None:
    """The best single drafter: in hindsight of all queries, else the fixed one of highest MAT.

    Without fixed drafters the uniform choice; without that no baseline.
    """
    if BEST_SINGLE in usual["selector"]:
        return BEST_SINGLE
    fixed = (
        usual.filter(pl.col("selector").str.starts_with(FIXED))
        .group_by("selector", maintain_order=True)
        .agg(pl.col("mat").mean())
        .sort("mat", descending=True)
    )
    if not fixed.is_empty():
        return str(fixed["selector"][0])
    return UNIFORM if UNIFORM in usual["selector"] else None
