"""Lossless speculative decoding of one text at a time with a pool of drafters and a selector."""

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch

from hedgespec.errors import HedgespecError, arg
from hedgespec.live.candidates import MOST_NODES, node_count
from hedgespec.live.eager_engine import EagerEngine
from hedgespec.live.engine import Clock, Engine, Evaluation
from hedgespec.live.evaluated import last_tokens
from hedgespec.live.pool import Distribute, Pool
from hedgespec.live.static_engine import StaticEngine
from hedgespec.models.distributions import Sampling, probabilities
from hedgespec.models.drafters import Drafter, check_sampling
from hedgespec.models.fixed_tensors import has_plain_attention
from hedgespec.models.target import LanguageModel
from hedgespec.models.trees import NamedTree, make_trees
from hedgespec.results.labels import SelectorLabel
from hedgespec.rules import Rule, Statistics, parse_rule, rule_at
from hedgespec.selectors import FULL, parse_selector
from hedgespec.selectors.feedback import Feedback
from hedgespec.selectors.learning import Loss
from hedgespec.selectors.online import OnlineSelector
from hedgespec.selectors.uniforms import query_key
from hedgespec.traces import Costs

DRAFT_LENGTH = 5
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
        sampling: Sampling | None = None, draft_length: int | None = None,
        feedback: Feedback | None = None, loss: Loss | None = None, seed: int = 0,
        round_seconds: np.ndarray | None = None, evaluate_all: bool = False, timed: bool = False,
        rule: str = "auto", trees: Sequence[str] = (),
        static: bool | None = None, compiled: bool = False,
    ):
        """`selector` is a learner's name and parameters, or fixed:DRAFTER; `rule` a verification
        rule's name, "auto" being greedy at temperature 0, else sampling. Rule tree drafts the one
        of `trees` that has its name, `dynamic` by default; see `make_trees`. `draft_length` is by
        default 5, or a tree's levels.

        `evaluate_all` evaluates every drafter on every token, at the end of a text if the selector
        does not need it before; `timed` waits for the device before each clock reading. `static`
        has the models run on fixed tensors (StaticEngine), by default on a GPU if all of them can;
        `compiled` then has torch.compile make their kernels, which takes a minute or more once.
        Raises HedgespecError for settings that make no sense.
        """
        if not drafters:
            raise HedgespecError(f"there is no drafter: name one with {arg('drafters')}")
        self.target, self.drafters = target, drafters
        self.sampling, self.seed = sampling or Sampling(), seed
        check_sampling(drafters, self.sampling)
        self.rule, self._timed = _live_rule(rule, self.sampling), timed
        self.tree = _tree_of(self.rule, trees)
        self.draft_length = draft_length = _draft_length(draft_length, self.tree)
        _check_candidates(self.rule, draft_length, target)
        self._learning = partial(
            OnlineSelector, arms=len(drafters), draft_length=draft_length, feedback=feedback,
            loss=loss, seed=seed, round_seconds=round_seconds, path_only=self.rule.path_only)
        self._evaluates_all = evaluate_all
        self.last: Answer | None = None
        self._select_by(selector)
        self.engine = self._make_engine(static, compiled)

    @property
    def dropped(self) -> dict[str, str]:
        """Drafters that failed, and why."""
        return self.engine.dropped

    def costs(self, context: int = 256) -> Costs:
        """Measured seconds of the parts of a round after `context` tokens; takes some seconds."""
        with torch.inference_mode():
            return self.engine.costs(context)

    def with_selector(self, selector: str) -> "LiveDecoder":
        """The same decoder with another selector, which takes no time: the two share models,
        tensors and graphs, so that only one of them may decode at a time.

        Raises HedgespecError for an unknown selector, and where one of them evaluates drafters
        beside the next round, which needs tensors of its own.
        """
        other = copy.copy(self)
        other._select_by(selector)
        if (self._evaluation is Evaluation.ASIDE) != (other._evaluation is Evaluation.ASIDE):
            raise HedgespecError(f"{self.label} and {other.label} cannot share a decoder with "
                                 "feedback of rounds: make another one")
        return other

    def with_distribution(self, distribute: Distribute) -> "LiveDecoder":
        """The same decoder with other distributions; what drafters were dropped stay so."""
        other = copy.copy(self)
        if self.rule.label == "greedy":
            other.rule = parse_rule("sampling")
        other.engine = other._eager_engine(distribute)
        other.engine.dropped.update(self.dropped)
        return other

    def _select_by(self, selector: str) -> None:
        self._fixed, self._selector = self._fixed_drafter(selector), None
        if self._fixed is None:
            self._selector = self._learning(parse_selector(selector))
        self.label = selector if self._selector is None else parse_selector(selector).label
        self._evaluation = self._evaluation_time()

    def _make_engine(self, static: bool | None, compiled: bool) -> Engine:
        branching = _branches(self.rule)
        if static and branching:
            raise HedgespecError(f"rule {self.rule.label} cannot run on fixed tensors")
        can_run = StaticEngine.can_run(self.target, self.drafters)
        if static and not can_run:
            raise HedgespecError("not all of target and drafters can run on fixed tensors: those "
                                 "of plain attention and EAGLE heads can")
        if static is None:
            static = self.target.device.type == "cuda" and not branching and can_run
        if not static:
            return self._eager_engine(lambda logits, _: probabilities(logits, self.sampling))
        return StaticEngine(self.target, self.drafters, self.draft_length, self.sampling,
                            self.rule, self._evaluation, compiled)

    def _eager_engine(self, distribute: Distribute) -> Engine:
        pool = Pool(self.drafters, self.target.vocabulary_size, self.target.device)
        return EagerEngine(self.target, pool, self.draft_length, distribute, self.rule,
                           self._evaluation, self.tree.shape if self.tree else None)

    def _evaluation_time(self) -> Evaluation:
        selector = self._selector
        learns = selector is not None and selector.selector.feedback == FULL
        if not learns:
            return Evaluation.ON_DEMAND if self._evaluates_all else Evaluation.NEVER
        assert selector is not None
        if selector.feedback.evaluated_share < 1:
            return Evaluation.ON_DEMAND
        return Evaluation.ASIDE if selector.feedback.delayed else Evaluation.EACH_ROUND

    def generate(
        self, prompt: list[int], max_new_tokens: int, query: int = 0,
        stop: Callable[[list[int]], bool] | None = None,
    ) -> Answer:
        """Continue `prompt` (token ids); see `rounds`."""
        answer = Answer()
        for _ in self.rounds(prompt, max_new_tokens, query, stop, answer):
            pass
        return answer

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
        generator = torch.Generator().manual_seed(int(query_key(self.seed, query)) % (1 << 63))
        with torch.inference_mode():
            self.engine.evaluation = self._evaluation
            self.engine.begin(prompt, max_new_tokens)
        if self._selector is not None:
            self._selector.begin(query)
        done = False
        try:
            while not done:
                with torch.inference_mode():
                    answer.rounds.append(self._round(
                        max_new_tokens - len(answer.tokens), generator, stop, answer))
                ended = answer.tokens[-1] in self.target.eos_tokens
                if ended:
                    answer.finish_reason = "eos"
                done = (ended or len(answer.tokens) >= max_new_tokens
                        or (stop is not None and stop(answer.tokens)))
                yield answer.rounds[-1]
        finally:  # also when interrupted: a log wants the statistics of what there is
            if self._evaluates_all:
                with torch.inference_mode():
                    self._evaluate(answer)

    def _round(
        self, room: int, generator: torch.Generator,
        stop: Callable[[list[int]], bool] | None, answer: Answer,
    ) -> Round:
        engine, position = self.engine, len(answer.tokens)
        clock = Clock(self._timed, self.target.device)
        needed = 0 if self._selector is None else self._selector.needs(position)
        if needed or engine.waiting >= _MOST_WAITING:
            self._evaluate(answer, needed or None)
        clock.read("evaluate")
        arm, weights = self._choose(position)
        clock.read("select")
        drafted, emitted = engine.round(arm, self._noise(position, generator), room, clock)
        tokens = self._up_to_end(emitted, answer.tokens, stop)
        answer.tokens += tokens
        engine.keep(len(tokens))
        clock.read("verify")
        self._finish_round(arm, len(tokens), answer)
        clock.read("learn")
        return Round(position, arm, weights, drafted, tokens, clock.seconds)

    def _noise(self, position: int, generator: torch.Generator) -> torch.Tensor:
        """Uniform numbers (K+1, W) of a round; `generator` is the text's."""
        width, rows = self.rule.width(self.target.vocabulary_size), self.draft_length + 1
        if not self.rule.shared_noise:
            return torch.rand(rows, width, generator=generator, dtype=torch.float64)
        seed = generator.initial_seed()
        return torch.stack([
            torch.rand(width, dtype=torch.float64, generator=torch.Generator().manual_seed(
                int(query_key(seed, place)) % (1 << 63)))
            for place in range(position, position + rows)])

    def _choose(self, position: int) -> tuple[int, np.ndarray]:
        if self._selector is None:
            assert self._fixed is not None
            return self._fixed, np.eye(len(self.drafters))[self._fixed]
        arm = self._selector.choose(position)
        return arm, self._selector.weights.copy()

    def _evaluate(self, answer: Answer, until: int | None = None) -> None:
        """All drafters on the tokens that wait for it, up to `until`; the selector is told."""
        if self.engine.waiting == 0:
            return
        statistics = self.engine.evaluate(len(answer.tokens) if until is None else until)
        answer.statistics.append(statistics)
        if self._selector is not None:
            count = len(statistics.log_p)
            # A rule may need the positions from the start of a round on.
            known = last_tokens(answer.statistics, count + self.draft_length - 1)
            self._selector.verified(self.rule.expected(known, self.draft_length)[-count:],
                                    self.rule.realised(known, self.draft_length)[-count:])

    def _finish_round(self, arm: int, emitted: int, answer: Answer) -> None:
        """Tell selectors that learn from their own rounds."""
        if self._selector is None:
            return
        gamma = None
        if self._selector.selector.uses_gamma and self._evaluates_all:
            # Evaluated once only: another time the rounding might differ from what was learned.
            self._evaluate(answer)
            gamma = self.rule.expected(answer.statistics[-1], self.draft_length)[:, :, arm]
        elif self._selector.selector.uses_gamma:
            gamma = self.rule.expected(self.engine.evaluate_one(arm), self.draft_length)[:, :, 0]
        self._selector.finished_round(emitted, gamma)

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
        name = SelectorLabel.parse(selector).arm
        if name is None:
            return None
        names = [drafter.name for drafter in self.drafters]
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


