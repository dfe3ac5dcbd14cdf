"""Loads causal language models and gives their hidden states and logits."""

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    GenerationConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from hedgespec.errors import HedgespecError, arg
from hedgespec.files import without_folders
from hedgespec.models.fused import fuse_products
from hedgespec.models.grouped_attention import use_grouped_attention
from hedgespec.models.options import SPLIT
from hedgespec.models.places import loading, locate, read_tokenizer
from hedgespec.models.split import check_split, place
from hedgespec.models.states import States, read_states
from hedgespec.traces import TargetInfo

_FINAL_NORMS = ("norm", "ln_f", "final_layernorm", "final_layer_norm")


@dataclass
class LanguageModel:
    """A causal LM with its tokenizer. Build one with `load_model`, or `of` what is in memory."""

    id: str
    model: Any
    tokenizer: Any

    @classmethod
    def of(cls, model: Any, tokenizer: Any, id: str | None = None) -> "LanguageModel":
        """A transformers model and its tokenizer that are in memory; neither is changed.

        `id` names it in messages and traces, by default as it was loaded. Raises HedgespecError
        unless it is a causal language model, ready to decode, whose logits hedgespec can compute.
        """
        _check_in_memory(model, tokenizer)
        _check_one_device(model)
        made = cls(id or model.config._name_or_path or type(model).__name__, model, tokenizer)
        made.check()
        return made

    def check(self) -> None:
        """Raise HedgespecError if its weights or its logits are not what they must be."""
        self.check_weights()
        self.check_head()

    def info(self) -> TargetInfo:
        """Its entry in a manifest."""
        return TargetInfo(
            without_folders(self.id),
            self.weights_sha256,
            self.tokenizer_sha256,
            self.vocabulary_size,
        )

    @property
    def device(self) -> torch.device:
        """Where embedding and head are, and states and logits."""
        device: torch.device = self.model.device
        return device

    @property
    def devices(self) -> list[torch.device]:
        """Where weights are, `device` first; several if the model is split (models/split.py)."""
        return list(dict.fromkeys([self.device, *(one.device for one in self.model.parameters())]))

    @property
    def dtype(self) -> str:
        """Type of the weights, such as "bfloat16"."""
        return str(self.model.dtype).removeprefix("torch.")

    @property
    def layers(self) -> int:
        """Number of decoder layers."""
        return int(self.model.config.get_text_config().num_hidden_layers)

    @property
    def hidden_size(self) -> int:
        """Width of the hidden states."""
        return int(self.model.config.get_text_config().hidden_size)

    @property
    def vocabulary_size(self) -> int:
        """Width of the logits."""
        return int(self.model.get_output_embeddings().weight.shape[0])

    @property
    def context_length(self) -> int:
        """Most tokens, prompt and answer together, that the model was made for."""
        return int(getattr(self.model.config.get_text_config(), "max_position_embeddings", 1 << 30))

    @property
    def network(self) -> Any:
        """The layers without the head: ids to hidden states."""
        base = self.model.base_model
        return getattr(base, "model", base) if base is self.model else base  # Llama 4 names none

    @property
    def rope_switch(self) -> int | None:
        """Length beyond which RoPE is another one from the text's first place on (longrope).

        None if it is the same at all lengths.
        """
        rope = getattr(self.model.config.get_text_config(), "rope_parameters", None) or {}
        kinds = [one for one in (rope, *rope.values()) if isinstance(one, dict)]
        switches = [
            one.get("original_max_position_embeddings")
            for one in kinds
            if one.get("rope_type") == "longrope"
        ]
        return min((int(length) for length in switches if length), default=None)

    @property
    def eos_tokens(self) -> list[int]:
        """Ids that end an answer: the model's, or its tokenizer's where it names none."""
        ids = self.model.generation_config.eos_token_id
        if ids is None and self.tokenizer is not None:
            ids = self.tokenizer.eos_token_id
        return [] if ids is None else list(ids) if isinstance(ids, list) else [ids]

    @property
    def pad_token(self) -> int:
        """Id that fills batches up. It is never attended to: any token will do."""
        known: int | None = self.tokenizer.pad_token_id
        return self.tokenizer.eos_token_id or 0 if known is None else known

    @cached_property
    def weights_sha256(self) -> str:
        """See `parameters_sha256`."""
        return parameters_sha256(self.model.state_dict())

    @cached_property
    def tokenizer_sha256(self) -> str:
        """Hash of the vocabulary: drafters must share it."""
        vocabulary = sorted(self.tokenizer.get_vocab().items(), key=lambda item: item[1])
        return hashlib.sha256(json.dumps(vocabulary).encode()).hexdigest()

    def hidden_states(
        self, ids: torch.Tensor, mask: torch.Tensor, layers: tuple[int, ...]
    ) -> States:
        """Teacher-forced hidden states, each (B, L, H), of `layers` and of the last layer.

        Layers count as in `read_states`. The last one, `self.layers`, comes after the final norm,
        ready for `logits`.
        """
        final, states = read_states(
            self.network, self.layers, layers, input_ids=ids, attention_mask=mask, use_cache=False
        )
        return {self.layers: final, **states}

    def early_logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """Logits of an early layer's hidden states (..., H): the final norm, then the head."""
        return self.logits(self.final_norm(hidden))

    def logits(self, hidden: torch.Tensor, tokens: torch.Tensor | None = None) -> torch.Tensor:
        """Next-token logits, float32, of normed hidden states (..., H); of `tokens` (v,) only."""
        head = self.model.get_output_embeddings()
        if tokens is None:
            logits = head(hidden).float()
        else:
            bias = None if head.bias is None else head.bias[tokens]
            logits = torch.nn.functional.linear(hidden, head.weight[tokens], bias).float()
        config = self.model.config.get_text_config()
        cap = getattr(config, "final_logit_softcapping", None)
        if cap:  # Gemma
            logits = torch.tanh(logits / cap) * cap
        if getattr(config, "logit_scale", None):  # Cohere
            logits = logits * config.logit_scale
        if getattr(config, "logits_scaling", None):  # Granite
            logits = logits / config.logits_scaling
        return logits

    @cached_property
    def final_norm(self) -> Any:
        base = self.network
        for holder in (base, getattr(base, "decoder", None)):
            for name in _FINAL_NORMS:
                if hasattr(holder, name):
                    return getattr(holder, name)
        raise HedgespecError(
            f"{self.id}: early exit does not know where this architecture "
            f"({type(base).__name__}) keeps its final norm"
        )

    def check_weights(self) -> None:
        """Raise HedgespecError naming the first weight that is not finite."""
        for name, weight in self.model.named_parameters():
            if not bool(weight.isfinite().all()):
                raise HedgespecError(
                    f"{self.id}: weight {name!r} holds NaN or infinite numbers as {self.dtype}; "
                    f"half precision may overflow: try {arg('dtype', 'float32')}"
                )

    def check_layers(self, layers: tuple[int, ...]) -> None:
        """Raise HedgespecError unless states of these layers are as wide as the final ones."""
        if not layers:
            return
        ids = torch.arange(4, device=self.device)[None] % self.vocabulary_size
        with torch.inference_mode():
            states = self.hidden_states(ids, torch.ones_like(ids), layers)
        for layer in layers:
            if states[layer].shape != states[self.layers].shape:
                raise HedgespecError(
                    f"{self.id}: the states of layer {layer} have the shape "
                    f"{tuple(states[layer].shape)}, not {tuple(states[self.layers].shape)}: this "
                    f"architecture ({type(self.model).__name__}) keeps several of each token. "
                    "Nothing can draft from them; name drafters that read the text alone"
                )

    def check_head(self) -> None:
        """Raise HedgespecError if `logits` is not what the model itself computes."""
        ids = torch.arange(4, device=self.device)[None] % self.vocabulary_size
        mask = torch.ones_like(ids)
        unknown = (
            f"{self.id}: this architecture ({type(self.model).__name__}) computes its "
            "logits in a way that hedgespec does not know; please report it"
        )
        try:
            with torch.inference_mode():
                own = self.model(input_ids=ids, attention_mask=mask, use_cache=False).logits
                ours = self.logits(self.hidden_states(ids, mask, ())[self.layers])
        except (AttributeError, TypeError, KeyError, IndexError, ValueError, RuntimeError) as error:
            raise HedgespecError(
                f"{unknown} ({type(error).__name__}: {' '.join(str(error).split())[:200]})"
            ) from error
        if own.shape != ours.shape or not torch.allclose(own.float(), ours, rtol=1e-2, atol=1e-2):
            raise HedgespecError(unknown)


