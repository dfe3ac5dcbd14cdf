"""`hedgespec synthetic`: make up a trace without any model."""

import argparse
from pathlib import Path

EPILOG = """\
kinds:
  iid         each drafter has an acceptance probability of its own, with noise
  correlated  some tokens are easy for all drafters and some hard, in stretches
  switching   another drafter is the best one in each stretch of 64 tokens
  domains     an expert per domain, .82 at home and .62 away, and a generalist, .74 anywhere
"""


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Define the command's options."""
    parser = commands.add_parser(
        "synthetic", help="make up a trace without any model, for stress and tests",
        description="Draw acceptance statistics; trace and drafters are named synthetic.",
        epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("kind", metavar="KIND", help="one of those below")
    add("--out", type=Path, required=True, metavar="DIR", help="the trace directory to make")
    add("--queries", type=int, default=50, metavar="Q", help="default: %(default)s")
    add("--tokens", type=int, default=500, metavar="T", help="of each answer (default: 500)")
    add("--drafters", type=int, default=8, metavar="N", help="default: %(default)s")
    add("--seed", type=int, default=0, help="default: %(default)s")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Write the trace; say where."""
    from hedgespec.traces.synthetic import write_synthetic

    manifest = write_synthetic(options.out, options.kind, options.queries, options.tokens,
                               options.drafters, options.seed)
    print(f"{options.out}: {manifest.queries} queries, {manifest.tokens} tokens, "
          f"{len(manifest.drafters)} synthetic drafters")
    return 0
