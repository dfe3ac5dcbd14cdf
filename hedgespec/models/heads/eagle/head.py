"""The EAGLE network: a decoder layer, or several, over [token embedding, target feature].

EAGLE-1/2 (2401.15077, 2406.16858): the feature is the target's last hidden state; `fc` [H, 2H]
fuses it with the embedding of the next token, and the target's own head reads the output.
EAGLE-3 (2503.01840): `fc` [H, 3H] fuses a low, a middle and a high layer; embedding and feature,
each normed, enter the attention side by side; the head has an LM head of its own, perhaps over a
reduced vocabulary. In both, later draft tokens use the head's own output as their feature.

Published heads differ in more than that: see EagleConfig (shape.py). Layers behind the first one
are the layers of a plain Llama; where their projections are as wide as the first one's, they read
the embedding again, as the first one normed it, beside their own normed input.
"""

import math
from collections.abc import Callable
from typing import Protocol

import torch
from torch import nn
from torch.nn import functional
from transformers.models.llama.modeling_llama import (
    LlamaMLP,
    LlamaRMSNorm,
    apply_rotary_pos_emb,
)

from hedgespec.models.grouped_attention import own_kernels
from hedgespec.models.heads.eagle.rope import Rotary
from hedgespec.models.heads.eagle.shape import EagleConfig

