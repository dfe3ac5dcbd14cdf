"""MAT of the learners above a baseline selector's, and tokens per second."""

from collections.abc import Iterator

import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hedgespec.analysis.figures.style import (
    ONE_COLUMN,
    TWO_COLUMN,
    Claim,
    Drawing,
    Look,
    finish,
    forest,
    looks,
    roomy,
    short,
)
from hedgespec.analysis.statistics import LEVEL, holm, mat_difference, mat_gain
from hedgespec.analysis.study import Study

ROW, FRAME = 0.155, 0.85  # inches of a row, and of title and axis


def draw(study: Study) -> Iterator[Drawing]:
    """A panel per trace that the baseline selector was run on."""
    tables = [table for trace in study.traces if (table := _table(study, trace)) is not None]
    if tables:
        data = pl.concat(tables)
        yield Drawing(
            "gains", f"MAT of the learners minus that of {study.against}",
            f"All queries of a trace pooled. Bars: {LEVEL:.0%} paired bootstrap intervals over "
            "queries. ▲ ▼: differs at 5% after Holm's correction for the selectors of the panel. "
            "Tokens per second are estimated from the trace's costs, without interval.",
            _figure(tables, looks(study.drawn), str(study.against)), data, list(_claims(study)))


def _table(study: Study, trace: str) -> pl.DataFrame | None:
    """A row per learner, highest MAT first; None where there is nothing to compare."""
    answers = study.run.answers(trace)
    columns = study.columns(trace, study.learners)
    base = study.columns(trace, (study.against,) if study.against else ())
    if not base or not columns:
        return None
    names = [study.against, *(name for name in columns if name != study.against)]
    chosen = [base[str(study.against)], *(columns[str(name)] for name in names[1:])]
    found = mat_difference(answers.tokens, answers.rounds[:, chosen], answers.rounds[:, chosen[0]])
    speed = answers.settings["tokens_per_second"].gather(chosen)
    return pl.DataFrame({
        "trace": trace, "selector": names, "against": study.against,
        "queries": found.queries,
        "mat": answers.tokens.sum() / answers.rounds[:, chosen].sum(axis=0),
        "difference": found.value, "low": found.low, "high": found.high, "p": found.p,
        "p_holm": [float("nan"), *holm(found.p[1:])],  # the baseline is not tested against itself
        "tokens_per_second": speed,
    }).sort("mat", descending=True)


def _figure(tables: list[pl.DataFrame], look: dict[str, Look], against: str) -> Figure:
    beside = min(2, len(tables))
    lines = -(-len(tables) // beside)
    rows = max(len(table) for table in tables)
    timed = any(table["tokens_per_second"].null_count() < len(table) for table in tables)
    figure = Figure(figsize=(ONE_COLUMN if beside == 1 else TWO_COLUMN,
                             lines * (FRAME + ROW * rows)), layout=roomy())
    parts = 2 if timed else 1
    axes = figure.subplots(lines, beside * parts, squeeze=False,
                           width_ratios=[2, 1][:parts] * beside).reshape(-1, parts)
    for pair, table in zip(axes, tables, strict=False):
        forest(pair[0], table, look)
        pair[0].set_title(table["trace"][0])
        pair[0].set_xlabel(f"MAT minus {short(against, 18)}'s")
        if timed:
            _speeds(pair[1], table, look)
    for axis in axes[len(tables):].flat:
        axis.remove()
    return finish(figure)


def _speeds(axis: Axes, table: pl.DataFrame, look: dict[str, Look]) -> None:
    speeds = table["tokens_per_second"].fill_null(0.0)
    axis.barh(range(len(table)), speeds, height=0.62,
              color=[look[name].colour for name in table["selector"]], alpha=0.35)
    for i, speed in enumerate(table["tokens_per_second"]):
        axis.text(0, i, "–" if speed is None else f" {speed:.1f}", va="center")
    axis.set_ylim(len(table) - 0.4, -0.6)
    axis.set_yticks([])
    axis.set_xlabel("tokens/s")


def _claims(study: Study) -> Iterator[Claim]:
    """The gain of the learner with the most tokens per round, on each trace."""
    for trace in study.traces:
        answers = study.run.answers(trace)
        learners = study.columns(trace, study.learners)
        base = study.columns(trace, (study.against,) if study.against else ())
        if not base or not learners:
            continue
        best = min(learners, key=lambda name: answers.rounds[:, learners[name]].sum())
        gain = mat_gain(answers.rounds[:, [learners[best]]],
                        answers.rounds[:, base[str(study.against)]])
        yield Claim.of(f"{best} emits", ("more", "fewer"),
                       f"tokens per round than {study.against} on {trace}", gain, digits=0,
                       unit="%")
