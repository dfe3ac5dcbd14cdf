"""`hedgespec subset`: copy part of a trace."""

import argparse
from pathlib import Path

EPILOG = """\
examples:
  hedgespec subset recordings/domain-mix-t0.7 --per-domain 10 --depths 5 --out small-trace
  hedgespec subset coder-mix-t0.7 --drafters generalist-mixed prompt-lookup --out two-drafters

With --drafters the copy's costs are those of the drafters kept. How long they take in one batch is
estimated from what was measured of other numbers of drafters (docs/metrics.md).
"""


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Define the command's options."""
    parser = commands.add_parser(
        "subset",
        epilog=EPILOG,
        description="Copy the first queries of each domain, with fewer draft depths or drafters if "
        "you like.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        "trace",
        type=Path,
        metavar="TRACE",
        help="the trace directory to copy from, or the name of a bundled one",
    )
    add("--out", type=Path, required=True, metavar="DIR", help="the trace directory to make")
    add("--per-domain", type=int, metavar="N", help="queries of each domain (default: all)")
    add(
        "--depths",
        type=int,
        metavar="D",
        help="draft depths to keep (default: all); the copy cannot replay longer drafts",
    )
    add(
        "--drafters",
        nargs="+",
        default=(),
        metavar="NAME",
        help="drafters to keep (default: all)",
    )
    add("--name", help="name of the copy (default: the trace's)")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Copy; say what is in the copy."""
    from hedgespec.bundled import trace_folder
    from hedgespec.costs.estimate import of_drafters
    from hedgespec.traces.subset import write_subset

    manifest = write_subset(
        trace_folder(options.trace),
        options.out,
        options.per_domain,
        options.depths,
        options.name,
        options.drafters,
        of_drafters,
    )
    size = sum(path.stat().st_size for path in options.out.iterdir())
    print(
        f"{options.out}: {manifest.queries} queries, {manifest.tokens} tokens, {size / 1e6:.1f} MB"
    )
    return 0
