"""The overview that `hedgespec sim` prints, and whose costs its tokens per second are from."""

from collections.abc import Iterable

import polars as pl
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from hedgespec.results.keys import BASIS, SHARED
from hedgespec.results.labels import EMITTED, NONE, OWN_COSTS
from hedgespec.results.overview import costly_evaluations, disagreements, overview
from hedgespec.results.store import CostSource, Provenance, TraceSource


def print_overview(
    summary: pl.DataFrame, console: Console, provenance: Provenance,
    per_query: pl.DataFrame | None = None,
) -> None:
    """Print one table per trace and what else is shared by selectors that compete.

    Below stand warnings of losses that do not find the best drafter, what evaluation takes, and
    whose costs the tokens per second are from, which `provenance` (run.json) says.
    """
    table = overview(summary)
    for key, rows in table.group_by(SHARED, maintain_order=True):
        trace, length, arms, carry, rule, costs, batch = key
        under = f", costs {costs}, batch {batch}" * (len(table.unique(BASIS)) > 1)
        runs = summary.filter(pl.col(name).eq_missing(value)
                              for name, value in zip(SHARED, key, strict=True))
        title = (
            f"{trace}: {runs['queries'][0]} queries, {runs['tokens'][0]:,} tokens, "
            f"K = {arms or length}, {rule}{'' if carry is None else f', carried over ({carry})'}"
            f"{under}, {_losses(runs)}{_certainty(runs)}"
        )
        console.print(_rich_table(title, rows))
    for sentence in disagreements(summary):
        console.print(f"warning: {sentence}", highlight=False, markup=False, soft_wrap=True)
    if per_query is not None and (note := costly_evaluations(per_query)):
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


def _described(costs: CostSource) -> str:
    parts = [f"{costs['device']}, {costs['dtype']}, all drafters evaluated {costs['evaluation']}, "
             f"batch {costs['batch']}"]
    parts += [costs["engine"]] if costs.get("engine") else []
    return ", ".join(parts) + f" ({costs['name']})" * (costs["name"] != OWN_COSTS)


def speed_note(whose: str) -> str:
    """A sentence on tokens per second, from what `whose_seconds` says; empty if that is."""
    return f" Tokens per second are estimated from {whose}." if whose else ""


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


def _rich_table(title: str, rows: pl.DataFrame) -> Table:
    table = Table(title=escape(title), title_justify="left", title_style="bold", box=SIMPLE_HEAD,
                  padding=(0, 0, 0, 1), pad_edge=False)
    table.add_column("selector", overflow="fold")
    table.add_column("feedback", overflow="fold")
    # Losses are shown where they tell rows apart.
    several = len(rows.unique(["selector", "feedback"])) < len(rows)
    if several:
        table.add_column("loss", overflow="fold")
    timed, spread_known, compared = (rows[name].null_count() < len(rows) for name in (
        "tokens_per_second", "tokens_per_second_low", "eal"))
    for header in ("MAT (EAL)" if compared else "MAT", "rounds", "regret\nper query",
                   *(["tokens/s\nlive"] if timed else []),
                   *(["spread\nof costs"] if spread_known else [])):
        table.add_column(header, justify="right", no_wrap=True)
    for row in rows.iter_rows(named=True):
        spread = f" ±{row['mat_sd']:.3f}" if row["mat_sd"] is not None else ""
        table.add_row(
            escape(row["selector"]), row["feedback"], *([row["loss"]] if several else []),
            f"{row['mat']:.3f}{spread}" + ("" if row["eal"] is None else f" ({row['eal']:.2f})"),
            f"{row['rounds']:,.0f}", f"{row['regret_per_query']:+.2f}",
            *([f"{row['tokens_per_second']:.1f}"] if timed else []),
            *([f"{row['tokens_per_second_low']:.0f}-{row['tokens_per_second_high']:.0f}"]
              if spread_known else []),
        )
    return table
