"""One style for every figure: sizes, colours light and dark, labels at lines, error bars."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import matplotlib
import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from hedgespec.analysis.results import arm_parts
from hedgespec.results.statistics import Estimate

ONE_COLUMN, TWO_COLUMN = 3.4, 7.0  # widths in inches of a figure in a two-column paper
TEXT = 7  # points
LINE = 9.5 / 72  # height in inches of a line of labels
ROW, FRAME = 0.155, 0.85  # of a row of a forest, and of its title and axis

# Every colour that a figure may use except those of a colour map, light and dark. Figures are drawn
# in the light ones; the page replaces each by the variable called as here. The first eight tell
# lines apart, also for colour-blind readers, and are dark (light) enough for the lines' labels.
COLOURS = {
    "blue": ("#0065a5", "#5db4f0"), "orange": ("#b34a00", "#ff9152"),
    "green": ("#007357", "#35c79d"), "pink": ("#b0437f", "#ef9dc9"),
    "ochre": ("#856200", "#e3b93f"), "violet": ("#5b45a8", "#b3a5f5"),
    "teal": ("#1b7285", "#7bd3e6"), "brown": ("#6d4c41", "#cdb3a6"),
    "ink": ("#1b1d21", "#e8eaed"), "muted": ("#5e6369", "#a3a9b1"),
    "line": ("#d4d7db", "#3a3f46"), "paper": ("#fefefe", "#15171a"),
}
SERIES = list(COLOURS)[:8]
INK, MUTED, RULE, PAPER = (COLOURS[name][0] for name in ("ink", "muted", "line", "paper"))
DASHES: list[Any] = ["-", (0, (4, 1.5)), (0, (1, 1.2)), (0, (5, 1.2, 1, 1.2))]
MARKERS = "osD^vPX*"
HEAT = "cividis"  # even in brightness, and the same for colour-blind readers

SETTINGS: dict[Any, Any] = {
    "font.family": "DejaVu Sans", "font.size": TEXT, "axes.titlesize": TEXT + 1,
    "axes.labelsize": TEXT, "xtick.labelsize": TEXT, "ytick.labelsize": TEXT,
    "axes.titlelocation": "left", "axes.spines.top": False, "axes.spines.right": False,
    "axes.titley": 1.0,  # nothing stands above a panel that a title would have to avoid
    "axes.edgecolor": MUTED, "axes.labelcolor": INK, "text.color": INK, "axes.titlecolor": INK,
    "xtick.color": MUTED, "ytick.color": MUTED, "xtick.labelcolor": INK, "ytick.labelcolor": INK,
    "axes.linewidth": 0.6, "xtick.major.width": 0.6, "ytick.major.width": 0.6,
    "xtick.major.size": 2.5, "ytick.major.size": 2.5, "lines.linewidth": 1.3, "lines.markersize": 3,
    "axes.facecolor": "none", "figure.facecolor": "none", "text.parse_math": False,
    "svg.hashsalt": "hedgespec", "pdf.fonttype": 42, "savefig.dpi": 150,
}


@dataclass(frozen=True)
class Claim:
    """A sentence that a figure may support, with the difference it rests on.

    It reads `before`, the size of the difference, one of the two `directions` (for a positive and a
    negative one), `after`. `p` is two-sided, against no difference, and not corrected.
    """

    before: str
    directions: tuple[str, str]
    after: str
    value: float
    low: float
    high: float
    p: float
    digits: int = 1
    unit: str = ""

    @classmethod
    def of(cls, before: str, directions: tuple[str, str], after: str, estimate: Estimate,
           digits: int = 1, unit: str = "") -> "Claim":
        """A claim about the only value of an estimate."""
        [value], [low], [high], [p] = estimate.value, estimate.low, estimate.high, estimate.p
        return cls(before, directions, after, float(value), float(low), float(high), float(p),
                   digits, unit)

    @property
    def sentence(self) -> str:
        """The claim in words, with its interval. Only for an interval that excludes zero."""
        low, high = sorted((abs(self.low), abs(self.high)))
        size, low_text, high_text = (f"{part:.{self.digits}f}" for part in
                                     (abs(self.value), low, high))
        direction = self.directions[0 if self.value > 0 else 1]
        return (f"{self.before} {size}{self.unit} ({low_text} to {high_text}) {direction} "
                f"{self.after}.")


@dataclass(frozen=True)
class Drawing:
    """A finished figure: `name` for files and links, `data` the numbers drawn in it.

    `view` is an answer shown below the figure token by token, if there is one.
    """

    name: str
    title: str
    caption: str
    figure: Figure
    data: pl.DataFrame
    claims: Sequence[Claim] = field(default=())
    view: "TokenView | None" = None


@dataclass(frozen=True)
class TokenView:
    """An answer's tokens: the rows of `answer.parquet` of one setting, in order; perhaps `piece`,
    their text.

    `colours` are those of the drafters that have one, light; `caption` says what is shown.
    """

    tokens: pl.DataFrame
    colours: dict[str, str]
    caption: str


@dataclass(frozen=True)
class Look:
    """How one selector is drawn, in every figure alike."""

    colour: str
    dashes: Any
    marker: str


@dataclass(frozen=True)
class End:
    """What is to be named: a point of a panel, in the units of its axes."""

    axis: Axes
    x: float
    y: float
    name: str
    colour: str


def looks(names: Sequence[str]) -> dict[str, Look]:
    """A look for each name; colours repeat after eight, then with other dashes and markers."""
    return {name: Look(COLOURS[SERIES[i % 8]][0], DASHES[i // 8 % 4], MARKERS[(i + i // 8) % 8])
            for i, name in enumerate(names)}


@contextmanager
def styled() -> Iterator[None]:
    """The style's settings, while figures are drawn and saved."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # not the user's own matplotlibrc: same results, same bytes
        matplotlib.rcParams.update(SETTINGS)
        yield


