"""Cumulative regret against tokens, rounds and seconds."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hedgespec.analysis.figures.style import (
    LINE,
    MUTED,
    Claim,
    Drawing,
    End,
    Look,
    band,
    finish,
    label_ends,
    looks,
    panels,
    styled,
    zero_line,
)
from hedgespec.analysis.study import Study
from hedgespec.errors import HedgespecError
from hedgespec.files import replacing
from hedgespec.results.keys import CHOICES, SETTING
from hedgespec.results.labels import BEST_FIXED, FIXED, NONE
from hedgespec.results.statistics import mean_estimate

HEADING = "How does regret grow with the answer?"


@dataclass(frozen=True)
class Version:
    """What stands on the axes of a figure: columns of the curves, and their names."""

    name: str
    title: str
    x: str
    x_label: str
    y: str
    band: tuple[str, str]
    y_label: str
    note: str


TOKENS = Version(
    "regret", "Cumulative regret against tokens", "position", "tokens of the answer",
    "regret_rounds", ("low", "high"), "rounds above the best\nfixed drafter, per query",
    "Rounds started before a token of the answer, above the best fixed drafter's of the same query")
ROUNDS = replace(
    TOKENS, name="regret-rounds", title="Cumulative regret against rounds", x="rounds",
    x_label="rounds of the learner, per query",
    note=f"{TOKENS.note}, drawn where the learner was then: at its own mean number of rounds")
SECONDS = Version(
    "regret-seconds", "Cumulative regret in seconds", "seconds",
    "seconds of the learner, per query", "regret_seconds", ("seconds_low", "seconds_high"),
    "seconds above the best\nfixed drafter, per query",
    "Seconds of the rounds started before a token of the answer, estimated from {whose}, above "
    "those of the drafter with the fewest rounds of the same query, drawn at the learner's own "
    "mean number of seconds. A learner that evaluates all drafters pays for it here")


def regret_figure(curves: pl.DataFrame, path: Path) -> None:
    """Cumulative regret against tokens, one panel per trace, one line per selector and setting.

    `curves` is curves.parquet. The band is the 95% interval over questions. Fixed drafters other
    than the best two are left out, and what drafts nothing. Raises HedgespecError if there is no
    curve.
    """
    if curves.is_empty():
        raise HedgespecError("no regret curves to draw: the results are empty")
    drafting = curves.filter(pl.col("selector") != NONE)
    curves = _told_apart(curves if drafting.is_empty() else drafting)
    names = curves["selector"].unique(maintain_order=True).to_list()
    look = looks([name for name in names if not name.startswith(FIXED) and name != BEST_FIXED])
    look |= {name: Look(MUTED, "--", "o") for name in names if name.startswith(FIXED)}
    drawn = [_two_fixed(rows) for _, rows in curves.group_by("trace", maintain_order=True)]
    with styled():
        figure = _figure(drawn, look)
        with replacing(path) as temporary:
            figure.savefig(temporary, format=path.suffix.lstrip("."), facecolor="white")


def draw(study: Study) -> Iterator[Drawing]:
    """A panel per trace with the learners chosen and what they are measured against."""
    for version in (TOKENS, ROUNDS):
        yield from _drawing(study, version, list(_claims(study)) if version is TOKENS else [])


def draw_seconds(study: Study) -> Iterator[Drawing]:
    """The same in seconds, for traces with costs."""
    whose = study.run.whose_seconds(study.traces)
    yield from _drawing(study, replace(SECONDS, note=SECONDS.note.format(whose=whose)))


def _drawing(study: Study, version: Version, claims: Sequence[Claim] = ()) -> Iterator[Drawing]:
    """One figure of the traces that have its curves, if any has."""
    usual = study.run.settings.filter(
        pl.col("usual"), pl.col("selector").is_in(study.drawn)).select(SETTING)
    curves = study.run.curves.join(usual, on=SETTING, how="semi", nulls_equal=True,
                                   maintain_order="left")
    drawn = [rows for trace in study.traces
             if not (rows := curves.filter(pl.col("trace") == trace)).is_empty()
             and not rows[version.y].has_nulls()]
    if drawn:
        data = pl.concat(drawn).select(
            "trace", "selector",
            *dict.fromkeys(("position", version.x, version.y, *version.band)))
        yield Drawing(
            version.name, version.title,
            f"{version.note}: mean over queries, with its 95% t interval over questions "
            "(band, not corrected). A query that has ended keeps its last value.",
            _figure(drawn, looks(study.drawn), version), data, claims)


def _figure(traces: Sequence[pl.DataFrame], look: dict[str, Look], version: Version = TOKENS
            ) -> Figure:
    most = max(rows["selector"].n_unique() for rows in traces)
    figure, axes = panels([str(rows["trace"][0]) for rows in traces], max(2.1, 0.9 + LINE * most))
    ends = [end for axis, rows in zip(axes, traces, strict=True)
            for end in _panel(axis, rows, look, version)]
    label_ends(figure, ends)
    return finish(figure)


def _panel(axis: Axes, curves: pl.DataFrame, look: dict[str, Look], version: Version
           ) -> Iterator[End]:
    zero_line(axis)
    lines = curves["selector"].n_unique()
    for (name,), rows in curves.group_by("selector", maintain_order=True):
        if name == BEST_FIXED:  # the zero line
            continue
        style = look[str(name)]
        x, y, low, high = (rows[name] for name in (version.x, version.y, *version.band))
        axis.plot(x, y, linestyle=style.dashes, color=style.colour)
        band(axis, x, low, high, style.colour, lines)
        yield End(axis, x[-1], y[-1], str(name), style.colour)
    axis.set_xlabel(version.x_label)
    axis.set_ylabel(version.y_label)
    axis.margins(x=0)


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
        pl.when(several).then(pl.format("{} {}", "selector", setting)).otherwise("selector")
        .alias("selector"))


def _two_fixed(curves: pl.DataFrame) -> pl.DataFrame:
    """The curves without the fixed drafters other than the best two."""
    end = curves.filter(pl.col("selector").str.starts_with(FIXED)).group_by(
        "selector", maintain_order=True).last().sort("regret_rounds")
    return curves.filter(~pl.col("selector").is_in(end["selector"][2:].implode()))


def _claims(study: Study) -> Iterator[Claim]:
    """The best full-information learner against the best bandit of the trace with most queries."""
    trace = study.most_queries(study.traces)
    answers = study.run.answers(trace)
    if pair := study.full_and_bandit(trace):
        best, bandit = pair
        total = answers.regret.sum(axis=0)
        first = total[bandit] == total[study.bandits(trace)].min()
        less = mean_estimate(answers.regret[:, [bandit]] - answers.regret[:, [best]],
                             answers.question)
        names = answers.settings["selector"]
        yield Claim.of(
            f"On {trace}, {names[best]}, which learns from every drafter's loss, has",
            ("fewer", "more"), "rounds of regret per query than "
            f"{names[bandit]}, {'the bandit with the least' if first else 'a bandit'}", less)
