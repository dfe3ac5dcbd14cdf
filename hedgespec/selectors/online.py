"""Drives a selector through one text after another while they are being decoded.

What the compiled replay loops do for recorded texts (simulator/replay_full.py, replay_chosen.py),
round by round: the same functions, fed in the same order, so that a replay of what was decoded
comes to the same decisions bit for bit (tests/selectors/test_online.py, `hedgespec fidelity`).
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from hedgespec.errors import HedgespecError, arg
from hedgespec.selectors.arms import Arms, alike_arms
from hedgespec.selectors.contract import CHOSEN, EMITTED, FULL, OUTCOMES, VERIFIED
from hedgespec.selectors.faults import LearnerError, fault_of, line_of
from hedgespec.selectors.feedback import (
    Feedback,
    choose_drafters,
    new_ledger,
    no_seconds,
)
from hedgespec.selectors.functions import compiled_functions
from hedgespec.selectors.guard import new_states
from hedgespec.selectors.learning import Loss, check_learning, default_loss
from hedgespec.selectors.limits import run_limited
from hedgespec.selectors.losses import begin_visits, estimator_arrays
from hedgespec.selectors.registry import ConfiguredSelector
from hedgespec.selectors.step import (
    COUNTS,
    CURRENT,
    FED,
    FED_ROUND,
    LEARNED,
    NO_PLAY,
    OVERRUN,
    ROUNDS,
    Evaluated,
    Learning,
    Memory,
    compile_needed,
    compile_step,
)
from hedgespec.selectors.uniforms import decision_key, query_key


def replay_only(configured: ConfiguredSelector, feedback: Feedback) -> str:
    """Why these can be replayed, but not decoded live; empty if they can."""
    if not feedback.policy.live:
        return f"feedback {feedback.label} needs text that is not written yet"
    if feedback.timed:
        return f"feedback {feedback.label} needs the seconds of evaluations"
    if configured.selector.looks_ahead(configured.values):
        return f"{configured.label} is rewarded by text that is not written yet"
    if configured.selector.uses_features:
        return f"{configured.label} reads how sure drafters are, which is not measured live"
    return ""


class OnlineSelector:
    """A selector over N drafters with draft length K, or over N arms, the longest of which is K.

    For each text `begin`; for each round `choose`, and before it `verified` with the statistics
    of what was emitted: at once, or no later than `needs` says. Where only some drafters may be
    evaluated at a time (`partial`), `choose_evaluated` says before each round of whom the
    statistics must be given, to `verified_one`.
    """

    def __init__(
        self,
        configured: ConfiguredSelector,
        arms: int | Arms,
        draft_length: int,
        feedback: Feedback | None = None,
        loss: Loss | None = None,
        seed: int = 0,
        round_seconds: np.ndarray | None = None,
        path_only: bool = False,
    ):
        """`arms` are the arms, or the number of drafters that all draft K tokens.

        `round_seconds` (N) are those of a round of each arm, which losses in seconds need;
        `path_only` as in `estimator_arrays`.

        Raises HedgespecError for settings that make no sense for the selector or cannot be had
        live: feedback `foresight`, rewards from text that is not written yet, or seconds of
        evaluations.
        """
        self.selector = configured.selector
        check_learning(self.selector, feedback, loss)
        self.feedback = feedback or Feedback()
        self.loss = loss or default_loss(self.feedback, round_seconds is not None)
        if reason := replay_only(configured, self.feedback):
            raise HedgespecError(f"{reason}: it can be replayed, not decoded live")
        if self.loss.seconds and round_seconds is None:
            raise HedgespecError(
                f"loss {self.loss.label} needs the seconds of a round of each drafter"
            )
        self._pool = arms if isinstance(arms, Arms) else alike_arms(arms, draft_length)
        self._arms, self._length, self._seed = len(self._pool.names), draft_length, seed
        if round_seconds is not None and len(round_seconds) != self._arms:
            raise HedgespecError(
                f"{arg('round_seconds')} are {len(round_seconds)} numbers; there "
                f"are {self._arms} to choose between"
            )
        configured.check_on(self._arms, draft_length)
        self._name, self._own = configured.name, configured.own
        self._params = configured.parameter_array(
            self._pool.lengths, self.loss.window(draft_length)
        )
        self._path_only = path_only
        self._learning = Learning.of(self.feedback, self.loss, draft_length, round_seconds)
        self._schedule = self._learning.schedule
        self._step = compile_step(self.selector, self.feedback.partial, self._own)
        self._needed = compile_needed()
        self._functions = compiled_functions(self.selector, self._own)
        self.weights = np.zeros(self._arms)
        self._compile()
        self.begin(0)

    def _compile(self) -> None:
        """Run everything once, so that the first round of a text does not wait for it.

        Compiling may take longer than a call of a learner may: no limit is kept.
        """
        self._limited = False
        self.begin(0)
        if self.partial:
            self.choose_evaluated(0)
        self.choose(0)
        self.finished_round(1, np.zeros((1, 1), dtype=np.float32))
        self.needs(1)
        self._limited = self._own

    def _call(self, function: Callable[..., Any], *arguments: object) -> Any:
        """Call what calls the learner. Raises HedgespecError for a fault of the user's own one."""
        if not self._own:
            return function(*arguments)
        try:
            work = partial(function, *arguments)
            found = run_limited(work, lambda: None) if self._limited else work()
            if found in (NO_PLAY, OVERRUN):
                raise self._fault(found)
            return found
        except Exception as error:
            raise HedgespecError(f"{self._name}: {fault_of(error, self.selector)}") from error

    def _fault(self, found: int) -> LearnerError:
        rounds, selector = self._memory.counts[ROUNDS], self.selector
        if found == OVERRUN:
            return LearnerError(
                f"{line_of(selector.learn)}: it writes past the end of `state` (round {rounds})"
            )
        return LearnerError(
            f"{line_of(selector.play)}: it wrote {self.weights.tolist()}, no "
            f"probabilities of {self._arms} drafters (round {rounds})"
        )

    def begin(self, query: int) -> None:
        """Start a text; its number and the seed give the uniform numbers."""
        self._key = query_key(self._seed, query)
        states, guard = new_states(self._schedule.copies, self.selector.state_size(self._arms))
        states[:] = 0.0
        for state in states:
            self._call(self._functions.reset, state, self._params, self._arms, self._length)
        counts = np.zeros(COUNTS, dtype=np.int64)
        counts[FED_ROUND] = -1
        self._memory = Memory(
            states,
            guard,
            self._params,
            counts,
            self.weights,
            starts=np.empty(64, dtype=np.int64),
            plays=np.empty((64, self._arms)),
            learned=np.empty(64, dtype=np.int64),
            losses=np.empty((64, self._arms)),
            phases=np.empty((self._arms, self._length + 1)),
            visits=np.empty(self._arms),
        )
        begin_visits(self._memory.phases, self._memory.visits)
        if self.partial:
            seconds = no_seconds(self._pool.owner, self._pool.first)
            self._memory = self._memory._replace(ledger=new_ledger(seconds, 64))
        nothing = np.empty((0, 1, self._arms), dtype=np.float32)
        self._keep_statistics(nothing, nothing)
        self._known = 0  # positions whose statistics are there
        self.read = np.zeros(self._arms, dtype=np.int64)  # the same of each arm, if partial

    @property
    def partial(self) -> bool:
        """Whether only some drafters may be evaluated at a time."""
        return self.selector.feedback == FULL and self.feedback.partial

    @property
    def learned(self) -> tuple[np.ndarray, np.ndarray]:
        """Positions (M) whose losses the learner was fed with, in that order, and these (M, N)."""
        count = self._memory.counts[LEARNED]
        return self._memory.learned[:count], self._memory.losses[:count]

    def choose(self, start: int) -> int:
        """The drafter of the round that starts at position `start`; `weights` are its play."""
        self._make_room(start)
        arm: int = self._call(
            self._step, self._memory, self._evaluated, self._learning, self._key, start
        )
        self._arm = arm
        return arm

    def needs(self, start: int) -> int:
        """How many positions must be known before a round at `start` can be chosen.

        0 if those that are known already will do.
        """
        if self.selector.feedback != FULL or self._known >= start:
            return 0
        counts = self._memory.counts
        count: int = self._needed(
            self._schedule,
            self._key,
            self._memory.starts,
            counts[ROUNDS],
            start,
            counts[FED],
            counts[FED_ROUND],
            self._known,
        )
        return count

    def choose_evaluated(self, start: int) -> np.ndarray:
        """Whose statistics (N, bool) are to be given next, on all positions before `start`: of all
        arms of a drafter, or of none of them. `read` (N) says how many positions were given.

        `partial` only; to be asked once before each round.
        """
        memory = self._memory
        counts, ledger = memory.counts, memory.ledger
        assert ledger is not None
        choose_drafters(
            self._schedule,
            ledger,
            self._key,
            memory.starts,
            counts[ROUNDS],
            start,
            counts[FED],
            counts[FED_ROUND],
        )
        return ledger.chosen.copy()

    def verified_one(self, arm: int, gamma: np.ndarray, realised: np.ndarray) -> None:
        """Take note of the statistics (m, D), float32, of the next m tokens under one arm."""
        begin = self.read[arm]
        self.read[arm] = end = begin + len(gamma)
        self._make_room_for_statistics(end, gamma.shape[1:])
        if self.loss.prefill:
            gamma, realised = (
                self._pool.first_depth(one[:, :, None], arm)[:, :, 0] for one in (gamma, realised)
            )
        self._gamma[begin:end, :, arm] = gamma
        self._realised[begin:end, :, arm] = realised
        self._known = max(self._known, end)

    def verified(self, gamma: np.ndarray, realised: np.ndarray) -> None:
        """Take note of the statistics (m, D, N), float32, of the next m emitted tokens.

        `gamma` are acceptance probabilities, `realised` those given the token emitted.
        """
        count = self._known + len(gamma)
        self._make_room_for_statistics(count, gamma.shape[1:-1])
        if self.loss.prefill:
            gamma, realised = map(self._pool.first_depth, (gamma, realised))
        self._gamma[self._known : count] = gamma
        self._realised[self._known : count] = realised
        self._known = count

    def finished_round(self, emitted: int, gamma: np.ndarray | None = None) -> None:
        """Tell how many tokens a round emitted, for selectors that learn from their own rounds.

        `gamma` (m, D) is the acceptance probability of the drafter that ran, for those that use it.
        """
        if self.selector.feedback != CHOSEN:
            return
        memory, arm = self._memory, self._arm
        start = int(memory.starts[memory.counts[ROUNDS] - 1])
        outcome = np.full(OUTCOMES, np.nan)
        outcome[EMITTED] = emitted
        if self.selector.uses_gamma:
            assert gamma is not None
            total, deepest = 0.0, gamma.shape[1] - 1
            count = min(emitted, int(self._pool.lengths[arm]))
            for step in range(count):
                total += gamma[step, min(step, deepest)]
            outcome[VERIFIED] = total / max(count, 1)
        own_key = decision_key(self._key, start) if self.selector.draws else 0
        self._call(
            self._functions.learn,
            memory.states[0],
            self._params,
            own_key,
            start,
            arm,
            self.weights[arm],
            outcome,
        )
        memory.counts[CURRENT] = False

    def _keep_statistics(self, gamma: np.ndarray, realised: np.ndarray) -> None:
        """Take these arrays (T, D, N) for the statistics, to be filled as they come."""
        self._gamma, self._realised = gamma, realised
        survive, end = estimator_arrays(self.loss.estimator, gamma, realised, self._path_only)
        self._evaluated = Evaluated(survive, end, gamma)

    def _make_room_for_statistics(self, count: int, depths: tuple[int, ...]) -> None:
        """For `count` positions of as many draft depths."""
        if count > len(self._gamma):
            old = self._gamma[: self._known], self._realised[: self._known]
            shape = (max(64, 2 * count), *depths, self._arms)
            self._keep_statistics(np.empty(shape, np.float32), np.empty(shape, np.float32))
            if self._known:
                self._gamma[: self._known], self._realised[: self._known] = old

    def _make_room(self, start: int) -> None:
        """For one more round, and the losses of all positions before `start`."""
        memory, counts = self._memory, self._memory.counts
        if counts[ROUNDS] == len(memory.starts):
            memory = memory._replace(starts=_longer(memory.starts), plays=_longer(memory.plays))
        due = counts[LEARNED] + start - counts[FED]
        while due > len(memory.learned):
            memory = memory._replace(learned=_longer(memory.learned), losses=_longer(memory.losses))
            if (ledger := memory.ledger) is not None:
                memory = memory._replace(
                    ledger=ledger._replace(
                        positions=_longer(ledger.positions), told=_longer(ledger.told)
                    )
                )
        self._memory = memory


def _longer(array: np.ndarray) -> np.ndarray:
    """The array with as many rows again, not filled."""
    return np.concatenate([array, np.empty_like(array)])
