"""What rounds of a target cost whose weights are not at hand: random weights of its true shapes.

Speed depends on shapes, not on values. Random heads draft nothing useful, so MAT is not measured
here: tokens per second come from replaying a trace under these costs (`hedgespec sim --costs`).
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
import torch
from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig, LlamaConfig

from hedgespec.costs.settings import ProfileSettings
from hedgespec.errors import HedgespecError, arg
from hedgespec.models.drafters.eagle import Eagle
from hedgespec.models.fused import fuse_products
from hedgespec.models.grouped_attention import use_grouped_attention
from hedgespec.models.heads.eagle import EagleHead
from hedgespec.models.heads.eagle.config import parse_config
from hedgespec.models.split import first_device, place
from hedgespec.models.target import LanguageModel
from hedgespec.selectors import parse_selector
from hedgespec.selectors.online import OnlineSelector
from hedgespec.traces import Costs

# Settings of config.json that shape the models (Hugging Face, meta-llama and Qwen).
_LLAMA_ROPE = {
    "rope_type": "llama3",
    "rope_theta": 500000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}
TARGETS: dict[str, dict[str, Any]] = {
    "llama-3.1-8b": {
        "model_type": "llama",
        "vocab_size": 128256,
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "max_position_embeddings": 131072,
        "rope_parameters": _LLAMA_ROPE,
    },
    "qwen3-8b": {
        "model_type": "qwen3",
        "vocab_size": 151936,
        "hidden_size": 4096,
        "intermediate_size": 12288,
        "num_hidden_layers": 36,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "max_position_embeddings": 40960,
    },
    "qwen3-32b": {
        "model_type": "qwen3",
        "vocab_size": 151936,
        "hidden_size": 5120,
        "intermediate_size": 25600,
        "num_hidden_layers": 64,
        "num_attention_heads": 64,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "max_position_embeddings": 40960,
    },
    "smollm2-135m": {
        "model_type": "llama",
        "vocab_size": 49152,
        "hidden_size": 576,
        "intermediate_size": 1536,
        "num_hidden_layers": 30,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
        "max_position_embeddings": 8192,
        "tie_word_embeddings": True,
    },
}
_SELECTOR_ROUNDS = 300


@dataclass(frozen=True)
class Profile:
    """Costs of `heads` EAGLE-3 heads, and seconds of the selector in a round."""

    target: str
    heads: int
    selector: str
    selector_seconds: float
    costs: Costs

    @property
    def round_seconds(self) -> float:
        """A round before which all heads are evaluated, and in which one drafts."""
        costs = self.costs
        return (
            self.draft
            + costs.target.round
            + self.evaluate_all
            + costs.overhead
            + costs.evaluation_overhead
        )

    @property
    def draft(self) -> float:
        """Seconds of drafting K tokens."""
        return median(one.draft for one in self.costs.drafters.values())

    @property
    def evaluate_all(self) -> float:
        """Seconds of evaluating all heads."""
        assert self.costs.evaluate_all is not None
        return self.costs.evaluate_all


def profile(
    target: str,
    settings: ProfileSettings,
    measure: Callable[[LanguageModel, list[Eagle]], Costs],
) -> Profile:
    """Measure a target of TARGETS, or of the shapes of a config.json, and EAGLE-3 heads for it.

    `measure` times rounds of models (live decoding knows how); the selector is timed here. Raises
    HedgespecError for an unknown target, or one that cannot run on fixed tensors.
    """
    heads, selector = settings.heads, settings.selector
    model = random_target(target, settings.device, settings.dtype)
    costs = measure(model, random_heads(model, heads, settings.draft_vocabulary))
    return Profile(
        target, heads, selector, selector_seconds(selector, heads, settings.draft_length), costs
    )


def random_target(target: str, device: str, dtype: str) -> LanguageModel:
    """A target with random weights, without a tokenizer; `device` is as of `load_model`."""
    if target not in TARGETS and not Path(target).is_file():
        raise HedgespecError(
            f"{arg('target_config', target)}: no such file, and not one of {', '.join(TARGETS)}"
        )
    try:
        settings = TARGETS.get(target) or json.loads(Path(target).read_text())
        config = AutoConfig.for_model(**settings)
    except (KeyError, ValueError, TypeError) as error:
        raise HedgespecError(
            f"{arg('target_config', target)}: not a model's config.json ({error})"
        ) from error
    before = torch.get_default_dtype()
    torch.set_default_dtype(getattr(torch, dtype))
    try:
        with torch.device(first_device(device)):
            model = AutoModelForCausalLM.from_config(config, attn_implementation="sdpa")
    finally:
        torch.set_default_dtype(before)
    model.generation_config = GenerationConfig()
    use_grouped_attention(model)
    place(model, device)
    fuse_products(model)
    return LanguageModel(f"random weights, shapes of {target}", model.eval(), None)


def random_heads(target: LanguageModel, count: int, draft_vocabulary: int) -> list[Eagle]:
    """EAGLE-3 heads of one layer, as wide as the target."""
    config = target.model.config.get_text_config()
    settings = {
        key: getattr(config, key)
        for key in (
            "hidden_size",
            "intermediate_size",
            "num_attention_heads",
            "num_key_value_heads",
            "vocab_size",
            "rms_norm_eps",
            "max_position_embeddings",
        )
    }
    settings["head_dim"] = getattr(config, "head_dim", None)
    layer = LlamaConfig(**settings, num_hidden_layers=1).to_dict()
    head_config = parse_config(
        {
            **layer,
            "architectures": ["LlamaForCausalLMEagle3"],
            "draft_vocab_size": min(draft_vocabulary, config.vocab_size),
        },
        "",
    )
    heads = []
    with torch.device(target.device):
        for number in range(count):
            head = EagleHead(head_config).to(target.model.dtype).eval()
            heads.append(Eagle.of(f"head-{number + 1}", "random", head, target))
    return heads


def selector_seconds(selector: str, arms: int, draft_length: int) -> float:
    """Median seconds of a selector's work in a round, on random statistics."""
    online = OnlineSelector(parse_selector(selector), arms, draft_length)
    rng = np.random.default_rng(0)
    seconds, position = [], 0
    for _ in range(_SELECTOR_ROUNDS):
        emitted = int(rng.integers(1, draft_length + 2))
        gamma = rng.random((emitted, 1, arms), dtype=np.float32)
        started = perf_counter()
        online.choose(position)
        online.finished_round(emitted)
        online.verified(gamma, gamma)
        seconds.append(perf_counter() - started)
        position += emitted
    return median(seconds)
