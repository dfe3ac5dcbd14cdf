"""Published shapes of EAGLE heads as small random checkpoints, for the tiny target of four layers.

Each is a config.json and tensors as trainers write them, with what `plain_head.PlainHead` must be
told to compute the same.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors.torch import save_file

VOCABULARY, DRAFT_VOCABULARY, WIDTH, MLP, HEADS, KV_HEADS = 63, 40, 32, 48, 4, 2
HEAD_WIDTH = WIDTH // HEADS


@dataclass
class Shape:
    """A checkpoint, and the plain forward's options."""

    config: dict
    tensors: dict
    plain: dict = field(default_factory=dict)

    def save(self, folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text(json.dumps(self.config))
        save_file(
            {name: tensor.contiguous() for name, tensor in self.tensors.items()},
            folder / "model.safetensors",
        )
        return folder


class Weights:
    """Random tensors, one after the other."""

    def __init__(self, seed: int):
        self._generator = torch.Generator().manual_seed(seed)

    def matrix(self, *shape: int) -> torch.Tensor:
        return 0.3 * torch.randn(*shape, generator=self._generator)

    def norm(self, size: int) -> torch.Tensor:
        return 1 + self.matrix(size)

    def layer(self, prefix: str, inputs: int, norms: tuple[str, ...]) -> dict:
        sizes = {"q": HEADS, "k": KV_HEADS, "v": KV_HEADS}
        made = {
            f"{prefix}self_attn.{name}_proj.weight": self.matrix(count * HEAD_WIDTH, inputs)
            for name, count in sizes.items()
        }
        made[f"{prefix}self_attn.o_proj.weight"] = self.matrix(WIDTH, WIDTH)
        for name, shape in {"gate": (MLP, WIDTH), "up": (MLP, WIDTH), "down": (WIDTH, MLP)}.items():
            made[f"{prefix}mlp.{name}_proj.weight"] = self.matrix(*shape)
        return made | {f"{prefix}{name}.weight": self.norm(WIDTH) for name in norms}

    def known(self) -> torch.Tensor:
        shuffled = torch.randperm(VOCABULARY, generator=self._generator)
        return shuffled[:DRAFT_VOCABULARY].sort().values


def layer_config(**changes) -> dict:
    config = {
        "model_type": "llama",
        "hidden_size": WIDTH,
        "intermediate_size": MLP,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS,
        "num_hidden_layers": 1,
        "max_position_embeddings": 256,
        "rms_norm_eps": 1e-5,
        "hidden_act": "silu",
        "vocab_size": VOCABULARY,
        "tie_word_embeddings": False,
        "torch_dtype": "bfloat16",
        "initializer_range": 0.02,
        "use_cache": True,
        "transformers_version": "4.53.0",
    }
    return config | changes


FIRST = ("input_layernorm", "hidden_norm", "post_attention_layernorm")
ABOVE = ("input_layernorm", "post_attention_layernorm")


def eagle3(prefix: str = "midlayer.", features: int = 3, fc: bool = True) -> dict:
    weights = Weights(1)
    tensors = {
        "norm.weight": weights.norm(WIDTH),
        "lm_head.weight": weights.matrix(DRAFT_VOCABULARY, WIDTH),
        **weights.layer(prefix, 2 * WIDTH, FIRST),
    }
    if fc:
        tensors["fc.weight"] = weights.matrix(WIDTH, features * WIDTH)
    known = weights.known()
    tensors["d2t"] = known - torch.arange(DRAFT_VOCABULARY)
    tensors["t2d"] = torch.isin(torch.arange(VOCABULARY), known)
    return tensors


def flat(tensors: dict | None = None, plain: dict | None = None, **changes) -> Shape:
    """Of SpecForge's dialect."""
    config = (
        layer_config(architectures=["LlamaForCausalLMEagle3"], draft_vocab_size=DRAFT_VOCABULARY)
        | changes
    )
    return Shape(config, tensors or eagle3(), plain or {})


def nested(tensors: dict, plain: dict | None = None, layer: dict | None = None, **changes) -> Shape:
    """Of the speculators dialect."""
    config = {
        "architectures": ["Eagle3Speculator"],
        "model_type": "speculator_model",
        "speculators_model_type": "eagle3",
        "speculators_version": "0.3.0",
        "speculators_config": {"algorithm": "eagle3", "verifier": {"name_or_path": "target"}},
        "draft_vocab_size": DRAFT_VOCABULARY,
        "norm_before_residual": False,
        "transformer_layer_config": layer_config(**(layer or {})),
    }
    return Shape(config | changes, tensors, plain or {})


def eagle1(biased: bool = False, depth: int = 1) -> dict:
    weights = Weights(2)
    tensors = {
        "fc.weight": weights.matrix(WIDTH, 2 * WIDTH),
        "fc.bias": weights.matrix(WIDTH),
        **weights.layer("layers.0.", WIDTH, ABOVE[1:]),
    }
    for number in range(1, depth):
        tensors |= weights.layer(f"layers.{number}.", WIDTH, ABOVE)
    if biased:
        tensors |= biases("layers.0.", "qkv")
    return tensors


def biases(prefix: str, which: str) -> dict:
    weights = Weights(3)
    sizes = {"q": WIDTH, "k": KV_HEADS * HEAD_WIDTH, "v": KV_HEADS * HEAD_WIDTH, "o": WIDTH}
    return {f"{prefix}self_attn.{name}_proj.bias": weights.matrix(sizes[name]) for name in which}


def above(number: int, inputs: int = WIDTH) -> dict:
    return Weights(10 + number).layer(f"layers.{number}.", inputs, ABOVE)


def qk_norms(prefix: str) -> dict:
    weights = Weights(4)
    return {f"{prefix}self_attn.{name}_norm.weight": weights.norm(HEAD_WIDTH) for name in "qk"}


def shapes() -> dict[str, Shape]:
    """All of them by name."""
    one = "layers.0."
    spoken = eagle3(one)
    whole = {
        "lm_head.weight": Weights(5).matrix(VOCABULARY, WIDTH),
        "d2t": torch.zeros(VOCABULARY, dtype=torch.long),
    }
    no_d2t = {name: tensor for name, tensor in eagle3().items() if name not in ("d2t", "t2d")}
    ids = "eagle_aux_hidden_state_layer_ids"
    return {
        "specforge": flat(),
        "norm-before-residual": flat(norm_before_residual=True, plain={"before": True}),
        "eagle-3.1": flat(
            eagle3()
            | {f"fc_norm.{number}.weight": Weights(6 + number).norm(WIDTH) for number in range(3)},
            fc_norm=True,
            norm_output=True,
            plain={"norm_output": True},
        ),
        "gpt-oss": nested(
            spoken | {"input_norm.weight": Weights(9).norm(3 * WIDTH)},
            norm_before_fc=True,
            norm_before_residual=True,
            plain={"before": True},
        ),
        "qwen3": nested(spoken | qk_norms(one), layer={"model_type": "qwen3"}),
        "qwen2-biases": flat(eagle3() | biases("midlayer.", "qkv"), attention_bias=True),
        "all-biases": flat(eagle3() | biases("midlayer.", "qkvo"), attention_bias=True),
        "window": nested(
            spoken,
            layer={
                "sliding_window": 6,
                "use_sliding_window": True,
                "layer_types": ["sliding_attention"],
            },
            plain={"windows": [6]},
        ),
        "unused-window": flat(sliding_window=6, use_sliding_window=False, max_window_layers=28),
        "two-layers": nested(spoken | above(1), layer={"num_hidden_layers": 2}),
        "two-layers-one-window": nested(
            spoken | above(1),
            plain={"windows": [None, 5]},
            layer={
                "num_hidden_layers": 2,
                "sliding_window": 5,
                "layer_types": ["full_attention", "sliding_attention"],
            },
        ),
        "two-wide-layers": nested(spoken | above(1, 2 * WIDTH), layer={"num_hidden_layers": 2}),
        "last-state": flat(
            eagle3(fc=False),
            plain={"layers": (4,)},
            eagle_config={
                "use_aux_hidden_state": False,
                ids: [],
                "use_input_layernorm_in_first_layer": True,
                "use_last_layernorm": True,
                "use_mtp_layernorm": False,
            },
        ),
        "layers-of-states": flat(plain={"layers": (1, 3, 4)}, **{ids: [1, 3, 4]}),
        "layers-of-outputs": flat(
            plain={"layers": (1, 2, 3)}, eagle_config={ids: [0, 1, 2], "use_aux_hidden_state": True}
        ),
        "four-layers": flat(
            eagle3(features=4), plain={"layers": (1, 2, 3, 4)}, **{ids: [1, 2, 3, 4]}
        ),
        "whole-vocabulary": flat(no_d2t | whole, draft_vocab_size=None, plain={"whole": True}),
        "targets-head": flat(
            {
                name: tensor
                for name, tensor in (eagle3() | whole).items()
                if name not in ("lm_head.weight", "t2d")
            },
            draft_vocab_size=VOCABULARY,
            plain={"whole": True},
        ),
        "t2d-alone": flat({name: tensor for name, tensor in eagle3().items() if name != "d2t"}),
        "tied": flat(
            {name: tensor for name, tensor in no_d2t.items() if name != "lm_head.weight"}
            | {"embed_tokens.weight": Weights(7).matrix(VOCABULARY, WIDTH)},
            tie_word_embeddings=True,
            draft_vocab_size=None,
            plain={"whole": True, "tied": True},
        ),
        "logit-scale": flat(logit_scale=0.25, plain={"scale": 0.25}),
        "partial-rotary": flat(
            rope_theta=5000.0,
            partial_rotary_factor=0.5,
            plain={"turned": HEAD_WIDTH // 2, "base": 5000.0},
        ),
        "mrope": flat(
            rope_theta=1e6,
            plain={"base": 1e6},
            rope_scaling={"type": "mrope", "rope_type": "default", "mrope_section": [1, 1, 2]},
        ),
        "linear": flat(rope_scaling={"type": "linear", "factor": 4.0}, plain={"slower": 4.0}),
        "eagle-1": Shape(layer_config(architectures=["LlamaForCausalLM"], bias=True), eagle1()),
        "eagle-1-qwen2": Shape(
            layer_config(architectures=["LlamaForCausalLM"], model_type="qwen2", qkv_bias=True),
            eagle1(biased=True),
        ),
        "eagle-1-two-layers": Shape(
            layer_config(architectures=["LlamaForCausalLM"], num_hidden_layers=2), eagle1(depth=2)
        ),
    }


# Rope types whose frequencies transformers computes.
ROPES = {
    "llama3": {
        "rope_type": "llama3",
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64,
    },
    "yarn": {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64},
    "su": {"type": "su", "short_factor": [1.1] * 4, "long_factor": [2.0] * 4},
    "dynamic": {"type": "dynamic", "factor": 2.0},
    "proportional": {"rope_type": "proportional", "rope_theta": 1e6, "partial_rotary_factor": 0.5},
}
