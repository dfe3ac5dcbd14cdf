"""A network whose layers are alike, with kernels that torch.compile makes of one of them.

A network compiled whole is one program of all its layers: making kernels for it takes minutes from
a billion parameters on, for each number of tokens. Its layers do the same with other weights, so
one layer is compiled, and all of them, and early exits, run what was made. What is lost are kernels
that reach from one layer into the next: the sum at a layer's end and the norm behind it.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import nn

from hedgespec.models.compiling import compile_shapes, free_size
from hedgespec.models.layers import parts_of


def compiled_network(network: Any, any_shape: bool = False) -> Callable[..., Any]:
    """A network with kernels made by torch.compile: layer by layer where `parts_of` finds layers.

    With `any_shape` kernels are for any number of texts and of tokens, from two on.
    """
    layers, others = parts_of(network)
    if not layers:
        return compile_shapes(network)
    return CompiledLayers(network, layers, others, any_shape)


class CompiledLayers:
    """Calls a network as it is called itself; see the module."""

    def __init__(
        self, network: Any, layers: list[nn.Module], others: list[nn.Module], any_shape: bool
    ):
        """Of `compiled_network` and `parts_of`."""
        self._network, self._any_shape = network, any_shape
        self._layers, self._others = layers, others
        self._run = compile_shapes(_forward)

    def __call__(self, **inputs: Any) -> Any:
        """What the network gives; `past_key_values` has a FixedLayer for each layer."""
        with self._instead():
            return self._network(**inputs)

    @contextmanager
    def _instead(self) -> Iterator[None]:
        """Within, the modules' `forward` are compiled; the network is others' too."""
        instead: dict[nn.Module, Callable[..., Any]] = {
            layer: partial(self._layer, number, layer) for number, layer in enumerate(self._layers)
        }
        instead |= {module: partial(self._call, module) for module in self._others}
        # By hooks inside of layers transformers collects attentions, which nobody asks for; what
        # they look at cannot be compiled.
        hooked = {
            part: part._forward_hooks
            for layer in self._layers
            for part in layer.modules()
            if part is not layer and part._forward_hooks
        }
        for module, forward in instead.items():
            module.forward = forward
        for part in hooked:
            part._forward_hooks = OrderedDict()
        try:
            yield
        finally:
            for module in instead:
                del module.forward
            for part, hooks in hooked.items():
                part._forward_hooks = hooks

    def _layer(
        self,
        number: int,
        layer: nn.Module,
        hidden: torch.Tensor,
        *more: Any,
        past_key_values: Any,
        **rest: Any,
    ) -> Any:
        """A layer sees its own keys and values alone: which one it is makes no difference then."""
        return self._call(
            layer, hidden, *more, past_key_values=past_key_values.layers[number], **rest
        )

    def _call(self, module: nn.Module, *arguments: Any, **rest: Any) -> Any:
        if self._any_shape:  # (B, n, ...)
            for tensor in (*arguments, *rest.get("position_embeddings", ())):
                free_size(tensor, 0)
                free_size(tensor, 1)
        return self._run(module, *arguments, **rest)


def _forward(module: nn.Module, *arguments: Any, **rest: Any) -> Any:
    return type(module).forward(module, *arguments, **rest)
