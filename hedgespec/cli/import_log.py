"""`hedgespec import`: read an engine's own log of speculative decoding."""

import argparse
import math
from pathlib import Path
from typing import TYPE_CHECKING

from hedgespec.bridges.imports import IMPORTS

if TYPE_CHECKING:
    from hedgespec.bridges.imports.contract import Imported

EPILOG = (
    "formats:\n"
    + "\n".join(f"  {one.name:12} {one.help}" for one in IMPORTS.values())
    + """

A log says what happened to the drafter that ran, not what others would have done, so no trace can
be made of it. If it has the probability of each choice (per_step_propensity), drafters are
estimated off policy; else their rounds are tabulated.

examples:
  hedgespec import vllm responses.jsonl --drafter ngram
  curl -s http://127.0.0.1:8000/metrics > metrics.txt; hedgespec import prometheus metrics.txt
"""
)


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Define the command's options."""
    parser = commands.add_parser(
        "import",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Read what a serving engine or a benchmark logs of its own drafts, and print "
        "what can be concluded from it.",
    )
    add = parser.add_argument
    add("format", choices=tuple(IMPORTS), metavar="FORMAT", help="see below")
    add("file", type=Path, metavar="FILE", help="the log")
    add(
        "--drafter",
        default="drafter",
        metavar="NAME",
        help="name for a drafter that the log does not name (default: drafter)",
    )
    add(
        "--out",
        type=Path,
        metavar="DIR",
        help="folder to keep the rounds in (default: only printed)",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Read, tabulate, estimate where it can be done, and keep."""
    from rich.console import Console

    from hedgespec.bridges.chosen import may_be_done, off_policy, save

    found = IMPORTS[options.format].read(options.file, options.drafter)
    console = Console()
    console.print(f"{options.file}: {may_be_done(found)}", markup=False, soft_wrap=True)
    console.print(_table(found))
    for one in off_policy(found.rounds) if found.rounds is not None else ():
        within = (
            "too few requests for an interval"
            if math.isnan(one.low)
            else f"95 % {one.low:.3f} to {one.high:.3f} over requests"
        )
        console.print(
            f"{one.drafter}: {one.tokens:.3f} tokens a round, {within}, off policy from "
            f"{one.effective:.0f} rounds' worth",
            markup=False,
            highlight=False,
        )
    if options.out is not None:
        save(found, options.file, options.format, options.out)
        console.print(f"{options.out}: rounds kept", markup=False)
    return 0


def _table(found: "Imported") -> object:
    from rich.table import Column, Table

    table = Table(
        Column("drafter", overflow="fold"),
        "rounds",
        "tokens a round",
        "acceptance rate",
        "accepted at 1, 2, ...",
    )
    for row in found.counts.iter_rows(named=True):
        rate = f"{row['accepted'] / row['drafted']:.1%}" if row["drafted"] else "-"
        table.add_row(
            row["drafter"],
            f"{row['rounds']:,}",
            f"{1 + row['accepted'] / row['rounds']:.3f}" if row["rounds"] else "-",
            rate,
            " ".join(f"{one:.3f}" for one in row["accepted_at"] or ()),
        )
    return table
