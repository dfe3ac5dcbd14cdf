"""Lossless speculative decoding of one text at a time with a pool of drafters and a selector."""

import copy
import gc
import warnings
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from hedgespec.costs.estimate import round_seconds
from hedgespec.costs.measure import device_name
from hedgespec.errors import HedgespecError, arg
from hedgespec.live.decoded import Answer, Round
from hedgespec.live.eager_engine import EagerEngine
from hedgespec.live.engine import Engine, Evaluation
from hedgespec.live.meter import CostMeter
from hedgespec.live.overhead import TimedDecoder, measured_overhead
from hedgespec.live.plan import RoundPlan, plan_rounds
from hedgespec.live.policy import FixedArm, Policy, make_policy
from hedgespec.live.pool import Laws, Pool
from hedgespec.live.settings import NEW_TOKENS, OWN, SELECTOR, DecoderSettings
from hedgespec.live.static_engine import StaticEngine
from hedgespec.live.text_rounds import Rounds, Stop, TextRequest
from hedgespec.models.distributions import probabilities
from hedgespec.models.drafters import (
    Drafter,
    check_readers,
    check_sampling,
    default_drafters,
    make_drafters,
)
from hedgespec.models.lossless import check_lossless
from hedgespec.models.target import LanguageModel
from hedgespec.models.trees import NamedTree
from hedgespec.options import changed_settings, refuse_idle
from hedgespec.rules import Rule, parse_rule
from hedgespec.selectors import ConfiguredSelector, Selector
from hedgespec.selectors.arms import NO_DRAFTER, Arms, arms_of
from hedgespec.tracegen.prompts import render_messages, tokenize
from hedgespec.traces import Costs

# Texts without a seed have one of this many numbers.
_NUMBERS = 1 << 62
_ONE_DRAFTER = "limited:1"  # feedback that has one drafter evaluated before each round


