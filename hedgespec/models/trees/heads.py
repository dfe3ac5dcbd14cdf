"""Trees of draft heads: EAGLE's, whose nodes read their ancestors, parallel and recurrent ones."""

from typing import Self

import torch

from hedgespec.models.heads.eagle import EagleHead, ParallelHead
from hedgespec.models.heads.eagle.head import attend, target_tokens
from hedgespec.models.heads.recurrent.network import RecurrentHead
from hedgespec.models.trees.growth import Growth


class EagleGrowth(Growth):
    """A node reads its token beside its parent's output, as a chain does.

    It attends to the places of its text up to the round's start, to its ancestors and to itself.
    Place j of a text reads token j+1 beside the feature of token j.
    """

    first_place = 1

    def __init__(
        self, head: EagleHead, keys: torch.Tensor, values: torch.Tensor, outputs: torch.Tensor
    ):
        """What the head has at the places of texts: `keys` and `values` (B, heads, L, width), and
        `outputs` (B, L, H)."""
        self._head = head
        self._keys, self._values, self._text_outputs = keys, values, outputs
        self._all = torch.arange(outputs.shape[1], device=outputs.device)

    @classmethod
    def of_texts(cls, head: EagleHead, ids: torch.Tensor, features: torch.Tensor) -> Self:
        """One pass over texts `ids` (B, L) and their fused `features` (B, L, H)."""
        following = torch.cat([ids[:, 1:], ids[:, -1:]], dim=1)
        positions = torch.arange(ids.shape[1], device=ids.device).expand_as(ids)
        residual, (queries, keys, values) = head.project(
            head.embed(following), features, positions)
        return cls(head, keys, values,
                   head.finish(residual, attend(queries, (keys, values), [], 0)))

    @property
    def known(self) -> torch.Tensor | None:
        """The tokens that the head knows."""
        return target_tokens(self._head.d2t) if self._head.reduced else None

    def begin(self, places: torch.Tensor) -> torch.Tensor:
        """The text's own outputs."""
        self._starts = (places - 1).clamp(min=0)
        self._level = 0
        index = self._starts[:, :, None].expand(-1, -1, self._text_outputs.shape[-1])
        self._outputs = self._text_outputs.gather(1, index).flatten(0, 1)[:, None]
        batch, heads, _, width = self._keys.shape
        self._own = [self._keys.new_empty(batch, heads, places.shape[1], 0, width)
                     for _ in range(2)]
        self._ancestors = self._starts.new_empty(places.numel(), 1, 0, dtype=torch.bool)
        # No round of the block reads text behind the last start.
        self._reach = (self._all[: int(self._starts.max()) + 1]
                       <= self._starts[:, None, :, None, None])
        return self._head.draft_logits(self._outputs[:, 0])

    def grow(self, tokens: torch.Tensor, parents: torch.Tensor) -> torch.Tensor:
        """One pass over a level's nodes."""
        features = self._outputs.gather(
            1, parents[:, :, None].expand(-1, -1, self._outputs.shape[-1]))
        return self._read(self._head.embed(tokens), features, parents)

    def _read(
        self, embedded: torch.Tensor, features: torch.Tensor, parents: torch.Tensor
    ) -> torch.Tensor:
        """Logits (n, m, v) of a level's nodes, which read embeddings beside features (n, m, H)."""
        head, (batch, rounds) = self._head, self._starts.shape
        number, count, size = embedded.shape
        self._level += 1
        positions = (self._starts + self._level)[:, :, None].expand(-1, -1, count)
        residual, projected = head.project(
            embedded.reshape(batch, -1, size), features.reshape(batch, -1, size),
            positions.reshape(batch, -1))
        queries, keys, values = (part.unflatten(2, (rounds, count)) for part in projected)
        self._own = [torch.cat(parts, dim=3)
                     for parts in zip(self._own, (keys, values), strict=True)]
        one = torch.eye(count, dtype=torch.bool, device=embedded.device)
        self._ancestors = torch.cat([
            self._ancestors.gather(1, parents[:, :, None].expand(
                -1, -1, self._ancestors.shape[-1])),
            one.expand(number, -1, -1)], dim=2)
        output = head.finish(residual, self._attend(queries))
        self._outputs = output.view(number, count, size)
        return head.draft_logits(self._outputs)

    def _attend(self, queries: torch.Tensor) -> torch.Tensor:
        """Attended values (B, heads, S*m, width) of queries (B, heads, S, m, width)."""
        shape, reach = queries.shape, self._reach.shape[-1]
        keys, values = (part[:, :, :reach] for part in (self._keys, self._values))
        own_keys, own_values = self._own
        queries = queries * shape[-1] ** -0.5
        to_text = (queries.flatten(2, 3) @ keys.mT).unflatten(2, shape[2:4])
        to_text = to_text.masked_fill(~self._reach, -torch.inf)
        ancestors = self._ancestors.unflatten(0, (shape[0], shape[2]))[:, None]
        to_own = (queries @ own_keys.mT).masked_fill(~ancestors, -torch.inf)
        weights = torch.cat([to_text, to_own], dim=-1).softmax(-1)
        attended = weights[..., :reach].flatten(2, 3) @ values
        return attended + (weights[..., reach:] @ own_values).flatten(2, 3)


