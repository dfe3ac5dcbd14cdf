"""The overview of a summary: one row per setting."""

import numpy as np
import polars as pl

from hedgespec.results.keys import BASIS, SETTING, SHARED
from hedgespec.results.labels import NONE, questions
from hedgespec.results.statistics import mat_estimate

_SLIGHT = 0.01  # share of what is best that a loss may miss without a word


def overview(summary: pl.DataFrame) -> pl.DataFrame:
    """Mean over seeds of each setting: traces, draft lengths and what else a table is of in the
    order of the summary, which is that asked for, and within them the highest MAT first.

    Exact expectations have one row and no seeds. Tokens per second are over mean seconds.
    `regret_per_query` is the mean number of rounds above the best fixed drafter per query, `mat_sd`
    the standard deviation of MAT over seeds. `eal` and `seconds_per_token` are those of fixed
    drafters, as in the summary.
    """
    return (
        summary.group_by(SETTING, maintain_order=True)
        .agg(
            *means_over_seeds(),
            pl.col("mat").std().alias("mat_sd"),
            pl.col("rounds").mean(),
            pl.col("rounds_per_second").median(),
            pl.col("eal").first(),
            pl.col("seconds_per_token").first(),
        )
        .with_row_index("place")
        .with_columns(pl.col("place").min().over(SHARED))
        .sort("place", "mat", descending=[False, True], maintain_order=True)
        .drop("place")
    )


def means_over_seeds() -> list[pl.Expr]:
    """Over a setting's rows, one for each seed: `mat`, `regret_per_query`, and tokens per second
    over mean seconds, as their ends are too."""
    rates = ("tokens_per_second", "tokens_per_second_low", "tokens_per_second_high")
    return [
        pl.col("mat").mean(),
        *((1 / (1 / pl.col(rate)).mean()).alias(rate) for rate in rates),
        (pl.col("regret_rounds") / pl.col("queries")).mean().alias("regret_per_query"),
    ]


def rate_text(rate: float, low: float | None = None, high: float | None = None) -> str:
    """Tokens per second, with their interval if there is one: three digits that matter at least.

    A small machine makes few: "4.18 (3.62-4.70)", where a large one makes "645.3 (630-660)".
    """
    digits = 0 if rate >= 100 else 1 if rate >= 10 else 2
    ends = "" if low is None or high is None else f" ({low:.{digits}f}-{high:.{digits}f})"
    return f"{rate:.{max(1, digits)}f}{ends}"


def by_speed(overview: pl.DataFrame, per_query: pl.DataFrame) -> pl.DataFrame:
    """The rows of an overview that have seconds: no drafting, then the fastest first.

    `speed_low` and `speed_high` are the ends of the 95 % interval of tokens per second over
    questions, `over_none` is the gain in percent over no drafting with the same costs; null where
    it was not run.
    """
    rows = overview.filter(pl.col("tokens_per_second").is_not_null())
    keys = ["trace", *BASIS]
    none = (
        rows.filter(pl.col("selector") == NONE)
        .unique(keys, keep="first")
        .select(*keys, none_per_second="tokens_per_second")
    )
    rows = rows.join(
        _speed_intervals(per_query), on=SETTING, how="left", nulls_equal=True, maintain_order="left"
    )
    gain = 100 * (pl.col("tokens_per_second") / pl.col("none_per_second") - 1)
    return (
        rows.join(none, on=keys, how="left", maintain_order="left")
        .with_columns(gain.alias("over_none"))
        .drop("none_per_second")
        .sort(pl.col("selector") != NONE, -pl.col("tokens_per_second"), maintain_order=True)
    )


def _speed_intervals(per_query: pl.DataFrame) -> pl.DataFrame:
    """`speed_low` and `speed_high` of each setting that has seconds."""
    means = (
        per_query.filter(pl.col("seconds").is_not_null())
        .group_by(*SETTING, "query", "query_id", maintain_order=True)
        .agg(pl.col("tokens").first(), pl.col("seconds").mean())
        .sort("query")
    )
    found = [_with_interval(rows) for _, rows in means.group_by(SETTING, maintain_order=True)]
    empty = means.select(SETTING).clear().with_columns(speed_low=0.0, speed_high=0.0)
    return pl.concat([empty, *found])


def _with_interval(rows: pl.DataFrame) -> pl.DataFrame:
    found = mat_estimate(
        rows["tokens"].to_numpy(),
        rows["seconds"].to_numpy()[:, None],
        np.array(questions(rows["query_id"].to_list())),
    )
    return (
        rows.select(SETTING)
        .head(1)
        .with_columns(speed_low=float(found.low[0]), speed_high=float(found.high[0]))
        .fill_nan(None)
    )


def disagreements(summary: pl.DataFrame) -> list[str]:
    """Where the loss that a learner would compare drafters by does not find the best of them.

    A sentence for each trace and setting on which the drafter with the greatest mean of expected
    tokens is not the one with the fewest rounds, or that with the least mean of seconds per token
    not the fastest, by _SLIGHT at least: rounds do not start evenly over positions.
    """
    fixed = overview(summary).filter(pl.col("eal").is_not_null())
    found = []
    for key, rows in fixed.group_by(SHARED, maintain_order=True):
        where = f"{key[0]}, K = {key[2] or key[1]}, {key[4]}"
        for loss, proxy, goal, unit in (
            ("length", pl.col("eal"), "mat", "tokens per round"),
            ("seconds", -pl.col("seconds_per_token"), "tokens_per_second", "tokens/s"),
        ):
            ranked = rows.drop_nulls("seconds_per_token" if loss == "seconds" else "eal")
            if len(ranked) > 1:
                found += _disagreement(where, ranked, loss, proxy, goal, unit)
    return found


def _disagreement(
    where: str, rows: pl.DataFrame, loss: str, proxy: pl.Expr, goal: str, unit: str
) -> list[str]:
    chosen, best = (
        rows.sort(by, descending=True, maintain_order=True).row(0, named=True)
        for by in (proxy, pl.col(goal))
    )
    if chosen[goal] >= (1 - _SLIGHT) * best[goal]:
        return []
    return [
        f"{where}: {chosen['selector']} has the least mean loss `{loss}`, and "
        f"{100 * (1 - chosen[goal] / best[goal]):.1f} % fewer {unit} than {best['selector']} "
        f"({chosen[goal]:.3f}, {best[goal]:.3f})"
    ]


def costly_evaluations(per_query: pl.DataFrame) -> str:
    """A sentence on learners that evaluate in every round for over a tenth of their seconds.

    No loss holds these seconds: they are the learner's own. Empty if there is no such learner.
    """
    sums = per_query.group_by(SETTING, maintain_order=True).agg(
        pl.col("evaluations", "rounds", "seconds", "evaluation_seconds").sum(), firsts=pl.len()
    )  # nothing is there to evaluate before the first round of an answer
    costly = sums.filter(
        pl.col("evaluations") > 0,
        pl.col("evaluations") >= (pl.col("rounds") - pl.col("firsts")) * (1 - 1e-9),
        pl.col("evaluation_seconds") > 0.1 * pl.col("seconds"),
    )
    if costly.is_empty():
        return ""
    share = (costly["evaluation_seconds"] / costly["seconds"]).to_numpy().max()
    names = costly["selector"].unique(maintain_order=True).to_list()
    return (
        f"{', '.join(names)}: evaluating all drafters in every round takes up to "
        f"{100 * share:.0f} % of the seconds. No loss counts it; feedback batch:M spares it."
    )
