"""Whether a drafter's tokenizer is the target's: the same tokens, but for added and special ones.

A target verifies whatever is drafted, so that text stays its own. But a drafter that means other
words by the same numbers drafts nonsense.
"""

from typing import Any

_SHOWN = 5


def differing_tokens(own: Any, target: Any) -> tuple[list[str], bool]:
    """What differs between two transformers tokenizers, as text; and whether all of that is special
    or was added in each tokenizer that has it, so that ordinary words are the same."""
    words = [{number: word for word, number in one.get_vocab().items()} for one in (own, target)]
    free = [{*one.all_special_ids, *one.added_tokens_decoder} for one in (own, target)]
    differing = sorted(number for number in {*words[0], *words[1]}
                       if words[0].get(number) != words[1].get(number))
    harmless = all(number in free[side] for number in differing for side in (0, 1)
                   if number in words[side])
    return [_told(number, words[0].get(number), words[1].get(number))
            for number in differing], harmless


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
