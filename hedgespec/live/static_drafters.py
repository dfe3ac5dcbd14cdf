"""Drafters on fixed tensors, those of one shape together."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch

from hedgespec.models.compiling import compile_shapes
from hedgespec.models.drafters.base import Drafter, ModelDrafter
from hedgespec.models.drafters.eagle import Eagle
from hedgespec.models.drafters.early_exit import EarlyExit
from hedgespec.models.fixed_tensors import (
    StaticModel,
    free_rooms,
    has_plain_attention,
    reach,
)
from hedgespec.models.grouped_attention import grouped_attention
from hedgespec.models.heads.eagle import EagleHead
from hedgespec.models.heads.eagle.head import target_tokens
from hedgespec.models.heads.eagle.stack import held, stack_heads, stackable
from hedgespec.models.target import LanguageModel
from hedgespec.models.trees.heads import Caches


@dataclass
class StaticText:
    """Tokens (room) and the target's hidden states (room, H) by layer, `length` (1) of them
    verified; the last one has no state yet."""

    tokens: torch.Tensor
    length: torch.Tensor
    states: dict[int, torch.Tensor]

    @classmethod
    def empty(cls, target: LanguageModel, layers: tuple[int, ...], room: int) -> "StaticText":
        """No token yet; it has room for the target's states of some layers."""
        device, dtype = target.device, target.model.dtype
        return cls(
            torch.zeros(room, dtype=torch.long, device=device),
            torch.zeros(1, dtype=torch.long, device=device),
            {
                layer: torch.zeros(room, target.hidden_size, dtype=dtype, device=device)
                for layer in layers
            },
        )


class Group(ABC):
    """M drafters whose work is one batch. Nothing here waits for the device.

    A feature is what logits are made from, and what an EAGLE head goes on from; `width` and `dtype`
    are its size and type. Logits are those of `known` tokens (models/known_tokens.py), or of all V.
    The first token that can be read is the `first_token`-th. Where the
    target's states are all that features are made of (`from_states`), there is `of_states`, and
    only what the target has not read is read, when a draft begins.
    """

    first_token = 0
    from_states = False
    known: torch.Tensor | None = None

    def __init__(self, drafters: list[Drafter], width: int, dtype: torch.dtype):
        self.drafters, self.width, self.dtype = drafters, width, dtype

    @abstractmethod
    def read(
        self, text: StaticText, start: torch.Tensor, count: int, member: int | None = None
    ) -> torch.Tensor:
        """Read `count` (n) tokens from place `start` (1) on, by all members or one: features
        (M, n, H), each of what follows the token."""

    @abstractmethod
    def step(
        self,
        member: int,
        text: StaticText,
        number: int,
        token: torch.Tensor,
        feature: torch.Tensor,
    ) -> torch.Tensor:
        """Read the `number`-th drafted token (1) behind the text, going on from `feature`.

        Features are (1, 1, H).
        """

    @abstractmethod
    def logits(self, features: torch.Tensor, member: int | None = None) -> torch.Tensor:
        """Logits (M, n, v), float32, of features (M, n, H) of all members or one."""

    def of_states(
        self, text: StaticText, places: torch.Tensor, member: int | None = None
    ) -> torch.Tensor:
        """Features (M, n, H) of what follows the tokens at `places` (n), which the target has read,
        of all members or one."""
        raise NotImplementedError


