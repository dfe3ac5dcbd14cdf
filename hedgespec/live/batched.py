"""Rounds of B texts of one length at once, to be timed: what they decode means nothing.

The models run as in the static engine, on keys and values of fixed size and place, which stand
beside each other for the texts. Speed depends on shapes, not on values: texts and noise are random.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import torch

from hedgespec.costs.measure import costs_from
from hedgespec.costs.timing import Timed, time_in_turn
from hedgespec.live.evaluated import reduce_together
from hedgespec.live.graphs import Captured
from hedgespec.live.plan import RoundPlan
from hedgespec.live.static_drafters import alike_heads, known_tokens
from hedgespec.live.static_round import MANY, room_for
from hedgespec.models.compiling import compile_shapes
from hedgespec.models.distributions import probabilities
from hedgespec.models.drafters.base import Drafter, ModelDrafter
from hedgespec.models.drafters.eagle import Eagle
from hedgespec.models.drafters.early_exit import EarlyExit
from hedgespec.models.fixed_tensors import StaticModel, free_rooms, reach
from hedgespec.models.grouped_attention import grouped_attention
from hedgespec.models.heads.eagle import EagleHead
from hedgespec.models.heads.eagle.stack import first_heads, held, stack_heads
from hedgespec.models.known_tokens import draw_draft
from hedgespec.models.logits import are_faulty
from hedgespec.models.states import States
from hedgespec.models.target import LanguageModel
from hedgespec.models.trees.heads import Caches
from hedgespec.traces import Costs
from hedgespec.traces.costs import (
    begin_part,
    draft_part,
    evaluate_part,
    target_part,
    together_part,
)

_CHUNK = 256  # tokens of each text that are read at once before anything is timed


def counts_up_to(drafters: int) -> list[int]:
    """1, 2, 4, ... and all of some drafters: how many are evaluated together where that is timed."""
    return [
        *(1 << power for power in range(drafters.bit_length()) if 1 << power < drafters),
        drafters,
    ]


class _Heads:
    """M EAGLE heads of one shape. The texts' tokens (B, n) are one row of B n for all but
    attention; features are (M, B n, H).
    """

    def __init__(self, drafters: list[Eagle], texts: int, room: int, compiled: int):
        own = [drafter.head for drafter in drafters]
        stacked = stack_heads(own)
        self._first = {count: first_heads(stacked, count) for count in range(2, len(own))}
        self._first |= {len(own): stacked, 1: held(own[0])}
        self._heads = [held(head) for head in own]
        self._known = known_tokens(self._heads)
        self._texts, self._compiled = texts, compiled
        self._short = compile_shapes(_advance) if compiled else _advance
        self._layers = drafters[0].target_layers
        attention = own[0].layer.self_attn
        weight = attention.q_proj.weight
        self._caches = [
            tuple(
                weight.new_empty(
                    len(own) * texts, attention.kv_heads, room, attention.width
                ).normal_()
                for _ in range(2)
            )
            for _ in own[0].layers
        ]
        self._all = torch.arange(room, device=weight.device)

    def read(
        self, count: int, tokens: torch.Tensor, states: States, places: torch.Tensor
    ) -> torch.Tensor:
        """The first `count` heads read tokens (B, n) at places (n) beside states (B, n, H)."""
        network = self._first[count]
        rows = [states[layer].flatten(0, 1)[None] for layer in self._layers]
        features = network.fuse([row.expand(count, -1, -1) for row in rows])
        return self._advance(network, count, tokens, features, places)

    def step(
        self, tokens: torch.Tensor, features: torch.Tensor, place: torch.Tensor
    ) -> torch.Tensor:
        """The first head reads a drafted token of each text (B, 1) at one place (1)."""
        return self._advance(self._first[1], 1, tokens, features, place)

    def logits(self, members: slice, features: torch.Tensor) -> torch.Tensor:
        """Logits (m, B n, v) of features of one head, or of the first ones."""
        alone = members.stop - members.start == 1
        network = self._heads[members.start] if alone else self._first[members.stop]
        return network.logits(features) if self._known is None else network.draft_logits(features)

    def known(self, members: slice) -> torch.Tensor | None:
        """The tokens that these are of; None: all."""
        return (
            self._known if self._known is None or len(self._known) == 1 else (self._known[members])
        )

    def _advance(
        self,
        network: EagleHead,
        count: int,
        tokens: torch.Tensor,
        features: torch.Tensor,
        places: torch.Tensor,
    ) -> torch.Tensor:
        rows = count * self._texts
        caches = [(keys[:rows], values[:rows]) for keys, values in self._caches]
        embedded = network.embed(tokens.flatten()[None]).expand(count, -1, -1)
        advance = _advance
        if len(places) <= self._compiled:
            advance = self._short
            free_rooms(caches, self._all)
        return advance(network, caches, embedded, features, places, self._all, self._texts)


def _advance(
    network: EagleHead,
    caches: Caches,
    embedded: torch.Tensor,
    features: torch.Tensor,
    places: torch.Tensor,
    all_places: torch.Tensor,
    texts: int,
) -> torch.Tensor:
    """One pass over tokens at places (n) of every text: (M, B n, H) in, and out."""

    def apart(rows: torch.Tensor) -> torch.Tensor:  # (M, heads, B n, width) to (M B, heads, n, ...)
        return rows.unflatten(2, (texts, -1)).transpose(1, 2).flatten(0, 1)

    groups = network.layer.self_attn.groups

    def attended(
        layer: int, queries: torch.Tensor, new_keys: torch.Tensor, new_values: torch.Tensor
    ) -> torch.Tensor:
        keys, values = caches[layer]
        keys.index_copy_(2, places, apart(new_keys[:, ::groups]))  # the others repeat them
        values.index_copy_(2, places, apart(new_values[:, ::groups]))
        mask = reach(all_places, places, network.config.window(layer))
        found = grouped_attention(apart(queries), keys, values, mask[None, None])
        return found.unflatten(0, (-1, texts)).transpose(1, 2).flatten(2, 3)

    return network.read(embedded, features, places.repeat(texts)[None], attended)


class _Reader:
    """A model that reads the texts itself: M = 1."""

    def __init__(self, drafter: ModelDrafter, texts: int, room: int, compiled: int):
        model, network = drafter.reader
        self._model = StaticModel(model, room, network, compiled, any_shape=texts > 1)
        self._drafter = drafter
        _fill(self._model, texts, MANY, model)

    def read(
        self, count: int, tokens: torch.Tensor, states: States, places: torch.Tensor
    ) -> torch.Tensor:
        """It needs no states of the target."""
        return self._model.read_texts(tokens, places)[0].flatten(0, 1)[None]

    def step(
        self, tokens: torch.Tensor, features: torch.Tensor, place: torch.Tensor
    ) -> torch.Tensor:
        """Features are in the keys and values."""
        return self._model.read_texts(tokens, place)[0].flatten(0, 1)[None]

    def known(self, members: slice) -> None:
        """It knows all tokens."""

    def logits(self, members: slice, features: torch.Tensor) -> torch.Tensor:
        """The model's logits."""
        return self._drafter.final_logits(features[0])[None]


