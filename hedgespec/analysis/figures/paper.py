"""Figures for papers, by matplotlib: sizes, labels at lines, and what each mark looks like."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
import polars as pl
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from hedgespec.analysis.figures.looks import COLOURS, Look, look
from hedgespec.analysis.figures.style import Drawing, Panel, arm_label, short
from hedgespec.errors import HedgespecError, arg

ONE_COLUMN, TWO_COLUMN = 3.4, 7.0  # widths in inches of a figure in a two-column paper
TEXT = 7  # points
LINE = 9.5 / 72  # height in inches of a line of labels
ROW, FRAME, LEAST = 0.165, 1.0, 2.2  # of a row, of title and axis, and of a panel at least
INK, MUTED, PAPER = (COLOURS[name][0] for name in ("ink", "muted", "paper"))
SHORT = 6  # characters of a tick that stands level
HEAT = "cividis"  # even in brightness, and the same for colour-blind readers
# Evaluations per round: linear to the first of these, then logarithmic.
EVALUATIONS = (0, 0.5, 2, 8, 32, 128, 512, 2048)

SETTINGS: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": TEXT,
    "axes.titlesize": TEXT + 1,
    "axes.labelsize": TEXT,
    "xtick.labelsize": TEXT,
    "ytick.labelsize": TEXT,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titley": 1.0,  # nothing stands above a panel that a title would have to avoid
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "text.color": INK,
    "axes.titlecolor": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "lines.linewidth": 1.3,
    "lines.markersize": 3,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "text.parse_math": False,
    "svg.hashsalt": "hedgespec",
    "pdf.fonttype": 42,
}


@dataclass(frozen=True)
class Paper:
    """How figures are saved: width in inches (None: as each needs, 3.4 or 7), dots per inch, font
    family, and formats: pdf, svg, png. Raises HedgespecError for a font that is not installed."""

    width: float | None = None
    dpi: int = 150
    font: str = "DejaVu Sans"
    formats: Sequence[str] = ()

    def __post_init__(self) -> None:
        try:
            font_manager.findfont(self.font, fallback_to_default=False)
        except ValueError as error:
            raise HedgespecError(f"{arg('font')}: no font {self.font!r} is installed") from error


AS_USUAL = Paper()


@dataclass(frozen=True)
class End:
    """What is to be named: a point of a panel, in the units of its axes."""

    x: float
    y: float
    name: str
    colour: str


@contextmanager
def styled(paper: Paper = AS_USUAL) -> Iterator[None]:
    """The style's settings, while figures are drawn and saved."""
    with matplotlib.rc_context(), warnings.catch_warnings():
        # A character that the font lacks is drawn as a box; the page has the name in full.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        matplotlib.rcdefaults()  # not the user's own matplotlibrc: same results, same bytes
        matplotlib.rcParams.update(SETTINGS)
        matplotlib.rcParams.update({"font.family": paper.font, "savefig.dpi": paper.dpi})
        yield


def plot(drawing: Drawing, width: float | None = None) -> Figure:
    """A drawing as a matplotlib figure of exactly this width in inches."""
    return plot_panels(drawing.panels, width, columns=1)


