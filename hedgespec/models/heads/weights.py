"""A head's tensors from its folder: safetensors or pytorch_model.bin, in one file or several."""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from hedgespec.errors import HedgespecError, arg
from hedgespec.files import write_with

_WEIGHTS, _PICKLED = "model.safetensors", "pytorch_model.bin"
_NUMBERS = {torch.float64, torch.float32, torch.bfloat16, torch.float16}
_TABLES = {torch.int64, torch.int32, torch.bool, torch.uint8}

Tensors = dict[str, torch.Tensor]


def read_weights(folder: Path) -> Tensors:
    """A head's tensors as they are stored.

    Raises HedgespecError naming the file, and the tensor where it is one, for what cannot be read,
    stands twice, or is neither of numbers nor a table of tokens. Pickles are read with
    weights_only=True, so that they cannot run code.
    """
    found: Tensors = {}
    for file in _files(folder):
        for name, tensor in _read_file(file):
            if name in found:
                raise HedgespecError(f"{file}: tensor {name!r} is in another file too")
            found[name] = tensor
    return found


def write_weights(folder: Path, tensors: Tensors) -> None:
    """Write tensors as a head's weights."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_with(folder / _WEIGHTS, lambda path: save_file(tensors, path))


def check_tensors(
    head: nn.Module,
    tensors: Mapping[str, torch.Tensor],
    folder: Path,
    stored: Callable[[str], str] = str,
) -> None:
    """Raise HedgespecError unless `tensors` are those of `head`, in name, shape and kind.

    `stored` is what the file calls a tensor.
    """
    expected = head.state_dict()
    for name, tensor in expected.items():
        who = f"{folder}: tensor {stored(name)!r}"
        if name not in tensors:
            raise HedgespecError(f"{who} is missing")
        found = tensors[name]
        if found.shape != tensor.shape:
            raise HedgespecError(
                f"{who} has shape {tuple(found.shape)}, its config says {tuple(tensor.shape)}"
            )
        if found.is_floating_point() != tensor.is_floating_point():
            raise HedgespecError(f"{who} is of type {_type(found)}")
    for name in tensors:
        if name not in expected:
            raise HedgespecError(f"{folder}: unknown tensor {stored(name)!r}")


def check_d2t(d2t: torch.Tensor, vocabulary: int, folder: Path) -> torch.Tensor:
    """The target's token (v) of each of a head's, from their offsets `d2t` (v).

    Raises HedgespecError unless they are tokens of the target, each one named once.
    """
    if d2t.dtype not in (torch.int64, torch.int32) or d2t.dim() != 1 or not len(d2t):
        raise HedgespecError(f"{folder}: tensor 'd2t' is no list of whole numbers")
    target = torch.arange(len(d2t)) + d2t.long()
    if int(target.min()) < 0 or int(target.max()) >= vocabulary:
        raise HedgespecError(f"{folder}: tensor 'd2t' points outside the target's vocabulary")
    if len(target.unique()) < len(target):
        raise HedgespecError(f"{folder}: tensor 'd2t' names a token of the target twice")
    return target


def load_tensors(
    head: nn.Module,
    tensors: Mapping[str, torch.Tensor],
    folder: Path,
    dtype: torch.dtype,
    stored: Callable[[str], str] = str,
) -> None:
    """Give `head` checked tensors, weights in a type. Raises HedgespecError for one not finite."""
    own = {}
    for name, tensor in tensors.items():
        own[name] = tensor.to(dtype) if tensor.is_floating_point() else tensor
        if not bool(own[name].isfinite().all()):
            advice = f"; stored it does not: try {arg('dtype', 'float32')}"
            raise HedgespecError(
                f"{folder}: tensor {stored(name)!r} holds NaN or infinite numbers as "
                f"{_type(own[name])}{advice if bool(tensor.isfinite().all()) else ''}"
            )
    head.load_state_dict(own, assign=True)


def _files(folder: Path) -> list[Path]:
    """The files that hold the tensors: those that an index names, or all of a kind."""
    for kind, one in (("*.safetensors", _WEIGHTS), ("pytorch_model*.bin", _PICKLED)):
        index = folder / f"{one}.index.json"
        if index.exists():
            return _indexed(index)
        if files := sorted(folder.glob(kind)):
            return files
    raise HedgespecError(f"{folder}: no {_WEIGHTS} (nor {_PICKLED})")


def _indexed(index: Path) -> list[Path]:
    try:
        names = json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()
        files = [index.parent / name for name in sorted(set(names))]
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise HedgespecError(
            f"{index}: cannot be read ({type(error).__name__}: {error})"
        ) from error
    for file in files:
        if file.parent != index.parent:
            raise HedgespecError(f"{index}: {file.name!r} lies in another folder")
    return files


def _read_file(file: Path) -> Iterator[tuple[str, torch.Tensor]]:
    try:
        tensors: Any = (
            load_file(file)
            if file.suffix == ".safetensors"
            else torch.load(file, map_location="cpu", weights_only=True)
        )
    except Exception as error:  # damaged files raise many types
        said = (str(error).strip().splitlines() or [""])[0]
        raise HedgespecError(
            f"{file}: weights cannot be read ({type(error).__name__}: {said})"
        ) from error
    if not isinstance(tensors, dict):
        raise HedgespecError(f"{file}: holds {type(tensors).__name__}, not tensors by name")
    for name, tensor in tensors.items():
        _check_stored(name, tensor, file)
        yield name, tensor


def _check_stored(name: Any, tensor: Any, file: Path) -> None:
    """Raise HedgespecError for what is no plain tensor, with all its numbers in the file."""
    if not isinstance(name, str) or not isinstance(tensor, torch.Tensor):
        raise HedgespecError(f"{file}: {name!r} is {type(tensor).__name__}, not a tensor by name")
    if (
        tensor.layout is not torch.strided
        or tensor.is_quantized
        or (tensor.dtype not in _NUMBERS | _TABLES)
    ):
        raise HedgespecError(
            f"{file}: tensor {name!r} is of type {_type(tensor)}, which is not supported"
        )
    if tensor.device.type != "cpu" or (
        tensor.untyped_storage().nbytes() < tensor.numel() * tensor.element_size()
    ):
        raise HedgespecError(f"{file}: tensor {name!r} is larger than what is stored of it")


def _type(tensor: torch.Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
