"""The rounds of one text: choose, draft, verify, and let the policy learn."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from hedgespec.live.clock import Clock
from hedgespec.live.decoded import Answer, Round
from hedgespec.live.engine import Engine, Evaluation
from hedgespec.live.evaluated import last_tokens, side_by_side
from hedgespec.live.plan import RoundPlan
from hedgespec.live.policy import Policy
from hedgespec.live.settings import DecoderSettings
from hedgespec.models.drafters import Drafter
from hedgespec.models.target import LanguageModel
from hedgespec.selectors.arms import NO_DRAFTER, Arms
from hedgespec.selectors.feedback import MOST_WAITING
from hedgespec.selectors.uniforms import query_key

# Says of an answer's tokens whether it ends there.
Stop = Callable[[list[int]], bool]


@dataclass(frozen=True)
class TextRequest:
    """A text to continue, as token ids, by at most `max_new_tokens`; `query` is its number.

    It ends with one of `ends`, by default the target's end tokens, and where `stop` says so.
    """

    prompt: list[int]
    max_new_tokens: int
    query: int = 0
    stop: Stop | None = None
    ends: list[int] | None = None


class Decoder(Protocol):
    """What the rounds of a text are run with."""

    target: LanguageModel
    drafters: list[Drafter]
    arms: Arms
    engine: Engine
    policy: Policy
    settings: DecoderSettings

    @property
    def plan(self) -> RoundPlan:
        """How rounds draft and verify."""


class Rounds:
    """One text being decoded; its answer grows round by round."""

    def __init__(self, decoder: Decoder, request: TextRequest, answer: Answer):
        """What `decoder` does to meet a request."""
        self._target, self._engine = decoder.target, decoder.engine
        self._policy, self._plan, self._settings = decoder.policy, decoder.plan, decoder.settings
        self._request, self._answer = request, answer
        self._arms, self._drafters = decoder.arms, list(range(len(decoder.drafters)))
        self._generator = _generator(self._settings.base_seed, request.query)
        self._ends = self._target.eos_tokens if request.ends is None else request.ends

    def run(self) -> Iterator[Round]:
        """Read the prompt; then give each round when it is done."""
        request, answer = self._request, self._answer
        with torch.inference_mode():
            self._engine.evaluation = self._policy.evaluation(self._settings.evaluate_all)
            self._engine.begin(request.prompt, request.max_new_tokens)
        self._policy.begin(request.query)
        done = False
        try:
            while not done:
                with torch.inference_mode():
                    answer.rounds.append(self._round())
                answer.learned = self._policy.learned  # not what a round that failed had begun with
                done = self._is_done()
                yield answer.rounds[-1]
        finally:  # also when interrupted: a log wants what there is
            if self._settings.evaluate_all:
                with torch.inference_mode():
                    self._evaluate_rest()

    def _round(self) -> Round:
        engine, policy, answer = self._engine, self._policy, self._answer
        position = len(answer.tokens)
        clock = Clock(self._settings.timed, self._target.device)
        evaluated = self._evaluate_before(position)
        clock.read("evaluate")
        arm, weights = policy.choose(position)
        drafter, length = self._drafting(arm)
        clock.read("select")
        drafted, emitted = engine.round(
            drafter, self._noise(position, length), self._request.max_new_tokens - position, clock
        )
        tokens = self._up_to_end(emitted)
        answer.tokens += tokens
        engine.keep(len(tokens))
        clock.read("verify")
        policy.finished_round(
            len(tokens), self._gamma(drafter, len(tokens)) if policy.uses_gamma else None
        )
        clock.read("learn")
        return Round(position, arm, drafter, weights, evaluated, drafted, tokens, clock)

    def _drafting(self, arm: int) -> tuple[int, int]:
        """The drafter of an arm, or NO_DRAFTER, and the tokens that it drafts at most."""
        if arm == NO_DRAFTER:
            return NO_DRAFTER, 0
        return int(self._arms.drafters[arm]), int(self._arms.lengths[arm])

    def _evaluate_before(self, position: int) -> list[int]:
        """What the round at `position` needs; the drafters that were evaluated for the policy."""
        engine, policy = self._engine, self._policy
        if engine.evaluation is Evaluation.IN_PART:
            return self._evaluate_some(policy.choose_evaluated(position))
        needed = policy.needs(position)
        each = engine.evaluation in (Evaluation.EACH_ROUND, Evaluation.ASIDE)
        if needed or engine.waiting >= MOST_WAITING or (each and not engine.beside):
            evaluated = self._evaluate(needed or None)
        else:
            evaluated = engine.beside and position > 0
        evaluated &= policy.evaluation(False) is not Evaluation.NEVER  # else it is for the log
        return self._drafters if evaluated else []

    def _noise(self, position: int, length: int) -> torch.Tensor:
        """Uniform numbers (k+1, W) of the round at `position`, of a draft of `length` tokens."""
        rule, rows = self._plan.rule, length + 1
        width = rule.width(self._target.vocabulary_size)
        if not rule.shared_noise:
            return torch.rand(rows, width, generator=self._generator, dtype=torch.float64)
        seed = self._generator.initial_seed()
        return torch.stack(
            [
                torch.rand(width, dtype=torch.float64, generator=_generator(seed, place))
                for place in range(position, position + rows)
            ]
        )

    def _up_to_end(self, tokens: list[int]) -> list[int]:
        """The tokens up to the first that ends the answer."""
        before, stop = self._answer.tokens, self._request.stop
        for number, token in enumerate(tokens, 1):
            if token in self._ends or (stop is not None and stop([*before, *tokens[:number]])):
                return tokens[:number]
        return tokens

    def _is_done(self) -> bool:
        answer, stop = self._answer, self._request.stop
        if answer.tokens[-1] in self._ends:
            answer.finish_reason = "eos"
            return True
        return len(answer.tokens) >= self._request.max_new_tokens or (
            stop is not None and stop(answer.tokens)
        )

    def _evaluate(self, until: int | None = None) -> bool:
        """All drafters on the tokens that wait for it, up to `until`; the policy is told.

        False if none did.
        """
        if self._engine.waiting == 0:
            return False
        statistics = self._engine.evaluate(len(self._answer.tokens) if until is None else until)
        self._answer.statistics.append(statistics)
        self._policy.evaluated(self._answer, self._plan)
        return True

    def _evaluate_some(self, drafters: list[int]) -> list[int]:
        """Some drafters on what they were not evaluated on yet; the policy is told."""
        if drafters:
            for drafter, found in zip(drafters, self._engine.evaluate_some(drafters), strict=True):
                self._answer.by_drafter.setdefault(drafter, []).append(found)
            self._policy.evaluated_some(self._answer, self._plan, drafters)
        return drafters

    def _evaluate_rest(self) -> None:
        """All drafters on all tokens that they were not evaluated on yet."""
        if self._engine.evaluation is not Evaluation.IN_PART:
            self._evaluate()
            return
        answer, parts = self._answer, self._answer.by_drafter
        known = {one: sum(len(part.log_p) for part in parts.get(one, [])) for one in self._drafters}
        self._evaluate_some([one for one in self._drafters if known[one] < len(answer.tokens)])
        if answer.tokens:
            answer.statistics = [
                side_by_side(
                    [last_tokens(parts[one], len(answer.tokens)) for one in self._drafters]
                )
            ]

    def _gamma(self, drafter: int, count: int) -> np.ndarray:
        """Acceptance probabilities (m, D) of the drafter that ran, on the round's m tokens."""
        rule, length = self._plan.rule, self._plan.draft_length
        if self._settings.evaluate_all:
            # Evaluated once only: another time the rounding might differ from what was learned.
            self._evaluate()
        if drafter == NO_DRAFTER:
            return np.zeros((count, 1), dtype=np.float32)
        if self._settings.evaluate_all:
            return rule.expected(self._answer.statistics[-1], length)[:, :, drafter]
        return rule.expected(self._engine.evaluate_one(drafter), length)[:, :, 0]


def _generator(seed: int, number: int) -> torch.Generator:
    """Random numbers of a text, or of a position."""
    return torch.Generator().manual_seed(int(query_key(seed, number)) % (1 << 63))
