"""Rotary positions of a head: every published kind whose frequencies stay the same in a text."""

import math
from typing import Any

import torch
from torch import nn
from transformers import LlamaConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from hedgespec.errors import HedgespecError
from hedgespec.models.heads.config_keys import Keys

MOST_POSITIONS = 1 << 31
# Kinds under other names. A text has the same position in all sections of mrope.
_SAME = {"mrope": "default", "su": "longrope"}
# Keys of each kind: those it needs, and those it may have.
_KINDS: dict[str, tuple[set[str], set[str]]] = {
    "default": (set(), set()),
    "linear": ({"factor"}, set()),
    "dynamic": ({"factor"}, set()),
    "yarn": (
        {"factor"},
        {
            "attention_factor",
            "beta_fast",
            "beta_slow",
            "mscale",
            "mscale_all_dim",
            "truncate",
            "original_max_position_embeddings",
        },
    ),
    "longrope": (
        {"short_factor", "long_factor"},
        {"factor", "attention_factor", "original_max_position_embeddings"},
    ),
    "llama3": (
        {"factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"},
        set(),
    ),
    "proportional": (set(), {"factor"}),
}
_SECTIONS = frozenset({"mrope_section", "mrope_interleaved", "finetuned"})


def read_rope(layer: Keys, width: int) -> dict[str, Any]:
    """Rope settings, as transformers has them, from the keys of a layer whose heads have a width.

    Raises HedgespecError for a kind that is not known, or keys that it lacks or does not use.
    """
    newer, older = layer.inner("rope_parameters"), layer.inner("rope_scaling")
    rope = newer or older or Keys({}, layer.where)
    if newer and older and not newer.says_as(older):
        raise layer.wrong("rope_scaling", "what rope_parameters says")
    kind = _kind(rope)
    found: dict[str, Any] = {"rope_type": kind}
    for key, value in (
        ("rope_theta", _either(layer, rope, "rope_theta", 1.0, 1e12)),
        ("partial_rotary_factor", _either(layer, rope, "partial_rotary_factor", 0.01, 1.0)),
        (
            "original_max_position_embeddings",
            layer.whole("original_max_position_embeddings", 1, MOST_POSITIONS),
        ),
    ):
        if value is not None:
            found[key] = value
    found.setdefault("rope_theta", LlamaConfig.default_theta)
    needed, allowed = _KINDS[kind]
    for key in sorted(needed | allowed):
        value = _value(rope, key, int(width * found.get("partial_rotary_factor", 1.0)) // 2)
        if value is not None:
            found[key] = value
        elif key in needed and key not in found:
            raise HedgespecError(f"{layer.where}: rope type {kind!r} needs {key}")
    if kind not in ("yarn", "longrope", "llama3"):
        found.pop("original_max_position_embeddings", None)
    rope.finish(_SECTIONS)
    return found


def _kind(rope: Keys) -> str:
    known = {*_KINDS, *_SAME}
    found = [
        _SAME.get(text, text)
        for key in ("rope_type", "type")
        if (text := rope.text(key, known)) is not None
    ]
    # Written by transformers beside an older name of mrope.
    kinds = set(found) or {"default"}
    if len(kinds) > 1:
        raise rope.wrong("type", f"the rope_type {found[0]!r}")
    return kinds.pop()


def _either(layer: Keys, rope: Keys, key: str, low: float, high: float) -> float | None:
    """A number that stands beside the rope settings or among them."""
    outer, inner = layer.number(key, low, high), rope.number(key, low, high)
    if None not in (outer, inner) and outer != inner:
        raise rope.wrong(key, f"the {outer:g} that stands outside of it")
    return outer if inner is None else inner


def _value(rope: Keys, key: str, frequencies: int) -> Any:
    if key == "original_max_position_embeddings":
        return rope.whole(key, 1, MOST_POSITIONS)
    if key == "truncate":
        return rope.flag(key)
    if key in ("short_factor", "long_factor"):
        factors = rope.numbers(key, 1e-3, 1e6)
        if factors is not None and len(factors) != frequencies:
            raise rope.wrong(key, f"a list of {frequencies} numbers")
        return factors
    return rope.number(key, 0.0, 1e6)


def make_rotary(layer: LlamaConfig, where: str) -> "Rotary":
    """Raises HedgespecError for settings that give no frequencies."""
    try:
        rotary = Rotary(layer)
    except (ArithmeticError, ValueError, RuntimeError) as error:
        raise HedgespecError(f"{where}: its rope settings give no frequencies ({error})") from error
    if not rotary.is_finite:
        raise HedgespecError(f"{where}: its rope settings give frequencies that are not finite")
    return rotary


def longest_text(layer: LlamaConfig) -> int | None:
    """Most tokens of a text whose frequencies stay the same, where they depend on its length."""
    rope = layer.rope_parameters
    if rope["rope_type"] == "longrope":
        return int(rope.get("original_max_position_embeddings", layer.max_position_embeddings))
    return int(layer.max_position_embeddings) if rope["rope_type"] == "dynamic" else None


class Rotary(nn.Module):
    """Cosines and sines of positions, for the first part of each attention head's width."""

    def __init__(self, layer: LlamaConfig):
        """Frequencies of texts that are no longer than `longest_text`."""
        super().__init__()
        if layer.rope_parameters["rope_type"] == "default":
            frequencies, self.scale = _default(layer), 1.0
        else:
            frequencies, self.scale = ROPE_INIT_FUNCTIONS[layer.rope_parameters["rope_type"]](layer)
        self.inv_freq = nn.Buffer(frequencies.float(), persistent=False)

    @property
    def is_finite(self) -> bool:
        """Whether all frequencies, and the scale, are numbers."""
        return bool(self.inv_freq.isfinite().all()) and math.isfinite(self.scale)

    def forward(
        self, states: torch.Tensor, positions: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Cosines and sines (B, L, 2 * frequencies) at positions (B, L), typed as the states."""
        angles = positions[..., None].float() * self.inv_freq
        angles = torch.cat([angles, angles], dim=-1)
        return (
            (angles.cos() * self.scale).to(states.dtype),
            (angles.sin() * self.scale).to(states.dtype),
        )


def _default(layer: LlamaConfig) -> torch.Tensor:
    rope = layer.rope_parameters
    width = getattr(layer, "head_dim", None) or layer.hidden_size // layer.num_attention_heads
    turned = int(width * rope.get("partial_rotary_factor", 1.0))
    base: torch.Tensor = rope["rope_theta"] ** (torch.arange(0, turned, 2).float() / turned)
    return 1.0 / base
