"""Reads and writes EAGLE heads as folders with config.json and tensors, in either dialect."""

import json
import re
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from hedgespec.errors import HedgespecError
from hedgespec.files import write_text
from hedgespec.models.heads.config_keys import CONFIG, read_document
from hedgespec.models.heads.eagle.config import DIALECTS, dump_config, parse_config
from hedgespec.models.heads.eagle.head import EagleHead, target_tokens
from hedgespec.models.heads.eagle.parallel import ParallelHead
from hedgespec.models.heads.eagle.rope import make_rotary
from hedgespec.models.heads.eagle.shape import EagleConfig
from hedgespec.models.heads.weights import (
    Tensors,
    check_d2t,
    check_tensors,
    load_tensors,
    read_weights,
    write_weights,
)

# What the dialects call the first decoder layer; EAGLE-1/2 heads say "layers.0" too.
_LAYER_NAMES = {"eagle": "midlayer.", "speculators": "layers.0."}
_UPPER = re.compile(r"layers\.([1-9]\d{0,3})\.")


def load_head(folder: Path, dtype: torch.dtype = torch.float32) -> EagleHead:
    """Read a head of either dialect from a folder.

    Raises HedgespecError naming the file, and the key or tensor that is missing, unknown, of
    another shape, or not finite. Nothing is allocated that the file of tensors does not hold.
    """
    folder = Path(folder)
    document, where = read_document(folder), str(folder / CONFIG)
    parse_config(document, where)  # before the tensors, which may be large, are read
    names = _own_names(found := read_weights(folder), folder)
    tensors = {name: found[stored] for name, stored in names.items()}
    config = _fitted(parse_config(document, where, tensors), tensors, folder)
    network = ParallelHead if config.masks else EagleHead
    with torch.device("meta"):
        head = network(config, "embed_tokens.weight" in tensors, "lm_head.weight" in tensors)
    stored = partial(_name_in_file, names)
    check_tensors(head, tensors, folder, stored)
    # The rotary frequencies are no weights: they are computed, on the real device.
    head.rotary = make_rotary(config.layer, where)
    load_tensors(head, tensors, folder, dtype, stored)
    return head.eval()


def save_head(head: EagleHead, folder: Path, dialect: str = "eagle") -> None:
    """Write a head in one dialect.

    Raises HedgespecError for an unknown dialect or a head that it cannot describe.
    """
    if dialect not in DIALECTS:
        raise HedgespecError(f"unknown dialect {dialect!r}; choose from {', '.join(DIALECTS)}")
    folder.mkdir(parents=True, exist_ok=True)
    document = dump_config(head.config, dialect)
    own = dialect if head.config.generation == 3 and head.config.depth == 1 else "speculators"
    write_weights(
        folder,
        {
            _stored_name(name, _LAYER_NAMES[own]): tensor
            for name, tensor in head.state_dict().items()
        },
    )
    write_text(folder / CONFIG, json.dumps(document, indent=1) + "\n")


def _stored_name(name: str, first: str) -> str:
    if name.startswith("upper."):
        _, number, rest = name.split(".", 2)
        return f"layers.{int(number) + 1}.{rest}"
    return first + name.removeprefix("layer.") if name.startswith("layer.") else name


def _name_in_file(names: dict[str, str], name: str) -> str:
    """What the file calls a tensor, or would call it in its dialect."""
    spoken = any("midlayer." in stored for stored in names.values())
    return names.get(name) or _stored_name(name, _LAYER_NAMES["eagle" if spoken else "speculators"])


def _own_names(tensors: Iterable[str], folder: Path) -> dict[str, str]:
    """The network's names of stored tensors, with these."""
    found: dict[str, str] = {}
    for stored in tensors:
        # Old checkpoints also stored the rotary frequencies, which are computed from the config.
        if stored.endswith("rotary_emb.inv_freq"):
            continue
        name = _own_name(stored)
        if name in found:
            raise HedgespecError(f"{folder}: tensor {stored!r} is there under another name too")
        found[name] = stored
    return found


