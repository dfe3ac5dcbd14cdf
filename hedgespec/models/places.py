"""Where models lie, and what their files say before any weights are loaded."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partialmethod
from pathlib import Path
from typing import Any

from huggingface_hub.utils import disable_progress_bars
from huggingface_hub.utils import logging as hub_logging
from tqdm.auto import tqdm
from transformers import AutoConfig, AutoTokenizer
from transformers.utils import logging as transformers_logging

from hedgespec.errors import HedgespecError, shortened
from hedgespec.gguf_header import read_gguf_header
from hedgespec.models import smollm2

_LONGEST_REASON = 300


def is_gguf_file(identity: str) -> bool:
    """Whether a model is a GGUF file, by its name."""
    return Path(identity).suffix == ".gguf"


def check_place(identity: str) -> None:
    """Raise HedgespecError for a file or folder that is not there."""
    path = Path(identity)
    if not identity:
        raise HedgespecError(
            "cannot load model '': name a Hugging Face id, a folder or a .gguf file"
        )
    if is_gguf_file(identity):
        if not path.is_file():
            raise HedgespecError(f"{path}: no such GGUF file")
    elif _must_be_folder(identity) and not path.is_dir():
        raise HedgespecError(f"cannot load model {identity!r}: no such folder")


def _must_be_folder(identity: str) -> bool:
    """Whether it cannot be a Hugging Face id, OWNER/NAME or NAME."""
    return (
        Path(identity).is_absolute()
        or identity.startswith((".", "~"))
        or identity.endswith("/")
        or identity.count("/") > 1
    )


def locate(identity: str) -> tuple[str, dict[str, str]]:
    """Where transformers finds a model, and with which further arguments."""
    check_place(identity)
    if identity == smollm2.NAME:
        return str(smollm2.smollm2_folder()), {}
    if is_gguf_file(identity):
        return str(Path(identity).parent), {"gguf_file": Path(identity).name}
    return identity, {}


def read_layers(identity: str) -> int:
    """Number of a model's decoder layers, from its config. Raises HedgespecError if it has none."""
    with loading(identity):
        if is_gguf_file(identity):
            header = read_gguf_header(Path(identity))
            return int(header[f"{header['general.architecture']}.block_count"])
        place, options = locate(identity)
        config = AutoConfig.from_pretrained(place, **options)
        return int(config.get_text_config().num_hidden_layers)


def read_tokenizer(identity: str) -> Any:
    """A model's tokenizer. Raises HedgespecError if it cannot be loaded."""
    with loading(identity):
        place, options = locate(identity)
        return AutoTokenizer.from_pretrained(place, **options)


@contextmanager
def loading(identity: str) -> Iterator[None]:
    """Whatever is raised here is one line about a model that cannot be loaded."""
    _quieten()
    try:
        with _without_bars():
            yield
    except HedgespecError:
        raise
    except Exception as error:  # what is damaged raises many types
        said = " ".join(str(error).split())
        raise HedgespecError(
            f"cannot load model {identity!r}: "
            f"{shortened(said, _LONGEST_REASON) or type(error).__name__} "
            f"(expected a Hugging Face id, a folder, a .gguf file or {smollm2.NAME})"
        ) from error


@contextmanager
def _without_bars() -> Iterator[None]:
    """Without those that transformers draws with tqdm itself, as it does for a GGUF file."""
    before = tqdm.__init__
    tqdm.__init__ = partialmethod(before, disable=True)
    try:
        yield
    finally:
        tqdm.__init__ = before


def _quieten() -> None:
    """No bars, no notes and no counted retries of other packages: an error says what is wrong."""
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    hub_logging.set_verbosity_error()
    disable_progress_bars()
