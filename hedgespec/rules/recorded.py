"""Checks of the statistics that a trace holds for one rule."""

import re
import shlex

import numpy as np

from hedgespec.errors import HedgespecError, at_shell
from hedgespec.traces import Trace
from hedgespec.traces.checks import consistency_slack


def check_present(
    trace: Trace, rule: str, statistics: tuple[str, ...], how: tuple[str, str]
) -> None:
    """Raise HedgespecError, with the command that would record them, if statistics are missing.

    `how` is the argument that the recorder has to be given for them, and its value.
    """
    if all(f"{statistic}.{rule}" in trace.rules for statistic in statistics):
        return
    raise HedgespecError(
        f"trace {trace.name} holds no statistics of rule {rule}; to record them: "
        f"{shlex.join(recording_again(trace, rule, how))}"
    )


def recording_again(trace: Trace, rule: str, how: tuple[str, str]) -> list[str]:
    """The command that made a trace, with the recorder's argument `how` and its value besides, and
    another folder and name."""
    given = trace.manifest.recording.get("command")
    command = list(given) if isinstance(given, list) else ["hedgespec", "record"]
    several = "record" not in command  # then --out is the folder of all of them
    out = _taken(command, "out") or ["recordings" if several else f"recordings/{trace.name}"]
    name, before = _taken(command, "name"), _taken(command, how[0])
    suffix = "-" + re.sub("[^a-z0-9]+", "-", rule)
    named = ["--name", name[-1] + suffix] if name else []
    return [*command, "--out", out[-1] + suffix, *named, at_shell(how[0]), *before, how[1]]


def _taken(command: list[str], name: str) -> list[str]:
    """The values of an option, which is taken out of a command."""
    option = at_shell(name)
    values: list[str] = []
    for place in reversed(
        [place for place, word in enumerate(command) if word.partition("=")[0] == option]
    ):
        own = command[place].split("=", 1)[1:]
        end = place + 1
        while not own and end < len(command) and not command[end].startswith("-"):
            end += 1
        values = [*own, *command[place + 1 : end], *values]
        del command[place:end]
    return values


def check_bounds(trace: Trace, rule: str, low: np.ndarray, high: np.ndarray) -> None:
    """Raise HedgespecError for the first gamma of `rule` below `low` or above `high` (T, D, N)."""
    gamma, slack = trace.rules[f"gamma.{rule}"], consistency_slack(trace.manifest)
    wrong = np.argwhere((gamma < low - slack) | (gamma > high + slack))
    if len(wrong):
        row, depth, arm = wrong[0]
        raise HedgespecError(
            f"trace {trace.name}: row {row} of all tokens, drafter "
            f"{trace.manifest.drafter_names[arm]}, depth {depth + 1}: gamma.{rule} is "
            f"{gamma[row, depth, arm]:.5f}, but lies in [{low[row, depth, arm]:.5f}, "
            f"{high[row, depth, arm]:.5f}] where gamma is {trace.gamma[row, depth, arm]:.5f}"
        )
