"""MAT of one run minus that of another."""

from collections.abc import Iterator

import polars as pl

from hedgespec.analysis.comparison import Comparison
from hedgespec.analysis.figures.style import Drawing, Panel
from hedgespec.analysis.study import Study
from hedgespec.results.statistics import LEVEL


def draw(study: Study, comparison: Comparison, name: str) -> Iterator[Drawing]:
    """A figure per trace that both runs have, with the learners chosen."""
    chosen = comparison.table.filter(pl.col("usual"), pl.col("selector").is_in(study.drawn))
    for trace in study.traces:
        rows = chosen.filter(pl.col("trace") == trace).sort(
            "difference", descending=True, maintain_order=True)
        if rows.is_empty():
            continue
        yield Drawing(
            f"{name}-{trace}",
            f"MAT of {comparison.other.folder} minus that of {comparison.base.folder}: {trace}",
            f"Bars: {LEVEL:.0%} paired bootstrap intervals over questions. ▲ ▼: differs at 5% "
            f"after Holm's correction for all {len(comparison.table)} settings that both runs "
            "have.",
            [Panel("forest", rows.select(name="selector", x="difference", low="low", high="high",
                                         sign="mark"),
                   "MAT minus that of the other run", title=study.sized(trace), zero=True)],
            rows, trace)
