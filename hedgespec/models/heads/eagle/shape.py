"""What shapes an EAGLE head, whatever dialect it is written in."""

from dataclasses import dataclass

from transformers import LlamaConfig

from hedgespec.errors import HedgespecError


@dataclass(frozen=True)
class EagleConfig:
    """An EAGLE head.

    `generation` is 3, or 1 for EAGLE-1/2 heads, which read the target's last hidden state. `layer`
    describes its `depth` decoder layers, its `vocab_size` being the target's. `target_layers` are
    the fused layers, counted as Hugging Face `hidden_states` are, 0 being the embedding; None for
    the default [2, L//2, L-3] of an L-layer target. `unsure_layers` are those of a config that may
    count layer outputs from 0 instead. `masks` are the mask tokens of a parallel head
    (parallel.py), 0 for others.

    Published variants: `windows` (depth) are tokens that a layer attends to; `qkv_bias`, `o_bias`
    and `qk_norm` those of its attention. `norm_before_fc` norms the fused states side by side,
    `fc_norm` each of them; `norm_output` has the head go on from its normed outputs. A head of
    `last_state` reads the target's last state alone, through no fc unless it `has_fc`. Layers
    behind the first one read its output, with `wide` beside the embedding. `logit_scale` is that
    of its own LM head, which is `tied` to its embedding if it has no other.
    """

    layer: LlamaConfig
    generation: int = 3
    draft_vocabulary_size: int | None = None
    target_hidden_size: int | None = None
    target_layers: tuple[int, ...] | None = None
    norm_before_residual: bool = False
    fc_bias: bool = False
    masks: int = 0
    unsure_layers: tuple[int, ...] | None = None
    depth: int = 1
    windows: tuple[int | None, ...] = ()
    qkv_bias: bool = False
    o_bias: bool = False
    qk_norm: bool = False
    norm_before_fc: bool = False
    fc_norm: bool = False
    norm_output: bool = False
    has_fc: bool = True
    last_state: bool = False
    wide: bool = False
    tied: bool = False
    logit_scale: float = 1.0

    @property
    def hidden_size(self) -> int:
        """Width of the head."""
        return int(self.layer.hidden_size)

    @property
    def vocabulary_size(self) -> int:
        """Size of the target's vocabulary."""
        return int(self.layer.vocab_size)

    @property
    def features(self) -> int:
        """Number of the target's states that are fused."""
        if self.generation == 1 or self.last_state:
            return 1
        return len(self.target_layers or self.unsure_layers or default_layers(0))

    def window(self, layer: int) -> int | None:
        """Tokens that a layer attends to, itself included; None is all."""
        return self.windows[layer] if self.windows else None

    def fused_layers(self, target_layers: int) -> tuple[int, ...]:
        """Layers of an L-layer target, counted as `hidden_states`, whose states are fused.

        Raises HedgespecError if the target has no such layer, or if the layers may be counted in
        either way: both are possible, and neither gives the default ones.
        """
        if self.generation == 1 or self.last_state:
            return (target_layers,)
        possible = self.possible_layers(target_layers)
        if len(possible) == 1:
            return possible[0]
        if possible:
            states, outputs = map(list, possible)
            raise HedgespecError(
                f"EAGLE head: the layers {states} in its eagle_config may count the target's "
                "hidden states or its layer outputs, and differ from the default of either; write "
                "eagle_aux_hidden_state_layer_ids at the top level of its config.json, counted as "
                f"hidden states: {states} or {outputs} (`hedgespec head` compares them)"
            )
        layers = self.target_layers or self.unsure_layers or default_layers(target_layers)
        raise HedgespecError(
            f"EAGLE head: it reads the target's layers {list(layers)}, but the target has "
            f"{target_layers}; it was made for another target"
        )

    def possible_layers(self, target_layers: int) -> list[tuple[int, ...]]:
        """What the fused layers may be in an L-layer target: the count of states comes first.

        One of the counts gives the default layers, or layers that the target does not have: then
        it is known.
        """
        default = default_layers(target_layers)
        given = self.unsure_layers
        counts = (
            [self.target_layers or default]
            if given is None
            else [given, tuple(layer + 1 for layer in given)]
        )
        there = [layers for layers in counts if all(0 <= one <= target_layers for one in layers)]
        return [default] if default in there else there


def default_layers(target_layers: int) -> tuple[int, int, int]:
    """A low, a middle and a high layer of an L-layer target, counted as `hidden_states`."""
    return 2, target_layers // 2, target_layers - 3
