"""New draft heads, and what they put out on a batch."""

from dataclasses import replace
from typing import TypeVar

import numpy as np
import torch
from transformers import LlamaConfig

from hedgespec.errors import HedgespecError
from hedgespec.models.heads.eagle import EagleConfig, EagleHead, ParallelHead
from hedgespec.models.heads.eagle.head import DraftHead, target_tokens, unroll_rows
from hedgespec.models.heads.recurrent import RecurrentConfig, RecurrentHead
from hedgespec.models.heads.weights import Tensors
from hedgespec.models.target import LanguageModel
from hedgespec.zoo.corpus import Batch

Head = TypeVar("Head", bound=DraftHead)
# Projections that read the embedding beside the feature.
_BESIDE = tuple(f"self_attn.{name}_proj.weight" for name in "qkv")

_LAYER_KEYS = (
    "hidden_size",
    "intermediate_size",
    "num_attention_heads",
    "rms_norm_eps",
    "hidden_act",
    "vocab_size",
    "max_position_embeddings",
    "rope_parameters",
)


def draft_vocabulary(counts: np.ndarray, size: int) -> np.ndarray:
    """The `size` most frequent tokens, ascending; `counts` (V,) are their occurrences."""
    return np.sort(np.argsort(-counts, kind="stable")[:size])


def new_head(
    target: LanguageModel, vocabulary: np.ndarray, mlp_width: int | None, seed: int
) -> EagleHead:
    """A head for the target that starts as the target's own last layer and LM head.

    `vocabulary` (v,) are the tokens it will know, ascending; `mlp_width` that of its MLP, None for
    the target's (see `_with_units` for narrower ones). Biases and norms of the attention are the
    target's. It reads the last layer's weights for the feature half of its input and small random
    ones for the embedding half; the fusion passes the highest of the three features on. Raises
    HedgespecError for a target that is not built of such layers.
    """
    source = _last_layer(target)
    head_config = EagleConfig(
        _layer_config(target, source, mlp_width),
        draft_vocabulary_size=len(vocabulary),
        qkv_bias="self_attn.q_proj.bias" in source,
        o_bias="self_attn.o_proj.bias" in source,
        qk_norm="self_attn.q_norm.weight" in source,
    )
    torch.manual_seed(seed)
    head = EagleHead(head_config)
    with torch.no_grad():
        _copy_layer(head, source, target.id)
        size = head_config.hidden_size
        assert head.fc is not None
        head.fc.weight.normal_(std=0.01)
        head.fc.weight[:, 2 * size :] += torch.eye(size)
        head.norm.weight.copy_(target.final_norm.weight)
        tokens = torch.from_numpy(vocabulary)
        assert head.lm_head is not None
        head.lm_head.weight.copy_(
            target.model.get_output_embeddings().weight[tokens.to(target.device)]
        )
        head.d2t.copy_(tokens - torch.arange(len(tokens)))
        head.t2d.zero_()
        head.t2d[tokens] = True
    return attach(head.to(target.device), target)


def _last_layer(target: LanguageModel) -> Tensors:
    """The weights of the target's last layer, by their names in it."""
    try:
        return dict(target.network.layers[-1].state_dict())
    except (AttributeError, TypeError) as error:
        raise _unlike(target.id, str(error)) from error


def _unlike(target: str, reason: str) -> HedgespecError:
    return HedgespecError(
        f"{target}: no head can be started from this architecture ({reason}); the zoo needs a "
        "target of plain layers, as Llama, Qwen2 and Qwen3 have"
    )


def _layer_config(target: LanguageModel, source: Tensors, mlp_width: int | None) -> LlamaConfig:
    """The head's layer: the target's, but for the width of its MLP."""
    config = target.model.config.get_text_config()
    try:
        found = {key: getattr(config, key) for key in _LAYER_KEYS}
    except AttributeError as error:
        raise _unlike(target.id, str(error)) from error
    heads = found["num_attention_heads"]
    found["intermediate_size"] = mlp_width or found["intermediate_size"]
    # Qwen2 names no head_dim, and a null stands for the same.
    width = getattr(config, "head_dim", None) or config.hidden_size // heads
    return LlamaConfig(
        **found,
        head_dim=width,
        num_hidden_layers=1,
        mlp_bias="mlp.gate_proj.bias" in source,
        num_key_value_heads=getattr(config, "num_key_value_heads", None) or heads,
    )


