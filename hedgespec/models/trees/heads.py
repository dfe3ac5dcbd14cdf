"""Trees of draft heads: EAGLE's, whose nodes read their ancestors, parallel and recurrent ones."""

from typing import Self

import torch

from hedgespec.models.heads.eagle import EagleHead, ParallelHead
from hedgespec.models.heads.eagle.head import attend, target_tokens
from hedgespec.models.heads.recurrent.network import RecurrentHead
from hedgespec.models.trees.growth import Ancestry, Growth, pick

# Keys and values (B, heads, L, width) of each layer of a head.
Caches = list[tuple[torch.Tensor, torch.Tensor]]


class EagleGrowth(Growth):
    """A node reads its token beside its parent's output, as a chain does.

    It attends to the places of its text up to the round's start, to its ancestors and to itself.
    Place j of a text reads token j+1 beside the feature of token j.
    """

    first_place = 1

    def __init__(self, head: EagleHead, caches: Caches, outputs: torch.Tensor):
        """What the head has at the places of texts: each layer's keys and values
        (B, heads, L, width), and `outputs` (B, L, H)."""
        self._head = head
        self._caches, self._text_outputs = caches, outputs

    @classmethod
    def of_texts(cls, head: EagleHead, ids: torch.Tensor, features: torch.Tensor) -> Self:
        """One pass over texts `ids` (B, L) and their fused `features` (B, L, H)."""
        following = torch.cat([ids[:, 1:], ids[:, -1:]], dim=1)
        positions = torch.arange(ids.shape[1], device=ids.device).expand_as(ids)
        caches: Caches = []

        def attended(
            layer: int, queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor
        ) -> torch.Tensor:
            caches.append((keys, values))
            return attend(queries, (keys, values), [], 0, head.config.window(layer))

        outputs = head.read(head.embed(following), features, positions, attended)
        return cls(head, caches, outputs)

    @property
    def known(self) -> torch.Tensor | None:
        """The tokens that the head knows."""
        return target_tokens(self._head.d2t) if self._head.reduced else None

    def begin(self, places: torch.Tensor) -> torch.Tensor:
        """The text's own outputs."""
        starts = (places - 1).clamp(min=0)
        self._outputs = pick(self._text_outputs, starts).flatten(0, 1)[:, None]
        self._block = _Block(starts, self._caches, self._head.config.windows)
        return self._head.draft_logits(self._outputs[:, 0])

    def grow(self, tokens: torch.Tensor, parents: torch.Tensor) -> torch.Tensor:
        """One pass over a level's nodes."""
        return self._read(self._head.embed(tokens), pick(self._outputs, parents), parents)

    def _read(
        self, embedded: torch.Tensor, features: torch.Tensor, parents: torch.Tensor
    ) -> torch.Tensor:
        """Logits (n, m, v) of a level's nodes, which read embeddings beside features (n, m, H)."""
        head, block = self._head, self._block
        positions = block.next_level(parents)
        by_text = (len(positions), -1, embedded.shape[-1])
        output = head.read(
            embedded.reshape(by_text), features.reshape(by_text), positions, block.attend
        )
        self._outputs = output.view(embedded.shape)
        return head.draft_logits(self._outputs)


