"""`hedgespec synthetic`: make up a trace without any model."""

import argparse
from pathlib import Path


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Define the command's options."""
    from hedgespec.traces.synthetic import KINDS

    kinds = "\n".join(f"  {name:12}{meaning}" for name, meaning in KINDS.items())
    parser = commands.add_parser(
        "synthetic", help="make up a trace without any model, for stress and tests",
        description="Draw acceptance statistics; trace and drafters are named synthetic.",
        epilog=f"kinds:\n{kinds}", formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("kind", choices=list(KINDS), metavar="KIND", help=", ".join(KINDS))
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
