"""What shapes an EAGLE head, read from and written to config.json in either dialect.

Two dialects exist. "eagle" is that of the released EAGLE code, SpecForge and SGLang: the layer's
settings at the top level. "speculators" is vLLM's: `speculators_model_type`, and the layer's
settings in `transformer_layer_config`. They also number the target's layers differently: SpecForge
counts layer outputs from 0, vLLM and the EAGLE code count as Hugging Face `hidden_states` does,
where 0 is the embedding. Here the latter is used throughout.
"""

from dataclasses import dataclass
from typing import Any

from transformers import LlamaConfig

from hedgespec.errors import HedgespecError

DIALECTS = ("eagle", "speculators")
_LAYER_IDS = "eagle_aux_hidden_state_layer_ids"
_MASKS = "mask_tokens"  # hedgespec's own
_UNSUPPORTED = ("norm_before_fc", "fc_norm", "norm_output")
_LAYER_KEYS = (
    "hidden_size", "intermediate_size", "num_attention_heads", "num_key_value_heads", "head_dim",
    "rms_norm_eps", "hidden_act", "vocab_size", "max_position_embeddings", "rope_parameters",
    "rope_theta", "rope_scaling", "attention_bias", "mlp_bias",
)


@dataclass(frozen=True)
class EagleConfig:
    """An EAGLE head.

    `generation` is 3, or 1 for EAGLE-1/2 heads, which read the target's last hidden state. `layer`
    describes the one decoder layer, its `vocab_size` being the target's. `target_layers` are the
    fused layers, None for the default [2, L//2, L-3] of an L-layer target. `masks` are the mask
    tokens of a parallel head (parallel.py), 0 for others.
    """

    layer: LlamaConfig
    generation: int = 3
    draft_vocabulary_size: int | None = None
    target_hidden_size: int | None = None
    target_layers: tuple[int, ...] | None = None
    norm_before_residual: bool = False
    fc_bias: bool = False
    masks: int = 0

    @property
    def hidden_size(self) -> int:
        """Width of the head."""
        return int(self.layer.hidden_size)

    @property
    def vocabulary_size(self) -> int:
        """Size of the target's vocabulary."""
        return int(self.layer.vocab_size)

    def fused_layers(self, target_layers: int) -> tuple[int, ...]:
        """Layers of an L-layer target, counted as `hidden_states`, whose states are fused.

        Raises HedgespecError if the target has no such layer.
        """
        if self.generation == 1:
            return (target_layers,)
        layers = self.target_layers or default_layers(target_layers)
        if not all(0 <= layer <= target_layers for layer in layers):
            raise HedgespecError(
                f"EAGLE head: it reads the target's layers {list(layers)}, but the target has "
                f"{target_layers}; it was made for another target"
            )
        return tuple(layers)


def default_layers(target_layers: int) -> tuple[int, int, int]:
    """A low, a middle and a high layer of an L-layer target, counted as `hidden_states`."""
    return 2, target_layers // 2, target_layers - 3


def parse_config(document: dict[str, Any], where: str) -> EagleConfig:
    """Read a config.json of either dialect.

    Raises HedgespecError if it describes something else than an EAGLE head.
    """
    if "speculators_model_type" in document:
        return _parse_speculators(document, where)
    return _parse_eagle(document, where)


def _parse_speculators(document: dict[str, Any], where: str) -> EagleConfig:
    kind = document["speculators_model_type"]
    if kind != "eagle3":
        raise HedgespecError(
            f"{where}: speculators_model_type {kind!r} is not supported, only 'eagle3' is")
    for flag in _UNSUPPORTED:
        if document.get(flag):
            raise HedgespecError(f"{where}: the head needs {flag}, which is not supported")
    layers = document.get(_LAYER_IDS)
    return EagleConfig(
        layer=_layer_config(document.get("transformer_layer_config", {}), where),
        draft_vocabulary_size=document.get("draft_vocab_size"),
        target_hidden_size=document.get("target_hidden_size"),
        target_layers=None if layers is None else tuple(layers),
        norm_before_residual=bool(document.get("norm_before_residual", False)),
    )


def _parse_eagle(document: dict[str, Any], where: str) -> EagleConfig:
    third = "draft_vocab_size" in document or "Eagle3" in str(document.get("architectures"))
    # SpecForge and SGLang number layer outputs from 0: output l is hidden_states[l + 1].
    outputs = document.get("eagle_config", {}).get(_LAYER_IDS)
    return EagleConfig(
        layer=_layer_config(document, where),
        generation=3 if third else 1,
        draft_vocabulary_size=document.get("draft_vocab_size"),
        target_hidden_size=document.get("target_hidden_size"),
        target_layers=None if outputs is None else tuple(layer + 1 for layer in outputs),
        fc_bias=bool(document.get("bias", not third)),
        masks=int(document.get(_MASKS, 0)),
    )


def _layer_config(settings: dict[str, Any], where: str) -> LlamaConfig:
    for key in ("hidden_size", "intermediate_size", "num_attention_heads", "vocab_size"):
        if not isinstance(settings.get(key), int):
            raise HedgespecError(f"{where}: no {key}; is this the config.json of an EAGLE head?")
    kept = {key: settings[key] for key in _LAYER_KEYS if settings.get(key) is not None}
    return LlamaConfig(**kept, num_hidden_layers=1)


def dump_config(config: EagleConfig, dialect: str) -> dict[str, Any]:
    """The config.json of a head in one dialect.

    Raises HedgespecError for a head that the dialect cannot describe.
    """
    written = config.layer.to_dict()
    layer = {key: written[key] for key in _LAYER_KEYS if written.get(key) is not None}
    layer |= {"model_type": "llama", "num_hidden_layers": 1}
    common: dict[str, Any] = {}
    if config.draft_vocabulary_size is not None:
        common["draft_vocab_size"] = config.draft_vocabulary_size
    if config.target_hidden_size is not None:
        common["target_hidden_size"] = config.target_hidden_size
    if config.masks:
        common[_MASKS] = config.masks
    if dialect == "speculators":
        if config.generation != 3 or config.masks:
            raise HedgespecError("the speculators dialect is written for EAGLE-3 heads only")
        ids = {} if config.target_layers is None else {_LAYER_IDS: list(config.target_layers)}
        return {
            "architectures": ["Eagle3Speculator"], "speculators_model_type": "eagle3",
            "transformer_layer_config": layer, **common, **ids,
            "norm_before_residual": config.norm_before_residual,
        }
    if config.norm_before_residual:
        raise HedgespecError("the eagle dialect cannot describe norm_before_residual")
    if config.target_layers is not None:
        outputs = [number - 1 for number in config.target_layers]
        common["eagle_config"] = {_LAYER_IDS: outputs, "use_aux_hidden_state": True}
    if config.generation == 1:
        return {"architectures": ["LlamaForCausalLM"], **layer, **common, "bias": config.fc_bias}
    return {"architectures": ["LlamaForCausalLMEagle3"], **layer, **common}
