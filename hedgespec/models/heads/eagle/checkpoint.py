"""Reads and writes EAGLE heads as folders with config.json and safetensors, in either dialect."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from hedgespec.errors import HedgespecError
from hedgespec.files import write_text, write_with
from hedgespec.models.heads.eagle.config import DIALECTS, dump_config, parse_config
from hedgespec.models.heads.eagle.head import EagleHead, target_tokens
from hedgespec.models.heads.eagle.parallel import ParallelHead

_WEIGHTS, _PICKLED, CONFIG = "model.safetensors", "pytorch_model.bin", "config.json"
# What the dialects call the decoder layer; EAGLE-1/2 heads say "layers.0" too.
_LAYER_NAMES = {"eagle": "midlayer.", "speculators": "layers.0."}


def load_head(folder: Path, dtype: torch.dtype = torch.float32) -> EagleHead:
    """Read a head of either dialect from a folder.

    Raises HedgespecError naming the file and the tensor that is missing, unknown or of another
    shape. A pytorch_model.bin is read with weights_only=True, so that it cannot run code.
    """
    folder = Path(folder)
    config = parse_config(read_document(folder), str(folder / CONFIG))
    # Old checkpoints also stored the rotary frequencies, which are computed from the config.
    tensors = {_own_name(name): tensor for name, tensor in read_weights(folder).items()
               if not name.endswith("rotary_emb.inv_freq")}
    if config.generation == 3 and "lm_head.weight" in tensors and config.draft_vocabulary_size:
        tensors.setdefault("d2t", torch.zeros(config.draft_vocabulary_size, dtype=torch.long))
        tensors["t2d"] = _known_tokens(tensors["d2t"], config.vocabulary_size, folder)
    network = ParallelHead if config.masks else EagleHead
    with torch.device("meta"):
        head = network(config, "embed_tokens.weight" in tensors, "lm_head.weight" in tensors)
    check_tensors(head, tensors, folder)
    # The rotary frequencies are no weights: they are computed, on the real device.
    head.rotary = type(head.rotary)(config.layer)
    head.load_state_dict(
        {name: tensor.to(dtype) if tensor.is_floating_point() else tensor
         for name, tensor in tensors.items()}, assign=True)
    return head.eval()


def save_head(head: EagleHead, folder: Path, dialect: str = "eagle") -> None:
    """Write a head in one dialect.

    Raises HedgespecError for an unknown dialect or a head that it cannot describe.
    """
    if dialect not in DIALECTS:
        raise HedgespecError(f"unknown dialect {dialect!r}; choose from {', '.join(DIALECTS)}")
    folder.mkdir(parents=True, exist_ok=True)
    document = dump_config(head.config, dialect)
    prefix = _LAYER_NAMES[dialect if head.config.generation == 3 else "speculators"]
    tensors = {
        prefix + name.removeprefix("layer.") if name.startswith("layer.") else name: tensor
        for name, tensor in head.state_dict().items()
    }
    write_weights(folder, tensors)
    write_text(folder / CONFIG, json.dumps(document, indent=1) + "\n")


def write_weights(folder: Path, tensors: dict[str, torch.Tensor]) -> None:
    """Write tensors as a head's weights."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_with(folder / _WEIGHTS, lambda path: save_file(tensors, path))


def read_document(folder: Path) -> dict[str, Any]:
    """A head's config.json. Raises HedgespecError if it cannot be read."""
    try:
        document: dict[str, Any] = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise HedgespecError(f"{folder / CONFIG}: cannot be read ({error})") from error
    return document


def read_weights(folder: Path) -> dict[str, torch.Tensor]:
    """A head's tensors. Raises HedgespecError if they cannot be read."""
    shards = sorted(folder.glob("*.safetensors"))
    try:
        if shards:
            return {name: tensor for shard in shards for name, tensor in load_file(shard).items()}
        if (folder / _PICKLED).is_file():
            loaded: dict[str, torch.Tensor] = torch.load(
                folder / _PICKLED, map_location="cpu", weights_only=True)
            return loaded
    except Exception as error:  # damaged files raise many types
        raise HedgespecError(f"{folder}: weights cannot be read ({error})") from error
    raise HedgespecError(f"{folder}: no {_WEIGHTS} (nor {_PICKLED})")


def _own_name(name: str) -> str:
    name = name.removeprefix("model.")
    for prefix in _LAYER_NAMES.values():
        if name.startswith(prefix):
            return "layer." + name.removeprefix(prefix)
    return name


def _known_tokens(d2t: torch.Tensor, vocabulary: int, folder: Path) -> torch.Tensor:
    """t2d, which d2t implies: whether the head knows a token of the target."""
    target = target_tokens(d2t)
    if int(target.min()) < 0 or int(target.max()) >= vocabulary:
        raise HedgespecError(f"{folder}: tensor 'd2t' points outside the target's vocabulary")
    known = torch.zeros(vocabulary, dtype=torch.bool)
    known[target] = True
    return known


def check_tensors(head: nn.Module, tensors: dict[str, torch.Tensor], folder: Path) -> None:
    """Raise HedgespecError unless `tensors` are those of `head`, in name and shape."""
    expected = head.state_dict()
    for name, tensor in expected.items():
        if name not in tensors:
            raise HedgespecError(f"{folder}: tensor {name!r} is missing")
        if tensors[name].shape != tensor.shape:
            raise HedgespecError(
                f"{folder}: tensor {name!r} has shape {tuple(tensors[name].shape)}, its config "
                f"says {tuple(tensor.shape)}"
            )
    for name in tensors:
        if name not in expected:
            raise HedgespecError(f"{folder}: unknown tensor {name!r}")
