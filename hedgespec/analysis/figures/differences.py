"""MAT and tokens per second of one run minus those of another."""

from collections.abc import Iterator

import polars as pl

from hedgespec.analysis.comparison import Comparison
from hedgespec.analysis.figures.style import Drawing, Panel
from hedgespec.analysis.study import Study
from hedgespec.results.statistics import LEVEL

DRAWN = {"tokens/s": "-speed", "MAT": ""}  # metrics, and what is added to the figure's name


def draw(study: Study, comparison: Comparison, name: str) -> Iterator[Drawing]:
    """A figure per metric and trace that both runs have, with the learners chosen."""
    chosen = comparison.table.filter(pl.col("usual"), pl.col("selector").is_in(study.drawn))
    for trace in study.traces:
        for metric, suffix in DRAWN.items():
            rows = chosen.filter(pl.col("trace") == trace, pl.col("metric") == metric).sort(
                "difference", descending=True, maintain_order=True
            )
            if not rows.is_empty():
                yield _drawing(study, comparison, f"{name}{suffix}-{trace}", rows)


def _drawing(study: Study, comparison: Comparison, name: str, rows: pl.DataFrame) -> Drawing:
    trace, metric = rows["trace"][0], rows["metric"][0]
    return Drawing(
        name,
        f"{metric} of {comparison.other.folder} minus that of {comparison.base.folder}: {trace}",
        f"Bars: {LEVEL:.0%} paired bootstrap intervals over questions. ▲ ▼: differs at 5% after "
        f"Holm's correction for all {len(comparison.table)} differences between the runs, of all "
        "settings and metrics.",
        [
            Panel(
                "forest",
                rows.select(name="selector", x="difference", low="low", high="high", sign="mark"),
                f"{metric} minus that of the other run",
                title=study.sized(trace),
                zero=True,
            )
        ],
        rows,
        trace,
        metric,
    )