def _own_name(name: str) -> str:
    name = name.removeprefix("model.")
    for prefix in _LAYER_NAMES.values():
        if name.startswith(prefix):
            return "layer." + name.removeprefix(prefix)
    upper = _UPPER.match(name)
    return f"upper.{int(upper[1]) - 1}.{name[upper.end() :]}" if upper else name


def _fitted(config: EagleConfig, tensors: Tensors, folder: Path) -> EagleConfig:
    """The config with what the tensors say; `tensors` are completed by what follows from it."""
    if config.tied and "lm_head.weight" not in tensors and "embed_tokens.weight" in tensors:
        tensors["lm_head.weight"] = tensors["embed_tokens.weight"]
    above = tensors.get("upper.0.self_attn.q_proj.weight")
    wide = above is not None and above.dim() == 2 and above.shape[1] == 2 * config.hidden_size
    config = replace(config, wide=wide and config.generation == 3)
    _check_last_state(config, tensors, folder)
    return _with_vocabulary(config, tensors, folder)


def _check_last_state(config: EagleConfig, tensors: Tensors, folder: Path) -> None:
    """A head of the last state alone has an fc only where it is of another width."""
    read = config.target_hidden_size or config.hidden_size
    if (
        config.generation == 3
        and config.last_state
        and (("fc.weight" in tensors) != (read != config.hidden_size))
    ):
        found = "there is" if "fc.weight" in tensors else "it has no"
        raise HedgespecError(
            f"{folder}: use_aux_hidden_state is false, it reads states {read} "
            f"wide and is {config.hidden_size} wide, but {found} fc.weight"
        )


def _with_vocabulary(config: EagleConfig, tensors: Tensors, folder: Path) -> EagleConfig:
    """The tokens that the head knows are d2t's, or t2d's, or all."""
    size, own = config.draft_vocabulary_size, tensors.get("lm_head.weight")
    if "d2t" not in tensors and "t2d" in tensors and own is not None:
        known = tensors["t2d"].flatten().nonzero()[:, 0]
        tensors["d2t"] = known - torch.arange(len(known))
    if "d2t" in tensors:
        tensors["d2t"] = _checked_d2t(tensors, config, folder)
    if own is None:
        return _borrowing(config, tensors, folder)
    if "d2t" not in tensors:
        if size not in (None, config.vocabulary_size):
            raise HedgespecError(
                f"{folder}: tensor 'd2t' is missing, and the head knows {size} of "
                f"{config.vocabulary_size} tokens"
            )
        return replace(config, draft_vocabulary_size=None)
    tensors["t2d"] = torch.zeros(config.vocabulary_size, dtype=torch.bool)
    tensors["t2d"][target_tokens(tensors["d2t"])] = True
    return replace(config, draft_vocabulary_size=size or len(tensors["d2t"]))


def _borrowing(config: EagleConfig, tensors: Tensors, folder: Path) -> EagleConfig:
    """Without an LM head the target's serves, which knows all tokens."""
    d2t = tensors.pop("d2t", None)
    tensors.pop("t2d", None)
    known = config.draft_vocabulary_size if d2t is None else len(d2t)
    if known not in (None, config.vocabulary_size) or (d2t is not None and bool(d2t.any())):
        raise HedgespecError(
            f"{folder}: tensor 'lm_head.weight' is missing, and the head knows "
            f"{known} of {config.vocabulary_size} tokens"
        )
    if config.logit_scale != 1:
        raise HedgespecError(
            f"{folder}: tensor 'lm_head.weight' is missing, and logit_scale "
            f"{config.logit_scale:g} needs a head with an LM head of its own"
        )
    return replace(config, draft_vocabulary_size=None)


def _checked_d2t(tensors: Tensors, config: EagleConfig, folder: Path) -> torch.Tensor:
    """d2t (v) as int64. Raises HedgespecError unless t2d, if there, says the same."""
    d2t, t2d = tensors["d2t"], tensors.get("t2d")
    target = check_d2t(d2t, config.vocabulary_size, folder)
    if t2d is not None and not torch.equal(t2d.flatten().nonzero()[:, 0], target.sort().values):
        raise HedgespecError(f"{folder}: tensors 't2d' and 'd2t' name different tokens")
    return d2t.long()
