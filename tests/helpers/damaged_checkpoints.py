"""Damage to checkpoints of heads and models: they work, or are refused in one line.

`python -m tests.helpers.damaged_checkpoints SECONDS` goes on with new seeds for so long.
"""

import json
import math
import re
import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path
from random import Random
from time import monotonic

import torch
from safetensors.torch import save_file

from hedgespec.errors import HedgespecError
from hedgespec.models.drafters import Drafter, make_drafters
from hedgespec.models.logits import LogitsError, check_logits
from hedgespec.models.target import LanguageModel, load_model
from tests.helpers.head_zoo import Shape, shapes
from tests.helpers.heads import random_recurrent
from tests.helpers.tiny import save_tiny_model

VALUES = [
    0,
    -1,
    1,
    2,
    3,
    31,
    63,
    64,
    2**20,
    2**31,
    2**63,
    10**30,
    10**400,
    0.5,
    1e308,
    math.nan,
    math.inf,
    True,
    False,
    "",
    "32",
    "\ud800",
    "llama",
    [],
    [1],
    [[1]],
    [0] * 999,
    {},
    {"a": None},
    None,
]


def recurrent() -> Shape:
    """A recurrent head's checkpoint."""
    head = random_recurrent(list(range(3, 43)))
    config = {
        "model_type": "hedgespec_redrafter",
        "hidden_size": 32,
        "vocabulary_size": 63,
        "draft_vocabulary_size": 40,
    }
    return Shape(config, {name: tensor.detach() for name, tensor in head.state_dict().items()})


def other_value(document: object, random: Random) -> object:
    """The document with some value replaced, taken away or added, at some depth."""
    if isinstance(document, dict) and document:
        key = random.choice(sorted(document))
        if isinstance(document[key], dict) and random.random() < 0.7:
            return {**document, key: other_value(document[key], random)}
        kind = random.random()
        if kind < 0.2:
            return {name: value for name, value in document.items() if name != key}
        if kind < 0.3:
            return {**document, key + random.choice(["", "_", "2"]): random.choice(VALUES)}
        return {**document, key: random.choice(VALUES)}
    return random.choice(VALUES)


def other_tensor(tensors: dict, random: Random) -> dict:
    """The tensors with one that is damaged, gone, renamed or of another kind."""
    name = random.choice(sorted(tensors))
    tensor = tensors[name].clone()
    rest = {key: value for key, value in tensors.items() if key != name}
    flat = tensor.flatten()
    wild = random.choice([math.nan, math.inf, -math.inf, 1e38, -1.0, 2.0**62])
    return random.choice(
        [
            lambda: rest,
            lambda: rest | {name + random.choice(["x", ".weight", ""]): tensor, "more": tensor},
            lambda: rest | {random.choice(sorted(tensors)): tensor},
            lambda: rest | {name: tensor[:-1]} if tensor.dim() else rest,
            lambda: rest | {name: tensor[:0]} if tensor.dim() else rest,
            lambda: rest | {name: flat},
            lambda: rest | {name: flat[0] if len(flat) else tensor},
            lambda: rest | {name: tensor[None]},
            lambda: rest | {name: tensor.mT.contiguous() if tensor.dim() > 1 else flat.flip(0)},
            lambda: (
                rest
                | {
                    name: tensor.to(
                        random.choice(
                            [
                                torch.float16,
                                torch.bfloat16,
                                torch.float64,
                                torch.int64,
                                torch.int8,
                                torch.bool,
                                torch.float8_e4m3fn,
                                torch.complex64,
                            ]
                        )
                    )
                }
            ),
            lambda: rest | {name: spoilt(tensor, wild, random)},
        ]
    )()


def spoilt(tensor: "torch.Tensor", value: float, random: Random) -> "torch.Tensor":
    """One number replaced, as far as the type can hold it."""
    flat = tensor.flatten()
    if not len(flat):
        return tensor
    if not flat.is_floating_point():
        value = int(value) if math.isfinite(value) and abs(value) < 2**63 else -(2**62)
    flat[random.randrange(len(flat))] = bool(value) if flat.dtype is torch.bool else value
    return flat.view(tensor.shape)


def other_bytes(content: bytes, random: Random) -> bytes:
    """A file cut short, with some bytes changed, or of something else."""
    place = random.randrange(len(content) + 1)
    if random.random() < 0.4:
        return content[:place]
    if random.random() < 0.2:
        return random.choice([b"", b"\xff\xfe", b"{}", b"[" * 9999, b"\x00" * 64, b"PK\x03\x04"])
    place = random.randrange(min(len(content), random.choice([16, 512, len(content)])))
    return content[:place] + random.randbytes(random.choice([1, 8])) + content[place + 1 :]


