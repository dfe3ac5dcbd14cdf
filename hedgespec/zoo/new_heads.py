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
from hedgespec.models.target import LanguageModel
from hedgespec.zoo.corpus import Batch

Head = TypeVar("Head", bound=DraftHead)

_LAYER_KEYS = ("hidden_size", "intermediate_size", "num_attention_heads", "num_key_value_heads",
               "head_dim", "rms_norm_eps", "hidden_act", "vocab_size", "max_position_embeddings",
               "rope_parameters")


def draft_vocabulary(counts: np.ndarray, size: int) -> np.ndarray:
    """The `size` most frequent tokens, ascending; `counts` (V,) are their occurrences."""
    return np.sort(np.argsort(-counts, kind="stable")[:size])


def new_head(
    target: LanguageModel, vocabulary: np.ndarray, mlp_width: int | None, seed: int
) -> EagleHead:
    """A head for the target that starts as the target's own last layer and LM head.

    `vocabulary` (v,) are the tokens it will know, ascending; `mlp_width` that of its MLP, None for
    the target's. It reads the last layer's weights for
    the feature half of its input and small random ones for the embedding half; the fusion passes
    the highest of the three features on. Raises HedgespecError for a target that is not built of
    Llama-like layers.
    """
    config = target.model.config.get_text_config()
    try:
        layer = LlamaConfig(**{key: getattr(config, key) for key in _LAYER_KEYS},
                            num_hidden_layers=1)
        source = target.network.layers[-1]
    except AttributeError as error:
        raise HedgespecError(
            f"{target.id}: no head can be started from this architecture ({error}); the zoo "
            "needs a target of Llama's kind") from error
    layer.intermediate_size = max(mlp_width or 0, layer.intermediate_size)
    head_config = EagleConfig(layer, draft_vocabulary_size=len(vocabulary))
    torch.manual_seed(seed)
    head = EagleHead(head_config)
    with torch.no_grad():
        _copy_layer(head, source)
        size = head_config.hidden_size
        assert head.fc is not None
        head.fc.weight.normal_(std=0.01)
        head.fc.weight[:, 2 * size:] += torch.eye(size)
        head.norm.weight.copy_(target.final_norm.weight)
        tokens = torch.from_numpy(vocabulary)
        assert head.lm_head is not None
        head.lm_head.weight.copy_(
            target.model.get_output_embeddings().weight[tokens.to(target.device)])
        head.d2t.copy_(tokens - torch.arange(len(tokens)))
        head.t2d.zero_()
        head.t2d[tokens] = True
    return attach(head.to(target.device), target)


def _copy_layer(head: EagleHead, source: torch.nn.Module) -> None:
    """The target's layer where the shapes agree; of the projections, the feature half."""
    own = head.layer.state_dict()
    size = head.config.hidden_size
    for name, tensor in source.state_dict().items():
        if name == "input_layernorm.weight":
            own["hidden_norm.weight"].copy_(tensor)
            own[name].copy_(tensor)
        elif own[name].shape == tensor.shape:
            own[name].copy_(tensor)
        elif ".down_proj" in name:  # further units of the MLP start without effect
            own[name].zero_()
            own[name][:, :tensor.shape[1]] = tensor
        elif name.startswith("mlp."):
            own[name][:len(tensor)] = tensor
        else:  # q, k and v read embedding and feature side by side
            own[name].normal_(std=0.02)
            own[name][:, size:] = tensor


def inherit(head: EagleHead, start: EagleHead) -> None:
    """Copy a trained head's weights; LM head rows where both know the token."""
    new, old = head.state_dict(), start.state_dict()
    with torch.no_grad():
        for name, tensor in old.items():
            if name not in ("lm_head.weight", "d2t", "t2d"):
                new[name].copy_(tensor)
        rows = {int(token): row for row, token in enumerate(target_tokens(start.d2t))}
        both = [(place, rows[token]) for place, token
                in enumerate(target_tokens(head.d2t).tolist()) if token in rows]
        to, of = (torch.tensor(places, device=head.d2t.device)
                  for places in zip(*both, strict=True))
        new["lm_head.weight"][to] = old["lm_head.weight"][of]


def new_parallel_head(start: EagleHead, depths: int, seed: int) -> ParallelHead:
    """A head of so many draft depths with a trained one's weights, and random mask tokens."""
    torch.manual_seed(seed)
    head = ParallelHead(replace(start.config, masks=depths - 1))
    head.load_state_dict(start.state_dict(), strict=False)
    return head.to(next(start.parameters()).device)


def new_recurrent_head(
    target: LanguageModel, vocabulary: np.ndarray, seed: int
) -> RecurrentHead:
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
            target.model.get_output_embeddings().weight[tokens.to(target.device)])
        head.d2t.copy_(tokens - torch.arange(len(tokens)))
    return attach(head.to(target.device), target)


def attach(head: Head, target: LanguageModel) -> Head:
    """Lend the head the target's embedding, which it has none of its own of."""
    head.attach(target.model.get_input_embeddings(), target.logits)
    return head


def draft_log_q(
    head: EagleHead | RecurrentHead, inputs: torch.Tensor, batch: Batch, depths: int,
    temperature: float,
) -> list[torch.Tensor]:
    """log q (M, v), float32, over the draft vocabulary at each depth, for the batch's rows.

    `inputs` (B, L, kH) are the target's hidden states of the layers that the head reads, side by
    side. Rows whose chain would start before the text hold numbers without meaning.
    """
    assert head.lm_head is not None
    log_qs = []
    for output in unroll_rows(head, batch.ids, batch.rows, head.fuse([inputs]), depths):
        # Scaled before the LM head, where the tensor is small.
        logits = head.lm_head(head.readout(output) / temperature)
        log_qs.append(logits.log_softmax(-1, dtype=torch.float32))
    return log_qs