class LiveDecoder:
    """Decodes with a target, N drafters and a selector, called as in the simulator.

    A round: the selector picks one of `arms`, a drafter and how many tokens it drafts, K at most;
    the target verifies them in one pass. Before a selector needs to know, all drafters are
    evaluated by prefilling what was emitted since the last time; bandits need no evaluation, or
    that of the drafter that ran. The answer is distributed as the target's own; at temperature 0 it
    is the target's own.

    `last` is the answer that `generate_text` and Hugging Face's `generate` made last.
    """

    def __init__(
        self,
        target: LanguageModel,
        drafters: list[Drafter],
        selector: str | Selector | ConfiguredSelector = SELECTOR,
        settings: DecoderSettings | None = None,
        **changed: Any,
    ):
        """`selector` is a learner or its label, fixed:ARM, or none, which drafts nothing.

        `changed` are fields of DecoderSettings, those of `settings` but for them. Raises
        HedgespecError for settings that make no sense.
        """
        if not drafters:
            raise HedgespecError(f"there is no drafter: name one with {arg('drafters')}")
        self.target, self.drafters = target, drafters
        self.settings = changed_settings(settings or DecoderSettings(), changed)
        check_sampling(drafters, self.settings.sampling)
        self._asked = plan_rounds(self.settings, target)
        self.arms = self._arms_asked_for()
        self.policy = self._make_policy(selector)
        self._lossless = check_lossless(
            target, branches=self.plan.branches, static=self._runs_static()
        )
        check_readers(drafters)
        refuse_idle(
            {"compiled": True} if self.settings.compiled else {},
            [
                (
                    "compiled",
                    self._runs_static(),
                    "models are compiled on fixed tensors only, which "
                    "run by default on a GPU, without draft trees, where all drafters can",
                )
            ],
        )
        for drafter in drafters:
            drafter.make_ready(trees=self.tree is not None)
        self.engine = self._make_engine(self.plan)
        self._room = self.plan.draft_length  # of the engine's tensors
        self.last: Answer | None = None
        self._texts = 0

    @property
    def label(self) -> str:
        """The selector's name in results."""
        return self.policy.label

    @property
    def rule(self) -> Rule:
        """What verifies."""
        return self.plan.rule

    @property
    def tree(self) -> NamedTree | None:
        """What rule tree drafts."""
        return self.plan.tree

    @property
    def plan(self) -> RoundPlan:
        """How rounds draft and verify; with selector `none` they draft nothing."""
        return self._asked if self.policy.drafts else replace(self._asked, draft_length=0)

    @property
    def draft_length(self) -> int:
        """Tokens that any arm drafts in a round at most, K."""
        return self._asked.draft_length

    @property
    def dropped(self) -> dict[str, str]:
        """Drafters that failed, and why."""
        return self.engine.dropped

    def costs(
        self,
        context: int = 256,
        widths: Sequence[int] = (),
        repeats: int | None = None,
        batches: Sequence[int] = (),
        contexts: Sequence[int] = (),
        kept: Callable[[Costs], object] = lambda costs: None,
        known: Costs | None = None,
    ) -> Costs:
        """Measured seconds of the parts of a round after `context` tokens, and of the target's pass
        over `widths` tokens, and over those of each arm's round; takes some seconds.

        The same is measured after each of `contexts`, and of each of `batches` texts at once after
        `context` tokens, where there is memory for it: what there is not is told in a warning.
        `kept` is called with what there is after each of them. The overheads of rounds are measured
        of one text, and taken to be the same of several. What `known` has, of the same machine and
        drafters, is not measured again. Raises HedgespecError if it is of others.
        """
        engine = self._engine_of_costs()
        with torch.inference_mode(), engine.unlimited():
            if known is None:
                first = engine.measurement(context, self._widths(widths)).take(repeats)
                found = self._with_overheads(first, engine)
                kept(found)
            else:
                found = self._going_on(known)
            for length, texts in dict.fromkeys(
                (
                    *((found.context, texts) for texts in batches),
                    *((length, 1) for length in contexts),
                )
            ):
                if (length, texts) not in [(one.context, one.batch) for one in found.measured]:
                    found = self._with_condition(found, engine, length, texts, repeats)
                    kept(found)
        return found

    def meter(self, context: int = 256, widths: Sequence[int] = ()) -> CostMeter:
        """Costs of one text as `costs` measures them, which can be measured again between answers.

        What a round takes besides is that of the decoder's own rounds: `timed` and `evaluate_all`
        take some of it.
        """
        engine = self._engine_of_costs()
        with torch.inference_mode(), engine.unlimited():
            measurement = engine.measurement(context, self._widths(widths))
            first = self._with_overheads(measurement.take(), engine, as_logged=True)
        return CostMeter(engine, measurement, first)

    def _engine_of_costs(self) -> Engine:
        """One that drafts, whatever the selector does."""
        return self.engine if self.policy.drafts else self._make_engine(self._asked)

    def _widths(self, widths: Sequence[int]) -> list[int]:
        """Tokens that the target reads in rounds of the arms, and these, but for 1 and K + 1."""
        own = (self.arms.lengths + 1).tolist()
        return sorted({*widths, *own} - {1, self.draft_length + 1})

    def round_seconds(self, costs: Costs) -> tuple[float, ...]:
        """Seconds (N) of a round of each arm, its draft being whole, as losses in seconds take
        them."""
        names = [
            None if drafter == NO_DRAFTER else self.drafters[drafter].name
            for drafter in self.arms.drafters
        ]
        lengths = self.arms.lengths
        return tuple(round_seconds(costs, names, lengths, lengths).tolist())

    def _going_on(self, known: Costs) -> Costs:
        """Costs to which conditions are added."""
        mine = (
            device_name(*self.target.devices),
            self.target.dtype,
            self.draft_length,
            [drafter.name for drafter in self.drafters],
        )
        theirs = known.device, known.dtype, known.draft_length, list(known.drafters)
        if mine != theirs:
            raise HedgespecError(
                f"the costs to go on from are of {theirs}, not of {mine}: measure "
                "anew, or to another file"
            )
        return known

    def _with_overheads(self, costs: Costs, engine: Engine, as_logged: bool = False) -> Costs:
        """With what a round takes besides its parts: of the first drafter alone, then of a learner
        that has all drafters evaluated before each round, where the engine can do so, and of one
        that has one of them. `as_logged` leaves what only a log needs as it is asked for."""
        names = [drafter.name for drafter in self.drafters]
        changed: dict[str, Any] = {
            "arm_lengths": (),
            "feedback": None,
            "loss": None,
            "round_seconds": None,
        }
        if not as_logged:
            changed |= {"evaluate_all": False, "timed": False}
        settings = changed_settings(self.settings, changed)
        arms = arms_of(names, self.draft_length)

        def beyond(known: Costs, policy: Policy) -> float:
            return measured_overhead(
                TimedDecoder(
                    self.target, self.drafters, arms, engine, policy, settings, self._asked
                ),
                known,
            )

        found = replace(costs, overhead=beyond(costs, FixedArm(names[0], names)))
        if self._evaluation is Evaluation.ASIDE:  # which costs rounds nothing of this kind
            return found
        learner = make_policy(SELECTOR, arms, self._asked, settings)
        one_by_one = changed_settings(settings, {"feedback": _ONE_DRAFTER})
        partial_learner = make_policy(SELECTOR, arms, self._asked, one_by_one)
        return replace(
            found,
            evaluation_overhead=beyond(found, learner),
            part_overhead=beyond(found, partial_learner),
        )

    def _with_condition(
        self, costs: Costs, engine: Engine, context: int, texts: int, repeats: int | None
    ) -> Costs:
        gc.collect()  # of what the last one needed
        torch.cuda.empty_cache()
        try:
            one = (
                engine.measurement(context).take(repeats)
                if texts == 1
                else engine.costs_of_texts(texts, context, repeats)
            )
        except torch.OutOfMemoryError:
            warnings.warn(
                f"there is no memory for {texts} texts of {context} tokens: they are not measured",
                stacklevel=3,
            )
            return costs
        return replace(costs, conditions=[*costs.conditions, one.with_overheads_of(costs)])

    def with_selector(
        self, selector: str | Selector | ConfiguredSelector, **own: Any
    ) -> "LiveDecoder":
        """The same decoder with another selector, which takes no time: the two share models,
        tensors and graphs, so that only one of them may decode at a time. Between `none` and one
        that drafts they share the models only.

        `own` are those of OWN, fields of DecoderSettings, that change with it. `draft_length` and
        `arm_lengths` replace each other. Raises HedgespecError for an unknown selector or another
        field, for drafts longer than the tensors have room for, and where one of them evaluates
        drafters beside the next round, which needs tensors of its own.
        """
        if other_fields := sorted(own.keys() - OWN):
            raise HedgespecError(
                f"{', '.join(other_fields)} of a decoder cannot change with its "
                f"selector; {', '.join(sorted(OWN))} can: make another decoder"
            )
        other = copy.copy(self)
        if own.keys() & {"draft_length", "arm_lengths"}:
            own = {"draft_length": None, "arm_lengths": ()} | own
            other._asked = plan_rounds(changed_settings(self.settings, own), self.target)
        other.settings = changed_settings(self.settings, own)
        other.arms = other._arms_asked_for()
        other.policy = other._make_policy(selector)
        if (self._evaluation is Evaluation.ASIDE) != (other._evaluation is Evaluation.ASIDE):
            raise HedgespecError(
                f"{self.label} and {other.label} cannot share a decoder with "
                "feedback of rounds: make another one"
            )
        if other.policy.drafts != self.policy.drafts:
            other.engine = other._make_engine(other.plan)
            other._room = other.plan.draft_length
            other.engine.dropped.update(self.dropped)
        elif other.plan.draft_length > self._room:
            raise HedgespecError(
                f"drafts of {other.draft_length} tokens do not fit a decoder of "
                f"{self._room}: make another one"
            )
        return other

    def with_laws(self, laws: Laws) -> "LiveDecoder":
        """The same decoder with other distributions; what drafters were dropped stay so."""
        other = copy.copy(self)
        if self.rule.label == "greedy":
            other._asked = replace(self._asked, rule=parse_rule("sampling"))
        other.engine = other._eager_engine(laws, other.plan)
        other.engine.dropped.update(self.dropped)
        return other

    def next_number(self) -> int:
        """A number for the next text: 0, 1, 2, ... of a seed, without one of torch's generator."""
        if self.settings.seed is None:
            return int(torch.randint(_NUMBERS, ()))
        self._texts += 1
        return self._texts - 1

    def generate(
        self, prompt: list[int], max_new_tokens: int, query: int = 0, stop: Stop | None = None
    ) -> Answer:
        """Continue `prompt` (token ids); see `rounds`."""
        answer = Answer()
        for _ in self.rounds(prompt, max_new_tokens, query, stop, answer):
            pass
        return answer

    def generate_text(
        self,
        prompt: str | Sequence[Mapping[str, str]],
        max_new_tokens: int = NEW_TOKENS,
        query: int | None = None,
    ) -> str:
        """Continue a text, or answer a conversation; the rounds are then in `last`.

        Texts differ from call to call, unless `query` is given: see `next_number`.

        A text is continued as it is. A conversation is a list of {"role": ..., "content": ...},
        rendered by the tokenizer's chat template if there is one. See `rounds`.
        """
        tokenizer = self.target.tokenizer
        if isinstance(prompt, str):
            ids: list[int] = tokenizer(prompt)["input_ids"]
        else:
            ids = tokenize(tokenizer, render_messages(tokenizer, prompt))
        number = self.next_number() if query is None else query
        self.last = self.generate(ids, max_new_tokens, number)
        text: str = tokenizer.decode(self.last.tokens, skip_special_tokens=True)
        return text

    def rounds(
        self,
        prompt: list[int],
        max_new_tokens: int,
        query: int = 0,
        stop: Stop | None = None,
        answer: Answer | None = None,
    ) -> Generator[Round, None, None]:
        """Continue `prompt`, giving each round when it is done; `answer` grows with them.

        It ends with an end token, at `max_new_tokens`, or where `stop(answer's tokens)` says so; a
        round that would run past the end is cut there, as in a replay. Seed (0 if None) and `query`
        give the random numbers. Raises HedgespecError if the prompt is empty, or prompt and answer
        may exceed a model's context.
        """
        request = TextRequest(prompt, max_new_tokens, query, stop)
        yield from self.run(request, Answer() if answer is None else answer)

    def run(self, request: TextRequest, answer: Answer) -> Iterator[Round]:
        """`rounds` of a request."""
        self._check(request)
        yield from Rounds(self, request, answer).run()

    @property
    def _evaluation(self) -> Evaluation:
        return self.policy.evaluation(self.settings.evaluate_all)

    def _arms_asked_for(self) -> Arms:
        return arms_of(
            [drafter.name for drafter in self.drafters],
            self._asked.draft_length,
            self.settings.arm_lengths,
        )

    def _make_policy(self, selector: str | Selector | ConfiguredSelector) -> Policy:
        return make_policy(selector, self.arms, self._asked, self.settings)

    def _make_engine(self, plan: RoundPlan) -> Engine:
        if self._runs_static():
            read = plan.draft_length or self.settings.evaluate_all
            return StaticEngine(
                self.target,
                self.drafters if read else [],
                plan,
                self._evaluation,
                self.settings.compiled,
                seconds=self.settings.drafter_seconds,
            )
        return self._eager_engine(Laws(self._plain_law, self._plain_law), plan)

    def _plain_law(self, logits: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        return probabilities(logits, self.plan.sampling)

    def _runs_static(self) -> bool:
        """Whether on fixed tensors. Raises HedgespecError if that is asked for and cannot be."""
        static = self.settings.static
        if static and self._asked.branches:
            raise HedgespecError(f"rule {self.rule.label} cannot run on fixed tensors")
        can_run = StaticEngine.can_run(self.target, self.drafters)
        if static and not can_run:
            raise HedgespecError(
                "not all of target and drafters can run on fixed tensors: those "
                "of plain attention on one device, EAGLE heads and copies from "
                "the text can"
            )
        if static is None:
            return self.target.device.type == "cuda" and not self._asked.branches and can_run
        return static

    def _eager_engine(self, laws: Laws, plan: RoundPlan) -> Engine:
        pool = Pool(
            self.drafters,
            self.target.vocabulary_size,
            self.target.device,
            self.settings.drafter_seconds,
        )
        return EagerEngine(self.target, pool, plan, laws, self._evaluation)

    def _check(self, request: TextRequest) -> None:
        if request.max_new_tokens < 1:
            raise HedgespecError("new tokens must be at least 1")
        if not request.prompt:
            raise HedgespecError("the prompt holds no token")
        highest, known = max(request.prompt), self.target.vocabulary_size
        if highest >= known:
            raise HedgespecError(f"the prompt holds token {highest}; the target knows {known}")
        self._check_length(len(request.prompt) + request.max_new_tokens)
        lengths = [self.target.context_length, *(item.context_length for item in self.drafters)]
        context = min(length for length in lengths if length is not None)
        if len(request.prompt) + request.max_new_tokens > context:
            raise HedgespecError(
                f"{len(request.prompt)} prompt tokens and {request.max_new_tokens} new ones "
                f"exceed the shortest context of target and drafters, {context}"
            )

    def _check_length(self, tokens: int) -> None:
        """Refuse, or warn of, a text that gets where the target may not read as it should."""
        found = self._lossless
        if found.length is None or tokens <= found.length:
            return
        if not found.unknown:
            raise HedgespecError(found.reason)
        warnings.warn(found.reason, RuntimeWarning, stacklevel=4)


def make_decoder(
    model: Any,
    tokenizer: Any,
    drafters: Sequence[Any] | Mapping[str, Any] | None = None,
    selector: str | Selector | ConfiguredSelector = SELECTOR,
    settings: DecoderSettings | None = None,
    **changed: Any,
) -> LiveDecoder:
    """A decoder of a transformers model and its tokenizer that are in memory.

    `drafters` are as `make_drafters` takes them: specifications such as "early-exit:20" or
    "prompt-lookup", and transformers models with the same tokenizer, perhaps in a mapping that
    names them; by default what any target has. `settings` and `changed` are LiveDecoder's. Raises
    HedgespecError for what cannot be used.
    """
    target = LanguageModel.of(model, tokenizer)
    pool = default_drafters(target.layers) if drafters is None else drafters
    return LiveDecoder(target, make_drafters(pool, target), selector, settings, **changed)