def _live_rule(text: str, sampling: Sampling) -> Rule:
    """The rule for decoding. Raises HedgespecError for one that cannot be decoded with."""
    rule = rule_at(text, sampling.temperature)
    if rule.label == "greedy" and sampling.temperature != 0:
        raise HedgespecError("rule greedy needs temperature 0; sampling is for any")
    return rule


def _tree_of(rule: Rule, texts: Sequence[str]) -> NamedTree | None:
    """The tree that a rule of draft trees names, of some [NAME=]SHAPE."""
    if not rule.path_only:
        if texts:
            raise HedgespecError(f"{arg('trees', texts)}: rule {rule.label} drafts no trees; "
                                 f"give {arg('rule', 'tree')}")
        return None
    trees = make_trees(texts or ["dynamic"])
    if rule.label not in trees:
        option, shape = rule.how_to_record()
        raise HedgespecError(f"rule {rule.label}: there is no tree of that name; give one, as in "
                             f"{arg(option, [shape])}")
    return trees[rule.label]


def _draft_length(given: int | None, tree: NamedTree | None) -> int:
    levels = tree.shape.deepest if tree else None
    length = given if given is not None else levels or DRAFT_LENGTH
    if length < 1:
        raise HedgespecError(f"draft length must be at least 1, not {length}")
    if tree and levels and length > levels:
        raise HedgespecError(f"rule {tree.label}: its trees have {levels} levels; draft length "
                             f"{length} is longer")
    return length


def _branches(rule: Rule) -> bool:
    """Whether drafts branch."""
    return rule.candidates > 1 or rule.path_only


def _check_candidates(rule: Rule, draft_length: int, target: LanguageModel) -> None:
    """Whether all candidates of a round can be verified at once."""
    nodes = node_count(rule.candidates, draft_length)
    if nodes > MOST_NODES:
        raise HedgespecError(f"rule {rule.label} with draft length {draft_length} drafts {nodes} "
                             f"tokens a round, more than {MOST_NODES}: draft fewer")
    if _branches(rule) and not has_plain_attention(target):
        raise HedgespecError(f"rule {rule.label}: {target.id} does not let candidates be verified "
                             "together (sliding windows, or an attention of its own)")