def plot_panels(panels: Sequence[Panel], width: float | None = None, *, columns: int) -> Figure:
    """Panels in so many columns, as high as they need."""
    columns = min(columns, len(panels))
    rows = -(-len(panels) // columns)
    if width is None:
        width = TWO_COLUMN if columns > 1 or any(panel.wide for panel in panels) else ONE_COLUMN
    heights = [max(map(_height, panels[i : i + columns])) for i in range(0, len(panels), columns)]
    figure = Figure(
        figsize=(width, sum(heights)),
        layout=ConstrainedLayoutEngine(w_pad=0.06, h_pad=0.06, hspace=0.04),
    )
    axes = list(figure.subplots(rows, columns, squeeze=False, height_ratios=heights).flat)
    for axis, panel in zip(axes, panels, strict=False):
        _draw(axis, panel)
    for axis in axes[len(panels) :]:
        axis.remove()
    engine = figure.get_layout_engine()
    assert engine is not None
    engine.execute(figure)
    figure.set_layout_engine(None)  # saving draws twice where there is one
    return figure


def _height(panel: Panel) -> float:
    """Inches."""
    rows = panel.rows.filter("front") if panel.mark == "front" else panel.rows
    names = rows["name"].n_unique()
    if panel.mark == "strips":
        return 0.5 + ROW * names
    if panel.mark in ("forest", "heat"):
        below = max(map(len, panel.rows["column"])) / 22 if panel.mark == "heat" else 0
        return FRAME + below + ROW * (names + 1)
    return max(LEAST, FRAME + LINE * names)


def _draw(axis: Axes, panel: Panel) -> None:
    lines = panel.title.replace(", n = ", "\nn = ").splitlines()
    axis.set_title("\n".join(short(line, 34) for line in lines))
    axis.set_xlabel(panel.x_label)
    axis.set_ylabel(panel.y_label)
    if panel.zero:
        upright = panel.mark == "forest"
        (axis.axvline if upright else axis.axhline)(0, color=MUTED, linewidth=0.7, zorder=0)
    ends = _MARKS[panel.mark](axis, panel)
    axis.set_ylim(*panel.y_range)
    _label_ends(axis, ends, _height(panel) - FRAME)


def _lines(axis: Axes, panel: Panel) -> list[End]:
    """Lines with bands around them, or points with their intervals."""
    groups = _groups(panel.rows)
    ends = []
    # Grey lines first, so that they lie below.
    for name, rows in sorted(groups, key=lambda group: not _faint(group[1])):
        if _faint(rows):
            axis.plot(rows["x"], rows["y"], color=MUTED, linewidth=0.6, alpha=0.5)
            continue
        style = look(name)
        if panel.mark in ("points", "apart"):
            _error_bars(axis, rows, style, joined=panel.mark == "points")
        else:
            _line(axis, rows, style, step=panel.mark == "step", lines=len(groups))
        ends.append(End(rows["x"][-1], rows["y"][-1], name, COLOURS[style.colour][0]))
    _scale(axis, panel)
    if panel.mark in ("line", "step"):
        axis.margins(x=0)
    return ends


def _faint(rows: pl.DataFrame) -> bool:
    return "faint" in rows.columns and bool(rows["faint"][0])


def _line(axis: Axes, rows: pl.DataFrame, style: Look, *, step: bool, lines: int) -> None:
    colour = COLOURS[style.colour][0]
    where = "steps-post" if step else "default"
    axis.plot(rows["x"], rows["y"], color=colour, linestyle=_dashes(style), drawstyle=where)
    if "low" in rows.columns:  # paler where there are many bands, which overlap
        axis.fill_between(
            rows["x"],
            rows["low"],
            rows["high"],
            color=colour,
            linewidth=0,
            alpha=0.15 * min(1.0, 4 / lines),
            step="post" if step else None,
        )


def _error_bars(axis: Axes, rows: pl.DataFrame, style: Look, *, joined: bool) -> None:
    """Points with their intervals upright; where ends are NaN there is none."""
    y, low, high = (rows[name].to_numpy() for name in ("y", "low", "high"))
    spans = np.nan_to_num(np.stack([y - low, high - y])).clip(0)
    axis.errorbar(
        rows["x"].to_numpy(),
        y,
        spans,
        color=COLOURS[style.colour][0],
        marker=style.marker,
        elinewidth=0.8,
        capsize=1.5,
        capthick=0.8,
        linestyle=_dashes(style) if joined else "none",
    )


def _front(axis: Axes, panel: Panel) -> list[End]:
    """All points, and named those of the front, which steps join."""
    others, front = panel.rows.filter(~pl.col("front")), panel.rows.filter("front")
    axis.plot(others["x"], others["y"], ".", color=MUTED, alpha=0.55)
    axis.step(front["x"], front["y"], where="post", color=MUTED, linewidth=0.8)
    ends = []
    for i, row in enumerate(front.iter_rows(named=True)):
        style = look(row["name"])
        _error_bars(axis, front[i], style, joined=False)
        ends.append(End(row["x"], row["y"], row["label"], COLOURS[style.colour][0]))
    _scale(axis, panel)
    return ends


def _dots(axis: Axes, panel: Panel) -> list[End]:
    """A small point for each row; a name stands beside the last point of its colour."""
    ends = []
    for name, rows in _groups(panel.rows):
        style = look(name)
        colour = COLOURS[style.colour][0]
        axis.plot(
            rows["x"],
            rows["y"],
            linestyle="none",
            marker=style.marker,
            color=colour,
            markersize=2,
            alpha=0.6,
        )
        last = rows[int(rows["x"].arg_max() or 0)]
        ends.append(End(last["x"][0], last["y"][0], name, colour))
    return ends


def _forest(axis: Axes, panel: Panel) -> list[End]:
    """A row per name: a point with its interval, its mark, and a bar beside it."""
    rows = panel.rows
    for i, row in enumerate(rows.iter_rows(named=True)):
        style = look(row["name"])
        colour = COLOURS[style.colour][0]
        if row["low"] < row["high"]:
            axis.plot(
                [row["low"], row["high"]],
                [i, i],
                color=colour,
                linewidth=1.1,
                solid_capstyle="butt",
            )
        axis.plot([row["x"]], [i], marker=style.marker, color=colour, linestyle="none")
        axis.text(1.02, i, row.get("sign") or "", va="center", transform=axis.get_yaxis_transform())
    if "beside" in rows.columns and rows["beside"].null_count() < len(rows):
        _bars(_axis_beside(axis), panel)
    _name_rows(axis, rows["name"].to_list(), range(len(rows)))
    return []


def _axis_beside(axis: Axes) -> Axes:
    """New axes that take the right third of the place of others."""
    figure, place = axis.get_figure(), axis.get_subplotspec()
    assert figure is not None
    assert place is not None
    parts = place.subgridspec(1, 2, width_ratios=[2, 1])
    axis.set_subplotspec(parts[0])
    return figure.add_subplot(parts[1])


def _bars(axis: Axes, panel: Panel) -> None:
    beside = panel.rows["beside"]
    axis.barh(
        range(len(beside)),
        beside.fill_null(0.0),
        height=0.62,
        alpha=0.35,
        color=[COLOURS[look(name).colour][0] for name in panel.rows["name"]],
    )
    for i, value in enumerate(beside):
        axis.text(0, i, "–" if value is None else f" {value:.{panel.digits}f}", va="center")
    axis.set_ylim(len(beside) - 0.4, -0.6)
    axis.set_yticks([])
    axis.set_xlim(0, None if beside.max() else 1)
    axis.set_xlabel(panel.beside_label)
    axis.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(2))


