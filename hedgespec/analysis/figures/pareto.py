"""MAT against what evaluation costs, and the front of the settings that no other beats."""

from collections.abc import Iterator

import polars as pl
from matplotlib.figure import Figure

from hedgespec.analysis.figures.style import (
    INK,
    LINE,
    MUTED,
    Drawing,
    End,
    Look,
    error_bars,
    finish,
    label_ends,
    looks,
    panels,
)
from hedgespec.analysis.study import Study
from hedgespec.results.labels import FIXED, FORESIGHT, HINDSIGHT, NONE
from hedgespec.results.statistics import LEVEL, mat_estimate

HEADING = "What does evaluation buy?"

NOT_LIVE = {HINDSIGHT, *FORESIGHT}
TICKS = (0, 0.5, 2, 8, 32, 128, 512, 2048)  # the axis is linear to 0.5, then logarithmic


def draw(study: Study) -> Iterator[Drawing]:
    """A panel per trace on which settings differ in their cost."""
    tables = [table for trace in study.traces
              if (table := _table(study, trace))["evaluations"].n_unique() > 1]
    if tables:
        data = pl.concat(tables)
        yield Drawing(
            "pareto", "MAT against evaluations",
            "Every selector that drafts and that live decoding could run, at the trace's usual "
            "loss and draft length. An evaluation is one drafter other than the chosen one that "
            "reads the verified tokens before a round. Named and joined: settings that none beats "
            f"in both. Bars: {LEVEL:.0%} bootstrap intervals over questions, not corrected."
            f"{_priced(study)}",
            _figure(tables, looks(study.drawn)), data)


def _priced(study: Study) -> str:
    whose = study.run.whose_seconds(study.traces)
    return (f" What evaluations take in seconds, under {whose}, is in the figure of tokens per "
            "second." if whose else "")


def _table(study: Study, trace: str) -> pl.DataFrame:
    """A row per setting: evaluations per round, MAT with interval, whether it is on the front."""
    answers = study.run.answers(trace)
    usual = answers.settings.filter(pl.col("usual"))
    columns = {column: (name, feedback) for name in usual["selector"] if name != NONE
               for column, feedback in study.varied(trace, name, "feedback").select(
                   "column", "feedback").rows()
               if not study.run.feedback[feedback].keys() & NOT_LIVE}
    mat = mat_estimate(answers.tokens, answers.rounds[:, list(columns)], answers.question)
    drafters = study.run.drafters(trace)
    share = answers.evaluations.sum(axis=0) / answers.rounds.sum(axis=0)
    data = pl.DataFrame({
        "trace": [trace] * len(columns),
        "selector": [name for name, _ in columns.values()],
        "feedback": [feedback for _, feedback in columns.values()],
        "evaluations": (drafters - 1) * share[list(columns)],
        "queries": [mat.queries] * len(columns),
        "mat": mat.value, "low": mat.low, "high": mat.high,
    }, schema_overrides={"selector": pl.String, "evaluations": pl.Float64})
    best = data.sort("evaluations", "mat", descending=[False, True], maintain_order=True)
    return best.with_columns(
        front=pl.col("mat") > pl.col("mat").cum_max().shift(1).fill_null(0.0))


def _figure(tables: list[pl.DataFrame], look: dict[str, Look]) -> Figure:
    named = max(len(table.filter("front")) for table in tables)
    figure, axes = panels([table["trace"][0] for table in tables], max(2.1, 0.9 + LINE * named))
    ends = []
    for axis, data in zip(axes, tables, strict=True):
        axis.set_xscale("symlog", linthresh=TICKS[1], base=2)
        for row in data.filter(~pl.col("front")).iter_rows(named=True):
            axis.plot(row["evaluations"], row["mat"], ".", color=MUTED, alpha=0.55)
        front = data.filter("front")
        axis.step(front["evaluations"], front["mat"], where="post", color=MUTED, linewidth=0.8)
        for i, row in enumerate(front.iter_rows(named=True)):
            style = look.get(row["selector"], Look(INK, "-", "o"))
            error_bars(axis, front["evaluations"].to_numpy()[[i]], front[i], style, measure="mat")
            how = row["feedback"] if ":" in row["feedback"] else ""
            ends.append(End(axis, row["evaluations"], row["mat"],
                            f"{row['selector'].removeprefix(FIXED)} {how}".strip(), style.colour))
        most = data["evaluations"].to_numpy().max()
        ticks = [tick for tick in TICKS if tick <= 2 * most]
        axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axis.minorticks_off()
        axis.set_xlabel("evaluations of other drafters per round")
        axis.set_ylabel("tokens per round (MAT)")
    label_ends(figure, ends)
    return finish(figure)