def panels(titles: Sequence[str], height: float, *, columns: int = 2
           ) -> tuple[Figure, list[Axes]]:
    """A figure with a panel of `height` inches per title, one column wide if there is one."""
    columns = min(columns, len(titles))
    rows = -(-len(titles) // columns)
    width = ONE_COLUMN if columns == 1 else TWO_COLUMN
    figure = Figure(figsize=(width, rows * height), layout=roomy())
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axis, title in zip(axes, titles, strict=False):
        axis.set_title(title)
    for axis in axes[len(titles):]:
        axis.remove()
    return figure, axes[:len(titles)]


def roomy() -> ConstrainedLayoutEngine:
    """A layout that keeps panels well apart."""
    return ConstrainedLayoutEngine(w_pad=0.06, h_pad=0.06, hspace=0.04)


def finish(figure: Figure) -> Figure:
    """Lay the figure out once, for all formats."""
    _lay_out(figure)
    figure.set_layout_engine(None)  # saving draws twice where there is one
    return figure


def _lay_out(figure: Figure) -> None:
    """Place the panels, without the time that drawing takes."""
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)


def label_ends(figure: Figure, ends: Sequence[End]) -> None:
    """Name lines and points in the right margin of their panels, pushed apart.

    Call it when the panels have their limits; they must be high enough for all names.
    """
    _lay_out(figure)
    for axis in dict.fromkeys(end.axis for end in ends):
        here = sorted((end for end in ends if end.axis is axis), key=lambda end: end.y)
        inches = axis.get_window_extent().height / figure.dpi
        inside = axis.transData + axis.transAxes.inverted()
        heights = np.array([inside.transform((end.x, end.y))[1] for end in here])
        for end, place in zip(here, spread(heights, LINE / inches), strict=True):
            axis.annotate(
                arm_label(end.name), (end.x, end.y), (1.05, place), textcoords="axes fraction",
                color=end.colour, va="center", annotation_clip=False,
                arrowprops={"arrowstyle": "-", "color": end.colour, "lw": 0.6, "linestyle": ":",
                            "relpos": (0, 0.5), "shrinkA": 1, "shrinkB": 0})


def spread(heights: np.ndarray, gap: float) -> np.ndarray:
    """Sorted heights (L) moved within 0..1 so that neighbours are at least `gap` apart.

    Where all do not fit into 0..1 they stand `gap` apart from 1 downwards.
    """
    placed = heights.clip(0, 1)
    for i in range(1, len(placed)):
        placed[i] = max(placed[i], placed[i - 1] + gap)
    placed[-1:] = placed[-1:].clip(max=1)
    for i in range(len(placed) - 2, -1, -1):
        placed[i] = min(placed[i], placed[i + 1] - gap)
    return placed


def error_bars(axis: Axes, x: np.ndarray, rows: pl.DataFrame, look: Look, *,
               measure: str = "value", joined: bool = True) -> None:
    """Points at `x` (M) with their intervals upright, joined by a line or not.

    `rows` has `measure`, `low` and `high`; where these are NaN there is no interval.
    """
    value, low, high = (rows[name].to_numpy() for name in (measure, "low", "high"))
    spans = np.nan_to_num(np.stack([value - low, high - value])).clip(0)
    axis.errorbar(x, value, spans, color=look.colour, marker=look.marker, elinewidth=0.8,
                  linestyle=look.dashes if joined else "none", capsize=1.5, capthick=0.8)


