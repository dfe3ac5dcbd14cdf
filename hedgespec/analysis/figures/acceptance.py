"""MAT by drafter and domain, the learners' rows below the drafters'."""

from collections.abc import Iterator, Sequence

import matplotlib
import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hedgespec.analysis.figures.style import (
    HEAT,
    INK,
    PAPER,
    TWO_COLUMN,
    Drawing,
    finish,
    short,
)
from hedgespec.analysis.results import FIXED
from hedgespec.analysis.statistics import LEVEL, SMALL, mat_estimate
from hedgespec.analysis.study import Study

ALL = "all"
ROW, HEAD = 0.17, 0.9  # inches of a row, and of title and domains


def draw(study: Study) -> Iterator[Drawing]:
    """A heat map per trace that has fixed drafters."""
    for trace in study.traces:
        fixed = study.fixed(trace)
        if fixed:
            names = [*fixed, *(name for name in study.drawn if name not in fixed)]
            data = _table(study, trace, tuple(names))
            yield Drawing(
                f"acceptance-{trace}", f"Tokens per round (MAT) by drafter and domain: {trace}",
                "Pooled over the queries of a domain, whose number stands below its name "
                f"(†: fewer than {SMALL}). Framed: the drafter with the most in each domain. "
                "Above the gap one drafter for all rounds, below it selectors. "
                f"{LEVEL:.0%} bootstrap intervals over queries are in the data.",
                _figure(data, trace, len(fixed)), data)


def _table(study: Study, trace: str, names: tuple[str, ...]) -> pl.DataFrame:
    """A row per selector and domain, and per selector for all domains together."""
    answers = study.run.answers(trace)
    columns = study.columns(trace, names)
    rows = []
    for domain in [*answers.domains, ALL]:
        here = (answers.domain == domain) | (domain == ALL)
        mat = mat_estimate(answers.tokens[here], answers.rounds[here][:, list(columns.values())])
        rows += [{"trace": trace, "selector": name, "domain": domain, "queries": mat.queries,
                  "mat": mat.value[i], "low": mat.low[i], "high": mat.high[i]}
                 for i, name in enumerate(columns)]
    return pl.DataFrame(rows, infer_schema_length=None)


def _figure(data: pl.DataFrame, trace: str, fixed: int) -> Figure:
    names = data["selector"].unique(maintain_order=True).to_list()
    domains = data["domain"].unique(maintain_order=True).to_list()
    mat = data["mat"].to_numpy().reshape(len(domains), len(names)).T
    queries = data["queries"].to_numpy().reshape(len(domains), len(names))[:, 0]
    figure = Figure(figsize=(min(TWO_COLUMN, 1.9 + 0.55 * len(domains)),
                             HEAD + ROW * (len(names) + 1)), layout="constrained")
    axis = figure.subplots()
    places = np.arange(len(names)) + (np.arange(len(names)) >= fixed) * 0.4
    _cells(axis, mat, places, fixed)
    axis.set_title(f"MAT, {trace}")
    axis.set_yticks(places, [short(name.removeprefix(FIXED)) for name in names])
    axis.set_xticks(range(len(domains)), [
        f"{short(domain, 20)}\n{count}{'†' if count < SMALL else ''}"
        for domain, count in zip(domains, queries, strict=True)],
        rotation=35, ha="right", rotation_mode="anchor")
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    return finish(figure)


def _cells(axis: Axes, mat: np.ndarray, places: np.ndarray, fixed: int) -> None:
    """Coloured squares with their numbers, the best of the `fixed` first rows framed.

    `mat` has a row at each of `places` and a column per domain.
    """
    colours = matplotlib.colormaps[HEAT]
    scale = matplotlib.colors.Normalize(mat.min(), mat.max() if mat.max() > mat.min() else 10)
    across = np.arange(mat.shape[1] + 1) - 0.5
    for part in (slice(None, fixed), slice(fixed, None)):
        if len(places[part]):
            edges = np.append(places[part] - 0.5, places[part][-1] + 0.5)
            axis.pcolormesh(across, edges, mat[part], cmap=colours, norm=scale, edgecolors=PAPER,
                            linewidth=0.8)
    for row, place in enumerate(places):
        for column, value in enumerate(mat[row]):
            text = axis.text(column, place, f"{value:.2f}", ha="center", va="center",
                             color=_readable(colours(scale(value))))
            text.set_in_layout(False)
    for column, row in enumerate(mat[:fixed].argmax(axis=0)):
        axis.add_patch(matplotlib.patches.Rectangle(
            (column - 0.46, places[row] - 0.42), 0.92, 0.84, fill=False, edgecolor=INK,
            linewidth=1.2))
    axis.set_ylim(places[-1] + 0.5, -0.5)
    axis.set_xlim(-0.5, mat.shape[1] - 0.5)


def _readable(background: Sequence[float]) -> str:
    """White or black, whichever has the more contrast on a colour (red, green, blue in 0..1)."""
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
              for part in background[:3]]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "white" if 1.05 / (luminance + 0.05) > (luminance + 0.05) / 0.05 else "black"
