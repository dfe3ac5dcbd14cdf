"""Devices that are made up, to test without GPUs what works on several.

Within `MadeUpDevices` a tensor moved to "meta:0" or "meta:1" stays in the CPU's memory, and is said
to be on that device; so is what is made of it, or made there. As on GPUs, tensors of two devices
cannot be added, multiplied or indexed with each other, and NumPy has those of the CPU alone.
"""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch.overrides import TorchFunctionMode

from hedgespec.models.options import SPLIT
from hedgespec.models.split import spread
from hedgespec.models.trees import BLOCK

HOST = torch.device("cpu")
FIRST, SECOND = torch.device("meta:0"), torch.device("meta:1")
# What may be given tensors of two devices; and what may be indexed by tensors of the host.
_CROSS = {"copy_", "to", "_has_compatible_shallow_copy_type"}
_INDEX = {"__getitem__", "__setitem__"}


class MadeUpDevices(TorchFunctionMode):
    """Says where tensors are, and counts the moves from one device to another in `moves`."""

    def __init__(self) -> None:
        super().__init__()
        self.moves: dict[tuple[torch.device, torch.device], int] = {}

    def __torch_function__(
        self, function: Callable[..., Any], types: object, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Call a function of torch, if its tensors are together."""
        kwargs = dict(kwargs or {})
        name = _name(function)
        if name == "device.__get__":
            return _place(args[0])
        if name == "data.__set__":
            args[0].made_up = _place(args[1])
            return function(*args, **kwargs)
        found = _together(name, args, kwargs)
        place = found
        if name == "to":
            args, kwargs, place = _moved(args, kwargs, found)
        elif name in ("cpu", "numpy", "tolist"):
            if name == "numpy" and found != HOST:
                raise TypeError(f"can't convert a tensor on {found} to numpy")
            place = HOST
        elif kwargs.get("device") is not None:
            place, kwargs["device"] = torch.device(kwargs["device"]), HOST
        result = function(*args, **kwargs)
        if place != found and name == "to":
            self.moves[found, place] = self.moves.get((found, place), 0) + 1
        if place != found and name in ("to", "cpu") and result is args[0]:
            result = result.view_as(result)
        for tensor in _tensors(result):
            tensor.made_up = place
        return result


def _name(function: Callable[..., Any]) -> str:
    """Its own name; of a property that and what is done with it."""
    name = getattr(function, "__name__", "")
    owner = getattr(function, "__self__", None)
    return f"{owner.__name__}.{name}" if name in ("__get__", "__set__") else name


def _place(tensor: torch.Tensor) -> torch.device:
    return tensor.__dict__.get("made_up", HOST)


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _tensors(one)
    elif isinstance(value, dict):
        yield from _tensors(list(value.values()))


def _together(name: str, args: Any, kwargs: Any) -> torch.device:
    """Where the tensors of a call are. Raises RuntimeError if they are on two devices."""
    if name in _CROSS:
        return _place(args[0])
    places = {}
    for tensor in _tensors([args, kwargs]):
        # Numbers of the host may be used everywhere.
        if tensor.dim() or _place(tensor) != HOST:
            places[_place(tensor)] = tuple(tensor.shape)
    if name in _INDEX and len(places) > 1:
        places.pop(HOST, None)
    if len(places) > 1:
        raise RuntimeError(f"{name}: tensors on {places}")
    return next(iter(places), HOST)


def _moved(args: Any, kwargs: Any, place: torch.device) -> tuple[Any, Any, torch.device]:
    """The same arguments of `to` for the CPU, and where the tensor is to be."""
    kept = [args[0]]
    for value in args[1:]:
        if isinstance(value, torch.Tensor):
            place = _place(value)
            value = value.dtype
        elif isinstance(value, str | torch.device):
            place, value = torch.device(value), HOST
        kept.append(value)
    if kwargs.get("device") is not None:
        place, kwargs["device"] = torch.device(kwargs["device"]), HOST
    return kept, kwargs, place


def split_over_two(patch: "pytest.MonkeyPatch") -> MadeUpDevices:
    """Made-up devices, not entered yet; the device "split" is both, with as much memory each."""

    def placed(model: Any, device: str) -> None:
        if device == SPLIT:
            spread(model, [(FIRST, 1 << 30), (SECOND, 1 << 30)])
        else:
            model.to(device)

    generator = torch.Generator
    patch.setattr("hedgespec.models.target.place", placed)
    patch.setattr("hedgespec.models.target.check_split", lambda: None)
    patch.setitem(BLOCK, FIRST.type, BLOCK["cpu"])
    patch.setattr(torch, "Generator", lambda device=HOST: generator())
    return MadeUpDevices()