def _name_rows(axis: Axes, names: Sequence[str], places: Sequence[float] | range) -> None:
    axis.set_yticks(places, [arm_label(name, 22) for name in names])
    axis.set_ylim(places[-1] + 0.6, -0.6)
    axis.tick_params(axis="y", length=0)


def _heat(axis: Axes, panel: Panel) -> list[End]:
    """Coloured squares with their numbers; those that are framed have a frame."""
    rows = panel.rows
    names, columns = (
        rows[name].unique(maintain_order=True).to_list() for name in ("name", "column")
    )
    group = rows.unique("name", keep="first", maintain_order=True)["group"].to_numpy()
    places = dict(zip(names, np.arange(len(names)) + 0.4 * group, strict=True))
    colours = matplotlib.colormaps[HEAT]
    values = rows["y"].to_numpy()
    low, high = float(values.min()), float(values.max())
    scale = matplotlib.colors.Normalize(low, high if high > low else low + 1)
    size = min(TEXT, 16 * axis.bbox.width / axis.figure.dpi / len(columns))
    corners = []
    for row in rows.iter_rows(named=True):
        left, top = columns.index(row["column"]) - 0.5, places[row["name"]] - 0.5
        corners.append([(left, top), (left + 1, top), (left + 1, top + 1), (left, top + 1)])
        shade = colours(scale(row["y"]))
        text = axis.text(
            left + 0.5,
            top + 0.5,
            f"{row['y']:.{panel.digits}f}",
            ha="center",
            va="center",
            color=readable(shade),
            fontsize=size,
        )
        text.set_in_layout(False)
        if row["framed"]:
            _frame(axis, left, top)
    axis.add_collection(
        PolyCollection(corners, facecolors=colours(scale(values)), edgecolors=PAPER, linewidths=0.8)
    )
    axis.set_xlim(-0.5, len(columns) - 0.5)
    axis.set_xticks(
        range(len(columns)),
        [short(name, 20) for name in columns],
        rotation=35,
        ha="right",
        rotation_mode="anchor",
    )
    _name_rows(axis, names, list(places.values()))
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    return []


