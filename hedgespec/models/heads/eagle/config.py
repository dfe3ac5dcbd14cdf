"""What shapes an EAGLE head, read from and written to config.json in either dialect.

Two dialects exist. "eagle" is that of the released EAGLE code, SpecForge and SGLang: the layer's
settings at the top level. "speculators" is vLLM's: `speculators_model_type`, and the layer's
settings in `transformer_layer_config`. Every key is used, known to do nothing, or refused
(models/heads/config_keys.py), and where the tensors say what a key leaves open, they are believed.
"""

from collections.abc import Collection
from reprlib import repr as short
from typing import Any

from transformers import LlamaConfig
from transformers.activations import ACT2FN

from hedgespec.errors import HedgespecError
from hedgespec.models.heads.config_keys import HARMLESS, Keys
from hedgespec.models.heads.eagle.rope import MOST_POSITIONS, read_rope
from hedgespec.models.heads.eagle.shape import EagleConfig, default_layers

DIALECTS = ("eagle", "speculators")
LAYER_IDS = "eagle_aux_hidden_state_layer_ids"
_MASKS = "mask_tokens"  # hedgespec's own
_MOST_LAYERS, _MOST_HEADS, _WIDEST_HEAD = 64, 1 << 12, 1 << 14
_LLAMA_LIKE = (
    "llama",
    "mistral",
    "qwen2",
    "qwen3",
    "eagle",
    "eagle3",
    "llama_eagle3",
    "speculators",
    "speculator_model",
)
# Flags of the whole head, which stand at the top level or in `eagle_config`.
_FLAGS = (
    "norm_before_residual",
    "norm_before_fc",
    "fc_norm",
    "norm_output",
    "use_aux_hidden_state",
)
_WRITTEN = (
    "hidden_size",
    "intermediate_size",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "rms_norm_eps",
    "hidden_act",
    "vocab_size",
    "max_position_embeddings",
    "rope_parameters",
    "mlp_bias",
)


def dialect_of(document: Any) -> str:
    """The dialect that a config.json is written in."""
    spoken = isinstance(document, dict) and "speculators_model_type" in document
    return "speculators" if spoken else "eagle"


def parse_config(document: Any, where: str, tensors: Collection[str] | None = None) -> EagleConfig:
    """Read a config.json of either dialect; `tensors` are the names of the head's tensors.

    Raises HedgespecError, naming file and key, if it describes something else than an EAGLE head,
    or one that is not supported.
    """
    keys = Keys(document, where)
    if dialect_of(document) == "speculators":
        kind = keys.get("speculators_model_type")
        if kind != "eagle3":
            raise HedgespecError(
                f"{where}: speculators_model_type {short(kind)} is not supported, only 'eagle3' is"
            )
        keys.must_be("model_type", "speculator_model", "speculators", "eagle3")
        layer = keys.inner("transformer_layer_config") or Keys({}, where)
        config = _parse(keys, layer, tensors, third=True)
        layer.finish(HARMLESS)
    else:
        third = "draft_vocab_size" in document or "Eagle3" in str(document.get("architectures"))
        config = _parse(keys, keys, tensors, third)
    keys.finish(HARMLESS)
    return config


def _parse(keys: Keys, layer: Keys, tensors: Collection[str] | None, third: bool) -> EagleConfig:
    """The head of the keys at the top level and of those of the layer, perhaps the same."""
    third = third or _has(tensors, "layer.hidden_norm.weight")
    eagle = keys.inner("eagle_config") or Keys({}, keys.where)
    _refuse_other_layouts(keys, eagle)
    depth = layer.whole("num_hidden_layers", 1, _MOST_LAYERS) or 1
    fc_bias, tied = keys.flag("bias"), _either_flag(keys, layer, "tie_word_embeddings")
    config = EagleConfig(
        layer=_layer_config(layer),
        generation=3 if third else 1,
        draft_vocabulary_size=keys.whole("draft_vocab_size"),
        target_hidden_size=keys.whole("target_hidden_size"),
        fc_bias=_believed(
            tensors, "fc.bias", not (third or tensors) if fc_bias is None else fc_bias
        ),
        masks=keys.whole(_MASKS, 0) or 0,
        depth=depth,
        windows=_windows(layer, depth),
        tied=bool(tied) and third,
        logit_scale=keys.number("logit_scale", 1e-6, 1e6) or 1.0,
        **_attention(layer, tensors),
        **_features(keys, eagle, tensors, third),
    )
    eagle.finish(frozenset({"parallel_draft_heads_num_layers", "has_lm_head"}))
    return config


def _attention(layer: Keys, tensors: Collection[str] | None) -> dict[str, Any]:
    """Biases and norms of the attention, by the field of EagleConfig.

    Qwen-2's attention_bias is of queries, keys and values alone.
    """
    biased, qkv = bool(layer.flag("attention_bias")), bool(layer.flag("qkv_bias"))
    return {
        "qkv_bias": _believed(tensors, "layer.self_attn.q_proj.bias", biased or qkv),
        "o_bias": _has(tensors, "layer.self_attn.o_proj.bias") if tensors else biased,
        "qk_norm": _has(tensors, "layer.self_attn.q_norm.weight"),
    }


