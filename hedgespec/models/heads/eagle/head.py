"""The EAGLE network: one decoder layer over [token embedding, target feature].

EAGLE-1/2 (2401.15077, 2406.16858): the feature is the target's last hidden state; `fc` [H, 2H]
fuses it with the embedding of the next token, and the target's own head reads the output.
EAGLE-3 (2503.01840): `fc` [H, 3H] fuses a low, a middle and a high layer; embedding and feature,
each normed, enter the attention side by side; the head has an LM head of its own, perhaps over a
reduced vocabulary. In both, later draft tokens use the head's own output as their feature.
"""

import math
from typing import Protocol

import torch
from torch import nn
from torch.nn import functional
from transformers.models.llama.modeling_llama import (
    LlamaMLP,
    LlamaRMSNorm,
    LlamaRotaryEmbedding,
    apply_rotary_pos_emb,
)

from hedgespec.models.heads.eagle.config import EagleConfig


class _Attention(nn.Module):
    """Projections of the layer's attention; what attends to what is the caller's business."""

    def __init__(self, config: EagleConfig):
        super().__init__()
        layer = config.layer
        self.heads, self.kv_heads = layer.num_attention_heads, layer.num_key_value_heads
        self.width = getattr(layer, "head_dim", None) or layer.hidden_size // self.heads
        inputs = config.hidden_size * (2 if config.generation == 3 else 1)
        bias = bool(layer.attention_bias)
        self.q_proj = nn.Linear(inputs, self.heads * self.width, bias=bias)
        self.k_proj = nn.Linear(inputs, self.kv_heads * self.width, bias=bias)
        self.v_proj = nn.Linear(inputs, self.kv_heads * self.width, bias=bias)
        self.o_proj = nn.Linear(self.heads * self.width, config.hidden_size, bias=bias)

    def project(
        self, states: torch.Tensor, rotary: tuple[torch.Tensor, torch.Tensor]
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Queries, keys, values (B, heads, L, width), keys and values repeated for each query."""
        batch, length, _ = states.shape

        def split(projected: torch.Tensor, heads: int) -> torch.Tensor:
            return projected.view(batch, length, heads, self.width).transpose(1, 2)

        queries = split(self.q_proj(states), self.heads)
        keys = split(self.k_proj(states), self.kv_heads)
        values = split(self.v_proj(states), self.kv_heads)
        queries, keys = apply_rotary_pos_emb(queries, keys, *rotary)
        groups = self.heads // self.kv_heads
        return queries, keys.repeat_interleave(groups, 1), values.repeat_interleave(groups, 1)


class _Layer(nn.Module):
    """The decoder layer, in the released code's parameter names."""

    def __init__(self, config: EagleConfig):
        super().__init__()
        size, eps = config.hidden_size, config.layer.rms_norm_eps
        self.self_attn = _Attention(config)
        self.mlp = LlamaMLP(config.layer)
        self.post_attention_layernorm = LlamaRMSNorm(size, eps=eps)
        if config.generation == 3:
            self.input_layernorm = LlamaRMSNorm(size, eps=eps)
            self.hidden_norm = LlamaRMSNorm(size, eps=eps)


class EagleHead(nn.Module):
    """An EAGLE draft head. Embedding and LM head may be the target's: see `attach`."""

    d2t: torch.Tensor
    t2d: torch.Tensor

    def __init__(self, config: EagleConfig, own_embedding: bool = False, own_head: bool = True):
        """Random weights; `own_head` False leaves the logits to the target's head."""
        super().__init__()
        self.config = config
        size = config.hidden_size
        if config.generation == 3:
            inputs = 3 if config.target_layers is None else len(config.target_layers)
            self.fc = nn.Linear(inputs * (config.target_hidden_size or size), size, bias=False)
            self.norm = LlamaRMSNorm(size, eps=config.layer.rms_norm_eps)
        else:
            self.fc = nn.Linear(2 * size, size, bias=config.fc_bias)
        self.layer = _Layer(config)
        self.rotary = LlamaRotaryEmbedding(config.layer)
        self.embed_tokens = nn.Embedding(config.vocabulary_size, size) if own_embedding else None
        vocabulary = config.draft_vocabulary_size or config.vocabulary_size
        self.lm_head = nn.Linear(size, vocabulary, bias=False) if own_head else None
        if own_head and config.draft_vocabulary_size is not None:
            self.register_buffer("d2t", torch.zeros(vocabulary, dtype=torch.long))
            self.register_buffer(
                "t2d", torch.arange(config.vocabulary_size) < vocabulary)
        self._target: tuple[nn.Module, nn.Module] | None = None

    @property
    def reduced(self) -> bool:
        """Whether the head knows only part of the target's vocabulary."""
        return self.lm_head is not None and self.config.draft_vocabulary_size is not None

    def attach(self, embedding: nn.Module, head: nn.Module) -> None:
        """Use the target's embedding and LM head where the head has none of its own."""
        self._target = (embedding, head)  # in a tuple: not a submodule, not saved

    def embed(self, ids: torch.Tensor) -> torch.Tensor:
        """Token embeddings (..., H)."""
        embedded: torch.Tensor = self._own_or_targets(self.embed_tokens, 0)(ids)
        return embedded

    def fuse(self, states: list[torch.Tensor]) -> torch.Tensor:
        """Features (..., H) of the target's hidden states in the order of `fused_layers`."""
        if self.config.generation == 1:
            return states[0]
        fused: torch.Tensor = self.fc(torch.cat(states, dim=-1))
        return fused

    def project(
        self, embedded: torch.Tensor, features: torch.Tensor, positions: torch.Tensor
    ) -> tuple[torch.Tensor, tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        """Residual stream (B, L, H) and queries, keys, values at `positions` (B, L)."""
        layer = self.layer
        if self.config.generation == 1:
            residual = states = self.fc(torch.cat([embedded, features], dim=-1))
        else:
            normed = layer.hidden_norm(features)
            residual = normed if self.config.norm_before_residual else features
            states = torch.cat([layer.input_layernorm(embedded), normed], dim=-1)
        rotary = self.rotary(states, positions)
        return residual, layer.self_attn.project(states, rotary)

    def finish(self, residual: torch.Tensor, attended: torch.Tensor) -> torch.Tensor:
        """Output features (B, L, H) from the attended values (B, heads, L, width)."""
        layer = self.layer
        merged = attended.transpose(1, 2).flatten(2)
        states = residual + layer.self_attn.o_proj(merged)
        output: torch.Tensor = states + layer.mlp(layer.post_attention_layernorm(states))
        return output

    def unroll(
        self, embedded: torch.Tensor, features: torch.Tensor, depths: int
    ) -> list[torch.Tensor]:
        """See the function of this name."""
        return unroll(self, embedded, features, depths)

    def readout(self, features: torch.Tensor) -> torch.Tensor:
        """What the LM head reads of output features (..., H)."""
        normed: torch.Tensor = self.norm(features) if self.config.generation == 3 else features
        return normed

    def draft_logits(self, features: torch.Tensor) -> torch.Tensor:
        """Next-token logits (..., v) over the tokens that the head knows, float32."""
        lm_head = self._own_or_targets(self.lm_head, 1)
        logits: torch.Tensor = lm_head(self.readout(features)).float()
        return logits

    def logits(self, features: torch.Tensor) -> torch.Tensor:
        """Next-token logits (..., V) over the target's vocabulary, float32; -inf where unknown."""
        logits = self.draft_logits(features)
        if not self.reduced:
            return logits
        full = logits.new_full((*logits.shape[:-1], self.config.vocabulary_size), -math.inf)
        return full.scatter_(-1, target_tokens(self.d2t).expand_as(logits), logits)

    def _own_or_targets(self, own: nn.Module | None, number: int) -> nn.Module:
        if own is not None:
            return own
        assert self._target is not None, "attach the target first"
        return self._target[number]


class DraftHead(Protocol):
    """A network that drafts from the target's hidden states, all starts of a text at once."""

    def attach(self, embedding: nn.Module, head: nn.Module) -> None:
        """Use the target's embedding and LM head where there is none of its own."""

    def embed(self, ids: torch.Tensor) -> torch.Tensor:
        """Token embeddings (..., H)."""

    def unroll(
        self, embedded: torch.Tensor, features: torch.Tensor, depths: int
    ) -> list[torch.Tensor]:
        """Outputs of every draft depth: see `unroll`."""


def target_tokens(d2t: torch.Tensor) -> torch.Tensor:
    """Target token of each draft token: `d2t` holds the offsets between the two."""
    return torch.arange(d2t.shape[-1], device=d2t.device) + d2t


def unroll(
    head: EagleHead, embedded: torch.Tensor, features: torch.Tensor, depths: int
) -> list[torch.Tensor]:
    """Output features of every draft depth for all start positions at once.

    `embedded` (B, L, H): at j the embedding of token j+1; `features` (B, L, H): at j the fused
    target feature of token j. Entry d-1 of the result, at j, is what a round puts out whose first
    draft step was at j-d+1: it used target features up to there and its own outputs after, and it
    predicts token j+2. Positions j < d-1 belong to no round and hold numbers without meaning.

    Each depth attends to the first depth's keys up to its round's first step, and to one key per
    later depth, its own chain: the attention of "training-time test" (EAGLE-3, section 3.1).
    """
    batch, length, _ = embedded.shape
    positions = torch.arange(length, device=embedded.device).expand(batch, -1)
    outputs: list[torch.Tensor] = []
    chain: list[tuple[torch.Tensor, torch.Tensor]] = []
    for depth in range(depths):
        residual, (queries, keys, values) = head.project(embedded, features, positions)
        chain.append((keys, values))
        own = [(shift(keys, depth - number, dim=2), shift(values, depth - number, dim=2))
               for number, (keys, values) in enumerate(chain) if number]
        attended = attend(queries, chain[0], own, depth)
        outputs.append(head.finish(residual, attended))
        features = shift(outputs[-1], 1, dim=1)
    return outputs


def unroll_rows(
    head: DraftHead, ids: torch.Tensor, rows: torch.Tensor, features: torch.Tensor, depths: int
) -> list[torch.Tensor]:
    """Output features (M, H) of every draft depth that predict what follows the tokens `rows`.

    `rows` (M) are flat indices into the tokens `ids` (B, L), `features` (B, L, H) the fused ones.
    The row of token t, which predicts token t+1, needs the output at place t-1 (see `unroll`):
    there the head has read token t beside the feature of token t-1.
    """
    following = torch.cat([ids[:, 1:], ids[:, -1:]], dim=1)
    outputs = head.unroll(head.embed(following), features, depths)
    return [output.flatten(0, 1)[drafting_places(rows)] for output in outputs]


def drafting_places(rows: torch.Tensor) -> torch.Tensor:
    """Flat places (M) of the outputs that `unroll_rows` takes."""
    return (rows - 1).clamp(min=0)


def attend(
    queries: torch.Tensor, text: tuple[torch.Tensor, torch.Tensor],
    own: list[tuple[torch.Tensor, torch.Tensor]], lag: int,
) -> torch.Tensor:
    """Attention of query j to the `text`'s keys up to j-lag and to key j of each of `own`.

    Queries, keys and values are (B, heads, L, width).
    """
    if not own:
        return functional.scaled_dot_product_attention(queries, *text, is_causal=True)
    length = queries.shape[2]
    everywhere = torch.ones(length, length, dtype=torch.bool, device=queries.device)
    one = torch.eye(length, dtype=torch.bool, device=queries.device)
    mask = torch.cat([everywhere.tril(-lag), *[one] * len(own)], dim=1)
    keys, values = (torch.cat(parts, dim=2) for parts in zip(text, *own, strict=True))
    return functional.scaled_dot_product_attention(queries, keys, values, attn_mask=mask)


def shift(tensor: torch.Tensor, by: int, dim: int) -> torch.Tensor:
    """Move entries to higher indices along `dim`; what has no predecessor becomes 0."""
    if by == 0:
        return tensor
    shifted = torch.zeros_like(tensor)
    kept = tensor.shape[dim] - by
    if kept > 0:
        shifted.narrow(dim, by, kept).copy_(tensor.narrow(dim, 0, kept))
    return shifted
