"""One answer: what a learner saw, its weights, and who drafted which token."""

from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hedgespec.analysis.figures.style import (
    LINE,
    MUTED,
    TWO_COLUMN,
    Drawing,
    End,
    Look,
    TokenView,
    arm_label,
    finish,
    label_ends,
    looks,
)
from hedgespec.analysis.study import Study
from hedgespec.results.keys import SETTING
from hedgespec.results.labels import CHOSEN, FIXED
from hedgespec.results.schema import WEIGHT_OF

HEADING = "Why did it switch?"

NAMED = 6  # drafters with a colour of their own
STRIPS = 5  # learners whose drafters are shown
SMOOTHED = 32  # tokens
PANEL, STRIP, FRAME = 1.25, 0.17, 0.75  # inches


def draw(study: Study) -> Iterator[Drawing]:
    """The answer in which the first learner whose weights are known saves most rounds."""
    shown = [found for trace in study.traces if (found := _tables(study, trace)) is not None]
    if not shown:
        return
    saved, trace, tables = max(shown, key=lambda found: found[0])
    first = next(iter(tables))
    fixed = {name: rows for name, rows in tables.items() if name.startswith(FIXED)}
    learners = {name: rows for name, rows in tables.items() if name not in fixed}
    named = looks(_named(learners))
    row = tables[first].row(0, named=True)
    where = f"query {row['query_id']} ({row['domain']}) of {trace}"
    weighed = [name for name in tables[first].columns
               if not name.startswith(WEIGHT_OF) or not tables[first][name].has_nulls()]
    learners[first] = tables[first].select(weighed)  # without other traces' drafters
    yield Drawing(
        "answer", f"One answer token by token: {where}",
        f"Above: each drafter's acceptance probability, mean of {SMOOTHED} tokens. Middle: the "
        f"weights of {first} at each token. Below: the drafter of each round, in one replay (seed "
        f"0). The answer is the one of those in the results in which {first} {_told(saved)} "
        "the best fixed drafter in that replay; it is an example, not evidence. "
        "Grey: the drafters that drafted least.",
        _figure(learners, fixed, named), _data(learners, fixed),
        view=TokenView(tables[first], {name: look.colour for name, look in named.items()},
                       f"The same answer as {first} decoded it: a token has the colour of its "
                       "round's drafter; the last of a round, underlined only, is the target's "
                       "own."))


def _told(saved: int) -> str:
    """What is said of the answer in which most rounds are saved, perhaps none."""
    rounds = f"{abs(saved)} round{'s' if abs(saved) != 1 else ''}"
    return (f"saves most rounds ({rounds}) over" if saved > 0 else
            "needs as many rounds as" if saved == 0 else
            f"saves none, and loses fewest rounds ({rounds}) to")


def _tables(study: Study, trace: str) -> tuple[int, str, dict[str, pl.DataFrame]] | None:
    """Rounds saved, the trace, and the answer under the learners drawn, the first one's weights
    being known, and under every fixed drafter; None where no weights are known."""
    usual = study.run.settings.filter(pl.col("usual"), pl.col("trace") == trace)
    answer = study.run.answer.join(usual.select(SETTING), on=SETTING, how="semi", nulls_equal=True,
                                   maintain_order="left")
    rows = {str(name): part for (name,), part in answer.group_by("selector", maintain_order=True)}
    fixed = [name for name in study.fixed(trace) if name in rows]
    weighed = [name for name in study.learners if name in rows and _has_weights(rows[name])]
    if not weighed or not fixed:
        return None
    first = weighed[0]
    # Beside it a bandit, which has no weights to show, if there is one.
    others = sorted((name for name in study.drawn if name in rows and name != first),
                    key=lambda name: rows[name]["feedback"][0] != CHOSEN)[: STRIPS - 1]
    best = min(fixed, key=lambda name: _rounds(rows[name]))
    chosen = [first, *(name for name in study.drawn if name in others and name not in fixed)]
    saved = _rounds(rows[best]) - _rounds(rows[first])
    return saved, trace, {name: rows[name] for name in [*chosen, *fixed]}


def _data(learners: dict[str, pl.DataFrame], fixed: dict[str, pl.DataFrame]) -> pl.DataFrame:
    """What is drawn, a row per token: of each drafter its acceptance probability and its weight,
    of each learner the number of the round and its drafter."""
    first = next(iter(learners.values()))
    seen = [rows["gamma"].round(6).alias(f"gamma/{name.removeprefix(FIXED)}")
            for name, rows in fixed.items()]
    chosen = [rows[column].alias(f"{column}/{name}")
              for name, rows in learners.items() for column in ("round", "drafter")]
    return first.select("trace", "query_id", "position", "token",
                        pl.selectors.starts_with(WEIGHT_OF).round(6), *seen, *chosen)


