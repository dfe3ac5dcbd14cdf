"""Decodes with real models, drafting and verifying.

decoder = make_decoder(model, tokenizer, ["early-exit:20", "prompt-lookup"])
print(decoder.generate_text("Once upon a time"))
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hedgespec.live.decode import LiveDecoder, make_decoder
    from hedgespec.live.decoded import Answer, Round
    from hedgespec.live.settings import DecoderSettings

_HOMES = {
    "Answer": "decoded",
    "DecoderSettings": "settings",
    "LiveDecoder": "decode",
    "Round": "decoded",
    "make_decoder": "decode",
}

__all__ = ["Answer", "DecoderSettings", "LiveDecoder", "Round", "make_decoder"]


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is: the settings need no torch."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
