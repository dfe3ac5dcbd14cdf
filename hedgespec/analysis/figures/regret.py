"""Cumulative regret against tokens, rounds and seconds."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from hedgespec.analysis.figures.style import Claim, Drawing, Panel, claimed, thinned
from hedgespec.analysis.study import Study
from hedgespec.errors import HedgespecError
from hedgespec.files import replacing
from hedgespec.results.keys import CHOICES, SETTING
from hedgespec.results.labels import BEST_FIXED, FIXED, NONE
from hedgespec.results.statistics import mean_estimate

HEADING = "How does regret grow with the answer?"
NEEDS = "curves.parquet of the results, with a learner that is drawn"

POINTS = 40  # of a line, about; what lies between is no further from it than its width


@dataclass(frozen=True)
class Version:
    """What stands on the axes of a figure: columns of the curves, and their names."""

    name: str
    measure: str
    title: str
    x: str
    x_label: str
    y: str
    band: tuple[str, str]
    y_label: str
    note: str


TOKENS = Version(
    "regret",
    "by tokens",
    "Cumulative regret against tokens",
    "position",
    "tokens of the answer",
    "regret_rounds",
    ("low", "high"),
    "rounds above the best\nfixed drafter, per query",
    "Rounds started before a token of the answer, above the best fixed drafter's of the same query",
)
ROUNDS = replace(
    TOKENS,
    name="regret-rounds",
    measure="by rounds",
    title="Cumulative regret against rounds",
    x="rounds",
    x_label="rounds of the learner, per query",
    note=f"{TOKENS.note}, drawn where the learner was then: at its own mean number of rounds",
)
SECONDS = Version(
    "regret-seconds",
    "in seconds",
    "Cumulative regret in seconds",
    "seconds",
    "seconds of the learner, per query",
    "regret_seconds",
    ("seconds_low", "seconds_high"),
    "seconds above the best\nfixed drafter, per query",
    "Seconds of the rounds started before a token of the answer, estimated from {whose}, above "
    "those of the drafter with the fewest rounds of the same query, drawn at the learner's own "
    "mean number of seconds. A learner that evaluates all drafters pays for it here",
)


def regret_figure(curves: pl.DataFrame, path: Path) -> None:
    """Cumulative regret against tokens, one panel per trace, one line per selector and setting.

    `curves` is curves.parquet. The band is the 95% interval over questions. Fixed drafters other
    than the best two are left out, and what drafts nothing. Raises HedgespecError if there is no
    curve.
    """
    from hedgespec.analysis.figures.paper import plot_panels, styled  # matplotlib takes a while

    if curves.is_empty():
        raise HedgespecError("no regret curves to draw: the results are empty")
    drafting = curves.filter(pl.col("selector") != NONE)
    curves = _told_apart(curves if drafting.is_empty() else drafting)
    drawn = [
        _panel(_two_fixed(rows), str(trace), TOKENS)
        for (trace,), rows in curves.group_by("trace", maintain_order=True)
    ]
    with styled(), replacing(path) as temporary:
        plot_panels(drawn, columns=2).savefig(
            temporary, format=path.suffix.lstrip("."), facecolor="white"
        )


def draw(study: Study) -> Iterator[Drawing]:
    """Figures per trace with the learners chosen and what they are measured against."""
    return claimed(
        (
            drawing
            for trace in study.traces
            for version in (TOKENS, ROUNDS)
            for drawing in _drawing(study, trace, version)
        ),
        _claims(study),
    )


def draw_seconds(study: Study) -> Iterator[Drawing]:
    """The same in seconds, for traces with costs."""
    for trace in study.traces:
        whose = study.run.whose_seconds([trace])
        yield from _drawing(study, trace, replace(SECONDS, note=SECONDS.note.format(whose=whose)))


def _drawing(study: Study, trace: str, version: Version) -> Iterator[Drawing]:
    """The figure of a trace, if it has its curves."""
    usual = study.run.settings.filter(
        pl.col("usual"), pl.col("trace") == trace, pl.col("selector").is_in(study.drawn)
    ).select(SETTING)
    rows = study.run.curves.join(
        usual, on=SETTING, how="semi", nulls_equal=True, maintain_order="left"
    )
    if not rows.is_empty() and not rows[version.y].has_nulls():
        data = rows.select(
            "trace", "selector", *dict.fromkeys(("position", version.x, version.y, *version.band))
        )
        yield Drawing(
            f"{version.name}-{trace}",
            f"{version.title}: {trace}",
            f"{version.note}: mean over queries, with its 95% t interval over questions "
            "(band, not corrected). A query that has ended keeps its last value.",
            [_panel(data, study.sized(trace), version)],
            data,
            trace,
            version.measure,
        )


def _panel(curves: pl.DataFrame, title: str, version: Version) -> Panel:
    rows = curves.filter(pl.col("selector") != BEST_FIXED)  # the zero line
    low, high = version.band
    lines = rows.select(name="selector", x=version.x, y=version.y, low=low, high=high)
    return Panel("line", thinned(lines, POINTS), version.x_label, version.y_label, title, zero=True)


def _told_apart(curves: pl.DataFrame) -> pl.DataFrame:
    """The curves with what sets several settings of one selector apart added to its name."""
    one = ["trace", "selector"]
    counts = curves.group_by(one).agg(pl.col(CHOICES).n_unique())
    varying = [name for name in CHOICES if counts[name].max() != 1]
    if not varying:
        return curves
    setting = pl.concat_str(pl.col(varying).cast(pl.String).fill_null("-"), separator=" ")
    several = pl.struct(varying).n_unique().over(one) > 1
    return curves.with_columns(
        pl.when(several)
        .then(pl.format("{} {}", "selector", setting))
        .otherwise("selector")
        .alias("selector")
    )


def _two_fixed(curves: pl.DataFrame) -> pl.DataFrame:
    """The curves without the fixed drafters other than the best two."""
    end = (
        curves.filter(pl.col("selector").str.starts_with(FIXED))
        .group_by("selector", maintain_order=True)
        .last()
        .sort("regret_rounds")
    )
    return curves.filter(~pl.col("selector").is_in(end["selector"][2:].implode()))


def _claims(study: Study) -> Iterator[Claim]:
    """The best full-information learner against the best bandit of the trace with most queries."""
    trace = study.most_queries(study.traces)
    answers = study.run.answers(trace)
    if pair := study.full_and_bandit(trace):
        best, bandit = pair
        total = answers.regret.sum(axis=0)
        first = total[bandit] == total[study.bandits(trace)].min()
        less = mean_estimate(
            answers.regret[:, [bandit]] - answers.regret[:, [best]], answers.question
        )
        names = answers.settings["selector"]
        yield Claim.of(
            f"On {trace}, {names[best]}, which learns from every drafter's loss, has",
            ("fewer", "more"),
            "rounds of regret per query than "
            f"{names[bandit]}, {'the bandit with the least' if first else 'a bandit'}",
            less,
        )
