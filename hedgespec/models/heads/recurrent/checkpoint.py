"""Recurrent heads as folders with config.json and safetensors."""

import json
from dataclasses import asdict, fields
from pathlib import Path
from reprlib import repr as short

import torch

from hedgespec.errors import HedgespecError
from hedgespec.files import write_text
from hedgespec.models.heads.config_keys import CONFIG, Keys, read_document
from hedgespec.models.heads.recurrent.network import RecurrentConfig, RecurrentHead
from hedgespec.models.heads.weights import (
    check_d2t,
    check_tensors,
    load_tensors,
    read_weights,
    write_weights,
)

_TYPE = {"model_type": "hedgespec_redrafter"}


def save_redrafter(head: RecurrentHead, folder: Path) -> None:
    """Write a head."""
    folder.mkdir(parents=True, exist_ok=True)
    write_weights(folder, head.state_dict())
    write_text(folder / CONFIG, json.dumps(_TYPE | asdict(head.config), indent=1) + "\n")


def load_redrafter(folder: Path, dtype: torch.dtype = torch.float32) -> RecurrentHead:
    """Read a head. Raises HedgespecError naming the file and what is wrong with it."""
    folder = Path(folder)
    config = _config(Keys(read_document(folder), str(folder / CONFIG)))
    tensors = read_weights(folder)
    with torch.device("meta"):
        head = RecurrentHead(config)
    check_tensors(head, tensors, folder)
    load_tensors(head, tensors, folder, dtype)
    check_d2t(head.d2t, config.vocabulary_size, folder)
    return head.eval()


def _config(keys: Keys) -> RecurrentConfig:
    kind = keys.get("model_type")
    if kind != _TYPE["model_type"]:
        raise HedgespecError(
            f"{keys.where}: not the config.json of a recurrent head: model_type "
            f"is {short(kind)}, not {_TYPE['model_type']!r}"
        )
    sizes = {field.name: keys.whole(field.name) for field in fields(RecurrentConfig)}
    for name, size in sizes.items():
        if size is None:
            raise HedgespecError(
                f"{keys.where}: not the config.json of a recurrent head (no {name})"
            )
    keys.finish()
    return RecurrentConfig(**sizes)  # type: ignore[arg-type]
