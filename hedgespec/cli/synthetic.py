"""`hedgespec synthetic`: make up a trace without any model."""

import argparse
from pathlib import Path

EPILOG = """\
kinds:
  iid         each drafter has an acceptance probability of its own, with noise
  correlated  stretches of tokens are easy, or hard, for all drafters
  switching   the best drafter is drawn anew for each stretch of 64 tokens
  domains     an expert per domain accepts .82 at home and .62 away; a generalist .74 anywhere
"""


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Define the command's options."""
    from hedgespec.options import add_options
    from hedgespec.traces.synthetic import SyntheticSettings

    parser = commands.add_parser(
        "synthetic",
        description="Make a trace of random acceptance statistics; trace and drafters are named "
        "synthetic.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("kind", metavar="KIND", help="one of the kinds below")
    add("--out", type=Path, required=True, metavar="DIR", help="the trace directory to make")
    add_options(parser, SyntheticSettings())
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Write the trace; say where."""
    from hedgespec.options import given_options
    from hedgespec.traces.synthetic import SyntheticSettings, write_synthetic

    manifest = write_synthetic(
        options.out, options.kind, **given_options(options, SyntheticSettings)
    )
    print(
        f"{options.out}: {manifest.queries} queries, {manifest.tokens} tokens, "
        f"{len(manifest.drafters)} synthetic drafters"
    )
    return 0