def _has_weights(rows: pl.DataFrame) -> bool:
    """Whether weights stand in the rows that are no reference's, of one drafter throughout."""
    columns = [name for name in rows.columns if name.startswith(WEIGHT_OF)]
    weights = rows.select(columns).max_horizontal() if columns else pl.Series([None])
    return not weights.has_nulls() and weights.n_unique() > 1


def _rounds(rows: pl.DataFrame) -> int:
    return rows["round"].n_unique()


def _named(learners: dict[str, pl.DataFrame]) -> list[str]:
    """The drafters that get a colour: those that drafted most of the tokens shown."""
    used = pl.concat(rows.select("drafter") for rows in learners.values()).group_by(
        "drafter", maintain_order=True).len()
    ranked: list[str] = used.sort("len", descending=True, maintain_order=True)["drafter"].to_list()
    return ranked[:NAMED]


def _figure(learners: dict[str, pl.DataFrame], fixed: dict[str, pl.DataFrame],
            named: dict[str, Look]) -> Figure:
    strips = STRIP * len(learners)
    panel = max(PANEL, LINE * len(named))
    figure = Figure(figsize=(TWO_COLUMN, 2 * panel + strips + FRAME), layout="constrained")
    seen, weights, below = figure.subplots(3, 1, sharex=True,
                                           height_ratios=[panel, panel, strips])
    first = next(iter(learners))
    ends = list(_acceptance(seen, fixed, named))
    _weights(weights, learners[first], named)
    weights.set_ylabel(f"weights of\n{arm_label(first, 18)}")
    for i, rows in enumerate(learners.values()):
        _strip(below, i, rows, named)
    below.set_yticks(range(len(learners)), [arm_label(name, 18) for name in learners])
    below.set_ylim(len(learners) - 0.5, -0.5)
    below.tick_params(axis="y", length=0)
    below.spines[:].set_visible(False)
    below.set_xlabel("tokens of the answer")
    below.set_xlim(0, len(learners[first]))
    label_ends(figure, ends)
    return finish(figure)


def _acceptance(axis: Axes, fixed: dict[str, pl.DataFrame], named: dict[str, Look]
                ) -> Iterator[End]:
    for name, rows in _grey_first(list(fixed), named):
        gamma = fixed[name]["gamma"].rolling_mean(SMOOTHED, min_samples=1, center=True)
        drafter = name.removeprefix(FIXED)
        _line(axis, fixed[name]["position"].to_numpy(), gamma.to_numpy(), rows)
        if rows is not None:
            yield End(axis, len(gamma), gamma[-1], drafter, rows.colour)
    axis.set_ylim(0, 1)
    axis.set_ylabel("acceptance\nprobability")


def _weights(axis: Axes, rows: pl.DataFrame, named: dict[str, Look]) -> None:
    columns = [name for name in rows.columns if name.startswith(WEIGHT_OF)]
    for name, look in _grey_first(columns, named):
        _line(axis, rows["position"].to_numpy(), rows[name].to_numpy(), look)
    axis.set_ylim(0, 1.02)


def _grey_first(names: Sequence[str], named: dict[str, Look]
                ) -> list[tuple[str, Look | None]]:
    """The names with the looks of their drafters, those without one first."""
    pairs = [(name, named.get(name.removeprefix(FIXED).removeprefix(WEIGHT_OF))) for name in names]
    return sorted(pairs, key=lambda pair: pair[1] is not None)


def _line(axis: Axes, x: np.ndarray, y: np.ndarray, look: Look | None) -> None:
    if look is None:
        axis.plot(x, y, color=MUTED, linewidth=0.6, alpha=0.5)
    else:
        axis.plot(x, y, color=look.colour, linestyle=look.dashes)


def _strip(axis: Axes, place: int, rows: pl.DataFrame, named: dict[str, Look]) -> None:
    """A bar per round, with a gap before the next."""
    spans = rows.group_by("round", maintain_order=True).agg(
        pl.col("position").first(), pl.len(), pl.col("drafter").first())
    for (drafter,), mine in spans.group_by("drafter", maintain_order=True):
        look = named.get(str(drafter))
        bars = [(start, length - 0.25) for start, length in mine.select("position", "len").rows()]
        axis.broken_barh(bars, (place - 0.38, 0.76), linewidth=0,
                         facecolor=look.colour if look else MUTED, alpha=1 if look else 0.45)
