"""What the bundled traces' rounds would come to at other costs; fills the table of docs/live.md.

    python -m benchmarks.scale

The costs were measured by `hedgespec profile` with random weights of the
true shapes. MAT is that of the traces: of SmolLM2-135M and its zoo, whatever the costs are.
"""

from dataclasses import replace
from pathlib import Path

import polars as pl

from benchmarks.pages import ROOT, fill
from hedgespec.bundled import DATA, costs_file
from hedgespec.costs.file import load_costs
from hedgespec.results.labels import BEST_FIXED, fixed
from hedgespec.results.markdown import markdown
from hedgespec.simulator import SweepSettings, run_sweep

TRACE = DATA / "traces" / "domain-mix-t0.7"
COSTS = ("llama-3.1-8b-h100", "smollm2-135m-zoo-h100")
SELECTORS = (
    BEST_FIXED,
    "normalhedge",
    "hedge",
    "ucbspec",
    "exp3spec",
    "uniform",
    fixed("generalist"),
)
SELDOM = ("every:4", "batch:16")  # feedback that evaluates in few rounds


def speeds(names: list[str]) -> dict[str, dict[str, tuple[float, float]]]:
    """By costs: MAT and tokens per second of each selector, and of one that seldom evaluates."""
    settings = SweepSettings(selectors=SELECTORS, costs=tuple(map(Path, names)), threads=2)
    seldom = replace(settings, selectors=("normalhedge",), feedbacks=SELDOM)
    found: dict[str, dict[str, tuple[float, float]]] = {name: {} for name in names}
    for row in (
        run_sweep([TRACE], [settings, seldom])
        .summary.group_by("costs", "selector", "feedback")
        .agg(pl.col("mat", "tokens_per_second").mean())
        .to_dicts()
    ):
        name = row["selector"]
        if row["feedback"] in SELDOM:
            name = f"{name}, {row['feedback']}"
        found[row["costs"]][name] = row["mat"], row["tokens_per_second"]
    return found


def table() -> str:
    """Markdown: a row per selector, two columns per file of costs."""
    names = list(COSTS)
    found = speeds(names)
    alone = {name: 1 / load_costs(costs_file(name)).target.one for name in names}
    rows = [
        ["no drafter", "1.00", *(cell for name in names for cell in (f"{alone[name]:.0f}", "1.00"))]
    ]
    for selector in (*SELECTORS[:2], *(f"normalhedge, {one}" for one in SELDOM), *SELECTORS[2:]):
        mat = found[names[0]][selector][0]
        rows.append(
            [
                selector,
                f"{mat:.2f}",
                *(
                    cell
                    for name in names
                    for cell in (
                        f"{found[name][selector][1]:.0f}",
                        f"{found[name][selector][1] / alone[name]:.2f}",
                    )
                ),
            ]
        )
    header = [cell for name in names for cell in (f"{name}: tokens/s", "over none")]
    return markdown([TRACE.name, "MAT", *header], rows)


if __name__ == "__main__":
    fill(ROOT / "docs" / "live.md", {"table": table()})
