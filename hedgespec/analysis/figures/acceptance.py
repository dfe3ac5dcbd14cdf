"""MAT and gamma by drafter and domain, the learners' rows below the drafters'."""

from collections.abc import Iterator, Sequence

import matplotlib
import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hedgespec.analysis.figures.style import (
    HEAT,
    PAPER,
    TWO_COLUMN,
    Drawing,
    arm_label,
    finish,
    short,
)
from hedgespec.analysis.results import of_all
from hedgespec.analysis.study import Study
from hedgespec.results.labels import FIXED
from hedgespec.results.statistics import LEVEL, SMALL, few, mat_estimate, mean_estimate

HEADING = "Which drafter suits which domain?"

ROW, HEAD = 0.17, 0.9  # inches of a row, and of title and domains
MEASURES = {
    "mat": ("acceptance", "Tokens per round (MAT)", "Pooled over the queries of a domain."),
    "gamma": ("gamma", "Acceptance probability (gamma)",
              "Mean over the tokens of an answer of the probability that a round's first draft "
              "token is accepted, then over queries. A selector's is that of its drafters, "
              "weighted by their rounds in the answer."),
}


def draw(study: Study) -> Iterator[Drawing]:
    """Two heat maps per trace that has fixed drafters."""
    for trace in study.traces:
        fixed = study.fixed(trace)
        if not fixed:
            continue
        names = [*fixed, *(name for name in study.drawn if name not in fixed)]
        data = _table(study, trace, tuple(names))
        for measure, (name, title, how) in MEASURES.items():
            yield Drawing(
                f"{name}-{trace}", f"{title} by drafter and domain: {trace}",
                f"{how} The number of a domain's questions stands below its name (†: fewer "
                f"than {SMALL}). Framed: the drafter with the most in each domain. "
                "Above the gap one drafter for all rounds, below it selectors. "
                f"{LEVEL:.0%} bootstrap intervals over questions are in the data.",
                _figure(data, trace, measure, len(fixed)),
                data.select("trace", "selector", "domain", "queries", "questions",
                            pl.selectors.starts_with(measure)))


def _table(study: Study, trace: str, names: tuple[str, ...]) -> pl.DataFrame:
    """A row per selector and domain, and per selector for all domains together."""
    answers = study.run.answers(trace)
    columns = study.columns(trace, names)
    rows = []
    for domain in [*answers.domains, None]:
        here = np.full(len(answers.domain), True) if domain is None else answers.domain == domain
        chosen = list(columns.values())
        asked = answers.question[here]
        found = {"mat": mat_estimate(answers.tokens[here], answers.rounds[here][:, chosen], asked),
                 "gamma": mean_estimate(answers.gamma[here][:, chosen], asked)}
        rows += [{"trace": trace, "selector": name, "domain": domain,
                  "queries": found["mat"].queries, "questions": found["mat"].questions,
                  **{f"{measure}{end}": values[i] for measure, one in found.items()
                     for end, values in (("", one.value), ("_low", one.low), ("_high", one.high))}}
                 for i, name in enumerate(columns)]
    return pl.DataFrame(rows, infer_schema_length=None, schema_overrides={"domain": pl.String})


def _figure(data: pl.DataFrame, trace: str, measure: str, fixed: int) -> Figure:
    names = data["selector"].unique(maintain_order=True).to_list()
    domains = data["domain"].unique(maintain_order=True).to_list()
    values = data[measure].to_numpy().reshape(len(domains), len(names)).T
    asked = data["questions"].to_numpy().reshape(len(domains), len(names))[:, 0]
    figure = Figure(figsize=(min(TWO_COLUMN, 1.9 + 0.55 * len(domains)),
                             HEAD + ROW * (len(names) + 1)), layout="constrained")
    axis = figure.subplots()
    places = np.arange(len(names)) + (np.arange(len(names)) >= fixed) * 0.4
    _cells(axis, values, places, fixed)
    axis.set_title(f"{measure if measure == 'gamma' else 'MAT'}, {trace}")
    axis.set_yticks(places, [arm_label(name.removeprefix(FIXED)) for name in names])
    axis.set_xticks(range(len(domains)), [
        f"{short(domain or of_all(domains), 20)}\n{count}{few(count)}"
        for domain, count in zip(domains, asked, strict=True)],
        rotation=35, ha="right", rotation_mode="anchor")
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    return finish(figure)


def _cells(axis: Axes, values: np.ndarray, places: np.ndarray, fixed: int) -> None:
    """Coloured squares with their numbers, the best of the `fixed` first rows framed.

    `values` has a row at each of `places` and a column per domain.
    """
    colours = matplotlib.colormaps[HEAT]
    low, high = values.min(), values.max()
    scale = matplotlib.colors.Normalize(low, high if high > low else low + 1)
    across = np.arange(values.shape[1] + 1) - 0.5
    for part in (slice(None, fixed), slice(fixed, None)):
        if len(places[part]):
            edges = np.append(places[part] - 0.5, places[part][-1] + 0.5)
            axis.pcolormesh(across, edges, values[part], cmap=colours, norm=scale, edgecolors=PAPER,
                            linewidth=0.8)
    for row, place in enumerate(places):
        for column, value in enumerate(values[row]):
            text = axis.text(column, place, f"{value:.2f}", ha="center", va="center",
                             color=_readable(colours(scale(value))))
            text.set_in_layout(False)
    for column, row in enumerate(values[:fixed].argmax(axis=0)):
        for colour, width in (("black", 2.0), ("white", 0.6)):  # seen on any cell, on any page
            axis.add_patch(matplotlib.patches.Rectangle(
                (column - 0.46, places[row] - 0.42), 0.92, 0.84, fill=False, edgecolor=colour,
                linewidth=width))
    axis.set_ylim(places[-1] + 0.5, -0.5)
    axis.set_xlim(-0.5, values.shape[1] - 0.5)


def _readable(background: Sequence[float]) -> str:
    """White or black, whichever has the more contrast on a colour (red, green, blue in 0..1)."""
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
              for part in background[:3]]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "white" if 1.05 / (luminance + 0.05) > (luminance + 0.05) / 0.05 else "black"
