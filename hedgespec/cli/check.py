"""`hedgespec check`: try a learner of one's own out at length."""

import argparse
from pathlib import Path

EPILOG = """\
checks:
  sizes              bounds and distributions, with several numbers of drafters and draft lengths
  purity             the same losses give the same plays
  compiled           the compiled learner plays as it does in plain Python
  order of drafters  reordering the drafters changes nothing else
  trace ...          on made-up traces: expectations agree with replays, and live with replayed

examples:
  hedgespec check my_learner.py:MINE
  hedgespec check my_learner.py:MINE:rate=0.5 --out build/mine

OUT receives weights.png: the plays on a text of each made-up trace. The status is 1 if a check
fails. How to write a learner: docs/tutorial.md.
"""


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Define the command's options."""
    parser = commands.add_parser(
        "check",
        epilog=EPILOG,
        description="Check a learner of your own. Each breach of the contract is reported with "
        "its line.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "learner",
        metavar="FILE.py:NAME",
        help="the learner, with parameters as in `hedgespec sim` if you like; a "
        "built-in learner works too",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("results/check"),
        metavar="DIR",
        help="where the figure goes (default: %(default)s)",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Check; print a line for each finding and where the figure is."""
    import sys

    from hedgespec.analysis.figures.plays import weights_figure
    from hedgespec.files import check_writable
    from hedgespec.selectors import parse_selector
    from hedgespec.simulator.check import check_learner

    check_writable(options.out)
    configured = parse_selector(options.learner)
    checked = check_learner(configured, lambda check: print(f"{check} ...", file=sys.stderr))
    for found in checked.findings:
        state = {True: "good", False: "FAIL", None: "note"}[found.passed]
        print(f"{state}  {found.check}: {found.said}")
    if checked.played:
        options.out.mkdir(parents=True, exist_ok=True)
        weights_figure(checked.played, configured.label, options.out / "weights.png")
        print(f"what it plays is in {options.out / 'weights.png'}")
    return 0 if checked.passed else 1
