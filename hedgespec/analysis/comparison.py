"""What differs between two runs of the same traces."""

from dataclasses import dataclass

import numpy as np
import polars as pl

from hedgespec.analysis.figures.style import mark
from hedgespec.analysis.results import ResultSet, check_same_traces
from hedgespec.errors import HedgespecError
from hedgespec.results.keys import ROUNDS, SETTING
from hedgespec.results.statistics import holm, mat_difference

WORSE = "▼"


@dataclass(frozen=True)
class Comparison:
    """Run `other` minus run `base`, where both have the setting.

    `table` has a row per setting: MAT of both, `difference` with its interval, paired by question,
    `p` and Holm's `p_holm` over all rows, and `mark`. `unshared` counts settings of one run only.
    """

    base: ResultSet
    other: ResultSet
    table: pl.DataFrame
    unshared: int

    @property
    def regressions(self) -> pl.DataFrame:
        """Rows whose MAT is significantly less than before."""
        return self.table.filter(pl.col("mark") == WORSE)


def compare(base: ResultSet, other: ResultSet) -> Comparison:
    """Pair two runs. Raises HedgespecError for different traces, queries, or no shared setting."""
    check_same_traces(base, other)
    parts = [part for trace in base.traces if trace in other.traces
             if (part := _compare_trace(base, other, trace)) is not None]
    if not parts:
        raise HedgespecError(f"{base.folder} and {other.folder} have no setting in common; "
                             "replay the same selectors for both")
    table = pl.concat(parts)
    adjusted = holm(table["p"].to_numpy())
    table = table.with_columns(
        pl.Series("p_holm", adjusted),
        pl.Series("mark", [mark(value, p) for value, p
                           in zip(table["difference"], adjusted, strict=True)]))
    unshared = len(base.settings) + len(other.settings) - 2 * len(table)
    return Comparison(base, other, table.sort("p_holm", "difference", maintain_order=True),
                      unshared)


def _compare_trace(base: ResultSet, other: ResultSet, trace: str) -> pl.DataFrame | None:
    before, after = base.answers(trace), other.answers(trace)
    if before.query_id.tolist() != after.query_id.tolist():
        raise HedgespecError(f"{base.folder} and {other.folder}: {trace} was replayed on different "
                             "queries; only results of the same queries can be compared")
    shared = before.settings.with_row_index("before").join(
        after.settings.with_row_index("after").select(*ROUNDS, "after", "how"), on=ROUNDS,
        how="inner", nulls_equal=True, suffix="_other", maintain_order="left")
    if shared.is_empty():
        return None
    one, two = (answers.rounds[:, shared[name].to_list()]
                for answers, name in ((before, "before"), (after, "after")))
    found = mat_difference(after.tokens, two, one, before.question)
    tokens = before.tokens.sum()
    return shared.select(*SETTING, "label", "usual", "how", "how_other").with_columns(
        queries=pl.lit(found.queries), mat_base=tokens / one.sum(axis=0),
        mat_other=tokens / two.sum(axis=0), difference=found.value, low=found.low,
        high=found.high, p=np.asarray(found.p))