class _Block:
    """A block of rounds whose trees grow: S in each of B texts, n = B*S, text by text.

    `level` is that of the last nodes; it has m of them in each round.
    """

    def __init__(self, starts: torch.Tensor, caches: Caches, windows: tuple[int | None, ...] = ()):
        """Rounds that go on from the places `starts` (B, S) of texts, whose keys and values are
        `caches`; `windows` as in EagleConfig."""
        self.level, self._starts = 0, starts
        # No round of the block reads text behind the last start.
        self._places = torch.arange(int(starts.max()) + 1, device=starts.device)
        self._reach = self._places <= starts[:, None, :, None, None]
        count = len(self._places)
        self._texts = [(keys[:, :, :count], values[:, :, :count]) for keys, values in caches]
        self._windows = windows or (None,) * len(caches)
        batch, heads, _, width = caches[0][0].shape
        none = caches[0][0].new_empty(batch, heads, starts.shape[1], 0, width)
        self._own = [(none, none) for _ in caches]  # keys and values of the nodes so far
        self._ancestry = Ancestry(starts.numel(), starts.device)

    def next_level(self, parents: torch.Tensor) -> torch.Tensor:
        """Go on to nodes with these parents (n, m); their positions (B, S*m) in the text."""
        self.level += 1
        self._ancestry.add(parents)
        positions = (self._starts + self.level)[:, :, None].expand(-1, -1, parents.shape[1])
        return positions.reshape(len(positions), -1)

    def attend(
        self, layer: int, queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor
    ) -> torch.Tensor:
        """Attended values of the level's nodes; all are (B, heads, S*m, width)."""
        shape = (self._starts.shape[1], self._ancestry.sizes[-1])
        queries, keys, values = (part.unflatten(2, shape) for part in (queries, keys, values))
        (text_keys, text_values), (own_keys, own_values) = self._texts[layer], self._own[layer]
        own_keys = torch.cat([own_keys, keys], dim=3)
        own_values = torch.cat([own_values, values], dim=3)
        self._own[layer] = own_keys, own_values
        in_text, among_nodes = self._within(self._windows[layer])
        queries = queries * queries.shape[-1] ** -0.5
        to_text = (queries.flatten(2, 3) @ text_keys.mT).unflatten(2, shape)
        to_text = to_text.masked_fill(~in_text, -torch.inf)
        sees = self._ancestry.sees.unflatten(0, self._starts.shape)[:, None] & among_nodes
        to_own = (queries @ own_keys.mT).masked_fill(~sees, -torch.inf)
        weights = torch.cat([to_text, to_own], dim=-1).softmax(-1)
        count = len(self._places)
        attended = weights[..., :count].flatten(2, 3) @ text_values
        return attended + (weights[..., count:] @ own_values).flatten(2, 3)

    def _within(self, window: int | None) -> tuple[torch.Tensor, torch.Tensor]:
        """What the level's nodes may attend to of the text, and of the nodes (so far)."""
        levels = torch.repeat_interleave(
            torch.arange(1, self.level + 1), torch.tensor(self._ancestry.sizes)
        ).to(self._places.device)
        if window is None:
            return self._reach, torch.ones_like(levels, dtype=torch.bool)
        oldest = self._starts[:, None, :, None, None] + self.level + 1 - window
        return self._reach & (self._places >= oldest), levels > self.level - window


class ParallelGrowth(EagleGrowth):
    """All nodes of a level have the same children: those of their depth's mask.

    The masks are read as a chain of nodes would be. Behind the last one there are no children.
    """

    def __init__(self, head: ParallelHead, caches: Caches, outputs: torch.Tensor):
        """As of any head."""
        super().__init__(head, caches, outputs)
        self._masks = (head.mask_embeddings, head.mask_features)

    def begin(self, places: torch.Tensor) -> torch.Tensor:
        """The first depth."""
        self._last = super().begin(places)
        return self._last

    def grow(self, tokens: torch.Tensor, parents: torch.Tensor) -> torch.Tensor:
        """The next depth."""
        level = self._block.level
        if level < len(self._masks[0]):
            mask, feature = (part[level].expand(len(tokens), 1, -1) for part in self._masks)
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
        self._contexts = pick(self._features, (places - 1).clamp(min=0)).flatten(0, 1)[:, None]
        self._states = torch.zeros_like(self._contexts)
        last = self._ids.gather(1, places).flatten()[:, None]
        return self.grow(last, torch.zeros_like(last))[:, 0]

    def grow(self, tokens: torch.Tensor, parents: torch.Tensor) -> torch.Tensor:
        """One step of the network."""
        head = self._head
        self._states = head.advance(pick(self._states, parents), head.embed(tokens))
        return head.draft_logits(head.output(self._contexts.expand_as(self._states), self._states))
