"""EAGLE heads of one shape as one network: a batch of N is one entry for each head."""

import copy

import torch
from torch import nn

from hedgespec.models.heads.eagle.head import EagleHead


class _StackedLinear(nn.Module):
    """N linear layers: input (N, L, in) to (N, L, out)."""

    def __init__(self, layers: list[nn.Linear]):
        super().__init__()
        self.weight = _shared([layer.weight for layer in layers])
        self.bias = None
        if layers[0].bias is not None:
            self.bias = _shared([layer.bias for layer in layers])[:, None]

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """One product for all."""
        if self.bias is None:
            return torch.bmm(inputs, self.weight.mT)
        return torch.baddbmm(self.bias, inputs, self.weight.mT)


def stackable(one: EagleHead, other: EagleHead) -> bool:
    """Whether two heads are of one shape; a head with an embedding of its own stands alone."""
    shapes = [{name: tuple(tensor.shape) for name, tensor in head.state_dict().items()}
              for head in (one, other)]
    return (shapes[0] == shapes[1] and one.embed_tokens is None
            and one.config == other.config)


def stack_heads(heads: list[EagleHead]) -> EagleHead:
    """One network for N `stackable` heads, whose weights become views of its own.

    Its methods take a batch of N, one entry for each head: `project`, `finish`, `fuse`, `logits`.
    Stacking heads again, alone or with others, moves their weights: who captures work with a head
    as CUDA graphs must keep `held` of it, or the graphs read memory that is someone else's by then.
    """
    if len(heads) == 1:
        return held(heads[0])
    stacked = _copied(list(heads))
    assert isinstance(stacked, EagleHead)
    return stacked


def first_heads(stacked: EagleHead, count: int) -> EagleHead:
    """The first `count` of stacked heads, two or more, as one network on the same weights."""
    view = _first(stacked, count)
    assert isinstance(view, EagleHead)
    return view


def _first(module: nn.Module, count: int) -> nn.Module:
    view = copy.copy(module)
    if isinstance(view, _StackedLinear) and view.bias is not None:
        view.bias = view.bias[:count]
    view._parameters = {name: None if parameter is None else nn.Parameter(parameter[:count], False)
                        for name, parameter in module._parameters.items()}
    if "d2t" in module._buffers:
        view._buffers = {name: None if buffer is None else buffer[:count]
                         for name, buffer in module._buffers.items()}
    view._modules = {name: None if child is None else _first(child, count)
                     for name, child in module._modules.items()}
    return view


def held(head: EagleHead) -> EagleHead:
    """The head on its weights as they lie now, wherever its own ones are moved to later."""
    view = _held(head)
    assert isinstance(view, EagleHead)
    return view


def _held(module: nn.Module) -> nn.Module:
    view = copy.copy(module)
    view._parameters = {
        name: None if parameter is None else nn.Parameter(parameter.data, False)
        for name, parameter in module._parameters.items()}
    view._buffers = dict(module._buffers)
    view._modules = {name: None if child is None else _held(child)
                     for name, child in module._modules.items()}
    return view


def _copied(modules: list[nn.Module]) -> nn.Module:
    """A module as the first one, with the parameters of all."""
    if isinstance(modules[0], nn.Linear):
        return _StackedLinear([module for module in modules if isinstance(module, nn.Linear)])
    view = copy.copy(modules[0])
    view._parameters = {
        name: None if parameter is None else _shared(
            [module._parameters[name] for module in modules])[:, None]
        for name, parameter in modules[0]._parameters.items()}
    if "d2t" in modules[0]._buffers:
        view._buffers = {name: torch.stack([getattr(module, name) for module in modules])[:, None]
                         for name in modules[0]._buffers}
    view._modules = {
        name: None if child is None else _copied(
            [module._modules[name] for module in modules])
        for name, child in modules[0]._modules.items()}
    return view


def _shared(parameters: list[nn.Parameter]) -> nn.Parameter:
    """Parameters in one tensor (N, ...), which they become views of."""
    stacked = nn.Parameter(torch.stack([parameter.data for parameter in parameters]), False)
    for number, parameter in enumerate(parameters):
        parameter.data = stacked.data[number]
    return stacked
