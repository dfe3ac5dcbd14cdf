"""Figures from result tables."""

from itertools import zip_longest
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import polars as pl
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from hedgespec.errors import HedgespecError
from hedgespec.files import replacing

# Okabe & Ito's palette, told apart by colour-blind readers; fixed drafters are drawn in grey.
COLOURS = {
    "normalhedge": "#0072B2", "hedge": "#009E73", "ucbspec": "#D55E00", "exp3spec": "#CC79A7",
    "uniform": "#E69F00", "oracle": "#000000", "best-fixed": "#000000",
}
OTHERS = ["#56B4E9", "#8C6BB1", "#A6761D", "#666666"]


def regret_figure(curves: pl.DataFrame, path: Path) -> None:
    """Cumulative regret against tokens, one panel per trace, one line per selector.

    `curves` is curves.parquet. The band is the 95% interval over queries. Fixed drafters other
    than the best two stand outside the panel, which is scaled to the selectors.
    """
    if curves.is_empty():
        raise HedgespecError("no regret curves to draw: the results are empty")
    traces = curves["trace"].unique(maintain_order=True).to_list()
    columns = min(3, len(traces))
    rows = -(-len(traces) // columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=(5.6 * columns, 4.2 * rows), squeeze=False, layout="constrained"
    )
    for axis, trace in zip_longest(axes.flat, traces):
        if trace is None:
            axis.set_axis_off()
        else:
            _regret_panel(axis, curves.filter(pl.col("trace") == trace), trace)
    figure.supylabel("rounds above the best fixed drafter, mean per query", fontsize=10)
    with replacing(path) as temporary:
        figure.savefig(temporary, format=path.suffix.lstrip("."), dpi=150)
    plt.close(figure)


def _regret_panel(axis: Axes, curves: pl.DataFrame, trace: str) -> None:
    end = {name: rows["regret_rounds"][-1]
           for (name,), rows in curves.group_by("selector", maintain_order=True)}
    fixed = sorted((name for name in end if name.startswith("fixed:")), key=lambda n: end[n])
    learners = [name for name in end if name not in fixed and name != "best-fixed"]
    drawn = [*fixed[:2], *sorted(learners, key=lambda n: end[n])]
    spare = iter(OTHERS * len(drawn))
    labels = []
    for name in drawn:
        rows = curves.filter(pl.col("selector") == name)
        colour = "#999999" if name in fixed else COLOURS.get(name.split(":")[0]) or next(spare)
        style = "--" if name in fixed or name == "oracle" else "-"
        axis.plot(rows["position"], rows["regret_rounds"], style, color=colour, linewidth=1.6)
        axis.fill_between(rows["position"], rows["low"], rows["high"], color=colour, alpha=0.15,
                          linewidth=0)
        labels.append((end[name], name, colour))
    axis.axhline(0, color="black", linewidth=0.8)
    axis.set_title(trace, loc="left", fontsize=10, parse_math=False)
    axis.set_xlabel("tokens of the answer")
    axis.spines[["top", "right"]].set_visible(False)
    axis.margins(x=0)
    _label_lines(axis, [*labels, (0.0, "best-fixed", "#000000")])


def _label_lines(axis: Axes, labels: list[tuple[float, str, str]]) -> None:
    """Name each line at its right end, pushed apart so that no two labels overlap."""
    low, high = axis.get_ylim()
    gap = (high - low) * 0.05
    right = axis.get_xlim()[1]
    height = low - gap
    for value, name, colour in sorted(labels):
        height = max(value, height + gap)
        axis.annotate(name, (right, value), (right * 1.03, height), color=colour, fontsize=8,
                      va="center", annotation_clip=False, arrowprops={
                          "arrowstyle": "-", "color": colour, "lw": 0.5, "relpos": (0, 0.5)})
