"""Learners of users, right ones and one for each kind of fault, as the text of a file."""

from dataclasses import dataclass

LATE = 400  # a position that the trial before a run does not come to
# Steps that take compiled code some seconds: longer than a call may take in the tests, but not for
# ever, as it cannot be stopped and would take a core from all tests that follow.
LONG = "3e9"

_FULL = """\
import math
import numpy as np
from hedgespec.selectors import FULL, Parameter, Selector, compiled
{before}
@compiled
def reset(state, params, arms, draft_length):
    {reset}

@compiled
def play(state, params, key, weights):
    {play}

@compiled
def learn(state, params, position, played, loss):
    {learn}

LEARNER = Selector(
    name="mine", feedback=FULL, source="a test", state_size=lambda arms: {size},
    reset=reset, play=play, learn=learn, parameters=(Parameter("rate", 0.1, "of fading"),){says})
"""
_CHOSEN = """\
import numpy as np
from hedgespec.selectors import CHOSEN, Selector, compiled
@compiled
def reset(state, params, arms, draft_length):
    state[:] = 0.0

@compiled
def play(state, params, key, weights):
    weights[:] = 1.0 / weights.shape[0]

@compiled
def learn(state, params, key, position, arm, propensity, outcome):
    {learn}

LEARNER = Selector(
    name="mine", feedback=CHOSEN, source="a test", state_size=lambda arms: arms,
    reset=reset, play=play, learn=learn)
"""
_GOOD = {
    "before": "",
    "reset": "state[:] = 0.0",
    "says": "",
    "size": "arms + 1",
    "play": "weights[:] = 0.0; weights[np.argmin(state[1:])] = 1.0",
    "learn": "state[1:] += loss; state[0] += 1",
}
# The same with a weight on all drafters, for what must be seen in any of them.
_SOFT = {"play": "weights[:] = np.exp(-state[1:]); weights /= weights.sum()"}


@dataclass(frozen=True)
class Faulty:
    """A learner, what is said of it, and in which function."""

    text: str
    message: str
    function: str


def learner(**parts: str) -> str:
    """A good learner with some of its parts changed."""
    return _FULL.format(**{**_GOOD, **parts})


def _wrong_play(statement: str, when: str = "True") -> str:
    return learner(play=f"{_GOOD['play']}\n    if {when}:\n        {statement}")


def _wrong_learn(statement: str, when: str = "True") -> str:
    return learner(learn=f"{_GOOD['learn']}\n    if {when}:\n        {statement}")


