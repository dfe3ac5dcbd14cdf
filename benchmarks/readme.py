"""Regenerates the README's table and figure from the bundled traces: `make readme`."""

import re
from pathlib import Path

import polars as pl

from hedgespec.analysis.figures import regret_figure
from hedgespec.analysis.tables import overview
from hedgespec.bundled import bundled_traces
from hedgespec.simulator import Results, SweepSettings, run_sweep

ROOT = Path(__file__).parent.parent
SEEDS = 5
ROWS = ("oracle", "best-fixed", "normalhedge", "hedge", "ucbspec", "exp3spec", "uniform")
MARKED = re.compile(r"(?<=<!-- table -->\n).*?(?=<!-- end of table -->)", re.DOTALL)


def bundled_results() -> Results:
    """The sweep that table and figure show."""
    return run_sweep(bundled_traces(), SweepSettings(seeds=SEEDS, threads=2))


def table(summary: pl.DataFrame) -> str:
    """Markdown: MAT and regret per query of the selectors on each trace."""
    rows = overview(summary)
    traces = rows["trace"].unique(maintain_order=True).to_list()
    value = {(row["trace"], row["selector"]): row for row in rows.iter_rows(named=True)}
    lines = ["| selector |" + "".join(f" {trace}: MAT | regret |" for trace in traces),
             "|---|" + "---:|---:|" * len(traces)]
    for name in (*ROWS, "best single drafter"):
        cells = []
        for trace in traces:
            row = value.get((trace, name)) or _best_single(rows, trace)
            cells.append(f" {row['mat']:.2f} | {row['regret_per_query']:+.1f} |")
        lines.append(f"| {name} |" + "".join(cells))
    return "\n".join(lines) + "\n"


def _best_single(rows: pl.DataFrame, trace: str) -> dict[str, float]:
    fixed = rows.filter(pl.col("selector").str.starts_with("fixed:"), pl.col("trace") == trace)
    return fixed.row(0, named=True)  # the overview is sorted by MAT


def main() -> None:
    """Rewrite README.md and docs/regret.png."""
    results = bundled_results()
    regret_figure(results.curves, ROOT / "docs" / "regret.png")
    readme = ROOT / "README.md"
    text = readme.read_text()
    assert MARKED.search(text), "README.md has no marked table"
    readme.write_text(MARKED.sub(table(results.summary), text))


if __name__ == "__main__":
    main()
