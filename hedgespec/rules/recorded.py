"""Checks of the statistics that a trace holds for one rule."""

import shlex

import numpy as np

from hedgespec.errors import HedgespecError, arg, at_shell
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
    command = trace.manifest.recording.get("command")
    given = shlex.join(command) if isinstance(command, list) else "hedgespec record ..."
    raise HedgespecError(
        f"trace {trace.name} holds no statistics of rule {rule}; to record them, run again, with "
        f"another {arg('out')}: {given} {at_shell(*how)}")


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
            f"{high[row, depth, arm]:.5f}] where gamma is {trace.gamma[row, depth, arm]:.5f}")