GOOD = {
    "leader": learner(),
    "with a helper": learner(
        before="@compiled\ndef total(state):\n    return state[1:].sum()",
        learn="state[1:] += loss; state[0] = total(state)",
    ),
    "infinities of compiled code": learner(
        learn="state[1:] += loss; state[0] = math.log(0.0 * state[0]) + math.exp(1e4)"
    ),
}
_N = "no probabilities"
FAULTY = {
    "weights vanish": Faulty(_wrong_play("weights[:] = 0.0"), _N, "play"),
    "weight of NaN": Faulty(_wrong_play("weights[0] = np.nan"), _N, "play"),
    "weight below 0": Faulty(_wrong_play("weights[0] -= 2.0; weights[1] += 2.0"), _N, "play"),
    "weights of two": Faulty(_wrong_play("weights *= 2.0"), _N, "play"),
    "weight not written": Faulty(learner(play="weights[0] = 1.0"), _N, "play"),
    "state for three": Faulty(learner(size="3"), "IndexError|ValueError", "learn"),
    "index before the state": Faulty(
        _wrong_learn("state[-state.shape[0] - 1] = 1.0"), "IndexError", "learn"
    ),
    "helper out of bounds": Faulty(
        learner(before="@compiled\ndef put(state):\n    state[100] = 1.0", learn="put(state)"),
        "IndexError",
        "put",
    ),
    "raises": Faulty(_wrong_learn("raise ValueError('no')"), "ValueError: no", "learn"),
    "exits": Faulty(_wrong_learn("exit()"), "SystemExit", "learn"),
    "writes to the losses": Faulty(learner(learn="loss[0] = 0.0"), "read-only", "learn"),
    "writes to what was played": Faulty(_wrong_learn("played[0] = 0.0"), "read-only", "learn"),
    "writes to the parameters": Faulty(learner(reset="params[0] = 0.0"), "read-only", "reset"),
    "half of the state reset": Faulty(
        learner(reset="state[0] = 0.0"), "reset leaves part of the state", "reset"
    ),
    "reads what was played": Faulty(
        learner(**_SOFT, learn="state[1:] += loss + played[0] * np.arange(played.size)"),
        "uses_play=True",
        "learn",
    ),
    # In NaN all played of others is lost: only the play itself makes a difference.
    "reads what was played once": Faulty(
        learner(
            learn="state[1:] += loss; state[0] += 1\n"
            "    if state[0] > 4:\n        state[1:] += played * np.inf"
        ),
        "uses_play=True",
        "learn",
    ),
    "draws unsaid": Faulty(
        learner(play="weights[:] = 0.0; weights[key % weights.size] = 1.0"), "draws=True", "play"
    ),
    "counts plays": Faulty(
        learner(
            play="state[0] += 1; weights[:] = 0.0\n    weights[int(state[0]) % weights.size] = 1.0"
        ),
        "play changes what it plays next",
        "play",
    ),
    "remembers": Faulty(
        learner(
            before="SEEN = []", learn="SEEN.append(1); state[1 + len(SEEN) % 2] += len(SEEN) // 200"
        ),
        "outside of `state`",
        "learn",
    ),
    "reads gamma unsaid": Faulty(
        _CHOSEN.format(learn="state[arm] += outcome[1]").replace(
            "weights[:] = 1.0 / weights.shape[0]",
            "weights[:] = np.exp(-state); weights /= weights.sum()",
        ),
        "uses_gamma=True",
        "learn",
    ),
    "bandit out of bounds": Faulty(
        _CHOSEN.format(learn="state[arm + 20] = 1"), "IndexError", "learn"
    ),
    "half a state": Faulty(learner(size="arms / 2"), "not a number of entries", "<lambda>"),
    "no state for these": Faulty(learner(size="-1"), "not a number of entries", "<lambda>"),
    "huge state": Faulty(learner(size="10**12"), "not a number of entries", "<lambda>"),
    "another signature": Faulty(
        learner().replace("def learn(state, params,", "def learn(state,"), "TypeError", "learn"
    ),
    "a bandit's signature": Faulty(
        learner().replace("feedback=FULL", "feedback='chosen'"), "TypeError", "learn"
    ),
    "state raises": Faulty(learner(size="{}[arms]"), "KeyError", "<lambda>"),
}
# One text for all late faults, so that it is compiled once: the parameter says which it has.
_LATE_FULL = learner(
    before="@compiled\ndef put(state, where):\n    state[where] = 1.0",
    play=f"""{_GOOD["play"]}
    if state[0] > {LATE}:
        if params[0] == 1:
            weights[:] = 0.0
        if params[0] == 2:
            weights[0] = np.nan
        if params[0] == 3:
            weights[0] -= 2.0
            weights[1] += 2.0""",
    learn=f"""{_GOOD["learn"]}
    if position > {LATE}:
        if params[0] == 4:
            state[position] = 1.0
        if params[0] == 5:
            put(state, position)
        if params[0] == 6:
            raise ValueError("late")
        while params[0] == 7 and state[0] < {LONG}:
            state[0] += 1""",
)
_LATE_CHOSEN = (
    _CHOSEN.format(
        learn=f"""state[arm] += outcome[0]
    if position > {LATE}:
        if params[0] == 1:
            state[position] = 0
        if params[0] == 2:
            raise ValueError("late")"""
    )
    .replace("learn=learn)", "learn=learn, parameters=(Parameter('rate', 0.1, 'of fading'),))")
    .replace("CHOSEN, Sel", "CHOSEN, Parameter, Sel")
)


@dataclass(frozen=True)
class LateFault(Faulty):
    """One that is there with this value of the parameter `rate`."""

    rate: int


LATE_FAULTS = {
    "weights vanish": LateFault(_LATE_FULL, _N, "play", 1),
    "weight of NaN": LateFault(_LATE_FULL, _N, "play", 2),
    "weight below 0": LateFault(_LATE_FULL, _N, "play", 3),
    "out of bounds": LateFault(_LATE_FULL, "IndexError", "learn", 4),
    "helper out of bounds": LateFault(_LATE_FULL, "IndexError", "put", 5),
    "raises": LateFault(_LATE_FULL, "ValueError: late", "learn", 6),
    "never returns": LateFault(_LATE_FULL, "did not return", "learn", 7),
    "bandit out of bounds": LateFault(_LATE_CHOSEN, "IndexError", "learn", 1),
    "bandit raises": LateFault(_LATE_CHOSEN, "ValueError: late", "learn", 2),
}
HANGS = {
    "at once": Faulty(
        _wrong_play("while True:\n            state[0] += 0"), "did not return", "play"
    ),
    "in state_size": Faulty(
        learner(size="next(iter(int, 1) for _ in iter(int, 1) if arms < 0)"),
        "did not return",
        "<genexpr>",
    ),
    "when imported": Faulty("while True:\n    pass\n", "did not return", "<module>"),
}