class Heads(Group):
    """EAGLE heads of one shape. Place j holds token j+1 beside the feature of token j."""

    first_token = 1

    def __init__(self, drafters: list[Eagle], room: int, compiled: int = 0):
        """`compiled` as in StaticModel."""
        own = [drafter.head for drafter in drafters]
        self._stacked = stack_heads(own)
        self._heads = [held(head) for head in own]  # graphs know where their weights lie
        self._compiled = compiled
        self._short = compile_shapes(_advance) if compiled else _advance
        self._short_logits = compile_shapes(_known_logits) if compiled else _known_logits
        self.known = known_tokens(self._heads)
        attention = self._heads[0].layer.self_attn
        weight = attention.q_proj.weight
        super().__init__(list(drafters), self._heads[0].config.hidden_size, weight.dtype)
        self._layers = drafters[0].target_layers
        # Keys and values of each layer.
        self._caches = [
            tuple(
                weight.new_zeros(len(drafters), attention.kv_heads, room, attention.width)
                for _ in range(2)
            )
            for _ in self._heads[0].layers
        ]
        self._all = torch.arange(room, device=weight.device)

    def read(
        self, text: StaticText, start: torch.Tensor, count: int, member: int | None = None
    ) -> torch.Tensor:
        """The text's first token makes no place: `start` is at least 1."""
        new = start + self._all[:count]
        places = new - 1
        states = [text.states[layer].index_select(0, places)[None] for layer in self._layers]
        network, batch = self._members(member)
        features = network.fuse([state.expand(batch, -1, -1) for state in states])
        return self._advance(text.tokens.index_select(0, new), features, places, member)

    def step(
        self,
        member: int,
        text: StaticText,
        number: int,
        token: torch.Tensor,
        feature: torch.Tensor,
    ) -> torch.Tensor:
        """Go on from the head's own output."""
        return self._advance(token, feature, text.length + (number - 2), member)

    def logits(self, features: torch.Tensor, member: int | None = None) -> torch.Tensor:
        """Of the tokens that the heads know."""
        network = self._members(member)[0]
        if self.known is None:
            return network.logits(features)
        if features.shape[1] > self._compiled:
            return _known_logits(network, features)
        # The last of a prompt's features have the stride of its length, and kernels one for each.
        return self._short_logits(network, features.contiguous())

    def _members(self, member: int | None) -> tuple[EagleHead, int]:
        if member is None:
            return self._stacked, len(self._heads)
        return self._heads[member], 1

    def _advance(
        self,
        tokens: torch.Tensor,
        features: torch.Tensor,
        places: torch.Tensor,
        member: int | None,
    ) -> torch.Tensor:
        network, batch = self._members(member)
        rows = slice(None) if member is None else slice(member, member + 1)
        caches = [(keys[rows], values[rows]) for keys, values in self._caches]
        embedded = network.embed(tokens[None]).expand(batch, -1, -1)
        advance = _advance
        if len(tokens) <= self._compiled:
            advance = self._short
            free_rooms(caches, self._all)
        return advance(network, caches, embedded, features, places, self._all)


def _known_logits(network: EagleHead, features: torch.Tensor) -> torch.Tensor:
    return network.draft_logits(features)


def known_tokens(heads: list[EagleHead]) -> torch.Tensor | None:
    """The target's tokens (M, v) of the heads' own, (1, v) where they are the same ones; None of
    heads that know all, or some in another order. Waits for the device."""
    if not heads[0].reduced:
        return None
    known = torch.stack([target_tokens(head.d2t) for head in heads])
    if not bool((known.diff(dim=-1) > 0).all()):
        return None
    return known[:1].clone() if bool((known == known[:1]).all()) else known


def _advance(
    network: EagleHead,
    caches: Caches,
    embedded: torch.Tensor,
    features: torch.Tensor,
    places: torch.Tensor,
    all_places: torch.Tensor,
) -> torch.Tensor:
    """One pass over embedded tokens beside features (M, n, H) at places (n), in fixed tensors."""
    groups = network.layer.self_attn.groups

    def attended(
        layer: int, queries: torch.Tensor, new_keys: torch.Tensor, new_values: torch.Tensor
    ) -> torch.Tensor:
        keys, values = caches[layer]
        keys.index_copy_(2, places, new_keys[:, ::groups])  # the others are their repetitions
        values.index_copy_(2, places, new_values[:, ::groups])
        mask = reach(all_places, places, network.config.window(layer))
        return grouped_attention(queries, keys, values, mask[None, None])

    return network.read(embedded, features, places[None], attended)


