"""`hedgespec selectors`: list the learners."""

import argparse
from typing import TYPE_CHECKING

from hedgespec.cli.common import add_json

if TYPE_CHECKING:
    from rich.table import Table

_NOTE = (
    "feedback: full = losses of all drafters, when --feedback of `hedgespec sim` says; "
    "chosen = only the rounds of the drafter that ran. "
    "A learner of your own: FILE.py:NAME (docs/tutorial.md)"
)


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Define the command's options."""
    parser = commands.add_parser(
        "selectors",
        description="List every selector with its feedback, source and parameters, and every "
        "verification rule.",
    )
    add_json(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the tables, or all that they are made from."""
    if options.json:
        _print_json()
        return 0
    from rich.console import Console

    console = Console()
    for part in (_learners(), _NOTE, _feedback(), _rules()):
        console.print(part)
    return 0


def _table(*headers: str) -> "Table":
    from rich.table import Table

    table = Table()
    for header in headers:
        table.add_column(header, overflow="fold")
    return table


def _learners() -> "Table":
    from hedgespec.selectors import NAMES, built_in
    from hedgespec.simulator.references import KINDS

    table = _table("selector", "feedback", "parameters (default)", "source")
    for name in NAMES:
        selector = built_in(name)
        parameters = "\n".join(
            f"{item.name} ({item.default:g}): {item.help}" for item in selector.parameters
        )
        table.add_row(name, selector.feedback, parameters, selector.source)
    for kind in KINDS.values():
        table.add_row(kind.shown, kind.knows, "", kind.meaning)
    return table


def _feedback() -> "Table":
    from hedgespec.selectors.feedback import feedback_help, modifier_help

    table = _table("--feedback", "what a full-information learner gets when")
    for name, meaning in feedback_help().items():
        table.add_row(name, meaning)
    for name, meaning in modifier_help().items():
        table.add_row(f"+{name}", meaning)
    return table


def _rules() -> "Table":
    from hedgespec.rules import RULES

    table = _table("rule", "a draft token is accepted how", "recorded", "source")
    for name, rule in RULES.items():
        table.add_row(
            name, rule.help, f"with --{rule.option}" if rule.recorded else "always", rule.source
        )
    return table


def _print_json() -> None:
    from hedgespec.cli.common import print_json
    from hedgespec.rules import RULES
    from hedgespec.selectors import NAMES, built_in
    from hedgespec.selectors.feedback import feedback_help, modifier_help
    from hedgespec.simulator.references import KINDS

    learners = map(built_in, NAMES)
    print_json(
        {
            "selectors": [
                {
                    "name": one.name,
                    "feedback": one.feedback,
                    "source": one.source,
                    "parameters": [
                        {
                            "name": item.name,
                            "default": item.default,
                            "low": item.low,
                            "high": item.high,
                            "help": item.help,
                        }
                        for item in one.parameters
                    ],
                }
                for one in learners
            ],
            "references": [
                {"name": kind.shown, "knows": kind.knows, "meaning": kind.meaning}
                for kind in KINDS.values()
            ],
            "feedback": feedback_help(),
            "modifiers": modifier_help(),
            "rules": [
                {"name": name, "help": rule.help, "recorded": rule.recorded, "source": rule.source}
                for name, rule in RULES.items()
            ],
        }
    )
