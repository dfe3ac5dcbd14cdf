"""What sets one run of a selector apart from every other; made by the simulator, read by reports.

Its fields are the first columns of every result table.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import polars as pl

from hedgespec.results.labels import OWN_COSTS


def _key(dtype: pl.DataType, meaning: str, **default: Any) -> Any:
    """`default` is what results have that were made before there was the column."""
    return field(metadata={"dtype": dtype, "meaning": meaning}, **default)


@dataclass(frozen=True)
class RunKey:
    """A selector with its settings on one trace; the labels are those of `results.labels`."""

    trace: str = _key(pl.String(), "name of the trace")
    selector: str = _key(pl.String(), "name, with the parameters that differ from their defaults")
    feedback: str = _key(
        pl.String(),
        "[setting](metrics.md#feedback) (full information), `chosen` (bandit), "
        "`none`, `prompt` (the router) or `hindsight` (references)",
    )
    loss: str = _key(
        pl.String(),
        "`length:ESTIMATOR`, `accept`, `hybrid:X:ESTIMATOR`, `seconds:ESTIMATOR`, "
        "`visit:ESTIMATOR` or `visit-seconds:ESTIMATOR`, with `:prefill` if given; `emitted` "
        "(bandits) or `none`",
    )
    draft_length: int = _key(pl.Int32(), "K, the greatest if arms differ in it")
    arm_lengths: str = _key(pl.String(), "what `--arm-lengths` or `--arms` gave, else empty")
    carry: int | None = _key(
        pl.Int64(), "seed of the order of queries if learners are carried over them; else null"
    )
    rule: str = _key(
        pl.String(), "the [verification rule](rules.md); several, joined by +, if arms mix them"
    )
    mode: str = _key(
        pl.String(), "`exact`: [expectations](metrics.md#exact-expectations); or `replayed`"
    )
    costs: str = _key(
        pl.String(),
        "the costs that seconds are estimated from: the name of their file, `own` for "
        "the trace's, empty without any",
        default=OWN_COSTS,
    )
    batch: int = _key(
        pl.Int32(), "texts decoded at once; seconds are those of each text", default=1
    )

    @classmethod
    def of_rows(cls, table: pl.DataFrame) -> "list[RunKey]":
        """The key of each row of a table that has these columns."""
        return [cls(**row) for row in table.select(SETTING).iter_rows(named=True)]

    def literals(self) -> Iterator[pl.Expr]:
        """Its columns, of one value each."""
        for name, value in asdict(self).items():
            yield pl.lit(value, dtype=KEY_TYPES[name]).alias(name)


KEY_TYPES: dict[str, pl.DataType] = {item.name: item.metadata["dtype"] for item in fields(RunKey)}
SETTING = list(KEY_TYPES)
# What is chosen for a selector on a trace, and what of it selectors that compete have in common.
CHOICES = [name for name in SETTING if name not in ("trace", "selector", "mode")]
SHARED = ["trace", "draft_length", "arm_lengths", "carry", "rule", "costs", "batch"]
# Whose seconds they are: only `seconds` learners and timed references change rounds with them.
BASIS = ["costs", "batch"]
ROUNDS = [name for name in SETTING if name not in BASIS]  # what sets rounds apart
