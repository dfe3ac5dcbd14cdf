"""Lossless speculative decoding of one text at a time with a pool of drafters and a selector."""

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from time import perf_counter

import numpy as np
import torch

from hedgespec.errors import HedgespecError
from hedgespec.live.pool import Distribute, Pool, Text
from hedgespec.live.verification import Verification, verify_chain
from hedgespec.rules import RULES
from hedgespec.rules.base import Statistics
from hedgespec.selectors import FULL, parse_selector
from hedgespec.selectors.learning import Feedback, Loss
from hedgespec.selectors.online import OnlineSelector
from hedgespec.selectors.uniforms import query_key
from hedgespec.tracegen.cached import CachedModel
from hedgespec.tracegen.drafters import Drafter
from hedgespec.tracegen.models import LanguageModel
from hedgespec.tracegen.sampling import Sampling, probabilities, sample
from hedgespec.tracegen.statistics import reduce_pair
from hedgespec.traces.schema import DRAFTER_STATISTICS

FIXED = "fixed:"
# Tokens that wait for evaluation at most: each keeps a distribution over the vocabulary.
_MOST_WAITING = 128


@dataclass(frozen=True)
class Round:
    """One round: the drafter's number, its probability, the tokens drafted and emitted.

    `position` counts tokens of the answer before the round, `weights` (N) are the selector's play,
    `seconds` wall-clock times of the round's parts.
    """

    position: int
    drafter: int
    weights: np.ndarray
    drafted: int
    tokens: list[int]
    seconds: dict[str, float]


@dataclass
class Answer:
    """The tokens of an answer and its rounds; `finish_reason` is "eos" or "length".

    `statistics` are those of the tokens on which all drafters were evaluated, in order.
    """

    tokens: list[int] = field(default_factory=list)
    rounds: list[Round] = field(default_factory=list)
    statistics: list[Statistics] = field(default_factory=list)
    finish_reason: str = "length"

    @property
    def mat(self) -> float:
        """Emitted tokens per round."""
        return len(self.tokens) / max(len(self.rounds), 1)


