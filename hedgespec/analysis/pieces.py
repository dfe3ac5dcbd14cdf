"""The text of token ids, from a Hugging Face tokenizer's `tokenizer.json` or a GGUF file."""

import json
import re
from pathlib import Path
from typing import Any

from hedgespec.errors import HedgespecError
from hedgespec.gguf_header import is_gguf, read_gguf_header

# Of GGUF: types of tokens, and tokenizer models that mark spaces.
_NORMAL, _AS_THEY_STAND = 1, (3, 4)
_SENTENCE_PIECE = ("llama", "t5")
_BYTE = re.compile(r"<0x([0-9A-F]{2})>")


def read_vocabulary(path: Path) -> dict[int, str]:
    """The text of each token id.

    A character of several tokens is read as replacement characters. Raises HedgespecError if the
    file is neither a tokenizer.json nor a GGUF file with a tokenizer.
    """
    try:
        if is_gguf(path):
            return _of_gguf(read_gguf_header(path))
        content = json.loads(path.read_text(encoding="utf-8"))
        vocabulary = content["model"]["vocab"]
        pairs = (
            vocabulary.items()
            if isinstance(vocabulary, dict)
            else ((entry[0], i) for i, entry in enumerate(vocabulary))
        )
        pieces = {int(number): str(text) for text, number in pairs}
        added = {int(one["id"]): str(one["content"]) for one in content.get("added_tokens", [])}
    except FileNotFoundError as error:
        raise HedgespecError(
            f"{path}: no such file; want the tokenizer.json of a tokenizer, or a "
            "GGUF file that holds one"
        ) from error
    except (OSError, ValueError, TypeError, KeyError, AttributeError, IndexError) as error:
        told = type(error).__name__ if isinstance(error, UnicodeError) else error
        raise HedgespecError(
            f"{path}: neither the tokenizer.json of a tokenizer nor a GGUF file "
            f"that holds one ({told})"
        ) from error
    read = _from_bytes if _has_type(content.get("decoder"), "ByteLevel") else _from_marks
    return {number: read(piece) for number, piece in pieces.items()} | added


def _of_gguf(header: dict[str, Any]) -> dict[int, str]:
    """Control tokens and those added by hand are text as they stand."""
    pieces = header["tokenizer.ggml.tokens"]
    kinds = header.get("tokenizer.ggml.token_type", [_NORMAL] * len(pieces))
    read = _from_marks if header["tokenizer.ggml.model"] in _SENTENCE_PIECE else _from_bytes
    return {
        number: piece if kind in _AS_THEY_STAND else read(piece)
        for number, (piece, kind) in enumerate(zip(pieces, kinds, strict=True))
    }


def _has_type(part: Any, name: str) -> bool:
    """Whether a decoder is, or has among its parts, one of this type."""
    if isinstance(part, dict):
        return part.get("type") == name or _has_type(part.get("decoders"), name)
    return isinstance(part, list) and any(_has_type(one, name) for one in part)


def _from_bytes(piece: str) -> str:
    """GPT-2's byte-level pieces: each character stands for a byte."""
    if not set(piece) <= set(_BYTES):
        return piece
    return bytes(_BYTES[character] for character in piece).decode("utf-8", errors="replace")


def _from_marks(piece: str) -> str:
    """SentencePiece's pieces: a mark for the space, and bytes written as <0x..>."""
    byte = _BYTE.fullmatch(piece)
    if byte:
        return bytes([int(byte[1], 16)]).decode("utf-8", errors="replace")
    return piece.replace("▁", " ")


def _byte_characters() -> dict[str, int]:
    """Printable bytes stand for themselves, the others for characters from 256 on."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {
        chr(256 + i): byte for i, byte in enumerate(others)
    }


_BYTES = _byte_characters()