class _Exit(_Reader):
    """An early exit: evaluated on the target's states, begun by a pass over the last token."""

    def read(
        self, count: int, tokens: torch.Tensor, states: States, places: torch.Tensor
    ) -> torch.Tensor:
        """The states are all that it needs."""
        assert isinstance(self._drafter, EarlyExit)
        return self._drafter.final_states(states[self._drafter.layer].flatten(0, 1))[None]


def _fill(model: StaticModel, texts: int, context: int, target: LanguageModel) -> None:
    """Read `context` random tokens of each text."""
    chosen = torch.Generator().manual_seed(0)
    for begin in range(0, context, _CHUNK):
        count = min(_CHUNK, context - begin)
        tokens = torch.randint(target.vocabulary_size, (texts, count), generator=chosen)
        model.read_texts(
            tokens.to(target.device), torch.arange(begin, begin + count, device=target.device)
        )


class BatchedRound:
    """The parts of a round of B texts, each after `context` tokens.

    Drafters of one shape take the same time, so the first of them is timed for all. Use within
    `torch.inference_mode()`.
    """

    def __init__(
        self,
        target: LanguageModel,
        drafters: list[Drafter],
        plan: RoundPlan,
        texts: int,
        context: int,
        compiled: bool = False,
        captured: bool = True,
    ):
        """`compiled` as in StaticRound; `captured` has CUDA graphs made of the parts."""
        few, device = plan.draft_length + 1, target.device
        self._target, self._drafters, self._plan = target, drafters, plan
        self._texts, self._few, self._captured = texts, few, captured
        room = room_for(context + 1 + few + MANY)
        self._model = StaticModel(target, room, compiled=compiled * few, any_shape=texts > 1)
        _fill(self._model, texts, max(context, MANY), target)
        self._kinds = _kinds(drafters)
        self._groups = [_group(kind, texts, room, compiled * few) for kind in self._kinds]
        layers = sorted({layer for drafter in drafters for layer in drafter.target_layers})
        self._layers = tuple(layers)
        chosen = torch.Generator().manual_seed(0)
        self._tokens = torch.randint(target.vocabulary_size, (texts, few), generator=chosen).to(
            device
        )
        noise = torch.rand(
            texts,
            few,
            plan.rule.width(target.vocabulary_size),
            generator=chosen,
            dtype=torch.float64,
        )
        self._noise = noise.to(device)
        self._places = torch.arange(room, device=device)
        self._context = context
        self._states = {
            layer: torch.randn(
                texts, few, target.hidden_size, device=device, dtype=target.model.dtype
            )
            for layer in layers
        }
        self._features = torch.randn(
            1, texts, target.hidden_size, device=device, dtype=target.model.dtype
        )
        self._law = torch.rand(texts * few, target.vocabulary_size, device=device).softmax(dim=-1)
        self._pool = torch.cuda.graph_pool_handle() if device.type == "cuda" else None

    def parts(self, counts: Sequence[int] = ()) -> list[Timed]:
        """The target's passes over 1 and K+1 tokens of each text; of each shape of drafter its
        draft and its evaluation; and the evaluation of the first `counts` drafters together."""
        found = [
            self._part(target_part(width), partial(self._verify, width))
            for width in sorted({1, self._few})
        ]
        for kind, group in zip(self._kinds, self._groups, strict=True):
            name = kind[0].name
            found += [
                self._part(draft_part(name), partial(self._draft, group)),
                self._part(evaluate_part(name), partial(self._read_on, group)),
            ]
            if isinstance(group, _Exit):
                found.append(self._part(begin_part(name), partial(self._begin, group)))
        return found + self.together(counts)

    def together(self, counts: Sequence[int]) -> list[Timed]:
        """The evaluation of the first `counts` drafters in one batch."""
        return [
            self._part(together_part(count), partial(self._evaluate, count)) for count in counts
        ]

    def costs(
        self,
        repeats: int | None,
        counts: Sequence[int],
        engine: str,
        pool: Sequence[Drafter] = (),
        beside: Sequence[Timed] = (),
    ) -> Costs:
        """Time the parts; `counts` as in `parts`, `engine` says how the models ran.

        With a `pool` of more drafters than these, `beside` are the parts of the others.
        """
        found = time_in_turn([*self.parts(counts), *beside], self._target.device, repeats)
        alike = {
            part(drafter.name): part(kind[0].name)
            for kind in self._kinds
            for drafter in kind
            for part in (draft_part, evaluate_part)
        }
        found.repeat(alike)
        pool = pool or self._drafters
        costs = costs_from(
            found, self._target, pool, self._plan.draft_length, self._context, engine, self._texts
        )
        together = costs.evaluate_together.get(str(len(self._drafters)))
        if together is not None or not self._drafters:
            together = (together or 0.0) + sum(
                costs.drafters[drafter.name].evaluate
                for drafter in pool
                if drafter not in self._drafters
            )
        return replace(costs, evaluate_all=together)

    def _part(self, name: str, work: Callable[[], object]) -> Timed:
        run = Captured(work, self._target.device, self._pool) if self._captured else work
        return Timed(name, lambda: None, run)

    def _verify(self, width: int) -> None:
        """The target reads a draft of each text, and all are verified."""
        places = self._places[self._context - 1 : self._context - 1 + width]
        tokens = self._tokens[:, :width]
        final, _ = self._model.read_texts(tokens, places, self._layers)
        p = self._laws(self._target.logits(final).flatten(0, 1)).view(self._texts, width, -1)
        q = self._law.view(self._texts, self._few, -1)[:, :width]
        self._plan.rule.verify(p, q, tokens[:, 1:], self._noise[:, :width])

    def _draft(self, group: "_Heads | _Reader") -> None:
        """The first of a group drafts K tokens of each text; the law of the first is known."""
        known, size = group.known(slice(0, 1)), self._law.shape[-1]
        features, law = self._features, self._law[: self._texts]
        if known is not None:
            law = law[:, : known.shape[-1]]
        if isinstance(group, _Exit):
            features, law = self._begin(group)
        for step in range(1, self._few):
            noise = self._noise[:, step - 1]
            token = draw_draft(self._plan.rule, law, noise, known, size)[:, None]
            place = self._places[self._context + step : self._context + step + 1]
            if step < self._few - 1:
                features = group.step(token, features, place)
                law = self._proposals(group, slice(0, 1), features)

    def _begin(self, exit: _Exit) -> tuple[torch.Tensor, torch.Tensor]:
        """The last token of each text is read: features, and the law of the first token."""
        place = self._places[self._context - 1 : self._context]
        features = exit.step(self._tokens[:, -1:], self._features, place)
        return features, self._proposals(exit, slice(0, 1), features)

    def _read_on(self, group: "_Heads | _Reader") -> None:
        """The first of a group reads the last round's tokens, for the next draft's first law."""
        features = self._read(group, 1)
        if not isinstance(group, _Exit):
            features = features.unflatten(1, (self._texts, -1))[:, :, -1]
        group.logits(slice(0, 1), features)

    def _evaluate(self, count: int) -> None:
        """The first `count` drafters read the last round's tokens, whose statistics are made."""
        for kind, group in zip(self._kinds, self._groups, strict=True):
            members = sum(drafter in self._drafters[:count] for drafter in kind)
            if not members:
                continue
            features = self._read(group, members)
            # The laws of all heads and texts at once would not fit.
            each = members if self._texts == 1 else 1
            for first in range(0, members, each):
                rows = slice(first, first + each)
                laws = self._proposals(group, rows, features[rows])
                reduce_together(
                    self._plan.rule,
                    self._law,
                    laws.unflatten(0, (each, -1)),
                    self._tokens.flatten(),
                    group.known(rows),
                )

    def _read(self, group: "_Heads | _Reader", members: int) -> torch.Tensor:
        places = self._places[self._context - self._few : self._context]
        return group.read(members, self._tokens, self._states, places)

    def _proposals(
        self, group: "_Heads | _Reader", members: slice, features: torch.Tensor
    ) -> torch.Tensor:
        """What drafters propose (m B n, v), from features (m, B n, H)."""
        logits = group.logits(members, features)
        broken = are_faulty(logits).flatten(1).any(dim=1)
        return self._laws(logits.masked_fill(broken[:, None, None], -torch.inf).flatten(0, 1))

    def _laws(self, logits: torch.Tensor) -> torch.Tensor:
        return probabilities(logits, self._plan.sampling)


def _kinds(drafters: list[Drafter]) -> list[list[Drafter]]:
    """The drafters, heads of one shape together."""
    kinds: list[list[Drafter]] = []
    for drafter in drafters:
        mates = [
            kind
            for kind in kinds
            if isinstance(drafter, Eagle)
            and isinstance(kind[0], Eagle)
            and alike_heads(kind[0], drafter)
        ]
        if mates:
            mates[0].append(drafter)
        else:
            kinds.append([drafter])
    return kinds


def _group(kind: list[Drafter], texts: int, room: int, compiled: int) -> "_Heads | _Reader":
    heads = [drafter for drafter in kind if isinstance(drafter, Eagle)]
    if heads:
        return _Heads(heads, texts, room, compiled)
    [reader] = kind
    assert isinstance(reader, ModelDrafter)
    kind_of = _Exit if isinstance(reader, EarlyExit) else _Reader
    return kind_of(reader, texts, room, compiled)