class LiveDecoder:
    """Decodes with a target, N drafters and a selector, called as in the simulator.

    A round: the selector picks a drafter, it drafts up to K tokens, the target verifies them in one
    pass. Before a selector needs to know, all drafters are evaluated by prefilling what was emitted
    since the last time; bandits need no evaluation, or that of the drafter that ran. The answer is
    distributed as the target's own; at temperature 0 it is the target's own.
    """

    def __init__(
        self, target: LanguageModel, drafters: list[Drafter], selector: str = "normalhedge", *,
        sampling: Sampling | None = None, draft_length: int = 5,
        feedback: Feedback | None = None, loss: Loss | None = None, seed: int = 0,
        round_seconds: np.ndarray | None = None, evaluate_all: bool = False, timed: bool = False,
        verify: Verification = verify_chain, distribute: Distribute | None = None,
    ):
        """`selector` is a learner's name and parameters, or fixed:DRAFTER.

        `evaluate_all` evaluates every drafter on every token, at the end of a text if the selector
        does not need it before; `timed` waits for the device before each clock reading.
        `distribute` turns logits into distributions, by default as `sampling` says. Raises
        HedgespecError for settings that make no sense.
        """
        if draft_length < 1:
            raise HedgespecError(f"draft length must be at least 1, not {draft_length}")
        if not drafters:
            raise HedgespecError("there is no drafter: name one with --drafter")
        self.target, self.drafters, self.draft_length = target, drafters, draft_length
        self.sampling, self.seed = sampling or Sampling(), seed
        self._distribute = distribute or (lambda logits, _: probabilities(logits, self.sampling))
        self._verify, self._timed = verify, timed
        self._fixed = self._fixed_drafter(selector)
        self._selector = None
        if self._fixed is None:
            self._selector = OnlineSelector(
                parse_selector(selector), len(drafters), draft_length, feedback, loss, seed,
                round_seconds)
        self.label = selector if self._selector is None else parse_selector(selector).label
        self._evaluates_all = evaluate_all
        self.pool = Pool(drafters, target.vocabulary_size, target.device)
        self.last: Answer | None = None
        self._layers = tuple(sorted({layer for item in drafters for layer in item.target_layers}))
        # At temperature 0 the rules coincide, but `greedy` needs no division.
        self._rule = RULES["greedy" if self.sampling.temperature == 0 else "sampling"]

    def with_distribution(self, distribute: Distribute) -> "LiveDecoder":
        """The same decoder, pool and selector included, with other distributions."""
        other = copy.copy(self)
        other._distribute = distribute
        other._rule = RULES["sampling"]
        return other

    def generate(
        self, prompt: list[int], max_new_tokens: int, query: int = 0,
        stop: Callable[[list[int]], bool] | None = None,
    ) -> Answer:
        """Continue `prompt` (token ids); see `rounds`."""
        answer = Answer()
        for _ in self.rounds(prompt, max_new_tokens, query, stop, answer):
            pass
        return answer

    @torch.inference_mode()
    def rounds(
        self, prompt: list[int], max_new_tokens: int, query: int = 0,
        stop: Callable[[list[int]], bool] | None = None, answer: Answer | None = None,
    ) -> Iterator[Round]:
        """Continue `prompt`, giving each round when it is done; `answer` grows with them.

        It ends with an end token, at `max_new_tokens`, or where `stop(answer's tokens)` says so; a
        round that would run past the end is cut there, as in a replay. Seed and `query` give the
        random numbers. Raises HedgespecError if the prompt is empty, or prompt and answer may
        exceed a model's context.
        """
        self._check(prompt, max_new_tokens)
        answer = Answer() if answer is None else answer
        model = CachedModel(self.target)
        known = torch.tensor(prompt, device=self.target.device)
        states = model.read(known[:-1], self._layers)[1] if len(prompt) > 1 else {}
        text, waiting = Text(known, states), _Waiting()
        self.pool.begin()
        if self._selector is not None:
            self._selector.begin(query)
        generator = torch.Generator().manual_seed(int(query_key(self.seed, query)) % (1 << 63))
        done = False
        try:
            while not done:
                answer.rounds.append(self._round(
                    model, text, waiting, max_new_tokens - len(answer.tokens), generator, stop,
                    answer))
                ended = answer.tokens[-1] in self.target.eos_tokens
                if ended:
                    answer.finish_reason = "eos"
                done = (ended or len(answer.tokens) >= max_new_tokens
                        or (stop is not None and stop(answer.tokens)))
                yield answer.rounds[-1]
        finally:  # also when interrupted: a log wants the statistics of what there is
            if self._evaluates_all:
                self._evaluate(text, waiting, answer)

    def _round(
        self, model: CachedModel, text: Text, waiting: "_Waiting", room: int,
        generator: torch.Generator, stop: Callable[[list[int]], bool] | None, answer: Answer,
    ) -> Round:
        position = len(answer.tokens)
        clock = _Clock(self._timed, self.target.device)
        if (self._selector is not None and self._selector.needs(position)) or (
                len(waiting) >= _MOST_WAITING):
            self._evaluate(text, waiting, answer)
        clock.read("evaluate")
        arm, weights = self._choose(position)
        clock.read("select")
        u = torch.rand(2 * self.draft_length + 1, generator=generator, dtype=torch.float64)
        u = u.to(self.target.device)
        draft, q = self._draft(arm, text, u[: min(self.draft_length, room)])
        clock.read("draft")
        final, states = model.read(torch.cat([text.tokens[-1:], draft]), self._layers)
        p = self._distribute(self.target.logits(final), torch.cat([text.tokens, draft]))
        accepted, following = self._verify(p, q, draft, u[self.draft_length :])
        emitted = torch.cat([draft[:accepted], following])
        model.cut(model.length - len(draft) + accepted)
        text.append(emitted, {layer: state[: accepted + 1] for layer, state in states.items()})
        tokens = self._up_to_end(emitted[:room].tolist(), answer.tokens, stop)
        answer.tokens += tokens
        text.cut(len(emitted) - len(tokens))
        clock.read("verify")
        if self._evaluates_all or self._learns_from_all:
            waiting.append(p[: len(tokens)])
        self._finish_round(arm, text, p[: len(tokens)], waiting, answer)
        clock.read("learn")
        return Round(position, arm, weights, len(draft), tokens, clock.seconds)

    def _choose(self, position: int) -> tuple[int, np.ndarray]:
        if self._selector is None:
            assert self._fixed is not None
            return self._fixed, np.eye(len(self.drafters))[self._fixed]
        arm = self._selector.choose(position)
        return arm, self._selector.weights.copy()

    def _draft(self, arm: int, text: Text, u: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """At most len(u) tokens (k) and the distributions (k+1, V) they are from.

        The draft ends where there is no proposal. A row of zeros stands behind the last.
        """
        tokens: list[torch.Tensor] = []
        rows: list[torch.Tensor] = []
        logits = self.pool.first(arm, text)
        for number in range(len(u)):
            if number:
                logits = self.pool.step(arm, tokens[-1])
            context = torch.cat([text.tokens, *(token[None] for token in tokens)])
            row = self._distribute(logits[None], context)[0]
            if not row.any():
                break
            rows.append(row)
            tokens.append(sample(row[None], u[number : number + 1])[0])
        none = torch.zeros_like(logits)
        return (torch.stack(tokens) if tokens else none.new_empty(0, dtype=torch.long),
                torch.stack([*rows, none]))

    def _evaluate(self, text: Text, waiting: "_Waiting", answer: Answer) -> None:
        """All drafters on the tokens that wait for it; the selector is told."""
        if len(waiting) == 0:
            return
        p = waiting.take()
        statistics = self._statistics(range(len(self.drafters)), text, p)
        answer.statistics.append(statistics)
        if self._selector is not None:
            self._selector.verified(
                self._rule.expected(statistics), self._rule.realised(statistics))

    def _finish_round(
        self, arm: int, text: Text, p: torch.Tensor, waiting: "_Waiting", answer: Answer
    ) -> None:
        """Tell selectors that learn from their own rounds."""
        if self._selector is None:
            return
        gamma = None
        if self._selector.selector.uses_gamma and self._evaluates_all:
            # Evaluated once only: another time the rounding might differ from what was learned.
            self._evaluate(text, waiting, answer)
            gamma = self._rule.expected(answer.statistics[-1])[:, :, arm]
        elif self._selector.selector.uses_gamma:
            gamma = self._rule.expected(self._statistics([arm], text, p))[:, :, 0]
        self._selector.finished_round(len(p), gamma)

    def _statistics(self, arms: Sequence[int], text: Text, p: torch.Tensor) -> Statistics:
        """Statistics of some drafters on the last tokens of the text, whose law was `p` (m, V)."""
        count = len(p)
        tokens = text.tokens[len(text) - count :]
        columns = []
        for arm in arms:
            q = self._distribute(self.pool.evaluate(arm, text, count), text.tokens[:-1])
            found = reduce_pair(p, q, tokens)
            columns.append(torch.stack([found[name].float() for name in DRAFTER_STATISTICS]))
        log_p = p.gather(-1, tokens[:, None])[:, 0].clamp_min(torch.finfo(p.dtype).tiny).log()
        table = torch.stack(columns, dim=-1).cpu().numpy()[:, :, None]
        values = dict(zip(DRAFTER_STATISTICS, table, strict=True))
        return Statistics(log_p=log_p.float().cpu().numpy(), log_q=values["log_q"],
                          gamma=values["gamma"], match=values["match"] > 0,
                          p_top=values["p_top"])

    @property
    def _learns_from_all(self) -> bool:
        return self._selector is not None and self._selector.selector.feedback == FULL

    def _up_to_end(
        self, tokens: list[int], before: list[int], stop: Callable[[list[int]], bool] | None
    ) -> list[int]:
        """The tokens up to the first that ends the answer."""
        for number, token in enumerate(tokens, 1):
            if token in self.target.eos_tokens or (
                    stop is not None and stop([*before, *tokens[:number]])):
                return tokens[:number]
        return tokens

    def _fixed_drafter(self, selector: str) -> int | None:
        if not selector.startswith(FIXED):
            return None
        names = [drafter.name for drafter in self.drafters]
        name = selector.removeprefix(FIXED)
        if name not in names:
            raise HedgespecError(f"{selector}: there is no such drafter; the pool has "
                                 f"{', '.join(names)}")
        return names.index(name)

    def _check(self, prompt: list[int], max_new_tokens: int) -> None:
        if max_new_tokens < 1:
            raise HedgespecError("new tokens must be at least 1")
        if not prompt:
            raise HedgespecError("the prompt holds no token")
        lengths = [self.target.context_length, *(item.context_length for item in self.drafters)]
        context = min(length for length in lengths if length is not None)
        if len(prompt) + max_new_tokens > context:
            raise HedgespecError(
                f"{len(prompt)} prompt tokens and {max_new_tokens} new ones exceed the shortest "
                f"context of target and drafters, {context}"
            )


class _Waiting:
    """The target's distributions at tokens on which the drafters were not evaluated yet."""

    def __init__(self) -> None:
        self._p: list[torch.Tensor] = []

    def __len__(self) -> int:
        return sum(map(len, self._p))

    def append(self, p: torch.Tensor) -> None:
        """Distributions (m, V) at a round's tokens."""
        self._p.append(p)

    def take(self) -> torch.Tensor:
        """All of them, (n, V); none waits any more."""
        p, self._p = torch.cat(self._p), []
        return p


class _Clock:
    """Seconds of each part of a round."""

    def __init__(self, exact: bool, device: torch.device):
        self._waits = exact and device.type == "cuda"
        self.seconds: dict[str, float] = {}
        self._last = perf_counter()

    def read(self, part: str) -> None:
        """The time since the last reading was spent on `part`."""
        if self._waits:
            torch.cuda.synchronize()
        now = perf_counter()
        self.seconds[part] = now - self._last
        self._last = now
