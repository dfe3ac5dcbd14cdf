"""`hedgespec validate`: check a trace."""

import argparse
from pathlib import Path


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Define the command's options."""
    parser = commands.add_parser(
        "validate",
        description="Check schema, hashes, ranges, order and consistency of trace directories. "
                    "The first fault is named by file, row and column (docs/trace-format.md).",
    )
    parser.add_argument("traces", nargs="*", type=Path, metavar="DIR",
                        help="trace directories, or names of bundled ones (default: all of these)")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Check each trace; report all, fail if any failed."""
    import sys

    from hedgespec.bundled import bundled_traces, trace_folder
    from hedgespec.errors import HedgespecError, at_shell
    from hedgespec.rules import verification_rule
    from hedgespec.traces import TraceReader
    from hedgespec.traces.schema import MAX_ROWS_PER_SHARD

    failed = 0
    for folder in map(trace_folder, options.traces) if options.traces else bundled_traces():
        try:
            reader = TraceReader(folder)
            manifest = reader.manifest
            for piece in reader.pieces(MAX_ROWS_PER_SHARD):
                trace = reader.read(piece)
                for rule in manifest.rules:
                    verification_rule(rule.name, trace)
        except HedgespecError as error:
            print(f"hedgespec validate: {error.worded(at_shell)}", file=sys.stderr)
            failed += 1
            continue
        print(f"{folder}: valid; {manifest.queries} queries, {manifest.tokens} tokens, "
              f"temperature {manifest.sampling.temperature:g}, target {manifest.target.id}, "
              f"drafters {', '.join(manifest.drafter_names)}"
              + "".join(f"; rule {rule.name}" for rule in manifest.rules))
    return 1 if failed else 0
