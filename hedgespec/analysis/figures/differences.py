"""MAT of one run minus that of another."""

from collections.abc import Iterator

import polars as pl

from hedgespec.analysis.comparison import Comparison
from hedgespec.analysis.figures.style import (
    FRAME,
    ROW,
    Drawing,
    finish,
    forest,
    looks,
    panels,
)
from hedgespec.analysis.study import Study
from hedgespec.results.statistics import LEVEL


def draw(study: Study, comparison: Comparison, name: str) -> Iterator[Drawing]:
    """A panel per trace that both runs have, with the learners chosen."""
    chosen = comparison.table.filter(pl.col("usual"), pl.col("selector").is_in(study.drawn))
    tables = [rows.sort("difference", descending=True, maintain_order=True)
              for trace in study.traces
              if not (rows := chosen.filter(pl.col("trace") == trace)).is_empty()]
    if not tables:
        return
    figure, axes = panels([table["trace"][0] for table in tables],
                          FRAME + ROW * max(len(table) for table in tables))
    for axis, table in zip(axes, tables, strict=True):
        forest(axis, table, looks(study.drawn))
        axis.set_xlabel("MAT minus that of the other run")
    yield Drawing(
        name, f"MAT of {comparison.other.folder} minus that of {comparison.base.folder}",
        f"Bars: {LEVEL:.0%} paired bootstrap intervals over questions. ▲ ▼: differs at 5% after "
        f"Holm's correction for all {len(comparison.table)} settings that both runs have.",
        finish(figure), pl.concat(tables))
