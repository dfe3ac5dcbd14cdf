"""Drives a selector through one text after another while they are being decoded.

What the compiled replay loops do for recorded texts (simulator/replay_full.py, replay_chosen.py),
round by round: the same functions, fed in the same order, so that a replay of what was decoded
comes to the same decisions bit for bit (tests/selectors/test_online.py, `hedgespec fidelity`).
"""

from bisect import bisect_left
from collections.abc import Iterator

import numpy as np

from hedgespec.errors import HedgespecError
from hedgespec.selectors.contract import CHOSEN, EMITTED, FULL, OUTCOMES, VERIFIED
from hedgespec.selectors.learning import Feedback, Loss, check_learning
from hedgespec.selectors.losses import estimator_arrays
from hedgespec.selectors.registry import ConfiguredSelector
from hedgespec.selectors.step import compile_step
from hedgespec.selectors.uniforms import decision_key, query_key


class OnlineSelector:
    """A selector over N drafters with draft length K.

    For each text `begin`; for each round `choose`, and before it `verified` with the statistics
    of what was emitted: at once, or no later than `needs` says.
    """

    def __init__(
        self, configured: ConfiguredSelector, arms: int, draft_length: int,
        feedback: Feedback | None = None, loss: Loss | None = None, seed: int = 0,
        round_seconds: np.ndarray | None = None, path_only: bool = False,
    ):
        """`round_seconds` (N) are those of a round of each drafter, for loss `seconds`; `path_only`
        as in `estimator_arrays`.

        Raises HedgespecError for settings that make no sense for the selector or cannot be had
        live: feedback `oracle`, rewards from text that is not written yet.
        """
        self.selector = configured.selector
        check_learning(self.selector, feedback, loss)
        self.feedback, self.loss = feedback or Feedback(), loss or Loss()
        if self.feedback.complete:
            raise HedgespecError("feedback oracle needs text that is not written yet: it can be "
                                 "replayed, not decoded live")
        if self.selector.looks_ahead(configured.values):
            raise HedgespecError(f"{configured.label} is rewarded by text that is not written yet: "
                                 "it can be replayed, not decoded live")
        if self.loss.seconds and round_seconds is None:
            raise HedgespecError("loss seconds needs the seconds of a round of each drafter")
        self._params = configured.parameter_array()
        self._arms, self._length, self._seed = arms, draft_length, seed
        self._path_only = path_only
        self._window = self.loss.window(draft_length)
        self._copies = self.feedback.copies(self._window)
        self._step = compile_step(
            self.selector, self.feedback, self.loss, draft_length,
            tuple(round_seconds.tolist()) if self.loss.seconds and round_seconds is not None
            else None)
        self.weights, self._loss = np.zeros(arms), np.zeros(arms)
        self._compile()
        self.begin(0)

    def _compile(self) -> None:
        """Run everything once, so that the first round of a text does not wait for it."""
        self.begin(0)
        self.choose(0)
        self.finished_round(1, np.zeros((1, 1), dtype=np.float32))

    def begin(self, query: int) -> None:
        """Start a text; its number and the seed give the uniform numbers."""
        self._key = query_key(self._seed, query)
        self._states = np.zeros((self._copies, self.selector.state_size(self._arms)))
        for state in self._states:
            self.selector.reset(state, self._params, self._arms, self._length)
        self._gamma = self._realised = np.empty((0, 1, self._arms), dtype=np.float32)
        self._known = 0  # positions whose statistics are there
        self._rounds = 0
        self._starts = np.empty(64, dtype=np.int64)
        self._plays = np.empty((64, self._arms))
        self._fed = 0
        self._current = False  # whether `weights` are what the learner would play now

    def choose(self, start: int) -> int:
        """The drafter of the round that starts at position `start`; `weights` are its play."""
        survive = end = self._gamma
        fed, limit = 0, 0
        if self.selector.feedback == FULL:
            survive, end = estimator_arrays(
                self.loss.estimator, self._gamma, self._realised, self._path_only)
            fed, limit = self._fed, self._limit(start)
            self._fed = max(fed, limit)
        if self.loss.prefill:
            survive, end = survive[:, :1], end[:, :1]
        if self._rounds == len(self._starts):
            self._starts, self._plays = _doubled(self._starts), _doubled(self._plays)
        arm: int = self._step(
            self._states, self._params, self._key, self.weights, self._plays, self._starts,
            self._rounds, start, self._current, survive, end, self._gamma, fed, limit, self._loss)
        self._current = self._copies == 1 and not self.selector.draws
        self._rounds += 1
        self._arm = arm
        return arm

    def needs(self, start: int) -> int:
        """How many positions must be known before a round at `start` can be chosen.

        0 if those that are known already will do.
        """
        if self.selector.feedback != FULL:
            return 0
        usable, seen = self._usable(start), self._known - self._window
        if self._known >= usable:
            return 0
        due = any(position > seen or self.feedback.cut for position in self._due(start))
        return usable if due else 0

    def verified(self, gamma: np.ndarray, realised: np.ndarray) -> None:
        """Take note of the statistics (m, D, N), float32, of the next m emitted tokens.

        `gamma` are acceptance probabilities, `realised` those given the token emitted.
        """
        self._append(gamma, realised)

    def finished_round(self, emitted: int, gamma: np.ndarray | None = None) -> None:
        """Tell how many tokens a round emitted, for selectors that learn from their own rounds.

        `gamma` (m, D) is the acceptance probability of the drafter that ran, for those that use it.
        """
        if self.selector.feedback != CHOSEN:
            return
        start, arm = int(self._starts[self._rounds - 1]), self._arm
        outcome = np.full(OUTCOMES, np.nan)
        outcome[EMITTED] = emitted
        if self.selector.uses_gamma:
            assert gamma is not None
            total, deepest = 0.0, gamma.shape[1] - 1
            count = min(emitted, self._length)
            for step in range(count):
                total += gamma[step, min(step, deepest)]
            outcome[VERIFIED] = total / count
        own_key = decision_key(self._key, start) if self.selector.draws else 0
        self.selector.learn(self._states[0], self._params, own_key, start, arm, self.weights[arm],
                            outcome)
        self._current = False

    def _due(self, start: int) -> Iterator[int]:
        """Positions to learn from before a round at `start`: which the step comes to as well."""
        feedback, starts, rounds = self.feedback, self._starts, self._rounds
        number = bisect_left(starts, self._fed, 0, rounds) - 1
        for position in range(self._fed, self._limit(start)):
            begun = number + 1 < rounds and starts[number + 1] == position
            number += begun
            if (begun or not feedback.by_round) and number % feedback.every == 0:
                yield position

    def _limit(self, start: int) -> int:
        """Where the positions end that may be learned from before a round at `start`."""
        usable = self._usable(start)
        return usable if self.feedback.cut else usable - self._window + 1

    def _usable(self, start: int) -> int:
        """How many positions' statistics may be used before a round at `start`."""
        delay, rounds = self.feedback.rounds, self._rounds
        if delay:
            return 0 if rounds < delay else int(self._starts[rounds - delay])
        return start

    def _append(self, gamma: np.ndarray, realised: np.ndarray) -> None:
        count = self._known + len(gamma)
        if count > len(self._gamma):
            room = (max(64, 2 * count), *gamma.shape[1:])
            old = self._gamma[: self._known], self._realised[: self._known]
            self._gamma, self._realised = (np.empty(room, dtype=np.float32) for _ in range(2))
            if self._known:
                self._gamma[: self._known], self._realised[: self._known] = old
        self._gamma[self._known : count] = gamma
        self._realised[self._known : count] = realised
        self._known = count


def _doubled(array: np.ndarray) -> np.ndarray:
    """The array with as many rows again, not filled."""
    return np.concatenate([array, np.empty_like(array)])