def _features(
    keys: Keys, eagle: Keys, tensors: Collection[str] | None, third: bool
) -> dict[str, Any]:
    """What is read of the target and how it is normed, by the field of EagleConfig."""
    flags = {name: _either_flag(keys, eagle, name) for name in _FLAGS}
    layers = _stated_layers(keys, eagle)
    last = flags["use_aux_hidden_state"] is False
    found = {
        "norm_before_residual": bool(flags["norm_before_residual"]),
        "norm_output": bool(flags["norm_output"]),
        "norm_before_fc": _agreed(keys, tensors, "norm_before_fc", flags, "input_norm.weight"),
        "fc_norm": _agreed(keys, tensors, "fc_norm", flags, "fc_norm.0.weight"),
        **layers,
    }
    if tensors is not None and not third and any(found.values()):
        raise HedgespecError(
            f"{keys.where}: norms or layers of EAGLE-3, but its tensors are those "
            "of an EAGLE-1 head: there is no 'hidden_norm.weight'"
        )
    if third and last and layers:
        raise HedgespecError(
            f"{keys.where}: {LAYER_IDS} names layers, but use_aux_hidden_state is "
            "false: it reads the last state alone"
        )
    return found | {
        "last_state": last or not third,
        "has_fc": not (third and last) or _has(tensors, "fc.weight"),
    }


def _layer_config(keys: Keys) -> LlamaConfig:
    """The settings of one layer that transformers knows."""
    for key in ("hidden_size", "intermediate_size", "num_attention_heads", "vocab_size"):
        if keys.get(key) is None:
            raise HedgespecError(
                f"{keys.where}: no {key}; is this the config.json of an EAGLE head?"
            )
    keys.must_be("model_type", *_LLAMA_LIKE)
    size, heads = keys.whole("hidden_size"), keys.whole("num_attention_heads", 1, _MOST_HEADS)
    assert size is not None
    assert heads is not None
    kv_heads, width = (
        keys.whole("num_key_value_heads") or heads,
        keys.whole("head_dim", 1, _WIDEST_HEAD),
    )
    if heads % kv_heads:
        raise keys.wrong("num_key_value_heads", f"a divisor of num_attention_heads, {heads}")
    if width is None and size % heads:
        raise keys.wrong("num_attention_heads", f"a divisor of hidden_size, {size}")
    width = width or size // heads
    if width % 2:
        raise keys.wrong("head_dim", f"even (attention heads are {width} wide)")
    positions = keys.whole("max_position_embeddings", 1, MOST_POSITIONS) or 2048
    return LlamaConfig(
        hidden_size=size,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        head_dim=width,
        intermediate_size=keys.whole("intermediate_size"),
        vocab_size=keys.whole("vocab_size"),
        rms_norm_eps=keys.number("rms_norm_eps", 0.0, 1.0) or 1e-6,
        hidden_act=keys.text("hidden_act", ACT2FN) or "silu",
        mlp_bias=bool(keys.flag("mlp_bias")),
        max_position_embeddings=positions,
        rope_parameters=read_rope(keys, width),
        num_hidden_layers=1,
    )


def _windows(keys: Keys, depth: int) -> tuple[int | None, ...]:
    """Tokens that each layer attends to, itself included; none where it attends to all."""
    size = keys.whole("sliding_window", 1, MOST_POSITIONS)
    use, first = keys.flag("use_sliding_window"), keys.whole("max_window_layers", 0)
    kinds = keys.get("layer_types")
    if kinds is None:
        if size is None or use is False:
            return (None,) * depth
        if use is None and keys.get("model_type") != "mistral":
            raise keys.wrong(
                "sliding_window", "said to be used: say use_sliding_window or layer_types"
            )
        return tuple(size if layer >= (first or 0) else None for layer in range(depth))
    known = {"full_attention": False, "sliding_attention": True}
    if (
        not isinstance(kinds, list)
        or len(kinds) < depth
        or not all(isinstance(kind, str) and kind in known for kind in kinds)
    ):
        raise keys.wrong("layer_types", f"full_attention or sliding_attention for {depth} layers")
    sliding = [known[kind] for kind in kinds[:depth]]
    if any(sliding) and (size is None or use is False):
        raise keys.wrong("layer_types", "possible without a sliding_window that is used")
    return tuple(size if one else None for one in sliding)


