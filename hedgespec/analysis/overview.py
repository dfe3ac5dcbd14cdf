"""The overview that `hedgespec sim` prints, and whose costs its tokens per second are from."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import polars as pl
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from hedgespec.results.keys import BASIS, SHARED
from hedgespec.results.labels import EMITTED, NONE, OWN_COSTS
from hedgespec.results.overview import (
    by_speed,
    costly_evaluations,
    disagreements,
    overview,
    rate_text,
)
from hedgespec.results.store import CostSource, Provenance, TraceSource

_WIDE = 100  # columns of a terminal that has room for all of a table


def print_overview(
    summary: pl.DataFrame, console: Console, provenance: Provenance, per_query: pl.DataFrame
) -> None:
    """Print one table per trace and what else is shared by selectors that compete.

    Tables with costs open with no drafting, then the fastest; others begin with the fewest rounds.
    Below stand warnings of losses that do not find the best drafter, what evaluation takes, and
    whose costs the tokens per second are from, which `provenance` (run.json) says.
    """
    table = overview(summary)
    timed = by_speed(table, per_query)
    for key, rows in table.group_by(SHARED, maintain_order=True):
        trace, length, arms, carry, rule, costs, batch = key
        under = f", costs {costs}, batch {batch}" * (len(table.unique(BASIS)) > 1)
        runs, fast = (
            some.filter(
                pl.col(name).eq_missing(value) for name, value in zip(SHARED, key, strict=True)
            )
            for some in (summary, timed)
        )
        title = (
            f"{trace}: {runs['queries'][0]} queries, {runs['tokens'][0]:,} tokens, "
            f"K = {arms or length}, {rule}{'' if carry is None else f', carried over ({carry})'}"
            f"{under}, {_losses(runs)}{_certainty(runs)}"
        )
        console.print(_rich_table(title, rows if fast.is_empty() else fast, console.width))
    if console.width < _WIDE:
        console.print(
            f"{_WIDE} columns would show more: regret, EAL and the spread of costs", highlight=False
        )
    for sentence in disagreements(summary):
        console.print(f"warning: {sentence}", highlight=False, markup=False, soft_wrap=True)
    if note := costly_evaluations(per_query):
        console.print(f"note: {note}", highlight=False, markup=False, soft_wrap=True)
    if whose := whose_seconds(provenance["traces"]):
        console.print(f"tokens/s: {whose}", highlight=False, markup=False)


def whose_seconds(traces: Iterable[TraceSource]) -> str:
    """Whose costs the seconds of `traces` are estimated from, in one line.

    Device, dtype, how evaluation of all drafters is counted, batch, engine and file; with the names
    of the traces where they differ. Empty if no trace has costs.
    """
    found: dict[str, list[str]] = {}
    for trace in traces:
        for costs in trace.get("costs", []):
            found.setdefault(_described(costs), []).append(trace["name"])
    if len(found) < 2:
        return "".join(f"costs of {text}" for text in found)
    return "; ".join(f"on {', '.join(names)} costs of {text}" for text, names in found.items())


def measured_on(traces: Iterable[TraceSource]) -> str:
    """The devices and batches of the costs of `traces`, in a few words; empty without costs."""
    found = {
        f"{one['device']}, batch {one['batch']}": None
        for some in traces
        for one in some.get("costs", [])
    }
    return "; ".join(found)


def _described(costs: CostSource) -> str:
    parts = [
        f"{costs['device']}, {costs['dtype']}, all drafters evaluated {costs['evaluation']}, "
        f"batch {costs['batch']}"
    ]
    parts += [costs["engine"]] if costs.get("engine") else []
    return ", ".join(parts) + f" ({costs['name']})" * (costs["name"] != OWN_COSTS)


def speed_note(whose: str) -> str:
    """A sentence on tokens per second, from what `whose_seconds` says; empty if that is."""
    return f" Tokens per second are estimates: {whose}." if whose else ""


def _losses(summary: pl.DataFrame) -> str:
    """The loss of full-information learners, where all have the same."""
    found = summary["loss"].unique().sort().to_list()
    learned = [loss for loss in found if loss not in (EMITTED, NONE)]
    return f"loss {learned[0]}, " if len(learned) == 1 else ""


def _certainty(summary: pl.DataFrame) -> str:
    """How its numbers were got."""
    seeds = summary["seed"].drop_nulls().n_unique()
    spread = f"±: over {seeds} seeds" if seeds > 1 else "one seed"
    if seeds and (summary["mode"] == "exact").any():
        return f"exact, or {spread}"
    return spread if seeds else "exact"


def _rich_table(title: str, rows: pl.DataFrame, width: int) -> Table:
    table = Table(
        title=escape(title),
        title_justify="left",
        title_style="bold",
        box=SIMPLE_HEAD,
        padding=(0, 0, 0, 1),
        pad_edge=False,
    )
    table.add_column("selector", overflow="fold")
    table.add_column("feedback", overflow="fold")
    # Losses are shown where they tell rows apart.
    several = len(rows.unique(["selector", "feedback"])) < len(rows)
    if several:
        table.add_column("loss", overflow="fold")
    columns = [column for column in _COLUMNS if column.there(rows) and width >= column.least]
    for column in columns:
        table.add_column(column.header, justify="right", no_wrap=True)
    for row in rows.iter_rows(named=True):
        table.add_row(
            escape(row["selector"]),
            row["feedback"],
            *([row["loss"]] if several else []),
            *(column.text(row) for column in columns),
        )
    return table


@dataclass(frozen=True)
class _Column:
    """A column of numbers: shown where `of` is known in a row, and the terminal is wide enough."""

    header: str
    of: str
    text: Callable[[dict[str, Any]], str]
    least: int = 0

    def there(self, rows: pl.DataFrame) -> bool:
        """Whether any row knows it."""
        return self.of in rows.columns and rows[self.of].null_count() < len(rows)


def speed_text(row: dict[str, Any]) -> str:
    """Tokens per second with their interval, of a row of `by_speed`."""
    return rate_text(row["tokens_per_second"], row["speed_low"], row["speed_high"])


def over_none_text(row: dict[str, Any]) -> str:
    """What a row of `by_speed` gains over not drafting."""
    if row["over_none"] is None:
        return ""
    return f"{round(row['over_none'], 1) + 0.0:+.1f} %"  # with 0.0 nothing is shown as -0.0


def _spread(row: dict[str, Any]) -> str:
    low, high = row["tokens_per_second_low"], row["tokens_per_second_high"]
    return "" if low is None else f"{rate_text(low)}-{rate_text(high)}"


def _mat(row: dict[str, Any]) -> str:
    return f"{row['mat']:.3f}" + ("" if row["mat_sd"] is None else f" ±{row['mat_sd']:.3f}")


_COLUMNS = (
    _Column("tokens/s\n(95 %)", "speed_low", speed_text),
    _Column("over\nnone", "over_none", over_none_text),
    _Column("spread\nof costs", "tokens_per_second_low", _spread, _WIDE),
    _Column("MAT", "mat", _mat),
    _Column("EAL", "eal", lambda row: "" if row["eal"] is None else f"{row['eal']:.2f}", _WIDE),
    _Column(
        "regret\nper query",
        "regret_per_query",
        lambda row: f"{row['regret_per_query']:+.2f}",
        _WIDE,
    ),
)