# Queries attended for at a time where each round has keys of its own.
_QUERIES = 512
Pair = tuple[torch.Tensor, torch.Tensor]  # keys and values
Projected = tuple[torch.Tensor, torch.Tensor, torch.Tensor]
# From the number of a layer and its queries, keys and values to the attended values.
Attend = Callable[[int, torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


class _Attention(nn.Module):
    """Projections of a layer's attention; what attends to what is the caller's business."""

    def __init__(self, config: EagleConfig, inputs: int):
        super().__init__()
        layer, bias = config.layer, config.qkv_bias
        self.heads, self.kv_heads = layer.num_attention_heads, layer.num_key_value_heads
        self.width = getattr(layer, "head_dim", None) or layer.hidden_size // self.heads
        self.q_proj = nn.Linear(inputs, self.heads * self.width, bias=bias)
        self.k_proj = nn.Linear(inputs, self.kv_heads * self.width, bias=bias)
        self.v_proj = nn.Linear(inputs, self.kv_heads * self.width, bias=bias)
        self.o_proj = nn.Linear(self.heads * self.width, config.hidden_size, bias=config.o_bias)
        eps = layer.rms_norm_eps
        self.q_norm = LlamaRMSNorm(self.width, eps=eps) if config.qk_norm else None
        self.k_norm = LlamaRMSNorm(self.width, eps=eps) if config.qk_norm else None

    def project(self, states: torch.Tensor, rotary: tuple[torch.Tensor, torch.Tensor]) -> Projected:
        """Queries, keys, values (B, heads, L, width), keys and values repeated for each query."""
        batch, length, _ = states.shape

        def split(
            projected: torch.Tensor, heads: int, norm: nn.Module | None = None
        ) -> torch.Tensor:
            normed = _normed(norm, projected.reshape(batch, length * heads, self.width))
            return normed.view(batch, length, heads, self.width).transpose(1, 2)

        projected = self._projected(states)
        queries = split(projected[0], self.heads, self.q_norm)
        keys = split(projected[1], self.kv_heads, self.k_norm)
        values = split(projected[2], self.kv_heads)
        queries, keys = _turned(queries, keys, *rotary)
        return (
            queries,
            keys.repeat_interleave(self.groups, 1),
            values.repeat_interleave(self.groups, 1),
        )

    def _projected(self, states: torch.Tensor) -> Projected:
        """Queries, keys, values (B, L, ...); one product where stack.py has joined them."""
        joined = self._modules.get("joined")
        if joined is None:
            return self.q_proj(states), self.k_proj(states), self.v_proj(states)
        sizes = [heads * self.width for heads in (self.heads, self.kv_heads, self.kv_heads)]
        queries, keys, values = joined(states).split(sizes, -1)
        return queries, keys, values

    @property
    def groups(self) -> int:
        """Query heads of one key head."""
        return self.heads // self.kv_heads


def _normed(norm: nn.Module | None, states: torch.Tensor) -> torch.Tensor:
    return states if norm is None else norm(states)


def _turned(
    queries: torch.Tensor, keys: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Queries and keys whose first part, as wide as the cosines, is turned by their positions."""
    part = cos.shape[-1]
    turned = apply_rotary_pos_emb(queries[..., :part], keys[..., :part], cos, sin)
    if part == queries.shape[-1]:
        return turned
    queries, keys = (
        torch.cat([new, old[..., part:]], dim=-1)
        for new, old in zip(turned, (queries, keys), strict=True)
    )
    return queries, keys


class _Layer(nn.Module):
    """A decoder layer, in the released code's parameter names."""

    def __init__(self, config: EagleConfig, number: int):
        super().__init__()
        size, eps = config.hidden_size, config.layer.rms_norm_eps
        third, first = config.generation == 3, number == 0
        beside = third if first else config.wide
        self.self_attn = _Attention(config, size * (2 if beside else 1))
        self.mlp = LlamaMLP(config.layer)
        self.post_attention_layernorm = LlamaRMSNorm(size, eps=eps)
        if third or not first:
            self.input_layernorm = LlamaRMSNorm(size, eps=eps)
        if third and first:
            self.hidden_norm = LlamaRMSNorm(size, eps=eps)

    def finish(self, residual: torch.Tensor, attended: torch.Tensor) -> torch.Tensor:
        """Output (B, L, H) from the attended values (B, heads, L, width)."""
        states = residual + self.self_attn.o_proj(attended.transpose(1, 2).flatten(2))
        output: torch.Tensor = states + self.mlp(self.post_attention_layernorm(states))
        return output


class EagleHead(nn.Module):
    """An EAGLE draft head. Embedding and LM head may be the target's: see `attach`."""

    d2t: torch.Tensor
    t2d: torch.Tensor

    def __init__(self, config: EagleConfig, own_embedding: bool = False, own_head: bool = True):
        """Random weights; `own_head` False leaves the logits to the target's head."""
        super().__init__()
        self.config = config
        size, eps = config.hidden_size, config.layer.rms_norm_eps
        third = config.generation == 3
        read = config.target_hidden_size or size
        inputs = config.features * read if third else 2 * size
        self.fc = nn.Linear(inputs, size, bias=config.fc_bias) if config.has_fc else None
        self.input_norm = LlamaRMSNorm(inputs, eps=eps) if config.norm_before_fc else None
        self.fc_norm = (
            nn.ModuleList(LlamaRMSNorm(read, eps=eps) for _ in range(config.features))
            if config.fc_norm
            else None
        )
        if third:
            self.norm = LlamaRMSNorm(size, eps=eps)
        self.layer = _Layer(config, 0)
        self.upper = nn.ModuleList(_Layer(config, number) for number in range(1, config.depth))
        self.rotary = Rotary(config.layer)
        self.embed_tokens = nn.Embedding(config.vocabulary_size, size) if own_embedding else None
        vocabulary = config.draft_vocabulary_size or config.vocabulary_size
        self.lm_head = nn.Linear(size, vocabulary, bias=False) if own_head else None
        if own_head and config.draft_vocabulary_size is not None:
            self.register_buffer("d2t", torch.zeros(vocabulary, dtype=torch.long))
            self.register_buffer("t2d", torch.arange(config.vocabulary_size) < vocabulary)
        self.vocabulary = config.vocabulary_size
        self._target: tuple[Callable[..., torch.Tensor], ...] | None = None

    @property
    def reduced(self) -> bool:
        """Whether the head knows only part of the target's vocabulary."""
        return self.lm_head is not None and self.config.draft_vocabulary_size is not None

    @property
    def layers(self) -> list[_Layer]:
        """All decoder layers."""
        return [self.layer, *self.upper]

    def attach(
        self,
        embedding: Callable[[torch.Tensor], torch.Tensor],
        logits: Callable[[torch.Tensor], torch.Tensor],
        vocabulary: int | None = None,
    ) -> None:
        """Use the target's embedding where the head has none of its own, and the target's way from
        final states to `logits` where it has no LM head. `vocabulary` (V) is the target's, where
        it is padded otherwise than the head's."""
        self._target = (embedding, logits)  # in a tuple: not a submodule, not saved
        self.vocabulary = vocabulary or self.config.vocabulary_size

    def embed(self, ids: torch.Tensor) -> torch.Tensor:
        """Token embeddings (..., H); of a token that only the target knows some other one's."""
        embedding = self._own_or_targets(self.embed_tokens, 0)
        if self.embed_tokens is not None and self.vocabulary > self.config.vocabulary_size:
            ids = ids.clamp(max=self.config.vocabulary_size - 1)
        embedded: torch.Tensor = embedding(ids)
        return embedded

    def fuse(self, states: list[torch.Tensor]) -> torch.Tensor:
        """Features (..., H) of the target's hidden states in the order of `fused_layers`."""
        if self.config.generation == 1:
            return states[0]
        if self.fc_norm is not None:
            states = [
                norm(part)
                for norm, part in zip(
                    self.fc_norm,
                    torch.cat(states, dim=-1).chunk(len(self.fc_norm), -1),
                    strict=True,
                )
            ]
        fused = _normed(self.input_norm, torch.cat(states, dim=-1))
        return fused if self.fc is None else self.fc(fused)

    def read(
        self,
        embedded: torch.Tensor,
        features: torch.Tensor,
        positions: torch.Tensor,
        attend: Attend,
    ) -> torch.Tensor:
        """Output features (B, L, H) of embeddings beside features, each (B, L, H).

        `attend` keeps the keys and values of each layer, and says what attends to what.
        """
        residual, projected = self.project(embedded, features, positions)
        states = self.layer.finish(residual, attend(0, *projected))
        for number, layer in enumerate(self.layers[1:], 1):
            normed = layer.input_layernorm(states)
            if self.config.wide:
                normed = torch.cat([self.layer.input_layernorm(embedded), normed], dim=-1)
            projected = layer.self_attn.project(normed, self.rotary(normed, positions))
            states = layer.finish(states, attend(number, *projected))
        return self._output(states)

    def project(
        self, embedded: torch.Tensor, features: torch.Tensor, positions: torch.Tensor
    ) -> tuple[torch.Tensor, Projected]:
        """The first layer's residual stream (B, L, H), and queries, keys, values at `positions`
        (B, L)."""
        layer = self.layer
        if self.config.generation == 1:
            assert self.fc is not None
            residual = states = self.fc(torch.cat([embedded, features], dim=-1))
        else:
            normed = layer.hidden_norm(features)
            residual = normed if self.config.norm_before_residual else features
            states = torch.cat([layer.input_layernorm(embedded), normed], dim=-1)
        rotary = self.rotary(states, positions)
        return residual, layer.self_attn.project(states, rotary)

    def finish(self, residual: torch.Tensor, attended: torch.Tensor) -> torch.Tensor:
        """Output features (B, L, H) of a head of one layer, from the attended values
        (B, heads, L, width)."""
        return self._output(self.layer.finish(residual, attended))

    def _output(self, states: torch.Tensor) -> torch.Tensor:
        """What the head goes on from, and its logits are made of."""
        normed: torch.Tensor = self.norm(states) if self.config.norm_output else states
        return normed

    def unroll(
        self, embedded: torch.Tensor, features: torch.Tensor, depths: int
    ) -> list[torch.Tensor]:
        """See the function of this name."""
        return unroll(self, embedded, features, depths)

    def readout(self, features: torch.Tensor) -> torch.Tensor:
        """What the LM head reads of output features (..., H)."""
        if self.config.generation == 1 or self.config.norm_output:
            return features
        normed: torch.Tensor = self.norm(features)
        return normed

    def draft_logits(self, features: torch.Tensor) -> torch.Tensor:
        """Next-token logits (..., v) over the tokens that the head knows, float32: those of `d2t`,
        or all of the target's."""
        lm_head = self._own_or_targets(self.lm_head, 1)
        logits: torch.Tensor = lm_head(self.readout(features)).float()
        if self.lm_head is not None and self.config.logit_scale != 1:
            logits = logits * self.config.logit_scale
        return logits if self.reduced else fit_vocabulary(logits, self.vocabulary)

    def logits(self, features: torch.Tensor) -> torch.Tensor:
        """Next-token logits (..., V) over the target's vocabulary, float32; -inf where unknown."""
        logits = self.draft_logits(features)
        if not self.reduced:
            return logits
        full = logits.new_full((*logits.shape[:-1], self.vocabulary), -math.inf)
        return full.scatter_(-1, target_tokens(self.d2t).expand_as(logits), logits)

    def _own_or_targets(self, own: nn.Module | None, number: int) -> Callable[..., torch.Tensor]:
        if own is not None:
            return own
        assert self._target is not None, "attach the target first"
        return self._target[number]


class DraftHead(Protocol):
    """A network that drafts from the target's hidden states, all starts of a text at once."""

    def attach(
        self,
        embedding: Callable[[torch.Tensor], torch.Tensor],
        logits: Callable[[torch.Tensor], torch.Tensor],
        vocabulary: int | None = None,
    ) -> None:
        """Use the target's embedding and logits where there are none of its own."""

    def embed(self, ids: torch.Tensor) -> torch.Tensor:
        """Token embeddings (..., H)."""

    def unroll(
        self, embedded: torch.Tensor, features: torch.Tensor, depths: int
    ) -> list[torch.Tensor]:
        """Outputs of every draft depth: see `unroll`."""


def target_tokens(d2t: torch.Tensor) -> torch.Tensor:
    """Target token of each draft token: `d2t` holds the offsets between the two."""
    return torch.arange(d2t.shape[-1], device=d2t.device) + d2t


def fit_vocabulary(logits: torch.Tensor, vocabulary: int) -> torch.Tensor:
    """Logits (..., v) over a target's vocabulary (V): cut, or -inf behind those that there are."""
    missing = vocabulary - logits.shape[-1]
    if missing > 0:
        return functional.pad(logits, (0, missing), value=-math.inf)
    return logits[..., :vocabulary]


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
    chains: list[list[tuple[torch.Tensor, torch.Tensor]]] = [[] for _ in head.layers]
    for depth in range(depths):

        def attended(
            layer: int,
            queries: torch.Tensor,
            keys: torch.Tensor,
            values: torch.Tensor,
            lag: int = depth,
        ) -> torch.Tensor:
            chain = chains[layer]
            chain.append((keys, values))
            own = [
                (lag - number, shift(keys, lag - number, dim=2), shift(values, lag - number, dim=2))
                for number, (keys, values) in enumerate(chain)
                if number
            ]
            return attend(queries, chain[0], own, lag, head.config.window(layer))

        outputs.append(head.read(embedded, features, positions, attended))
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
    queries: torch.Tensor,
    text: tuple[torch.Tensor, torch.Tensor],
    own: list[tuple[int, torch.Tensor, torch.Tensor]],
    lag: int,
    window: int | None = None,
    ahead: int = 0,
) -> torch.Tensor:
    """Attention of query j to the `text`'s keys up to j-lag and to key j of each of `own`.

    Queries, keys and values are (B, heads, L, width). Each of `own` comes with its distance from
    the queries; what lies `window` tokens back or more is not attended to, query j standing at
    place j+ahead.
    """
    near = [(keys, values) for distance, keys, values in own if window is None or distance < window]
    length = queries.shape[2]
    with own_kernels():
        if not own and window is None and lag == 0:
            return functional.scaled_dot_product_attention(queries, *text, is_causal=True)
        blocks = [
            slice(start, min(start + _QUERIES, length)) for start in range(0, length, _QUERIES)
        ]
        return torch.cat(
            [_attend_block(queries, text, near, block, lag, window, ahead) for block in blocks],
            dim=2,
        )


def _attend_block(
    queries: torch.Tensor,
    text: Pair,
    near: list[Pair],
    block: slice,
    lag: int,
    window: int | None,
    ahead: int,
) -> torch.Tensor:
    """`attend` of the queries of a block, which need not see keys behind it, nor other chains'."""
    count, device = block.stop - block.start, queries.device
    reach = torch.ones(count, block.stop, dtype=torch.bool, device=device).tril(block.start - lag)
    if window is not None:
        reach = reach.triu(block.start + 1 - window + ahead)
    one = torch.eye(count, dtype=torch.bool, device=device)
    mask = torch.cat([reach, *[one] * len(near)], dim=1)
    keys, values = (
        torch.cat([first[:, :, : block.stop], *(part[:, :, block] for part in rest)], dim=2)
        for first, *rest in zip(text, *near, strict=True)
    )
    return functional.scaled_dot_product_attention(
        queries[:, :, block], keys, values, attn_mask=mask
    )


def shift(tensor: torch.Tensor, by: int, dim: int) -> torch.Tensor:
    """Move entries to higher indices along `dim`; what has no predecessor becomes 0."""
    if by == 0:
        return tensor
    shifted = torch.zeros_like(tensor)
    kept = tensor.shape[dim] - by
    if kept > 0:
        shifted.narrow(dim, by, kept).copy_(tensor.narrow(dim, 0, kept))
    return shifted
