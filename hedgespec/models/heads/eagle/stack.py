"""EAGLE heads of one shape as one network: a batch of N is one entry for each head.

Networks made here are for reading alone, and multiply by q, k and v at once, and by gate and up.
"""

import copy
from collections.abc import Iterator

import torch
from torch import nn
from torch.nn.functional import linear
from transformers.models.llama.modeling_llama import LlamaMLP

from hedgespec.models.fused import TOGETHER, joined_weights
from hedgespec.models.heads.eagle.head import EagleHead


class _StackedLinear(nn.Module):
    """N linear layers: input (N, L, in) to (N, L, out)."""

    def __init__(self, weight: nn.Parameter, bias: torch.Tensor | None):
        """Weights (N, out, in) and biases (N, 1, out)."""
        super().__init__()
        self.weight, self.bias = weight, bias

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """One product for all."""
        if self.bias is None:
            return torch.bmm(inputs, self.weight.mT)
        return torch.baddbmm(self.bias, inputs, self.weight.mT)


class _Linear(nn.Module):
    """A linear layer of weights (out, in) that are somebody else's."""

    def __init__(self, weight: nn.Parameter, bias: torch.Tensor | None):
        super().__init__()
        self.weight, self.bias = weight, bias

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """As of any linear layer."""
        return linear(inputs, self.weight, self.bias)


class _Mlp(nn.Module):
    """LlamaMLP whose gate and up are one product."""

    def __init__(self, mlp: LlamaMLP, joined: nn.Module):
        super().__init__()
        self.joined, self.act_fn, self.down_proj = joined, mlp.act_fn, mlp.down_proj

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """As LlamaMLP's."""
        gate, up = self.joined(inputs).chunk(2, -1)
        output: torch.Tensor = self.down_proj(self.act_fn(gate) * up)
        return output


def stackable(one: EagleHead, other: EagleHead) -> bool:
    """Whether two heads are of one shape; a head with an embedding of its own stands alone."""
    shapes = [
        {name: tuple(tensor.shape) for name, tensor in head.state_dict().items()}
        for head in (one, other)
    ]
    return shapes[0] == shapes[1] and one.embed_tokens is None and one.config == other.config


def stack_heads(heads: list[EagleHead]) -> EagleHead:
    """One network for N `stackable` heads, whose weights become views of its own.

    Its methods take a batch of N, one entry for each head: `project`, `finish`, `fuse`, `logits`.
    Stacking heads again, alone or with others, moves their weights: who captures work with a head
    as CUDA graphs must keep `held` of it, or the graphs read memory that is someone else's by then.
    """
    if len(heads) == 1:
        _lay_together(heads[0])
        return held(heads[0])
    stacked = _copied(list(heads))
    assert isinstance(stacked, EagleHead)
    _join_stacked(stacked, heads)
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
    view._parameters = {
        name: None if parameter is None else nn.Parameter(parameter[:count], False)
        for name, parameter in module._parameters.items()
    }
    if "d2t" in module._buffers:
        view._buffers = {
            name: None if buffer is None else buffer[:count]
            for name, buffer in module._buffers.items()
        }
    view._modules = {
        name: None if child is None else _first(child, count)
        for name, child in module._modules.items()
    }
    return view


def held(head: EagleHead) -> EagleHead:
    """The head on its weights as they lie now, wherever its own ones are moved to later."""
    view = _held(head)
    assert isinstance(view, EagleHead)
    _join_held(view)
    return view


def _held(module: nn.Module) -> nn.Module:
    view = copy.copy(module)
    view._parameters = {
        name: None if parameter is None else nn.Parameter(parameter.data, False)
        for name, parameter in module._parameters.items()
    }
    view._buffers = dict(module._buffers)
    view._modules = {
        name: None if child is None else _held(child) for name, child in module._modules.items()
    }
    return view


