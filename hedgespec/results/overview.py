"""The overview of a summary: one row per setting."""

import polars as pl

from hedgespec.results.keys import SETTING


def overview(summary: pl.DataFrame) -> pl.DataFrame:
    """Mean over seeds of each setting, highest MAT first within a trace.

    Exact expectations have one row and no seeds. `regret_per_query` is the mean number of rounds
    above the best fixed drafter per query, `mat_sd` the standard deviation of MAT over seeds.
    """
    return (
        summary.group_by(SETTING, maintain_order=True)
        .agg(
            pl.col("mat").mean(),
            pl.col("mat").std().alias("mat_sd"),
            pl.col("rounds").mean(),
            (pl.col("regret_rounds") / pl.col("queries")).mean().alias("regret_per_query"),
            pl.col("tokens_per_second").mean(),
            pl.col("rounds_per_second").median(),
            pl.col("tokens_per_second_low", "tokens_per_second_high").mean(),
        )
        .sort("trace", "mat", descending=[False, True], maintain_order=True)
    )
