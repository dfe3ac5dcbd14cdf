"""`hedgespec selectors`: list the learners."""

import argparse


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Define the command's options."""
    parser = commands.add_parser(
        "selectors",
        description="List every selector with its feedback, source and parameters, and every "
                    "verification rule.",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the table."""
    from rich.console import Console
    from rich.table import Table

    from hedgespec.rules import RULES
    from hedgespec.selectors import BASELINES, BUILT_IN, CONTEXTUAL, built_in
    from hedgespec.selectors.feedback import feedback_help, modifier_help
    from hedgespec.simulator.references import KINDS

    table = Table()
    for header in ("selector", "feedback", "parameters (default)", "source"):
        table.add_column(header, overflow="fold")
    for name in (*BUILT_IN, *BASELINES, *CONTEXTUAL):
        selector = built_in(name)
        parameters = "\n".join(f"{item.name} ({item.default:g}): {item.help}"
                               for item in selector.parameters)
        table.add_row(name, selector.feedback, parameters, selector.source)
    for kind in KINDS.values():
        table.add_row(kind.shown, kind.knows, "", kind.meaning)
    console = Console()
    console.print(table)
    console.print("feedback: full = losses of all drafters, as --feedback of `hedgespec sim` says; "
                  "chosen = only the rounds of the drafter that ran. "
                  "A learner of your own: FILE.py:NAME (docs/tutorial.md)")
    feedback = Table()
    for header in ("--feedback", "what a full-information learner gets when"):
        feedback.add_column(header, overflow="fold")
    for name, meaning in feedback_help().items():
        feedback.add_row(name, meaning)
    for name, meaning in modifier_help().items():
        feedback.add_row(f"+{name}", meaning)
    console.print(feedback)
    rules = Table()
    for header in ("rule", "a draft token is accepted how", "recorded", "source"):
        rules.add_column(header, overflow="fold")
    for name, rule in RULES.items():
        rules.add_row(name, rule.help, f"with --{rule.option}" if rule.recorded else "always",
                      rule.source)
    console.print(rules)
    return 0
