"""Attention of a few queries to many keys where several query heads share one key head.

PyTorch's kernels want as many key heads as query heads as soon as there is a mask, and the usual
way there copies keys and values for each query head: more bytes than the attention itself reads.
Here the r query heads of one key head are folded into r*n rows of one query head instead, and the
mask is repeated alike; nothing is copied. Models that `load_model` loads use it, and draft heads on
fixed tensors.

With a mask PyTorch's kernels work on a head in one block, and one text has few. So where
torch.compile fuses what lies between the products, the keys are also cut into chunks that are
attended to side by side, and joined by their maxima and sums (Flash-Decoding, Dao et al. 2023).
Elsewhere PyTorch's attention takes the folded rows. FlexAttention and a kernel of one's own were
not tried: of products and sums the same code is tested without a GPU.
"""

from contextlib import AbstractContextManager
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

GROUPED = "hedgespec_grouped"  # what transformers calls it in a model's config
# With more queries than that the repeated mask is larger than the repeated keys and values.
_FEW = 64
_CHUNK, _CHUNKS = 64, 64  # keys of a chunk, more where there would be more chunks than that,
_LONGEST = 512  # and at most so many, of which every room of live decoding is a multiple
_BUSY = 128  # pairs of text and key head that fill a GPU without chunks
_LOWEST = -1e30  # of a chunk that nothing is let through from; finite, so that differences are


def own_kernels() -> AbstractContextManager[None]:
    """Within it PyTorch attends with its own kernels, not with cuDNN's, which it may prefer.

    cuDNN plans anew for each length of the keys, and a text that grows has another one in each
    round: 0.4 s a plan are reported for torch 2.11 (FunASR issue 3704). On a B200 its values are
    reported to be wrong where key heads are few (pytorch issue 193893). On an H100 its pass
    backwards failed now and then in training with masks, with an illegal memory access or
    `mha_graph.execute(...)`; for some lengths its gradients are NaN (pytorch issue 196678).
    """
    return sdpa_kernel(
        [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]
    )


def grouped_attention(
    queries: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    mask: torch.Tensor,
    scale: float | None = None,
) -> torch.Tensor:
    """Attended values (B, r*h, n, d) of queries (B, r*h, n, d), keys and values (B, h, L, d).

    `mask` (B or 1, 1, n, L), boolean or additive; each of its rows must let something through.
    """
    batch, heads, count, width = queries.shape
    groups = heads // keys.shape[1]
    if count > _FEW:
        return scaled_dot_product_attention(
            queries,
            keys.repeat_interleave(groups, 1),
            values.repeat_interleave(groups, 1),
            attn_mask=mask,
            scale=scale,
        )
    folded = queries.reshape(batch, keys.shape[1], groups * count, width)
    rows = mask if count == 1 else mask.repeat(1, 1, groups, 1)
    chunk = chunk_of(keys)
    attended = (
        split_attention(folded, keys, values, rows, chunk, scale)
        if chunk
        else scaled_dot_product_attention(folded, keys, values, attn_mask=rows, scale=scale)
    )
    return attended.reshape(batch, heads, count, values.shape[-1])


def chunk_of(keys: torch.Tensor) -> int:
    """Keys (B, h, L, d) of a chunk, 0 where they are not to be cut: on a CPU, where nothing is
    compiled, for many texts, and where L is no multiple of it."""
    if not (keys.is_cuda and torch.compiler.is_compiling()):
        return 0
    if keys.shape[0] * keys.shape[1] >= _BUSY:
        return 0
    return chunk_for(keys.shape[2])


def chunk_for(room: int) -> int:
    """Keys of a chunk in a room, 0 where they do not divide it."""
    chunk = _CHUNK
    while chunk * _CHUNKS < room and chunk < _LONGEST:
        chunk *= 2
    return chunk if room % chunk == 0 else 0


def split_attention(
    queries: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    mask: torch.Tensor,
    chunk: int,
    scale: float | None = None,
) -> torch.Tensor:
    """Attended values (B, h, m, d) of queries (B, h, m, d), `chunk` keys at a time.

    Keys and values are (B, h, L, d), `mask` (B or 1, 1, m, L), boolean or additive. A row that lets
    nothing through gives 0, and gradients of 0.
    """
    scale = queries.shape[-1] ** -0.5 if scale is None else scale
    cut_keys, cut_values = (part.unflatten(2, (-1, chunk)) for part in (keys, values))
    cut_mask = mask.unflatten(-1, (-1, chunk)).transpose(2, 3)  # (B, 1, chunks, m, chunk)
    scores = _product(queries[:, :, None], cut_keys.mT) * scale
    scores = (
        scores.masked_fill(~cut_mask, -torch.inf) if mask.dtype == torch.bool else scores + cut_mask
    )
    highest = scores.detach().amax(-1, keepdim=True).clamp(min=_LOWEST)
    weights = (scores - highest).exp()
    share = (highest - highest.amax(2, keepdim=True)).exp()
    total = (share * weights.sum(-1, keepdim=True)).sum(2)
    attended = (share * _product(weights.to(values.dtype), cut_values)).sum(2)
    return (attended / torch.where(total > 0, total, 1.0)).to(queries.dtype)


def _product(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """(B, h, C or 1, m, k) times (B, h, C, k, n), summed and given in float32 or wider."""
    if left.dtype not in (torch.bfloat16, torch.float16):
        return left @ right
    if not left.is_cuda or torch.is_grad_enabled():
        return left.float() @ right.float()
    return _batched(left, right, out_dtype=torch.float32)


def _batched(left: torch.Tensor, right: torch.Tensor, **options: Any) -> torch.Tensor:
    """The same as one batch, for only so the type of the sums can be asked for."""
    left = left.expand(*right.shape[:3], -1, -1)
    found = torch.bmm(left.flatten(0, 2), right.flatten(0, 2), **options)
    return found.view(*right.shape[:3], left.shape[3], right.shape[4])


def use_grouped_attention(model: Any) -> None:
    """Have a transformers model attend so, if it attends through PyTorch in the usual way."""
    config = model.config.get_text_config()
    if config._attn_implementation == "sdpa" and getattr(
        model, "_supports_attention_backend", False
    ):
        config._attn_implementation = GROUPED


def _forward(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **rest: Any,
) -> tuple[torch.Tensor, None]:
    """As transformers calls it: attended values (B, n, heads, d)."""
    better = query.shape[1] > key.shape[1] or chunk_of(key) > 0
    if (
        not better
        or query.shape[2] > _FEW
        or attention_mask is None
        or attention_mask.shape[1] > 1
        or dropout
        or rest.get("position_bias") is not None
    ):
        found: tuple[torch.Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **rest
        )
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
