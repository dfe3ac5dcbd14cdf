"""`hedgespec fidelity`: replay the log of a live run."""

import argparse
from pathlib import Path

_TOLD = 0.01  # share of the seconds that stalled rounds are told from


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Define the command's options."""
    parser = commands.add_parser(
        "fidelity",
        description="Replay what `hedgespec live --out` wrote. Every chosen drafter and every\n"
        "played probability must come out again, bit for bit. The first that differs\n"
        "is named, with status 1. Seconds are shown live and as replayed.",
        epilog="example:\n  hedgespec live --out log && hedgespec fidelity log",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("logs", nargs="+", type=Path, metavar="LOG", help="folders of live runs")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Check each log."""
    from hedgespec.results.log import TRACE
    from hedgespec.simulator.fidelity import (
        check_replayed,
        passes_of,
        replayed_log,
        seconds_of,
        stalled_rounds,
    )
    from hedgespec.traces import load_manifest
    from hedgespec.traces.gap import FIELD

    for folder in options.logs:
        replayed = replayed_log(folder)
        rounds = check_replayed(replayed)  # also refuses text that is not the target's
        told = FIELD in load_manifest(folder / TRACE).recording
        seconds = seconds_of(replayed)
        print(
            f"{folder}: {rounds} rounds, every decision replayed"
            + (
                ""
                if seconds is None
                else _seconds(seconds, passes_of(replayed))
                + _stalled(seconds[0], *stalled_rounds(replayed))
            )
            + ("" if told else "; this old log does not say whether its text is the target's")
        )
    return 0


def _seconds(found: tuple[float, float], passes: tuple[float, float]) -> str:
    """How far the replay's seconds are from those that passed, and the target's passes of them."""
    live, replayed = found
    return (
        f"; {live:.3g} s live, {replayed:.3g} s replayed under the log's costs "
        f"({(replayed - live) / live:+.1%}); of these {passes[0]:.3g} s and {passes[1]:.3g} s are the "
        "target's passes"
    )


def _stalled(live: float, rounds: int, lost: float) -> str:
    """What of the seconds live went by in stalled rounds, where it is worth a word."""
    if lost <= _TOLD * live:
        return ""
    return (
        f"; {lost:.3g} s live in {rounds} of the rounds, which took over three times as long as "
        "their like: the machine was busy"
    )