class Reader(Group):
    """A model that reads the text itself: place j holds token j."""

    def __init__(self, drafter: ModelDrafter, room: int, compiled: int = 0):
        """`compiled` as in StaticModel."""
        model, network = drafter.reader
        super().__init__([drafter], model.hidden_size, model.model.dtype)
        self._model, self._drafter = StaticModel(model, room, network, compiled), drafter
        self._all = torch.arange(room, device=model.device)

    def read(
        self, text: StaticText, start: torch.Tensor, count: int, member: int | None = None
    ) -> torch.Tensor:
        """Tokens at their own places."""
        places = start + self._all[:count]
        return self._model.read(text.tokens.index_select(0, places), places)[0][None]

    def step(
        self,
        member: int,
        text: StaticText,
        number: int,
        token: torch.Tensor,
        feature: torch.Tensor,
    ) -> torch.Tensor:
        """Read on; the feature is in the keys and values."""
        return self._model.read(token, text.length + (number - 1))[0][None]

    def logits(self, features: torch.Tensor, member: int | None = None) -> torch.Tensor:
        """The model's logits."""
        return self._drafter.final_logits(features[0])[None]


class Exits(Group):
    """Early exits: their keys and values are the target's own."""

    from_states = True

    def __init__(self, drafters: list[EarlyExit], target: StaticModel):
        """`target` is the target as it reads the text."""
        model = drafters[0].reader[0]
        super().__init__(list(drafters), model.hidden_size, model.model.dtype)
        self._exits = drafters
        self._readers = [target.beside(drafter.reader[1]) for drafter in drafters]

    def read(
        self, text: StaticText, start: torch.Tensor, count: int, member: int | None = None
    ) -> torch.Tensor:
        """By one member. The target reads the same tokens later, and writes over what is left."""
        assert member is not None
        places = start + torch.arange(count, device=start.device)
        tokens = text.tokens.index_select(0, places)
        return self._readers[member].read(tokens, places)[0][None]

    def step(
        self,
        member: int,
        text: StaticText,
        number: int,
        token: torch.Tensor,
        feature: torch.Tensor,
    ) -> torch.Tensor:
        """Read on; the feature is in the keys and values."""
        return self._readers[member].read(token, text.length + (number - 1))[0][None]

    def logits(self, features: torch.Tensor, member: int | None = None) -> torch.Tensor:
        """The target's head, once for all of them."""
        return self._exits[0].final_logits(features)

    def of_states(
        self, text: StaticText, places: torch.Tensor, member: int | None = None
    ) -> torch.Tensor:
        """The target's states, normed."""
        exits = self._exits if member is None else self._exits[member : member + 1]
        return self._exits[0].final_states(
            torch.stack([text.states[drafter.layer].index_select(0, places) for drafter in exits])
        )


def can_run_static(drafter: Drafter) -> bool:
    """Whether a drafter works on fixed tensors: EAGLE heads, and models of plain attention."""
    return isinstance(drafter, Eagle) or (
        isinstance(drafter, ModelDrafter) and has_plain_attention(drafter.reader[0])
    )


def make_groups(
    drafters: list[Drafter], room: int, target: StaticModel, compiled: int = 0
) -> list[Group]:
    """Groups of all drafters; each drafter is in one. `compiled` as in StaticModel."""
    groups: list[Group] = []
    left = list(drafters)
    while left:
        first = left[0]
        if isinstance(first, Eagle):
            alike = [item for item in left if isinstance(item, Eagle) and alike_heads(first, item)]
            groups.append(Heads(alike, room, compiled))
            left = [item for item in left if item not in alike]
        elif isinstance(first, EarlyExit):
            exits = [item for item in left if isinstance(item, EarlyExit)]
            groups.append(Exits(exits, target))
            left = [item for item in left if item not in exits]
        else:
            assert isinstance(first, ModelDrafter)
            groups.append(Reader(first, room, compiled))
            left = left[1:]
    return groups


def alike_heads(one: Eagle, other: Eagle) -> bool:
    """Whether two heads work as one batch."""
    return one is other or (
        one.target_layers == other.target_layers and stackable(one.head, other.head)
    )
