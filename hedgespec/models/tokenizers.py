"""Whether a drafter's tokenizer is the target's: the same tokens, but for added and special ones.

A target verifies whatever is drafted, so that text stays its own. But a drafter that means other
words by the same numbers drafts nonsense.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hedgespec.errors import HedgespecError
from hedgespec.gguf_header import read_gguf_header

_SHOWN = 5
_NORMAL, _BYTE = 1, 6  # types of tokens in GGUF that no one added


@dataclass(frozen=True)
class Words:
    """The words of a tokenizer by their numbers; `free` are those that are special or added."""

    words: dict[int, str]
    free: frozenset[int]


def words_of(tokenizer: Any) -> Words:
    """Those of a transformers tokenizer."""
    return Words(
        {number: word for word, number in tokenizer.get_vocab().items()},
        frozenset({*tokenizer.all_special_ids, *tokenizer.added_tokens_decoder}),
    )


def gguf_words(path: Path) -> Words | None:
    """Those of a GGUF file; None where it names none, or cannot be read."""
    try:
        header = read_gguf_header(path)
        words, kinds = header["tokenizer.ggml.tokens"], header["tokenizer.ggml.token_type"]
    except (OSError, ValueError, KeyError):
        return None
    return Words(
        dict(enumerate(words)),
        frozenset(number for number, kind in enumerate(kinds) if kind not in (_NORMAL, _BYTE)),
    )


def differing_words(own: Words, target: Words) -> tuple[list[str], bool]:
    """What differs, as text; and whether all of that is special or was added in each tokenizer that
    has it, so that ordinary words are the same."""
    sides = (own, target)
    differing = sorted(
        number
        for number in {*own.words, *target.words}
        if own.words.get(number) != target.words.get(number)
    )
    harmless = all(
        number in side.free for number in differing for side in sides if number in side.words
    )
    return [
        _told(number, own.words.get(number), target.words.get(number)) for number in differing
    ], harmless


def refuse_other_words(drafter: str, own: Words, target: Words, name: str) -> list[str]:
    """What differs between a drafter and the target `name`, as text.

    Raises HedgespecError, which calls the drafter `drafter`, unless all of it is special or added.
    """
    differences, harmless = differing_words(own, target)
    if not harmless:
        raise HedgespecError(
            f"drafter {drafter}: its tokenizer differs from the target's ({name}) in tokens "
            f"{listed(differences)}; token-level speculative sampling needs the same vocabulary"
        )
    return differences


def listed(differences: list[str]) -> str:
    """The first of them."""
    more = len(differences) - _SHOWN
    return ", ".join(differences[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _told(number: int, own: str | None, target: str | None) -> str:
    if own is None:
        return f"{number} ({target!r}, the target's alone)"
    if target is None:
        return f"{number} ({own!r}, the drafter's alone)"
    return f"{number} ({own!r}, the target's {target!r})"
