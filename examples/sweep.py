"""Run a grid file, and find the fastest policy that can be run at each draft length.

python examples/sweep.py [GRID]
"""

import sys
from pathlib import Path

import polars as pl

import hedgespec

GRID = Path(__file__).with_name("sweep.toml")


def main(grid: str = str(GRID)) -> None:
    """Print it for each trace, in tokens per second; it flatters the winner: see the report."""
    results = hedgespec.sweep(grid)
    fastest = (
        results.summary.filter(pl.col("runnable"))
        .sort("tokens_per_second", descending=True)
        .group_by("trace", "draft_length", maintain_order=True)
        .first()
        .select("trace", "draft_length", "selector", "feedback", "mat", "tokens_per_second")
        .sort("trace", "draft_length")
    )
    print(fastest)


if __name__ == "__main__":
    main(*sys.argv[1:])