def parameters_sha256(parameters: dict[str, torch.Tensor]) -> str:
    """Hash over names, types, shapes and bytes of parameters, in name order."""
    digest = hashlib.sha256()
    for name, tensor in sorted(parameters.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        flat = tensor.detach().cpu().contiguous().reshape(-1)  # a scalar cannot be seen as bytes
        raw = flat.view(torch.uint8)
        digest.update(raw.numpy().data)
    return digest.hexdigest()


def load_model(identity: str, device: str, dtype: str) -> LanguageModel:
    """Load a causal LM: "smollm2-135m-instruct", a Hugging Face id, a folder or a .gguf file.

    `device` is torch's name of one, or "split" for all GPUs; `dtype` is "float32", "bfloat16" or
    "float16". Raises HedgespecError if it cannot be loaded.
    """
    with loading(identity):
        folder, options = locate(identity)
        tokenizer = read_tokenizer(identity)
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype), **options)
        use_grouped_attention(model)
        place(model.eval(), device)
        fuse_products(model)
        _check_in_memory(model, tokenizer)
        loaded = LanguageModel(identity, model, tokenizer)
        loaded.check()
    tokenizer.pad_token_id = loaded.pad_token
    # Only the end tokens are kept: a model's own repetition penalty or top-k must not slip in.
    model.generation_config = GenerationConfig(
        eos_token_id=loaded.eos_tokens or None, pad_token_id=loaded.pad_token
    )
    return loaded


def _check_in_memory(model: Any, tokenizer: Any) -> None:
    """Raise HedgespecError for what cannot be decoded with, saying what to do."""
    if not isinstance(model, PreTrainedModel):
        raise HedgespecError(
            f"model must be a transformers model, not {type(model).__name__}; "
            "load_model loads one by its name"
        )
    if not isinstance(tokenizer, PreTrainedTokenizerBase):
        raise HedgespecError(
            f"tokenizer must be a transformers tokenizer, not {type(tokenizer).__name__}"
        )
    who = f"model ({type(model).__name__})"
    if not model.can_generate() or model.config.is_encoder_decoder:
        raise HedgespecError(f"{who} is not a causal language model")
    if model.training:
        raise HedgespecError(f"{who} is in training mode: call model.eval() first")


def _check_one_device(model: Any) -> None:
    devices = sorted({str(parameter.device) for parameter in model.parameters()})
    if len(devices) > 1 or devices == ["meta"]:
        raise HedgespecError(
            f"model ({type(model).__name__}) has its weights on "
            f"{' and '.join(devices)}: put all of them on one device"
        )


def check_device(device: str) -> None:
    """Raise HedgespecError if torch cannot use the device."""
    if device == SPLIT:
        check_split()
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise HedgespecError(
            f"{arg('device', 'cuda')}: torch sees no CUDA device; use {arg('device', 'cpu')}"
        )
