"""Recurrent heads as folders with config.json and safetensors."""

import json
from dataclasses import asdict
from pathlib import Path

import torch

from hedgespec.errors import HedgespecError
from hedgespec.files import write_text
from hedgespec.models.heads.eagle.checkpoint import (
    CONFIG,
    check_tensors,
    read_document,
    read_weights,
    write_weights,
)
from hedgespec.models.heads.recurrent.network import RecurrentConfig, RecurrentHead

_TYPE = {"model_type": "hedgespec_redrafter"}


def save_redrafter(head: RecurrentHead, folder: Path) -> None:
    """Write a head."""
    folder.mkdir(parents=True, exist_ok=True)
    write_weights(folder, head.state_dict())
    write_text(folder / CONFIG, json.dumps(_TYPE | asdict(head.config), indent=1) + "\n")


def load_redrafter(folder: Path, dtype: torch.dtype = torch.float32) -> RecurrentHead:
    """Read a head. Raises HedgespecError naming the file and what is wrong with it."""
    folder = Path(folder)
    document = read_document(folder)
    try:
        kind = {"model_type": document.pop("model_type")}
        config = RecurrentConfig(**document)
    except (KeyError, TypeError) as error:
        raise HedgespecError(f"{folder / CONFIG}: not the config.json of a recurrent head "
                             f"({error})") from error
    if kind != _TYPE:
        raise HedgespecError(f"{folder / CONFIG}: model_type is {kind['model_type']!r}, not "
                             f"{_TYPE['model_type']!r}")
    tensors = read_weights(folder)
    with torch.device("meta"):
        head = RecurrentHead(config)
    check_tensors(head, tensors, folder)
    head.load_state_dict(
        {name: tensor.to(dtype) if tensor.is_floating_point() else tensor
         for name, tensor in tensors.items()}, assign=True)
    return head.eval()
