"""Linear layers that read the same input, as one product: q, k and v, or gate and up.

Reading a few tokens is reading weights, and one matrix is read by one kernel. The weights are
concatenated once, and the layers' own become views of them: names, state and memory stay as they
were. Models that `load_model` loads work so, whatever their biases and norms, for nothing but the
products changes. Where gradients are wanted each layer uses its own weight.
"""

from typing import Any

import torch
from torch import nn
from torch.nn.functional import linear

TOGETHER = (("q_proj", "k_proj", "v_proj"), ("gate_proj", "up_proj"))


def joined_weights(parameters: list[nn.Parameter]) -> torch.Tensor:
    """Parameters (n, ...) as one tensor, of which they become views."""
    whole = torch.cat([parameter.data for parameter in parameters])
    for parameter, part in zip(
        parameters, whole.split([len(one) for one in parameters]), strict=True
    ):
        parameter.data = part
    return whole


class _Product:
    """One product for several layers; each takes its part, and the last one leaves nothing."""

    def __init__(self, layers: list[nn.Linear]):
        """The layers' weights (out, in) and biases become views of this one's."""
        self._sizes = [layer.out_features for layer in layers]
        self._weight = joined_weights([layer.weight for layer in layers])
        biases = [layer.bias for layer in layers]
        self._bias = None if biases[0] is None else joined_weights(biases)
        self._inputs: torch.Tensor | None = None
        self._parts: list[torch.Tensor | None] = []

    def part(self, number: int, inputs: torch.Tensor) -> torch.Tensor:
        """What layer `number` makes of `inputs` (..., in)."""
        if self._inputs is not inputs or self._parts[number] is None:
            self._inputs = inputs
            self._parts = list(linear(inputs, self._weight, self._bias).split(self._sizes, -1))
        part = self._parts[number]
        assert part is not None
        self._parts[number] = None
        if all(one is None for one in self._parts):
            self._inputs = None
        return part

    def holds(self, number: int, layer: nn.Linear) -> bool:
        """Whether a layer's weight is still its part of this one's."""
        part = self._weight.split(self._sizes)[number]
        return part.data_ptr() == layer.weight.data_ptr() and part.dtype == layer.weight.dtype

    def __deepcopy__(self, memo: Any) -> None:
        """A copied layer has a weight of its own, and is by itself."""

    def __reduce__(self) -> tuple[Any, ...]:
        return type(None), ()


class _Part(nn.Linear):
    """A linear layer that takes its part of a product."""

    _product: _Product | None
    _number: int

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Of what was multiplied for the first of the layers, if `input` is the same tensor."""
        if self._product is None or torch.is_grad_enabled():
            return super().forward(input)
        return self._product.part(self._number, input)

    def _apply(self, fn: Any, recurse: bool = True) -> "_Part":
        """Weights that are moved or converted are views no more."""
        super()._apply(fn, recurse)
        if self._product is not None and not self._product.holds(self._number, self):
            self._product = None
        return self


def fuse_products(network: nn.Module) -> None:
    """Have the linear layers of a network that read the same input multiply together."""
    for module in network.modules():
        for names in TOGETHER:
            _fuse(_alike([module._modules.get(name) for name in names]))


def _alike(layers: list[nn.Module | None]) -> list[nn.Linear]:
    """The same if they are plain linear layers of one width and type, all with a bias or none;
    else none."""
    plain = [layer for layer in layers if isinstance(layer, nn.Linear) and type(layer) is nn.Linear]
    kinds = {
        (layer.in_features, layer.weight.dtype, layer.weight.device, layer.bias is None)
        for layer in plain
    }
    alike = len(plain) == len(layers) and len(kinds) == 1 and not plain[0].weight.is_meta
    return plain if alike else []


def _fuse(layers: list[nn.Linear]) -> None:
    if not layers:
        return
    product = _Product(layers)
    for number, layer in enumerate(layers):
        layer.__class__ = _Part
        assert isinstance(layer, _Part)
        layer._product, layer._number = product, number
