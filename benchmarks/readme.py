"""Regenerates from the bundled traces the README's table and figure and the tables of docs/zoo.md:
`make readme`."""

import re
import tempfile
from pathlib import Path

import polars as pl

from benchmarks.experiment import report
from hedgespec.analysis.figures import regret
from hedgespec.analysis.figures.style import styled
from hedgespec.analysis.results import ResultSet
from hedgespec.analysis.study import Study
from hedgespec.analysis.tables import overview, save_results
from hedgespec.bundled import DATA, bundled_traces
from hedgespec.simulator import Results, SweepSettings, run_sweep

ROOT = Path(__file__).parent.parent
SEEDS = 5
TRACES = ("domain-mix-t0", "domain-mix-t0.7", "domain-mix-t1")
ROWS = ("oracle", "best-fixed", "normalhedge", "hedge", "ucbspec", "exp3spec", "uniform",
        "fixed:generalist")
MARKED = re.compile(r"(?<=<!-- table -->\n).*?(?=<!-- end of table -->)", re.DOTALL)


def bundled_results() -> Results:
    """The sweep that table and figure show."""
    traces = [folder for folder in bundled_traces() if folder.name in TRACES]
    return run_sweep(traces, SweepSettings(
        selectors=("default", "best-single"), seeds=SEEDS, threads=2))


def save_figure(results: Results, path: Path) -> None:
    """The figure of cumulative regret of `hedgespec report` on these results."""
    with tempfile.TemporaryDirectory() as folder:
        save_results(Path(folder), results.summary, results.per_query, results.curves,
                     results.answer, results.provenance)
        study = Study.of(ResultSet(Path(folder)), [], [], "best-single")
        with styled():
            drawing = next(regret.draw(study))
            drawing.figure.savefig(path, facecolor="white", metadata={"Software": None})


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


def replace_marked(path: Path, text: str) -> None:
    """Put `text` between the file's marks."""
    old = path.read_text(encoding="utf-8")
    assert MARKED.search(old), f"{path} has no marked table"
    path.write_text(MARKED.sub(lambda _: text, old, count=1), encoding="utf-8")


def main() -> None:
    """Rewrite README.md, docs/zoo.md and docs/regret.png."""
    results = bundled_results()
    save_figure(results, ROOT / "docs" / "regret.png")
    replace_marked(ROOT / "README.md", table(results.summary))
    replace_marked(ROOT / "docs" / "zoo.md", report(DATA / "traces" / "domain-mix-t0.7"))


if __name__ == "__main__":
    main()
