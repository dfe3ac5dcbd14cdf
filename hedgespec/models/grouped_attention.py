"""Attention of a few queries to many keys where several query heads share one key head.

PyTorch's kernels want as many key heads as query heads as soon as there is a mask, and the usual
way there copies keys and values for each query head: more bytes than the attention itself reads.
Here the r query heads of one key head are folded into r*n rows of one query head instead, and the
mask is repeated alike; nothing is copied. Models that `load_model` loads use it.
"""

from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

GROUPED = "hedgespec_grouped"  # what transformers calls it in a model's config
# With more queries than that the repeated mask is larger than the repeated keys and values.
_FEW = 64


def grouped_attention(
    queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, mask: torch.Tensor,
    scale: float | None = None,
) -> torch.Tensor:
    """Attended values (B, r*h, n, d) of queries (B, r*h, n, d), keys and values (B, h, L, d).

    `mask` (B or 1, 1, n, L), boolean or additive; each of its rows must let something through.
    """
    batch, heads, count, width = queries.shape
    groups = heads // keys.shape[1]
    folded = queries.reshape(batch, keys.shape[1], groups * count, width)
    rows = mask if count == 1 else mask.repeat(1, 1, groups, 1)
    return scaled_dot_product_attention(folded, keys, values, attn_mask=rows, scale=scale).reshape(
        batch, heads, count, values.shape[-1])


def use_grouped_attention(model: Any) -> None:
    """Have a transformers model attend so, if it attends through PyTorch in the usual way."""
    config = model.config.get_text_config()
    if config._attn_implementation == "sdpa" and getattr(
            model, "_supports_attention_backend", False):
        config._attn_implementation = GROUPED


def _forward(
    module: torch.nn.Module, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor,
    attention_mask: torch.Tensor | None, dropout: float = 0.0, scaling: float | None = None,
    **rest: Any,
) -> tuple[torch.Tensor, None]:
    """As transformers calls it: attended values (B, n, heads, d)."""
    grouped = query.shape[1] > key.shape[1] and query.shape[2] <= _FEW
    if (not grouped or attention_mask is None or attention_mask.shape[1] > 1 or dropout
            or rest.get("position_bias") is not None):
        found: tuple[torch.Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **rest)
        return found
    attended = grouped_attention(query, key, value, attention_mask, scaling)
    return attended.transpose(1, 2).contiguous(), None


def _mask(*arguments: Any, **rest: Any) -> torch.Tensor | None:
    """The usual mask; rows of padding, which attend to nothing, attend to all.

    Some kernels give NaN for a row without keys, and a gradient of NaN.
    """
    mask: torch.Tensor | None = sdpa_mask(*arguments, **rest)
    if mask is None or mask.dtype != torch.bool:
        return mask
    return mask | ~mask.any(-1, keepdim=True)


AttentionInterface.register(GROUPED, _forward)
AttentionMaskInterface.register(GROUPED, _mask)
