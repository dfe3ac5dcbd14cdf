"""What the bundled traces' rounds would come to at other costs; fills the table of docs/live.md.

    python -m benchmarks.scale

The costs in hedgespec/data/costs were measured by `hedgespec profile` with random weights of the
true shapes. MAT is that of the traces: of SmolLM2-135M and its zoo, whatever the costs are.
"""

from dataclasses import replace
from pathlib import Path

import polars as pl

from benchmarks.readme import ROOT, replace_marked
from hedgespec.bundled import DATA, bundled_costs, costs_file
from hedgespec.costs.file import load_costs
from hedgespec.simulator import SweepSettings, run_sweep

TRACE = DATA / "traces" / "domain-mix-t0.7"
SELECTORS = ("best-fixed", "normalhedge", "hedge", "ucbspec", "exp3spec", "uniform",
             "fixed:generalist")
SELDOM = "normalhedge, every:4"


def speeds(costs: Path) -> dict[str, tuple[float, float]]:
    """MAT and tokens per second of each selector, and of one that evaluates every fourth round."""
    settings = SweepSettings(selectors=SELECTORS, costs=costs, threads=2)
    seldom = replace(settings, selectors=("normalhedge",), feedbacks=("every:4",))
    found = {}
    for row in run_sweep([TRACE], [settings, seldom]).summary.group_by(
            "selector", "feedback").agg(pl.col("mat", "tokens_per_second").mean()).to_dicts():
        name = SELDOM if row["feedback"] == "every:4" else row["selector"]
        found[name] = row["mat"], row["tokens_per_second"]
    return found


def table() -> str:
    """Markdown: a row per selector, two columns per file of costs."""
    names = bundled_costs()
    found = {name: speeds(costs_file(name)) for name in names}
    alone = {name: 1 / load_costs(costs_file(name)).target.one for name in names}
    lines = ["| domain-mix-t0.7 | MAT |" + "".join(f" {name}: tokens/s | over none |"
                                                   for name in names),
             "|---|---:|" + "---:|---:|" * len(names),
             "| no drafter | 1.00 |" + "".join(f" {alone[name]:.0f} | 1.00 |" for name in names)]
    for selector in (*SELECTORS[:2], SELDOM, *SELECTORS[2:]):
        cells = "".join(f" {found[name][selector][1]:.0f} | "
                        f"{found[name][selector][1] / alone[name]:.2f} |" for name in names)
        lines.append(f"| {selector} | {found[names[0]][selector][0]:.2f} |{cells}")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    replace_marked(ROOT / "docs" / "live.md", table())