def write(shape: Shape, folder: Path, random: Random) -> None:
    """A checkpoint with one to three kinds of damage, as safetensors or as a pickle."""
    config, tensors = shape.config, shape.tensors
    damage = random.sample(["config", "tensor", "bytes"], random.choice([1, 1, 1, 2, 3]))
    for _ in range(random.choice([1, 1, 3])):
        config = other_value(config, random) if "config" in damage else config
        tensors = other_tensor(tensors, random) if "tensor" in damage and tensors else tensors
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    tensors = {name: tensor.clone().contiguous() for name, tensor in tensors.items()}
    if random.random() < 0.5:
        save_file(tensors, folder / "model.safetensors")
    else:
        content = random.choice([*[tensors] * 8, [1], {"a": 1}, {1: torch.ones(2)}, torch.ones(3)])
        torch.save(content, folder / "pytorch_model.bin")
    if "bytes" in damage:
        file = random.choice(sorted(folder.iterdir()))
        file.write_bytes(other_bytes(file.read_bytes(), random))


def outcome(folder: Path, kind: str, target: LanguageModel) -> str:
    """ "works", or what it was refused with, which is one line that names the folder."""
    try:
        [drafter] = make_drafters([f"x={kind}:{folder}"], target)
    except HedgespecError as error:
        said = str(error)
        assert len(said.splitlines()) == 1, said
        assert str(folder) in said, said
        return said.replace(str(folder), "")
    try:
        draft(drafter, target)
    except LogitsError as error:  # live decoding drops it, a recording ends
        return str(error)
    return "works"


def draft(drafter: Drafter, target: LanguageModel) -> None:
    """A short text, and a draft of it."""
    with torch.inference_mode():
        tokens = torch.tensor([5, 9, 7, 5])
        states = target.hidden_states(tokens[None, :-1], torch.ones(1, 3), drafter.target_layers)
        session = drafter.session()
        [logits] = session.extend(tokens, {layer: states[layer][0] for layer in states})
        for _ in range(2):
            check_logits(logits, (target.vocabulary_size,), target.device)
            logits = session.step(3)


def try_damage(seed: int, place: Path, target: LanguageModel) -> str:
    """Damage of one seed, in a new folder of `place`; see `outcome`."""
    random, known = Random(seed), {**shapes(), "recurrent": recurrent()}
    name = random.choice([*sorted(known), *["recurrent"] * 4])
    folder = place / f"head-{seed}"
    write(known[name], folder, random)
    try:
        return outcome(folder, "redrafter" if name == "recurrent" else "eagle", target)
    except Exception as error:
        error.add_note(f"seed {seed}: {name} in {folder}")
        raise


def try_damaged_model(seed: int, place: Path, model: Path, target: LanguageModel) -> str:
    """The same of the folder of a transformers model.

    Huge numbers are left out: transformers makes layers on the word of a config.
    """
    random = Random(seed)
    folder = place / f"model-{seed}"
    shutil.copytree(model, folder)
    if random.random() < 0.6:
        file = folder / "config.json"
        document = json.dumps(other_value(json.loads(file.read_text()), random))
        file.write_text(re.sub(r"\d{7,}", "64", document))
    else:
        file = random.choice(sorted(folder.iterdir()))
        file.write_bytes(other_bytes(file.read_bytes(), random))
    try:
        return outcome(folder, "lm", target)
    except Exception as error:
        error.add_note(f"seed {seed}: {file}")
        raise


def main(seconds: float) -> None:
    """Go on with seeds of the clock; print what came of them."""
    found: Counter[str] = Counter()
    end, seed = monotonic() + seconds, int(monotonic() * 1000)
    with tempfile.TemporaryDirectory() as folder:
        place, model = Path(folder), Path(folder) / "target"
        save_tiny_model(model, seed=0, layers=4)
        target = load_model(str(model), "cpu", "float32")
        while monotonic() < end:
            seed += 1
            said = (
                try_damage(seed, place, target)
                if seed % 2
                else try_damaged_model(seed, place, model, target)
            )
            found["works" if said == "works" else "refused"] += 1
    print(
        f"{found.total()} damaged checkpoints: "
        + ", ".join(f"{count} {what}" for what, count in sorted(found.items()))
    )


if __name__ == "__main__":
    main(float(sys.argv[1]))
