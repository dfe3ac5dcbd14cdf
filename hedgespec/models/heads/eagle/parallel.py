"""A parallel head: several tokens in one pass, from mask tokens (ParallelSpec, 2410.05589).

An EAGLE head whose round reads, behind the last verified token, K-1 mask tokens: learned pairs of
an embedding and a feature, one per draft depth. The output at mask d-1 predicts the d-th draft
token. No drafted token is read, so the distribution at depth d is fixed when the round starts.

Who attends to what, place j holding token j+1 beside the feature of token j as in `head.py`, in a
round whose last known place is s: place j <= s attends to places 0..j; mask m, at position s+m,
attends to places 0..s and to the masks 1..m of its own round. Verified places never see a mask, so
their keys are the same for all rounds, and all rounds of a text can be scored together.
"""

import torch
from torch import nn

from hedgespec.models.heads.eagle.head import EagleHead, attend, shift
from hedgespec.models.heads.eagle.shape import EagleConfig


class ParallelHead(EagleHead):
    """An EAGLE head with `config.masks` mask tokens, so `masks` + 1 draft tokens in a pass."""

    def __init__(self, config: EagleConfig, own_embedding: bool = False, own_head: bool = True):
        """Random weights; the masks are small random vectors."""
        super().__init__(config, own_embedding, own_head)
        shape = (config.masks, config.hidden_size)
        self.mask_embeddings = nn.Parameter(torch.randn(shape) * 0.02)
        self.mask_features = nn.Parameter(torch.randn(shape) * 0.02)

    def unroll(
        self, embedded: torch.Tensor, features: torch.Tensor, depths: int
    ) -> list[torch.Tensor]:
        """Output features of every draft depth for all start positions at once.

        Arguments and result as in the function `unroll` of `head.py`; `depths` is at most
        `masks` + 1.
        """
        return [
            shift(output, number, dim=1)
            for number, output in enumerate(self.rounds(embedded, features, depths))
        ]

    def rounds(
        self, embedded: torch.Tensor, features: torch.Tensor, depths: int
    ) -> list[torch.Tensor]:
        """The same by rounds: entry d-1, at j, is the d-th output of the round that starts at j.

        Keys of the masks stand at their round's start, where its queries are.
        """
        batch, length, _ = embedded.shape
        positions = torch.arange(length, device=embedded.device).expand(batch, -1)
        caches: list[list[tuple[torch.Tensor, torch.Tensor]]] = [[] for _ in self.layers]

        def attended(
            layer: int, queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor
        ) -> torch.Tensor:
            caches[layer].append((keys, values))
            text, *masks = caches[layer]
            own = [(len(masks) - number, *pair) for number, pair in enumerate(masks, 1)]
            return attend(queries, text, own, 0, self.config.window(layer), ahead=len(masks))

        outputs = [self.read(embedded, features, positions, attended)]
        for number in range(depths - 1):
            outputs.append(
                self.read(
                    self.mask_embeddings[number].expand(batch, length, -1),
                    self.mask_features[number].expand(batch, length, -1),
                    positions + number + 1,
                    attended,
                )
            )
        return outputs