def band(axis: Axes, x: pl.Series, low: pl.Series, high: pl.Series, colour: str, lines: int,
         step: Literal["post"] | None = None) -> None:
    """An interval around one of `lines` lines; paler where there are many, which overlap."""
    axis.fill_between(x, low, high, color=colour, alpha=0.15 * min(1.0, 4 / lines), linewidth=0,
                      step=step)


def across(axis: Axes, row: float, value: float, low: float, high: float, look: Look) -> None:
    """A point with its interval, level, at height `row`; no interval where it is NaN."""
    if low < high:
        axis.plot([low, high], [row, row], color=look.colour, linewidth=1.1,
                  solid_capstyle="butt")
    axis.plot([value], [row], marker=look.marker, color=look.colour, linestyle="none")


def forest(axis: Axes, table: pl.DataFrame, look: dict[str, Look]) -> None:
    """Differences with their intervals, a row per selector, marked where they are significant.

    `table` has `selector`, `difference`, `low`, `high` and `p_holm`.
    """
    zero_line(axis, upright=True)
    for i, row in enumerate(table.iter_rows(named=True)):
        across(axis, i, row["difference"], row["low"], row["high"], look[row["selector"]])
        axis.text(1.02, i, mark(row["difference"], row["p_holm"]), va="center",
                  transform=axis.get_yaxis_transform())
    axis.set_yticks(range(len(table)), [arm_label(name, 22) for name in table["selector"]])
    axis.set_ylim(len(table) - 0.4, -0.6)
    axis.tick_params(axis="y", length=0)


def forests(tables: Sequence[pl.DataFrame], look: dict[str, Look], label: str,
            bars: tuple[str, str, int]) -> Figure:
    """A `forest` per table, titled by its column `trace`, and bars beside it where they are known.

    `label` names the differences; `bars` are a column of the tables, its label and its digits.
    """
    beside = min(2, len(tables))
    lines = -(-len(tables) // beside)
    rows = max(len(table) for table in tables)
    parts = 2 if any(table[bars[0]].null_count() < len(table) for table in tables) else 1
    figure = Figure(figsize=(ONE_COLUMN if beside == 1 else TWO_COLUMN,
                             lines * (FRAME + ROW * rows)), layout=roomy())
    axes = figure.subplots(lines, beside * parts, squeeze=False,
                           width_ratios=[2, 1][:parts] * beside).reshape(-1, parts)
    for pair, table in zip(axes, tables, strict=False):
        forest(pair[0], table, look)
        pair[0].set_title(table["trace"][0])
        pair[0].set_xlabel(label)
        if parts == 2:
            _bars(pair[1], table, look, *bars)
    for axis in axes[len(tables):].flat:
        axis.remove()
    return finish(figure)


def _bars(axis: Axes, table: pl.DataFrame, look: dict[str, Look], column: str, label: str,
          digits: int) -> None:
    axis.barh(range(len(table)), table[column].fill_null(0.0), height=0.62,
              color=[look[name].colour for name in table["selector"]], alpha=0.35)
    for i, value in enumerate(table[column]):
        axis.text(0, i, "–" if value is None else f" {value:.{digits}f}", va="center")
    axis.set_ylim(len(table) - 0.4, -0.6)
    axis.set_yticks([])
    axis.set_xlim(0, None if table[column].max() else 1)
    axis.set_xlabel(label)


def mark(difference: float, p_holm: float) -> str:
    """▲ for more and ▼ for less, where Holm's p is below 5%; NaN is a test not made."""
    if not p_holm < 0.05:
        return ""
    return "▲" if difference > 0 else "▼"


def zero_line(axis: Axes, *, upright: bool = False) -> None:
    """A line at no difference."""
    (axis.axvline if upright else axis.axhline)(0, color=MUTED, linewidth=0.7, zorder=0)


def arm_label(name: str, most: int = 26) -> str:
    """The name of a selector or drafter for a label; an arm DRAFTER@RULE*3 is in words."""
    drafter, rest = arm_parts(name)
    return short(drafter, max(8, most - len(rest))) + rest


def short(name: str, most: int = 26) -> str:
    """A name for a label; the middle of a long one is left out."""
    if len(name) <= most:
        return name
    half = (most - 1) // 2
    return f"{name[:most - 1 - half]}…{name[-half:]}"