def _copy_layer(head: EagleHead, source: Tensors, target: str) -> None:
    """The target's layer where the shapes agree; of the projections, the feature half."""
    own = head.layer.state_dict()
    size = head.config.hidden_size
    source = _with_units(source, own["mlp.up_proj.weight"].shape[0])
    _check_same(own, source, target)
    for name, tensor in source.items():
        if name == "input_layernorm.weight":
            own["hidden_norm.weight"].copy_(tensor)
            own[name].copy_(tensor)
        elif own[name].shape == tensor.shape:
            own[name].copy_(tensor)
        elif ".down_proj" in name:  # further units of the MLP start without effect
            own[name].zero_()
            own[name][:, : tensor.shape[1]] = tensor
        elif name.startswith("mlp."):
            own[name][: len(tensor)] = tensor
        else:  # q, k and v read embedding and feature side by side
            own[name].normal_(std=0.02)
            own[name][:, size:] = tensor


def _check_same(own: Tensors, source: Tensors, target: str) -> None:
    """Raise HedgespecError unless the head's layer has the tensors of the target's."""
    if other := (own.keys() - {"hidden_norm.weight"}) ^ source.keys():
        where = "has" if min(other) in source else "has no"
        raise _unlike(target, f"its layer {where} {min(other)!r}")
    for name, tensor in source.items():
        if not name.startswith(("mlp.", *_BESIDE)) and own[name].shape != tensor.shape:
            raise _unlike(
                target,
                f"its {name!r} has shape {tuple(tensor.shape)}, not {tuple(own[name].shape)}",
            )


def _with_units(source: Tensors, width: int) -> Tensors:
    """The layer with at most `width` units of its MLP: those that can put out most.

    A unit's measure is the product of the norms of its weights in gate, up and down projection.
    """
    names = [f"mlp.{name}_proj.weight" for name in ("gate", "up", "down")]
    if not source.keys() >= set(names) or len(source[names[1]]) <= width:
        return source
    gate, up, down = (source[name].float() for name in names)
    strength = gate.norm(dim=1) * up.norm(dim=1) * down.norm(dim=0)
    kept = strength.topk(width).indices.sort().values
    cut = {
        name: tensor[:, kept] if ".down_proj.weight" in name else tensor[kept]
        for name, tensor in source.items()
        if name.startswith("mlp.") and name != "mlp.down_proj.bias"
    }
    return source | cut


def inherit(head: EagleHead, start: EagleHead) -> None:
    """Copy a trained head's weights; LM head rows where both know the token."""
    new, old = head.state_dict(), start.state_dict()
    with torch.no_grad():
        for name, tensor in old.items():
            if name not in ("lm_head.weight", "d2t", "t2d"):
                new[name].copy_(tensor)
        rows = {int(token): row for row, token in enumerate(target_tokens(start.d2t))}
        both = [
            (place, rows[token])
            for place, token in enumerate(target_tokens(head.d2t).tolist())
            if token in rows
        ]
        to, of = (
            torch.tensor(places, device=head.d2t.device) for places in zip(*both, strict=True)
        )
        new["lm_head.weight"][to] = old["lm_head.weight"][of]


def new_parallel_head(start: EagleHead, depths: int, seed: int) -> ParallelHead:
    """A head of so many draft depths with a trained one's weights, and random mask tokens."""
    torch.manual_seed(seed)
    head = ParallelHead(replace(start.config, masks=depths - 1))
    head.load_state_dict(start.state_dict(), strict=False)
    return head.to(next(start.parameters()).device)


def new_recurrent_head(target: LanguageModel, vocabulary: np.ndarray, seed: int) -> RecurrentHead:
    """A recurrent head over the tokens `vocabulary` (v,), ascending, at random but for its LM head.

    That is the target's, which reads the context until the head has learned something else.
    """
    torch.manual_seed(seed)
    size = target.hidden_size
    head = RecurrentHead(RecurrentConfig(size, target.vocabulary_size, len(vocabulary)))
    tokens = torch.from_numpy(vocabulary)
    with torch.no_grad():
        for block in head.blocks:
            block.weight.normal_(std=0.01)
        head.down.weight.normal_(std=0.01)
        head.down.weight[:, :size] += torch.eye(size)
        head.lm_head.weight.copy_(
            target.model.get_output_embeddings().weight[tokens.to(target.device)]
        )
        head.d2t.copy_(tokens - torch.arange(len(tokens)))
    return attach(head.to(target.device), target)


def attach(head: Head, target: LanguageModel) -> Head:
    """Lend the head the target's embedding, which it has none of its own of."""
    head.attach(target.model.get_input_embeddings(), target.logits)
    return head


def draft_readouts(
    head: EagleHead | RecurrentHead,
    inputs: torch.Tensor,
    batch: Batch,
    depths: int,
    temperature: float,
) -> torch.Tensor:
    """What the LM head reads at each depth for the batch's rows, (D, M, H), over the temperature.

    `inputs` (B, L, kH) are the target's hidden states of the layers that the head reads, side by
    side. Rows whose chain would start before the text hold numbers without meaning.
    """
    outputs = unroll_rows(head, batch.ids, batch.rows, head.fuse([inputs]), depths)
    # Scaled before the LM head, where the tensor is small.
    return torch.stack([head.readout(output) / temperature for output in outputs])
