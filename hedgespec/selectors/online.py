"""Drives a selector through one text after another while they are being decoded.

What the compiled replay loops do for recorded texts (simulator/replay_full.py, replay_chosen.py),
round by round: the same functions, fed in the same order, so that a replay of what was decoded
comes to the same decisions bit for bit (tests/test_online.py, `hedgespec fidelity`).
"""

from bisect import bisect_left
from collections.abc import Iterator

import numpy as np

from hedgespec.errors import HedgespecError
from hedgespec.selectors.contract import CHOSEN, EMITTED, FULL, OUTCOMES, VERIFIED, draw
from hedgespec.selectors.learning import Feedback, Loss, check_learning
from hedgespec.selectors.losses import (
    cut_length_loss,
    estimator_arrays,
    per_second,
    position_loss,
)
from hedgespec.selectors.registry import ConfiguredSelector
from hedgespec.selectors.uniforms import SELECTION, decision_key, query_key, uniform


class OnlineSelector:
    """A selector over N drafters with draft length K.

    For each text `begin`; for each round `choose`, and before it `verified` with the statistics
    of what was emitted: at once, or no later than `needs` says.
    """

    def __init__(
        self, configured: ConfiguredSelector, arms: int, draft_length: int,
        feedback: Feedback | None = None, loss: Loss | None = None, seed: int = 0,
        round_seconds: np.ndarray | None = None,
    ):
        """`round_seconds` (N) are those of a round of each drafter, for loss `seconds`.

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
        self._round_seconds = round_seconds
        self._window = self.loss.window(draft_length)
        self._copies = self.feedback.copies(self._window)
        self.weights = np.zeros(arms)
        self._compile()
        self.begin(0)

    def _compile(self) -> None:
        """Run everything once, so that the first round of a text does not wait for it."""
        self.begin(0)
        nothing = np.zeros((self._length, 1, self._arms), dtype=np.float32)
        self.choose(0)
        self.verified(nothing, nothing)
        self.finished_round(1, nothing[:, :, 0])
        if self.selector.feedback == FULL:
            self._learn(0, self._length, 0)

    def begin(self, query: int) -> None:
        """Start a text; its number and the seed give the uniform numbers."""
        self._key = query_key(self._seed, query)
        self._states = np.zeros((self._copies, self.selector.state_size(self._arms)))
        for state in self._states:
            self.selector.reset(state, self._params, self._arms, self._length)
        self._gamma = self._realised = np.empty((0, 1, self._arms), dtype=np.float32)
        self._known = 0  # positions whose statistics are there
        self._starts: list[int] = []
        self._plays: list[np.ndarray] = []
        self._fed = 0
        self._current = False  # whether `weights` are what the learner would play now

    def choose(self, start: int) -> int:
        """The drafter of the round that starts at position `start`; `weights` are its play."""
        if self.selector.feedback == FULL:
            self._learn_until(start)
        self._play(self._state(start), start)
        if self.selector.draws:
            self._current = False
        self._starts.append(start)
        self._plays.append(self.weights.copy())
        self._arm = int(draw(self.weights, uniform(self._key, start, SELECTION)))
        return self._arm

    def needs(self, start: int) -> int:
        """How many positions must be known before a round at `start` can be chosen.

        0 if those that are known already will do.
        """
        if self.selector.feedback != FULL:
            return 0
        usable, seen = self._usable(start), self._known - self._window
        if self._known >= usable:
            return 0
        due = any(position > seen or self.feedback.cut for position, _ in self._due(start))
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
        start, arm = self._starts[-1], self._arm
        outcome = np.full(OUTCOMES, np.nan)
        outcome[EMITTED] = emitted
        if self.selector.uses_gamma:
            assert gamma is not None
            total, deepest = 0.0, gamma.shape[1] - 1
            count = min(emitted, self._length)
            for step in range(count):
                total += gamma[step, min(step, deepest)]
            outcome[VERIFIED] = total / count
        self.selector.learn(self._state(start), self._params, self._own_key(start), start, arm,
                            self.weights[arm], outcome)
        self._current = False

    def _learn_until(self, start: int) -> None:
        """Feed what has become known before a round that starts at `start`."""
        for position, number in self._due(start):
            self._learn(position, start, number)
        self._fed = max(self._fed, self._limit(start))

    def _due(self, start: int) -> Iterator[tuple[int, int]]:
        """Positions to learn from before a round at `start`, and the numbers of their rounds."""
        feedback = self.feedback
        number = bisect_left(self._starts, self._fed) - 1
        for position in range(self._fed, self._limit(start)):
            begun = number + 1 < len(self._starts) and self._starts[number + 1] == position
            number += begun
            if (begun or not feedback.by_round) and number % feedback.every == 0:
                yield position, number

    def _limit(self, start: int) -> int:
        """Where the positions end that may be learned from before a round at `start`."""
        usable = self._usable(start)
        return usable if self.feedback.cut else usable - self._window + 1

    def _usable(self, start: int) -> int:
        """How many positions' statistics may be used before a round at `start`."""
        delay, rounds = self.feedback.rounds, len(self._starts)
        if delay:
            return 0 if rounds < delay else self._starts[rounds - delay]
        return start

    def _learn(self, position: int, start: int, number: int) -> None:
        state, played = self._state(position), self.weights
        if self.feedback.actual:
            played = self._plays[number]
        elif self.selector.uses_play:
            self._play(state, position)
        self.selector.learn(state, self._params, position, played, self._loss(position, start))
        self._current = False

    def _play(self, state: np.ndarray, position: int) -> None:
        # Not twice without need: a play may leave something in the state to start the next from.
        if not self._current:
            self.selector.play(state, self._params, self._own_key(position), self.weights)
            self._current = self._copies == 1

    def _loss(self, position: int, start: int) -> np.ndarray:
        """Loss (N) of a start position, before a round that starts at `start`."""
        survive, end = estimator_arrays(self.loss.estimator, self._gamma, self._realised)
        if self.loss.prefill:
            survive, end = survive[:, :1], end[:, :1]
        loss = np.empty(self._arms)
        if self.feedback.cut:
            cut_length_loss(survive, end, position, min(self._length, start - position),
                            self._length, loss)
            return loss
        position_loss(survive, end, self._gamma, position, self.loss.accept_weight, self._length,
                      loss)
        if self._round_seconds is not None and self.loss.seconds:
            return per_second(loss, self._round_seconds, self._length)
        return loss

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

    def _state(self, position: int) -> np.ndarray:
        state: np.ndarray = self._states[position % self._copies]
        return state

    def _own_key(self, position: int) -> int:
        if not self.selector.draws:
            return 0
        key: int = decision_key(self._key, position)
        return key
