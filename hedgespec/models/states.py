"""Calls of a network for its hidden states, in one place for all that read text with it."""

from typing import Any

import torch

from hedgespec.models.grouped_attention import own_kernels

States = dict[int, torch.Tensor]


def read_states(
    network: Any, last: int, layers: tuple[int, ...], **inputs: Any
) -> tuple[torch.Tensor, States]:
    """Call a network of `last` layers; its final states (B, n, H), normed, and those of `layers`.

    Layers count as Hugging Face `hidden_states` do: 0 is the embedding, l the output of the l-th
    layer. The states of layer `last` are the final ones. `inputs` are the network's own arguments.
    """
    with own_kernels():
        output = network(**inputs, output_hidden_states=any(layer != last for layer in layers))
    final = output.last_hidden_state
    return final, {
        layer: final if layer == last else output.hidden_states[layer] for layer in layers
    }


def read_text_states(
    network: Any, last: int, layers: tuple[int, ...], **inputs: Any
) -> tuple[torch.Tensor, States]:
    """`read_states` of a single text (B = 1), whose states are then (n, H)."""
    final, states = read_states(network, last, layers, **inputs)
    return final[0], {layer: state[0] for layer, state in states.items()}
