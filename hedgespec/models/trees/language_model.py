"""Trees of drafters that read the text themselves: separate models and early exits."""

from collections.abc import Callable
from typing import Any, Self

import torch

from hedgespec.errors import HedgespecError
from hedgespec.models.cached import CachedModel
from hedgespec.models.fixed_tensors import has_plain_attention
from hedgespec.models.states import read_states
from hedgespec.models.target import LanguageModel
from hedgespec.models.trees.growth import Ancestry, Growth, pick


class ModelGrowth(Growth):
    """A node's token is read where its text would have it.

    All nodes of a block lie behind the text in one cache; a node attends to its text up to the
    round's last verified token, to its ancestors and to itself.
    """

    widest = 32  # a pass masks every pair of nodes of the S rounds of one text

    def __init__(
        self,
        reader: CachedModel,
        final_logits: Callable[[torch.Tensor], torch.Tensor],
        final: torch.Tensor,
    ):
        """`reader` has read texts, with the `final` states (B, L, H); it is this growth's own now.

        Raises HedgespecError if some layer does not attend to the whole text.
        """
        if not has_plain_attention(reader.model):
            raise HedgespecError(
                f"{reader.model.id}: trees need a model whose layers all attend to the whole text"
            )
        self._network, self._cache = reader.network, reader.cache
        self._final_logits, self._final = final_logits, final
        self._longest = reader.model.context_length
        self._all = torch.arange(final.shape[1], device=final.device)

    @classmethod
    def of_texts(
        cls,
        model: LanguageModel,
        network: Any,
        final_logits: Callable[..., torch.Tensor],
        ids: torch.Tensor,
    ) -> Self:
        """One pass over the texts `ids` (B, L) by `network`, the whole model's if None."""
        reader = CachedModel(model, network)
        final, _ = read_states(
            reader.network, 0, (), input_ids=ids, past_key_values=reader.cache, use_cache=True
        )
        return cls(reader, final_logits, final)

    def begin(self, places: torch.Tensor) -> torch.Tensor:
        """The text's own logits."""
        self._places, self._level = places, 0
        drafted = self._cache.get_seq_length() - len(self._all)
        if drafted:
            self._cache.crop(-drafted)
        self._ancestry = Ancestry(places.numel(), places.device)
        self._text = (self._all <= places[:, :, None])[:, :, None]  # (B, S, 1, L)
        return self._final_logits(pick(self._final, places).flatten(0, 1))

    def grow(self, tokens: torch.Tensor, parents: torch.Tensor) -> torch.Tensor:
        """One pass over a level's nodes."""
        (batch, rounds), count = self._places.shape, tokens.shape[1]
        self._level += 1
        self._ancestry.add(parents)
        positions = (self._places + self._level).clamp(max=self._longest - 1)
        final, _ = read_states(
            self._network,
            0,
            (),
            input_ids=tokens.view(batch, -1),
            attention_mask=self._mask(batch, rounds, count),
            position_ids=positions[:, :, None].expand(-1, -1, count).reshape(batch, -1),
            past_key_values=self._cache,
            use_cache=True,
        )
        return self._final_logits(final.flatten(0, 1)).view(len(tokens), count, -1)

    def _mask(self, batch: int, rounds: int, count: int) -> torch.Tensor:
        """Which keys (B, 1, S*m, L + nodes so far) each node attends to."""
        same = torch.eye(rounds, dtype=torch.bool, device=self._all.device)
        parts = [self._text.expand(-1, -1, count, -1)]
        for level in self._ancestry.sees.split(self._ancestry.sizes, dim=2):
            own = level.view(batch, rounds, count, 1, -1) & same[:, None, :, None]
            parts.append(own.flatten(3))
        return torch.cat(parts, dim=3).flatten(1, 2)[:, None]
