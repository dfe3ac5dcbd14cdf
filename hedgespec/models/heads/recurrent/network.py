"""The recurrent drafter of ReDrafter (2403.09919, section 3): a state, a context and an MLP.

With x_1 the last verified token, x_2, ... the drafted ones, e the target's embedding and h the
target's last hidden state before x_1, which stays the same during a round:

    s_0 = 0,   s_d = silu(U s_{d-1} + W e(x_d)),   logits_d = LM head(MLP([h, s_d])).

The MLP is two residual blocks, as published, and a projection to the target's width, so that the
LM head can start as rows of the target's.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from hedgespec.models.heads.eagle.head import shift

BLOCKS = 2


@dataclass(frozen=True)
class RecurrentConfig:
    """The target's width and vocabulary, and how many of its tokens the head knows."""

    hidden_size: int
    vocabulary_size: int
    draft_vocabulary_size: int


class RecurrentHead(nn.Module):
    """A recurrent draft head; the embedding is the target's: see `attach`."""

    d2t: torch.Tensor

    def __init__(self, config: RecurrentConfig):
        """Random weights."""
        super().__init__()
        self.config = config
        size = config.hidden_size
        self.rnn_u = nn.Linear(size, size)
        self.rnn_w = nn.Linear(size, size, bias=False)
        self.blocks = nn.ModuleList([nn.Linear(2 * size, 2 * size) for _ in range(BLOCKS)])
        self.down = nn.Linear(2 * size, size, bias=False)
        self.lm_head = nn.Linear(size, config.draft_vocabulary_size, bias=False)
        self.register_buffer("d2t", torch.zeros(config.draft_vocabulary_size, dtype=torch.long))
        self._embedding: tuple[Callable[[torch.Tensor], torch.Tensor], ...] = ()

    def attach(
        self,
        embedding: Callable[[torch.Tensor], torch.Tensor],
        logits: Callable[[torch.Tensor], torch.Tensor],
        vocabulary: int | None = None,
    ) -> None:
        """Use the target's embedding; the LM head is its own."""
        self._embedding = (embedding,)  # in a tuple: not a submodule, not saved

    def embed(self, ids: torch.Tensor) -> torch.Tensor:
        """Token embeddings (..., H)."""
        embedded: torch.Tensor = self._embedding[0](ids)
        return embedded

    def advance(self, state: torch.Tensor, embedded: torch.Tensor) -> torch.Tensor:
        """The state (..., H) after one token more."""
        return functional.silu(self.rnn_u(state) + self.rnn_w(embedded))

    def output(self, context: torch.Tensor, state: torch.Tensor) -> torch.Tensor:
        """What the LM head reads (..., H), of the round's context and a state (..., H)."""
        both = torch.cat([context, state], dim=-1)
        for block in self.blocks:
            both = both + functional.silu(block(both))
        output: torch.Tensor = self.down(both)
        return output

    def fuse(self, states: list[torch.Tensor]) -> torch.Tensor:
        """The context: the target's last hidden state as it is."""
        return states[0]

    def unroll(
        self, embedded: torch.Tensor, features: torch.Tensor, depths: int
    ) -> list[torch.Tensor]:
        """Outputs of every draft depth for all start positions of a text at once.

        Arguments and result as in `unroll` of models/heads/eagle/head.py; drafted tokens are
        the text's.
        """
        outputs = []
        state = torch.zeros_like(features)
        for depth in range(depths):
            state = self.advance(state, embedded)
            outputs.append(self.output(shift(features, depth, dim=1), state))
            state = shift(state, 1, dim=1)
        return outputs

    def readout(self, output: torch.Tensor) -> torch.Tensor:
        """The LM head reads outputs as they are."""
        return output

    def draft_logits(self, output: torch.Tensor) -> torch.Tensor:
        """Next-token logits (..., v) over the tokens that the head knows, float32."""
        logits: torch.Tensor = self.lm_head(output).float()
        return logits