def _copied(modules: list[nn.Module]) -> nn.Module:
    """A module as the first one, with the parameters of all."""
    if isinstance(modules[0], nn.Linear):
        layers = [module for module in modules if isinstance(module, nn.Linear)]
        bias = None if layers[0].bias is None else _shared([layer.bias for layer in layers])
        return _StackedLinear(
            _shared([layer.weight for layer in layers]), None if bias is None else bias[:, None]
        )
    view = copy.copy(modules[0])
    view._parameters = {
        name: None
        if parameter is None
        else _shared([module._parameters[name] for module in modules])[:, None]
        for name, parameter in modules[0]._parameters.items()
    }
    if "d2t" in modules[0]._buffers:
        view._buffers = {
            name: torch.stack([getattr(module, name) for module in modules])[:, None]
            for name in modules[0]._buffers
        }
    view._modules = {
        name: None if child is None else _copied([module._modules[name] for module in modules])
        for name, child in modules[0]._modules.items()
    }
    return view


def _shared(parameters: list[nn.Parameter]) -> nn.Parameter:
    """Parameters in one tensor (N, ...), which they become views of."""
    stacked = nn.Parameter(torch.stack([parameter.data for parameter in parameters]), False)
    for number, parameter in enumerate(parameters):
        parameter.data = stacked.data[number]
    return stacked


def _groups(head: EagleHead) -> Iterator[tuple[nn.Module, list[nn.Module]]]:
    """Each attention and MLP of a head, with its layers that read the same input."""
    for layer in head.layers:
        for module, names in zip((layer.self_attn, layer.mlp), TOGETHER, strict=True):
            yield module, [module.get_submodule(name) for name in names]


def _lay_together(head: EagleHead) -> None:
    """Have the weights of such layers lie side by side."""
    for _, parts in _groups(head):
        for name in ("weight", "bias"):
            own = [getattr(part, name) for part in parts]
            if own[0] is not None:
                joined_weights(own)


def _join_held(view: EagleHead) -> None:
    """One product for those whose weights do, as those of stacked heads."""
    for number, (module, parts) in enumerate(list(_groups(view))):
        weight, bias = ([getattr(part, name) for part in parts] for name in ("weight", "bias"))
        whole = _side_by_side(weight)
        biases = None if bias[0] is None else _side_by_side(bias)
        if whole is not None and (bias[0] is None or biases is not None):
            _put(view, number, module, _Linear(nn.Parameter(whole, False), biases))


def _side_by_side(parts: list[torch.Tensor]) -> torch.Tensor | None:
    """One tensor of tensors (n, ...) that follow each other in memory; None if they do not."""
    first, place = parts[0].data, parts[0].data_ptr()
    for part in parts:
        if (
            part.data_ptr() != place
            or not part.is_contiguous()
            or (part.untyped_storage().data_ptr() != first.untyped_storage().data_ptr())
        ):
            return None
        place += part.nbytes
    return first.as_strided(
        (sum(map(len, parts)), *first.shape[1:]), first.stride(), first.storage_offset()
    )


def _join_stacked(stacked: EagleHead, heads: list[EagleHead]) -> None:
    """The same for stacked heads; their own weights move once more."""
    of_heads = zip(*(_groups(head) for head in heads), strict=True)
    for number, ((module, parts), own) in enumerate(
        zip(list(_groups(stacked)), of_heads, strict=True)
    ):
        weight = torch.cat([part.weight.data for part in parts], dim=1)
        bias = None if parts[0].bias is None else torch.cat([part.bias for part in parts], dim=2)
        begin = 0
        for layer, part in enumerate(parts):
            rows = slice(begin, begin + part.weight.shape[1])
            begin = rows.stop
            part.weight = nn.Parameter(weight[:, rows], False)
            part.bias = None if bias is None else bias[..., rows]
            for head, (_, theirs) in enumerate(own):
                theirs[layer].weight.data = weight[head, rows]
                if bias is not None:
                    theirs[layer].bias.data = bias[head, 0, rows]
        _put(stacked, number, module, _StackedLinear(nn.Parameter(weight, False), bias))


def _put(head: EagleHead, number: int, module: nn.Module, joined: nn.Module) -> None:
    """Have an attention, or an MLP, of a network that is no head's own use one product."""
    if isinstance(module, LlamaMLP):
        head.layers[number // len(TOGETHER)]._modules["mlp"] = _Mlp(module, joined)
    else:
        module._modules["joined"] = joined
