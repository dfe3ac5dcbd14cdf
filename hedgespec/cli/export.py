"""`hedgespec export`: a trace under a policy, as engines and benchmarks read it."""

import argparse

from hedgespec.bridges.exports import EXPORTS
from hedgespec.bridges.policy import ExportSettings
from hedgespec.options import add_options, with_given

EPILOG = (
    "formats, and what each loses:\n"
    + "\n".join(f"  {one.name:20} {one.help}\n{'':23}loses {one.loses}" for one in EXPORTS.values())
    + """

examples:
  hedgespec export vllm domain-mix-t0.7 --policy normalhedge
  hedgespec export spec-bench domain-mix-t0.7 --policy fixed:generalist --out answers.jsonl
"""
)


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Define the command's options."""
    parser = commands.add_parser(
        "export",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Write what a policy does on a trace, for an engine's own simulation of "
        "speculative decoding or for a benchmark.",
    )
    parser.add_argument("format", choices=tuple(EXPORTS), metavar="FORMAT", help="see below")
    parser.add_argument(
        "trace", metavar="TRACE", help="a trace directory, or the name of a bundled one"
    )
    add_options(parser, ExportSettings())
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Write or print; say what is lost."""
    import sys

    from hedgespec.api import read_trace
    from hedgespec.bridges.policy import drafting_of
    from hedgespec.files import check_writable, write_text

    settings, export = with_given(ExportSettings(), options), EXPORTS[options.format]
    if settings.out is not None:
        check_writable(settings.out)
    found = drafting_of(read_trace(options.trace), settings)
    text = export.write(found)
    if settings.out is None:
        print(text, end="")
    else:
        write_text(settings.out, text)
    print(
        f"{found.policy} on {found.trace.name}, K = {found.draft_length}, rule {found.rule}: "
        f"MAT {found.mat:.3f}, {found.drafting:.1%} of the rounds draft; lost: {export.loses}",
        file=sys.stderr,
    )
    return 0