def _frame(axis: Axes, left: float, top: float) -> None:
    for colour, width in (("black", 2.0), ("white", 0.6)):  # seen on any cell, on any page
        axis.add_patch(
            matplotlib.patches.Rectangle(
                (left + 0.04, top + 0.08),
                0.92,
                0.84,
                fill=False,
                edgecolor=colour,
                linewidth=width,
                zorder=2,
            )
        )


def readable(background: Sequence[float]) -> str:
    """White or black, whichever has the more contrast on a colour (red, green, blue in 0..1)."""
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
        for part in background[:3]
    ]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "white" if 1.05 / (luminance + 0.05) > (luminance + 0.05) / 0.05 else "black"


def _strips(axis: Axes, panel: Panel) -> list[End]:
    """A row per name, in which each span has the colour of what fills it."""
    groups = _groups(panel.rows)
    for place, (_, rows) in enumerate(groups):
        for (fill,), mine in rows.group_by("fill", maintain_order=True):
            bars = [(x, 0.92 * (end - x)) for x, end in mine.select("x", "end").rows()]
            faint = _faint(mine)
            axis.broken_barh(
                bars,
                (place - 0.38, 0.76),
                linewidth=0,
                alpha=0.45 if faint else 1,
                facecolor=MUTED if faint else COLOURS[look(str(fill)).colour][0],
            )
    _name_rows(axis, [name for name, _ in groups], range(len(groups)))
    axis.spines[:].set_visible(False)
    axis.margins(x=0)
    return []


_MARKS: dict[str, Callable[[Axes, Panel], list[End]]] = {
    "line": _lines,
    "step": _lines,
    "points": _lines,
    "apart": _lines,
    "front": _front,
    "dots": _dots,
    "forest": _forest,
    "heat": _heat,
    "strips": _strips,
}


def _groups(rows: pl.DataFrame) -> list[tuple[str, pl.DataFrame]]:
    return [(str(name), part) for (name,), part in rows.group_by("name", maintain_order=True)]


def _dashes(style: Look) -> Any:
    return (0, style.dashes) if style.dashes else "-"


def _scale(axis: Axes, panel: Panel) -> None:
    ticks = list(panel.ticks)
    if panel.scale == "log2":
        axis.set_xscale("log", base=2)
    if panel.scale == "evaluations":
        axis.set_xscale("symlog", linthresh=EVALUATIONS[1], base=2)
        most = float(panel.rows["x"].to_numpy().max())
        ticks = [(tick, f"{tick:g}") for tick in EVALUATIONS if tick <= 2 * most]
    if ticks:
        axis.set_xticks([place for place, _ in ticks], [text for _, text in ticks])
        if any(len(text) > SHORT for _, text in ticks):
            axis.tick_params(axis="x", rotation=30)
            for label in axis.get_xticklabels():
                label.set(ha="right", rotation_mode="anchor")
        axis.minorticks_off()


def _label_ends(axis: Axes, ends: Sequence[End], inches: float) -> None:
    """Name lines and points in the right margin of a panel, pushed apart.

    The panel has its limits by now; `inches` is about the height of its axes.
    """
    ends = sorted(ends, key=lambda end: end.y)
    inside = axis.transData + axis.transAxes.inverted()
    heights = np.array([inside.transform((end.x, end.y))[1] for end in ends])
    for end, place in zip(ends, spread(heights, LINE / inches), strict=True):
        axis.annotate(
            arm_label(end.name, 24),
            (end.x, end.y),
            (1.05, place),
            textcoords="axes fraction",
            color=end.colour,
            va="center",
            annotation_clip=False,
            # Without a patch to clip by and to shrink from, which takes longer than the text.
            arrowprops={
                "arrowstyle": "-",
                "color": end.colour,
                "lw": 0.6,
                "linestyle": ":",
                "relpos": (-0.04, 0.5),
                "patchA": None,
                "shrinkA": 0,
                "shrinkB": 0,
            },
        )


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
