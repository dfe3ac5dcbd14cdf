"""Loads causal language models and gives their hidden states and logits."""

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig
from transformers.utils import logging as transformers_logging

from hedgespec.errors import HedgespecError, arg
from hedgespec.models import smollm2

_FINAL_NORMS = ("norm", "ln_f", "final_layernorm", "final_layer_norm")


@dataclass
class LanguageModel:
    """A causal LM with its tokenizer. Build one with `load_model`."""

    id: str
    model: Any
    tokenizer: Any

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        device: torch.device = self.model.device
        return device

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
    def eos_tokens(self) -> list[int]:
        """Ids that end an answer."""
        ids = self.model.generation_config.eos_token_id
        return [] if ids is None else list(ids) if isinstance(ids, list) else [ids]

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
    ) -> dict[int, torch.Tensor]:
        """Teacher-forced hidden states, each (B, L, H), of `layers` and of the last layer.

        Layers count as Hugging Face `hidden_states` do: 0 is the embedding, l the output of the
        l-th layer. The last one, `self.layers`, comes after the final norm, ready for `logits`.
        """
        early = [layer for layer in layers if layer != self.layers]
        output = self.model.base_model(
            input_ids=ids, attention_mask=mask, use_cache=False, output_hidden_states=bool(early)
        )
        return {self.layers: output.last_hidden_state,
                **{layer: output.hidden_states[layer] for layer in early}}

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
        base = self.model.base_model
        for holder in (base, getattr(base, "decoder", None)):
            for name in _FINAL_NORMS:
                if hasattr(holder, name):
                    return getattr(holder, name)
        raise HedgespecError(f"{self.id}: early exit does not know where this architecture "
                             f"({type(base).__name__}) keeps its final norm")

    def check_head(self) -> None:
        """Raise HedgespecError if `logits` is not what the model itself computes."""
        ids = torch.arange(4, device=self.device)[None] % self.vocabulary_size
        mask = torch.ones_like(ids)
        with torch.inference_mode():
            own = self.model(input_ids=ids, attention_mask=mask, use_cache=False).logits.float()
            ours = self.logits(self.hidden_states(ids, mask, ())[self.layers])
        if not torch.allclose(own, ours, rtol=1e-2, atol=1e-2):
            raise HedgespecError(
                f"{self.id}: this architecture ({type(self.model).__name__}) computes its logits "
                "in a way that hedgespec does not know; please report it"
            )


def parameters_sha256(parameters: dict[str, torch.Tensor]) -> str:
    """Hash over names, types, shapes and bytes of parameters, in name order."""
    digest = hashlib.sha256()
    for name, tensor in sorted(parameters.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        raw = tensor.detach().cpu().contiguous().view(torch.uint8)
        digest.update(raw.numpy().data)
    return digest.hexdigest()


def load_model(identity: str, device: str, dtype: str) -> LanguageModel:
    """Load a causal LM: "smollm2-135m-instruct", a Hugging Face id, a folder or a .gguf file.

    `dtype` is "float32", "bfloat16" or "float16". Raises HedgespecError if it cannot be loaded.
    """
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    place, options = _locate(identity)
    try:
        tokenizer = AutoTokenizer.from_pretrained(place, **options)
        model = AutoModelForCausalLM.from_pretrained(place, dtype=getattr(torch, dtype), **options)
    except (OSError, ValueError, KeyError, ImportError, RuntimeError, SafetensorError) as error:
        raise HedgespecError(
            f"cannot load model {identity!r}: {str(error).strip().splitlines()[0]} "
            "(expected a Hugging Face id, a folder, a .gguf file or "
            f"{smollm2.NAME})"
        ) from error
    if tokenizer.pad_token_id is None:  # never attended to: any token will do
        tokenizer.pad_token_id = tokenizer.eos_token_id or 0
    # Only the end tokens are kept: a model's own repetition penalty or top-k must not slip in.
    eos = model.generation_config.eos_token_id
    model.generation_config = GenerationConfig(
        eos_token_id=tokenizer.eos_token_id if eos is None else eos,
        pad_token_id=tokenizer.pad_token_id,
    )
    loaded = LanguageModel(identity, model.to(device).eval(), tokenizer)
    loaded.check_head()
    return loaded


def check_device(device: str) -> None:
    """Raise HedgespecError if torch cannot use the device."""
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise HedgespecError(f"{arg('device', 'cuda')}: torch sees no CUDA device; use "
                             f"{arg('device', 'cpu')}")


def _locate(identity: str) -> tuple[str, dict[str, str]]:
    """Where transformers finds the model, and with which further arguments."""
    if identity == smollm2.NAME:
        return str(smollm2.smollm2_folder()), {}
    path = Path(identity)
    if path.suffix == ".gguf":
        if not path.is_file():
            raise HedgespecError(f"{path}: no such GGUF file")
        return str(path.parent), {"gguf_file": path.name}
    return identity, {}
