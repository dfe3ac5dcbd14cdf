"""`hedgespec fidelity`: replay the log of a live run."""

import argparse
from pathlib import Path


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Define the command's options."""
    parser = commands.add_parser(
        "fidelity",
        description="Replay what `hedgespec live --out` wrote. Every drafter chosen and every\n"
                    "probability played must come out again, bit for bit; the first that does not\n"
                    "is named, with status 1.",
        epilog="example:\n  hedgespec live --out log && hedgespec fidelity log",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("logs", nargs="+", type=Path, metavar="LOG", help="folders of live runs")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Check each log."""
    from hedgespec.simulator.fidelity import check_fidelity

    for folder in options.logs:
        print(f"{folder}: {check_fidelity(folder)} rounds, every decision replayed")
    return 0
