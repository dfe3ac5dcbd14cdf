"""A learner with random faults: refused with its line, or right to the last play."""

import re
from pathlib import Path

import numpy as np

from hedgespec.errors import HedgespecError
from hedgespec.selectors import limits
from hedgespec.selectors.trial import Plain
from hedgespec.simulator import Replayer
from tests.helpers.faulty_learners import learner
from tests.helpers.synthetic import write_trace

LENGTHS = (30, 700, 200)
WHEN = ("True", "position > {n}", "state[0] > {n}", "position % {n} == 0", "arm_of(loss) == 2")
LEARN = (
    "state[{n}] = {x}",
    "state[position // {n}] = {x}",
    "state[position % {n}] += {x}",
    "state[-{n}] = {x}",
    "raise ValueError('{n}')",
    "loss[{n} % 3] = {x}",
    "played[0] = {x}",
    "put(state, {n}, {x})",
    "put(state, position // {n}, {x})",
    "state[1:] += played * {x}",
    "state[0] = 1.0 / (position - {n})",
    "state[1:] /= state[1:].sum() - {x}",
    "state[:] = {x}",
)
PLAY = (
    "weights[0] = {x}",
    "weights[{n}] = {x}",
    "weights *= {x}",
    "weights[:] = {x}",
    "weights[:] = state[1:] / state[1:].sum()",
    "state[{n}] += 1",
    "weights[1:] = {x}",
    "raise IndexError('{n}')",
    "weights /= weights.sum()",
)
HELPERS = """
@compiled
def put(state, where, what):
    state[where] = what

@compiled
def arm_of(loss):
    return np.argmin(loss)
"""


def trial(rng: np.random.Generator, folder: Path) -> str:
    """Write one, replay it, and if it was not refused play all of it again as plain Python."""
    limits.SECONDS = 5.0
    file = folder / "mine.py"
    file.write_text(_text(rng))
    trace = write_trace(folder / "trace", lengths=LENGTHS)
    replayer = Replayer(trace, 4)
    label = f"{file}:LEARNER"
    try:
        configured = replayer.chooser(label)
        found = replayer.run(configured, 0)
        if rng.random() < 0.5:
            replayer.run_exact(configured)
    except HedgespecError as error:
        return _refusal(str(error), file)
    assert found.choice is not None
    _check_right(replayer, configured, found.choice)
    return "right"


def _refusal(message: str, file: Path) -> str:
    assert "\n" not in message, message
    assert re.search(rf"{re.escape(str(file))}, line \d+", message), message
    return "refused by numba" if "numba" in message else "refused"


def _check_right(replayer: Replayer, configured: object, choice: np.ndarray) -> None:
    """Every loss is that of before, and every text's plain rounds are the compiled ones."""
    from hedgespec.simulator.kernels import plain_kernel

    fresh = Replayer(replayer.trace, 4)
    tasks = []
    real = fresh._over_queries
    fresh._over_queries = lambda kernel, *given: tasks.append(given) or real(kernel, *given)
    fresh.run(configured, 0)
    task, _ = tasks[-1]
    kernel, plain = plain_kernel(configured, False)
    assert isinstance(plain, Plain)
    again = np.full_like(choice, -1)
    with np.errstate(all="ignore"):
        kernel(0, len(LENGTHS), task, again)
    assert (again == choice).mean() > 0.99, "compiled and plain decisions differ"


def _text(rng: np.random.Generator) -> str:
    play = "weights[:] = 0.0; weights[np.argmin(state[1:])] = 1.0"
    learn = "state[1:] += loss; state[0] += 1"
    for _ in range(rng.integers(0, 3)):
        learn += "\n    " + _statement(rng, LEARN, WHEN)
    for _ in range(rng.integers(0, 2)):
        play += "\n    " + _statement(rng, PLAY, ("True", "state[0] > {n}"))
    size = rng.choice(
        [
            "arms + 1",
            "arms + 1",
            "arms + 1",
            "arms",
            "3",
            "arms * 2",
            "min(arms, 2)",
            "arms + 0.5",
            "400",
        ]
    )
    says = ", uses_play=True" if rng.random() < 0.5 else ""
    return learner(before=HELPERS, play=play, learn=learn, size=str(size), says=says)


def _statement(rng: np.random.Generator, what: tuple[str, ...], when: tuple[str, ...]) -> str:
    values = {
        "n": int(rng.choice([0, 1, 2, 3, 4, 10, 100, 250, 310, 500, 690])),
        "x": rng.choice(["0.0", "1.0", "-1.0", "0.5", "7.0", "np.nan", "np.inf", "1e300"]),
    }
    condition = str(rng.choice(when)).format(**values)
    return f"if {condition}: {str(rng.choice(what)).format(**values)}"
