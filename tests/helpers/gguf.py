"""GGUF files that have a beginning and no weights."""

import struct
from pathlib import Path
from typing import Any


def save_gguf_header(path: Path, values: dict[str, Any]) -> Path:
    """A file that says `values`: texts, whole numbers, and lists of either."""
    path.write_bytes(
        b"GGUF"
        + struct.pack("<IQQ", 3, 0, len(values))
        + b"".join(_text(key) + _typed(value) for key, value in values.items())
    )
    return path


def gguf_tokenizer(words: list[str], control: int = 0, model: str = "gpt2") -> dict[str, Any]:
    """What a file says of these words, the first `control` of which are control tokens."""
    return {
        "tokenizer.ggml.model": model,
        "tokenizer.ggml.tokens": words,
        "tokenizer.ggml.token_type": [3] * control + [1] * (len(words) - control),
    }


def _typed(value: Any) -> bytes:
    if isinstance(value, list):
        kind = 8 if isinstance(value[0], str) else 4
        return struct.pack("<IIQ", 9, kind, len(value)) + b"".join(map(_plain, value))
    return struct.pack("<I", 8 if isinstance(value, str) else 4) + _plain(value)


def _plain(value: str | int) -> bytes:
    return _text(value) if isinstance(value, str) else struct.pack("<I", value)


def _text(value: str) -> bytes:
    written = value.encode()
    return struct.pack("<Q", len(written)) + written
