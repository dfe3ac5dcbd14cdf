"""What the beginning of a GGUF file says: a model's shape and tokenizer, without its weights.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

import struct
from pathlib import Path
from typing import Any, BinaryIO

_MAGIC = b"GGUF"
# Struct formats of the plain types by their numbers; 8 is text, 9 an array.
_PLAIN = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_TEXT, _ARRAY = 8, 9
_LONGEST = 1 << 24  # bytes of a text, and entries of an array: more is damage


def is_gguf(path: Path) -> bool:
    """Whether a file begins as GGUF files do. Raises OSError if it cannot be read."""
    with open(path, "rb") as file:
        return file.read(len(_MAGIC)) == _MAGIC


def read_gguf_header(path: Path) -> dict[str, Any]:
    """Values by their keys, such as "general.architecture" and "tokenizer.ggml.tokens".

    Raises ValueError if the file is no GGUF file or is damaged, OSError if it cannot be read.
    """
    with open(path, "rb") as file:
        if file.read(len(_MAGIC)) != _MAGIC:
            raise ValueError("not a GGUF file")
        version, _, count = _unpacked(file, "IQQ")
        if not 2 <= version <= 3 or count > _LONGEST:
            raise ValueError(f"GGUF version {version} is not known")
        return dict(_entry(file) for _ in range(count))


def _entry(file: BinaryIO) -> tuple[str, Any]:
    key = _text(file)
    [kind] = _unpacked(file, "I")
    return key, _value(file, kind)


def _value(file: BinaryIO, kind: int) -> Any:
    if kind == _TEXT:
        return _text(file)
    if kind != _ARRAY:
        return _unpacked(file, _plain(kind))[0]
    kind, count = _unpacked(file, "IQ")
    _check_length(count)
    if kind in (_TEXT, _ARRAY):
        return [_value(file, kind) for _ in range(count)]
    return list(_unpacked(file, f"{count}{_plain(kind)}"))


def _plain(kind: int) -> str:
    if kind not in _PLAIN:
        raise ValueError(f"type {kind} is not known")
    return _PLAIN[kind]


def _text(file: BinaryIO) -> str:
    [length] = _unpacked(file, "Q")
    _check_length(length)
    return _read(file, length).decode("utf-8", errors="replace")


def _check_length(length: int) -> None:
    if length > _LONGEST:
        raise ValueError(f"a length of {length} cannot be right")


def _unpacked(file: BinaryIO, format: str) -> tuple[Any, ...]:
    """Little-endian numbers, none of them padded."""
    return struct.unpack(f"<{format}", _read(file, struct.calcsize(f"<{format}")))


def _read(file: BinaryIO, count: int) -> bytes:
    found = file.read(count)
    if len(found) < count:
        raise ValueError("it ends too early")
    return found
