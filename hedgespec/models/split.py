"""A target that is too large for one GPU: its layers lie on all of them.

The first GPU is the target's device. It holds embedding, final norm and head, the first layers, and
the drafters; each further GPU holds layers that follow, in order. What a layer elsewhere is given
goes there, and what it gives comes back. So states and logits are on the target's device, and only
keys and values stay with their layers.
"""

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import torch
from torch import nn

from hedgespec.errors import HedgespecError, arg
from hedgespec.models.layers import layers_name
from hedgespec.models.options import SPLIT

# Part of the first GPU's memory that no layers are put into: drafters and distributions are there.
_WORK = 0.2
_GIB = 1 << 30


def check_split() -> None:
    """Raise HedgespecError unless there are several GPUs, and what moves tensors between them."""
    count = torch.cuda.device_count()
    if count < 2:
        raise HedgespecError(
            f"{arg('device', SPLIT)}: torch sees {count} CUDA device"
            f"{'s' * (count != 1)}, and a split needs two or more; use "
            f"{arg('device', 'cuda' if count else 'cpu')}"
        )
    try:
        import accelerate  # noqa: F401
    except ImportError as error:
        raise HedgespecError(
            f"{arg('device', SPLIT)}: accelerate is not installed: pip install 'hedgespec[models]'"
        ) from error


def first_device(device: str) -> str:
    """Where embedding and head are of a model on `device`, which may be "split"."""
    return "cuda:0" if device == SPLIT else device


def place(model: Any, device: str) -> None:
    """Move a transformers model to a device, or if that is "split" to all GPUs.

    Raises HedgespecError if it does not fit.
    """
    if device == SPLIT:
        check_split()
        gpus = [torch.device("cuda", number) for number in range(torch.cuda.device_count())]
        spread(model, [(gpu, torch.cuda.get_device_properties(gpu).total_memory) for gpu in gpus])
    else:
        model.to(device)


def spread(model: Any, memory: Sequence[tuple[torch.device, int]]) -> None:
    """Move a transformers model to several devices, each with its bytes of memory.

    Raises HedgespecError if it does not fit, or keeps its layers where they are not found.
    """
    from accelerate.hooks import AlignDevicesHook, add_hook_to_module

    layers = _layers_of(model)
    sizes = [_size(layer) for layer in layers]
    rest = _size(model) - sum(sizes)
    (home, first), *others = memory
    rooms = [max(0, int((1 - _WORK) * first) - rest), *(room for _, room in others)]
    if sum(sizes) > sum(rooms):
        raise HedgespecError(
            f"{arg('device', SPLIT)}: the weights take {_size(model) / _GIB:.1f} GiB, the "
            f"{len(memory)} devices hold {(rest + sum(rooms)) / _GIB:.1f} GiB, besides "
            f"{_WORK:.0%} of the first one for drafters and distributions; use more GPUs or "
            f"{arg('dtype', 'bfloat16')}"
        )
    holders = shares(sizes, rooms)
    whole = dict(layers._modules)
    layers._modules = {
        name: layer
        for (name, layer), holder in zip(whole.items(), holders, strict=True)
        if holder == 0
    }
    model.to(home)
    layers._modules = whole
    for layer, holder in zip(layers, holders, strict=True):
        if holder:
            device = memory[holder][0]
            add_hook_to_module(
                layer.to(device),
                AlignDevicesHook(
                    device, io_same_device=True, skip_keys=model._skip_keys_device_placement
                ),
            )


def shares(sizes: Sequence[int], rooms: Sequence[int]) -> list[int]:
    """Which of several rooms holds each layer, in order, so that all are filled alike."""
    whole, filled = sum(rooms), [*accumulate(rooms)]
    scale = whole / sum(sizes)
    middles = (scale * (end - size / 2) for end, size in zip(accumulate(sizes), sizes, strict=True))
    return [
        next(number for number, end in enumerate(filled) if middle <= end) for middle in middles
    ]


def _layers_of(model: Any) -> Any:
    """The list of decoder layers. Raises HedgespecError if there is none."""
    name = layers_name(model, model.config.get_text_config().num_hidden_layers)
    if name is None:
        raise HedgespecError(
            f"{arg('device', SPLIT)}: this architecture ({type(model).__name__}) does not keep its "
            "layers in one list, and cannot be split"
        )
    return model.get_submodule(name)


def _size(module: nn.Module) -> int:
    """Bytes of its weights."""
    return sum(weight.nbytes for weight in (*module.parameters(), *module.buffers()))
