"""A learner of the user's own, tried out as plain Python on made-up losses before it is compiled.

Every call is checked: bounds (NumPy does), what it may write to, and that a play is a distribution.
What a learner says that it does not read is filled with other numbers in a second run, which must
play the same.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from time import monotonic
from typing import Any

import numpy as np

from hedgespec.selectors.contract import (
    CHOSEN,
    EMITTED,
    FULL,
    LOOKAHEAD,
    OUTCOMES,
    VERIFIED,
    Selector,
)
from hedgespec.selectors.faults import LearnerError, fault_of, line_of
from hedgespec.selectors.functions import Functions, plain_functions
from hedgespec.selectors.limits import run_limited
from hedgespec.selectors.uniforms import decision_key

POSITIONS = 300
SECONDS = 3.0  # a trial that takes longer is cut off: compiled runs are checked too
_LARGEST_STATE = 2**26
_TOLERANCE = 1e-9  # of the sum of a play
_SAME = 1e-6  # of two plays: rounding may differ where a play was repeated


@dataclass(frozen=True)
class Unread:
    """What stands where a learner says that it does not read."""

    state: float = 0.0  # before reset
    played: float = 0.0  # without uses_play: of one drafter after the other
    as_played: bool = False  # without uses_play: the play itself, as compiled code has it
    key: int = 0  # without draws
    outcome: float = 0.0  # VERIFIED and LOOKAHEAD without uses_gamma
    repeated: bool = False  # each play is made twice, without draws


# Each run differs from the first in one thing, or none, that must not matter.
_READS_PLAYED = "learn reads `played`, and the Selector does not say uses_play=True"
_RULES = (
    (
        "the same losses gave other plays the second time: it keeps something outside of `state`",
        Unread(),
    ),
    ("reset leaves part of the state as it was", Unread(state=np.nan)),
    (_READS_PLAYED, Unread(played=1.0)),
    (_READS_PLAYED, Unread(as_played=True)),
    ("it reads `key`, and the Selector does not say draws=True", Unread(key=1)),
    (
        "learn reads outcome[VERIFIED] or outcome[LOOKAHEAD], and the Selector does not say "
        "uses_gamma=True",
        Unread(outcome=1.0),
    ),
    (
        "play changes what it plays next, and the Selector does not say draws=True",
        Unread(repeated=True),
    ),
)


def try_out(selector: Selector, params: tuple[float, ...], arms: int, draft_length: int) -> None:
    """Play some made-up texts with N = `arms` drafters and draft length K; once per process.

    Raises HedgespecError, beginning with file and line, for the first call that breaks the contract
    or does not return.
    """
    _tried(selector, params, arms, draft_length)


@cache
def _tried(selector: Selector, params: tuple[float, ...], arms: int, draft_length: int) -> None:
    check_state_size(selector, arms)
    ends = monotonic() + SECONDS
    positions = min(POSITIONS, max(30, 100 * POSITIONS // arms))
    for losses in made_up_losses(arms, positions).values():
        _try_text(selector, params, draft_length, losses, ends)


def _try_text(
    selector: Selector,
    params: tuple[float, ...],
    draft_length: int,
    losses: np.ndarray,
    ends: float,
) -> None:
    first = plays_of(selector, params, draft_length, losses, ends=ends)
    for rule, unread in _RULES:
        other = plays_of(selector, params, draft_length, losses, unread, ends)
        count = min(len(first), len(other))
        if not np.allclose(first[:count], other[:count], rtol=0, atol=_SAME):
            raise LearnerError(f"{line_of(_at_fault(selector, unread))}: {rule}")


def _at_fault(selector: Selector, unread: Unread) -> Callable[..., None]:
    if unread.state != 0:
        return selector.reset
    return selector.play if unread.repeated or unread.key else selector.learn


def plays_of(
    selector: Selector,
    params: tuple[float, ...],
    draft_length: int,
    losses: np.ndarray,
    unread: Unread | None = None,
    ends: float = np.inf,
    functions: Functions | None = None,
) -> np.ndarray:
    """What a learner plays (T, N) on losses (T, N) learned one position after the other.

    As plain Python, unless other `functions` are given. Fewer rows if the time is over before.
    Raises LearnerError for a call that breaks the contract.
    """
    plain = Plain(selector, unread or Unread(), functions)
    plays: list[np.ndarray] = []

    def work() -> None:
        with np.errstate(all="ignore"):
            for play in _rounds(plain, np.array(params, dtype=np.float64), draft_length, losses):
                plays.append(play)
                if monotonic() > ends:
                    return

    try:
        run_limited(work, lambda: plain.calls)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # whatever the user's code raises, SystemExit too
        fault = fault_of(error, selector, plain.called)
        raise LearnerError(
            f"{fault} ({losses.shape[1]} drafters, position {len(plays)} of a made-up text)"
        ) from error
    return np.array(plays)


def _rounds(
    plain: "Plain", params: np.ndarray, draft_length: int, losses: np.ndarray
) -> Iterator[np.ndarray]:
    """The play of each round; losses are learned at once."""
    selector, arms = plain.selector, losses.shape[1]
    params = np.append(params, selector.behind_parameters([float(draft_length)] * arms))
    state, weights = np.empty(selector.state_size(arms)), np.empty(arms)
    plain.reset(state, params, arms, draft_length)
    for position, loss in enumerate(losses):
        key = decision_key(0, position) if selector.draws else 0
        plain.play(state, params, key, weights)
        yield weights.copy()
        if selector.feedback == CHOSEN:
            arm = position % arms if weights[position % arms] > 0 else int(weights.argmax())
            outcome = np.full(OUTCOMES, 1 - loss[arm])
            outcome[EMITTED] = 1 + round((1 - loss[arm]) * draft_length)
            plain.learn(state, params, key, position, arm, weights[arm], outcome)
        elif selector.feedback == FULL:
            plain.learn(state, params, position, weights, loss)


def made_up_losses(arms: int, positions: int) -> dict[str, np.ndarray]:
    """Losses (T, N) of several kinds, each in [0, 1]."""
    rng = np.random.default_rng(arms)
    gap = rng.random((positions, arms)) * np.linspace(0.6, 1.0, arms)
    best = (np.arange(positions)[:, None] // 50) % arms == np.arange(arms)
    return {
        "one drafter is better": gap,
        "the best one changes": np.where(best, 0.2, 0.8) + 0.1 * rng.random((positions, arms)),
        "all accept": np.zeros((positions // 3, arms)),
        "none accepts": np.ones((positions // 3, arms)),
    }


def check_state_size(selector: Selector, arms: int) -> None:
    """Raise LearnerError unless `state_size` gives a number of entries."""
    try:
        size: object = run_limited(partial(selector.state_size, arms), lambda: None)
    except Exception as error:  # whatever the user's code raises
        raise fault_of(error, selector, selector.state_size) from error
    if (
        not isinstance(size, int | np.integer)
        or isinstance(size, bool)
        or not (0 <= size <= _LARGEST_STATE)
    ):
        raise LearnerError(
            f"{line_of(selector.state_size)}: state_size({arms}) is {size!r}, not a "
            f"number of entries from 0 to {_LARGEST_STATE}"
        )


@dataclass
class Plain:
    """A learner's functions as plain Python, with the arguments that compiled code gives them.

    Others of its `functions` may stand for them. Each raises whatever the user's code raises, and
    LearnerError for a play that is no distribution.
    """

    selector: Selector
    unread: Unread = field(default_factory=Unread)
    functions: Functions | None = None
    calls: int = 0

    def __post_init__(self) -> None:
        self._functions = self.functions or plain_functions(self.selector)
        self.called: Callable[..., Any] = self.selector.reset  # the last one

    def reset(self, state: np.ndarray, params: np.ndarray, arms: int, draft_length: int) -> None:
        """Before a text."""
        self.calls, self.called = self.calls + 1, self.selector.reset
        state[:] = self.unread.state
        self._functions.reset(state, _read_only(params), np.int64(arms), np.int64(draft_length))

    def play(self, state: np.ndarray, params: np.ndarray, key: int, weights: np.ndarray) -> None:
        """Before a round; writes the probabilities."""
        for _ in range(1 + (self.unread.repeated and not self.selector.draws)):
            self.calls, self.called = self.calls + 1, self.selector.play
            weights[:] = np.nan
            self._functions.play(state, _read_only(params), self._key(key), weights)
        if not (weights >= 0).all() or not abs(weights.sum() - 1) <= _TOLERANCE:
            raise LearnerError(
                f"{line_of(self.selector.play)}: it wrote {_shown(weights)}, no "
                f"probabilities of {len(weights)} drafters"
            )

    def learn(self, state: np.ndarray, params: np.ndarray, *known: Any) -> None:
        """After a position, or after a round."""
        self.calls, self.called = self.calls + 1, self.selector.learn
        chosen = self.selector.feedback == CHOSEN
        taken = self._own_round if chosen else self._position
        self._functions.learn(state, _read_only(params), *taken(*known))

    def _key(self, key: int) -> np.int64:
        return np.int64(key if self.selector.draws else self.unread.key)

    def _position(self, position: int, played: np.ndarray, loss: np.ndarray) -> Sequence[object]:
        if not (self.selector.uses_play or self.unread.as_played):
            played = np.zeros_like(played)
            played[self.calls % len(played)] = self.unread.played
        return np.int64(position), _read_only(played), _read_only(loss)

    def _own_round(
        self, key: int, position: int, arm: int, propensity: float, outcome: np.ndarray
    ) -> Sequence[object]:
        if not self.selector.uses_gamma:
            outcome = outcome.copy()
            outcome[[VERIFIED, LOOKAHEAD]] = self.unread.outcome
        return (
            self._key(key),
            np.int64(position),
            np.int64(arm),
            np.float64(propensity),
            _read_only(outcome),
        )


def _read_only(array: np.ndarray) -> np.ndarray:
    view = array.view()
    view.flags.writeable = False
    return view


def _shown(weights: np.ndarray) -> str:
    first = ", ".join(f"{weight:.6g}" for weight in weights[:8])
    return f"[{first}{', ...' if len(weights) > 8 else ''}], sum {weights.sum():.9g}"