def _stated_layers(keys: Keys, eagle: Keys) -> dict[str, Any]:
    """The target's layers that are named, by the field of EagleConfig.

    At the top level they count as `hidden_states`. In `eagle_config` trainers write either count:
    see EagleConfig.fused_layers.
    """
    sure, unsure = (one.wholes(LAYER_IDS, 0, _MOST_LAYERS * 16) for one in (keys, eagle))
    if sure and unsure and unsure not in (sure, tuple(layer - 1 for layer in sure)):
        raise eagle.wrong(LAYER_IDS, f"what stands at the top level, {list(sure)}, in any count")
    if sure:
        return {"target_layers": sure}
    if unsure and 0 in unsure:  # nobody fuses the embedding
        return {"target_layers": tuple(layer + 1 for layer in unsure)}
    return {"unsure_layers": unsure} if unsure else {}


def _refuse_other_layouts(keys: Keys, eagle: Keys) -> None:
    """What trainers can write of networks that are not this one."""
    for one in (keys, eagle):
        one.must_be("use_input_layernorm_in_first_layer", True)
        one.must_be("use_last_layernorm", True)
        one.must_be("use_mtp_layernorm", False)
        one.must_be("next_layer_regular", True)
        one.must_be("parallel_draft_step", 1)
        one.must_be("eagle_decoder_type", "llama")
        one.whole("num_eagle_features")


def _either_flag(keys: Keys, inside: Keys, name: str) -> bool | None:
    outer, inner = keys.flag(name), inside.flag(name)
    if None not in (outer, inner) and outer != inner:
        raise inside.wrong(name, f"the {outer} that stands outside of it")
    return outer if inner is None else inner


def _has(tensors: Collection[str] | None, name: str) -> bool:
    return tensors is not None and name in tensors


def _believed(tensors: Collection[str] | None, name: str, said: bool) -> bool:
    """Whether there is a tensor; if it is said to be, its absence is told later."""
    return said if tensors is None else name in tensors or said


def _agreed(
    keys: Keys,
    tensors: Collection[str] | None,
    flag: str,
    flags: dict[str, bool | None],
    tensor: str,
) -> bool:
    """A flag whose tensor need not be there if it says so, and must not if it says no."""
    if flags[flag] is False and _has(tensors, tensor):
        raise HedgespecError(f"{keys.where}: {flag} is False, but there is a tensor {tensor!r}")
    return _believed(tensors, tensor, bool(flags[flag]))


def dump_config(config: EagleConfig, dialect: str) -> dict[str, Any]:
    """The config.json of a head in one dialect.

    Raises HedgespecError for a head that the dialect cannot describe.
    """
    written = config.layer.to_dict()
    layer = {key: written[key] for key in _WRITTEN if written.get(key) is not None}
    layer |= {
        "model_type": "llama",
        "num_hidden_layers": config.depth,
        "attention_bias": config.qkv_bias and config.o_bias,
    }
    if config.qkv_bias and not config.o_bias:
        layer["qkv_bias"] = True
    if any(config.windows):
        layer |= {
            "sliding_window": max(one for one in config.windows if one),
            "layer_types": [
                "sliding_attention" if one else "full_attention" for one in config.windows
            ],
        }
    head = {
        "draft_vocab_size": config.draft_vocabulary_size,
        "target_hidden_size": config.target_hidden_size,
        _MASKS: config.masks or None,
        "norm_before_fc": config.norm_before_fc or None,
        "fc_norm": config.fc_norm or None,
        "norm_output": config.norm_output or None,
        "logit_scale": None if config.logit_scale == 1 else config.logit_scale,
        LAYER_IDS: None if config.target_layers is None else list(config.target_layers),
    }
    common: dict[str, Any] = {key: value for key, value in head.items() if value is not None}
    if dialect == "speculators":
        return _dump_speculators(config, layer, common)
    if config.norm_before_residual:
        common["norm_before_residual"] = True
    if config.generation == 1:
        return {"architectures": ["LlamaForCausalLM"], **layer, **common, "bias": config.fc_bias}
    if config.target_layers is not None and 0 not in config.target_layers:
        # Trainers and servers of this dialect count layer outputs from 0.
        outputs = [number - 1 for number in config.target_layers]
        common["eagle_config"] = {LAYER_IDS: outputs, "use_aux_hidden_state": True}
    elif config.last_state:
        common["eagle_config"] = {"use_aux_hidden_state": False}
    return {"architectures": ["LlamaForCausalLMEagle3"], **layer, **common}


def _dump_speculators(
    config: EagleConfig, layer: dict[str, Any], common: dict[str, Any]
) -> dict[str, Any]:
    if config.generation != 3 or config.masks:
        raise HedgespecError("the speculators dialect is written for EAGLE-3 heads only")
    return {
        "architectures": ["Eagle3Speculator"],
        "speculators_model_type": "eagle3",
        "transformer_layer_config": layer,
        **common,
        "norm_before_residual": config.norm_before_residual,
        **({"use_aux_hidden_state": False} if config.last_state else {}),
    }


__all__ = [
    "DIALECTS",
    "LAYER_IDS",
    "EagleConfig",
    "default_layers",
    "dialect_of",
    "dump_config",
    "parse_config",
]
