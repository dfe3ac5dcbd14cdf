"""The command line: `hedgespec COMMAND --help`. Each command is one thin module."""

import argparse
import os
import sys
from importlib import import_module
from io import TextIOWrapper
from typing import Any

from hedgespec.cli.common import Parser, one_line_warnings, shell_words
from hedgespec.errors import HedgespecError, did_you_mean
from hedgespec.version import version_and_commit

COMMANDS = {
    "record": "run a target and its drafters once; write a trace",
    "zoo": "train domain-expert draft heads for a target",
    "head": "show what an EAGLE head is made of, and how many of its drafts a target accepts",
    "traces": "list the bundled traces, or record their experiment with a zoo",
    "subset": "copy part of a trace",
    "synthetic": "make up a trace without any model, for stress tests",
    "validate": "check a trace",
    "sim": "replay traces with many selectors; write result tables and a figure",
    "report": "make figures, tables and findings from results of sim",
    "check": "check a learner of your own thoroughly",
    "selectors": "list the selectors, their parameters, and the verification rules",
    "live": "decode with real models and a selector, or chat",
    "fidelity": "replay the log of a live run and check that the decisions are the same",
    "export": "write what a policy does on a trace, for an engine's simulation or a benchmark",
    "import": "read an engine's own log of speculative decoding",
    "profile": "measure the costs of a target's shapes, with random weights",
}
MODULES = {"import": "import_log"}  # of commands whose name no module can have


SHELLS = ("bash", "zsh", "tcsh")


class _Version(argparse.Action):
    """Asks git when it is wanted, not whenever a parser is made."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object, **__: object) -> None:
        print(f"hedgespec {version_and_commit()}")
        parser.exit()


class _Docs(argparse.Action):
    """Looks for the pages when they are wanted."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object, **__: object) -> None:
        from hedgespec.bundled import documentation

        try:
            print(documentation())
        except HedgespecError as error:
            parser.exit(1, f"hedgespec: {error}\n")
        parser.exit()


class _Completion(argparse.Action):
    """Prints the completion of every command, whose options are all imported for it."""

    def __call__(
        self, parser: argparse.ArgumentParser, options: object, shell: Any, *_: object
    ) -> None:
        try:
            import shtab
        except ImportError:
            parser.exit(
                1, "hedgespec: shtab is not installed: pip install 'hedgespec[completion]'\n"
            )
        print(shtab.complete(make_parser(list(COMMANDS))[0], shell=shell))
        parser.exit()


class _Commands(argparse._SubParsersAction):  # type: ignore[type-arg]  # not at run time
    """Every command is listed with its line, wherever it is defined."""

    def add_parser(self, name: str, **words: Any) -> Any:
        """That of a command."""
        return super().add_parser(name, **{"help": COMMANDS[name], **words})


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return the exit status (0 good, 1 error told in one line, 130 Ctrl-C)."""
    _replace_what_cannot_be_shown()
    try:
        with one_line_warnings():
            return _run(arguments)
    except KeyboardInterrupt:  # while a command was imported: that takes a second
        print("hedgespec: interrupted", file=sys.stderr)
        return 130


def make_parser(
    given: list[str],
) -> "tuple[Parser, argparse._SubParsersAction[Parser]]":
    """The parser, and its commands: those named in `given` with all their options."""
    parser = Parser(
        prog="hedgespec", description="Choose a drafter-selection policy for speculative decoding."
    )
    parser.add_argument(
        "--version",
        action=_Version,
        nargs=0,
        help="show the version, and the commit where there is one",
    )
    parser.add_argument(
        "--docs",
        action=_Docs,
        nargs=0,
        help="show the folder of the documentation (help texts call it docs/)",
    )
    parser.add_argument(
        "--print-completion",
        action=_Completion,
        choices=SHELLS,
        help="print a script that completes commands and options, for a shell's "
        "start file (needs the `completion` extra)",
    )
    commands = parser.add_subparsers(
        title="commands", dest="command", metavar="COMMAND", required=True, action=_Commands
    )
    for name in COMMANDS:
        if name in given:
            import_module(f"hedgespec.cli.{MODULES.get(name, name)}").add_parser(commands)
        else:  # its options take a second to import
            commands.add_parser(name)
    return parser, commands


def _run(arguments: list[str] | None) -> int:
    parser, commands = make_parser(sys.argv[1:] if arguments is None else arguments)
    options, unknown = parser.parse_known_args(arguments)
    if unknown:
        command = commands.choices[options.command]
        command.error(
            f"unrecognized arguments: {' '.join(unknown)}"
            + did_you_mean(unknown[0].partition("=")[0], command._option_string_actions)
        )
    try:
        status: int = options.run(options)
    except BrokenPipeError:  # as of `hedgespec selectors | head`: nobody reads on
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - for what Python flushes at its end
        return 1
    except (HedgespecError, OSError) as error:  # OSError: a full disk, a missing permission
        message = shell_words(error, commands.choices[options.command])
        print(f"hedgespec {options.command}: {message}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"hedgespec {options.command}: interrupted", file=sys.stderr)
        return 130
    return status


def _replace_what_cannot_be_shown() -> None:
    """A stream may have no sign for a name's letter, or for ±: it then shows another."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")
