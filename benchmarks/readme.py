"""Regenerates from the bundled traces the README's table and figure and the tables of docs/zoo.md:
`make readme`."""

from pathlib import Path

import polars as pl

from benchmarks.experiment import TRACE, answers_of, report
from benchmarks.pages import ROOT, fill
from hedgespec.analysis.figures import regret
from hedgespec.analysis.figures.paper import plot_panels, styled
from hedgespec.analysis.figures.style import Drawing, Panel
from hedgespec.analysis.results import ResultSet
from hedgespec.analysis.study import Study
from hedgespec.bundled import bundled_traces
from hedgespec.results.labels import BEST_FIXED, BEST_SINGLE, FIXED, NONE, ORACLE, fixed
from hedgespec.results.markdown import markdown
from hedgespec.results.overview import by_speed, overview
from hedgespec.simulator import Results, SweepSettings, run_sweep

SEEDS = 5
TRACES = ("domain-mix-t0", "domain-mix-t0.7", "domain-mix-t1")
SPARING = "batch:16"  # feedback that evaluates in few rounds
ROWS = (
    ORACLE,
    BEST_FIXED,
    "normalhedge",
    f"normalhedge, {SPARING}",
    "hedge",
    "ucbspec",
    "exp3spec",
    "uniform",
    fixed("generalist"),
    NONE,
)


def bundled_results() -> Results:
    """The sweep that table and figure show."""
    traces = [folder for folder in bundled_traces() if folder.name in TRACES]
    settings = SweepSettings(selectors=("default", BEST_SINGLE), seeds=SEEDS, threads=2)
    sparing = SweepSettings(
        selectors=("normalhedge",), feedbacks=(SPARING,), seeds=SEEDS, threads=2
    )
    return run_sweep(traces, [settings, sparing])


def save_figure(results: Results, path: Path) -> None:
    """Of each trace the figure of cumulative regret of `hedgespec report`, in rounds, and beside it
    tokens per second of the selectors in the table."""
    study = Study.of(ResultSet(results), [], [], BEST_SINGLE)
    speeds = by_speed(overview(results.summary), results.per_query)
    panels = [
        panel
        for drawing in regret.draw(study)
        if drawing.measure == regret.TOKENS.measure
        for panel in (drawing.panels[0], _speed_panel(speeds, drawing))
    ]
    with styled():
        plot_panels(panels, columns=2).savefig(path, facecolor="white", metadata={"Software": None})


def _speed_panel(speeds: pl.DataFrame, beside: Drawing) -> Panel:
    """Tokens per second of the table's selectors that can be run, the fastest first."""
    rows = (
        speeds.filter(pl.col("trace") == beside.trace)
        .with_columns(
            name=pl.when(pl.col("feedback") == SPARING)
            .then(pl.format("{} ({})", "selector", "feedback"))
            .otherwise("selector")
        )
        .sort("tokens_per_second", descending=True)
    )
    able = [name.replace(f", {SPARING}", f" ({SPARING})") for name in ROWS[2:]]  # no hindsight
    return Panel(
        "forest",
        rows.filter(pl.col("name").is_in(able)).select(
            "name", x="tokens_per_second", low="speed_low", high="speed_high"
        ),
        x_label="tokens per second",
        title=beside.panels[0].title,
    )


def table(summary: pl.DataFrame) -> str:
    """Markdown: MAT, regret per query and tokens per second of the selectors on each trace."""
    rows = overview(summary)
    traces = rows["trace"].unique(maintain_order=True).to_list()
    value = {
        (row["trace"], row["selector"] + f", {SPARING}" * (row["feedback"] == SPARING)): row
        for row in rows.iter_rows(named=True)
    }
    shown = []
    for name in (*ROWS, "best single drafter"):
        cells = []
        for trace in traces:
            row = value.get((trace, name)) or _best_single(rows, trace)
            cells += [
                f"{row['mat']:.2f}",
                f"{row['regret_per_query']:+.1f}",
                f"{row['tokens_per_second']:.0f}",
            ]
        shown.append([name, *cells])
    header = [cell for trace in traces for cell in (f"{trace}: MAT", "regret", "tokens/s")]
    return markdown(["selector", *header], shown)


def _best_single(rows: pl.DataFrame, trace: str) -> dict[str, float]:
    fixed = rows.filter(pl.col("selector").str.starts_with(FIXED), pl.col("trace") == trace)
    return fixed.row(0, named=True)  # the overview is sorted by MAT


def main() -> None:
    """Rewrite README.md, docs/zoo.md and docs/regret.png."""
    results = bundled_results()
    save_figure(results, ROOT / "docs" / "regret.png")
    fill(ROOT / "README.md", {"table": table(results.summary)})
    fill(ROOT / "docs" / "zoo.md", {"table": report(answers_of(TRACE))})


if __name__ == "__main__":
    main()
