"""`hedgespec validate`: check a trace."""

import argparse
from pathlib import Path
from typing import Any

from hedgespec.cli.common import add_json, add_quiet


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Define the command's options."""
    parser = commands.add_parser(
        "validate",
        description="Check schema, hashes, ranges, order and consistency of trace directories. "
        "The first fault is named by file, row and column (docs/trace-format.md).",
    )
    parser.add_argument(
        "traces",
        nargs="*",
        type=Path,
        metavar="DIR",
        help="trace directories, or names of bundled traces (default: all bundled)",
    )
    add_json(parser)
    add_quiet(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Check each trace; report all, fail if any failed."""
    import sys

    from hedgespec.bundled import bundled_traces, trace_folder
    from hedgespec.cli.common import print_json
    from hedgespec.errors import HedgespecError, at_shell

    checked = []
    for folder in map(trace_folder, options.traces) if options.traces else bundled_traces():
        try:
            found = _check(folder)
        except HedgespecError as error:
            found = {"trace": str(folder), "valid": False, "error": error.worded(at_shell)}
            print(f"hedgespec validate: {found['error']}", file=sys.stderr)
        checked.append(found)
        if found["valid"] and not options.json and not options.quiet:
            print(_sentence(found))
    if options.json:
        print_json(checked)
    return 0 if all(found["valid"] for found in checked) else 1


def _check(folder: Path) -> dict[str, Any]:
    """What a trace holds. Raises HedgespecError if it is not valid."""
    from hedgespec.rules import verification_rule
    from hedgespec.traces import TraceReader
    from hedgespec.traces.schema import MAX_ROWS_PER_SHARD

    reader = TraceReader(folder)
    manifest = reader.manifest
    for piece in reader.pieces(MAX_ROWS_PER_SHARD):
        trace = reader.read(piece)
        for rule in manifest.rules:
            verification_rule(rule.name, trace)
    return {
        "trace": str(folder),
        "valid": True,
        "name": manifest.name,
        "queries": manifest.queries,
        "tokens": manifest.tokens,
        "temperature": manifest.sampling.temperature,
        "target": manifest.target.id,
        "drafters": list(manifest.drafter_names),
        "rules": [rule.name for rule in manifest.rules],
    }


def _sentence(found: dict[str, Any]) -> str:
    return (
        f"{found['trace']}: valid; {found['queries']} queries, {found['tokens']} tokens, "
        f"temperature {found['temperature']:g}, target {found['target']}, "
        f"drafters {', '.join(found['drafters'])}"
        + "".join(f"; rule {rule}" for rule in found["rules"])
    )