class ParallelGrowth(EagleGrowth):
    """All nodes of a level have the same children: those of their depth's mask.

    The masks are read as a chain of nodes would be. Behind the last one there are no children.
    """

    def __init__(
        self, head: ParallelHead, keys: torch.Tensor, values: torch.Tensor, outputs: torch.Tensor
    ):
        """As of any head."""
        super().__init__(head, keys, values, outputs)
        self._masks = (head.mask_embeddings, head.mask_features)

    def begin(self, places: torch.Tensor) -> torch.Tensor:
        """The first depth."""
        self._last = super().begin(places)
        return self._last

    def grow(self, tokens: torch.Tensor, parents: torch.Tensor) -> torch.Tensor:
        """The next depth."""
        if self._level < len(self._masks[0]):
            mask, feature = (part[self._level].expand(len(tokens), 1, -1) for part in self._masks)
            self._last = self._read(mask, feature, torch.zeros_like(parents[:, :1]))[:, 0]
        else:
            self._last = torch.full_like(self._last, -torch.inf)
        return self._last[:, None].expand(-1, tokens.shape[1], -1)


class RecurrentGrowth(Growth):
    """A node's state follows from its parent's and its token."""

    first_place = 1

    def __init__(self, head: RecurrentHead, ids: torch.Tensor, features: torch.Tensor):
        """Texts `ids` (B, L) and the target's last hidden states (B, L, H)."""
        self._head, self._ids, self._features = head, ids, features
        self._known = target_tokens(head.d2t)

    @property
    def known(self) -> torch.Tensor:
        """The tokens that the head knows."""
        return self._known

    def begin(self, places: torch.Tensor) -> torch.Tensor:
        """The state after the last verified token alone."""
        index = (places - 1).clamp(min=0)[:, :, None].expand(-1, -1, self._features.shape[-1])
        self._contexts = self._features.gather(1, index).flatten(0, 1)[:, None]
        self._states = torch.zeros_like(self._contexts)
        last = self._ids.gather(1, places).flatten()[:, None]
        return self.grow(last, torch.zeros_like(last))[:, 0]

    def grow(self, tokens: torch.Tensor, parents: torch.Tensor) -> torch.Tensor:
        """One step of the network."""
        head = self._head
        states = self._states.gather(
            1, parents[:, :, None].expand(-1, -1, self._states.shape[-1]))
        self._states = head.advance(states, head.embed(tokens))
        return head.draft_logits(head.output(
            self._contexts.expand_as(self._states), self._states))
