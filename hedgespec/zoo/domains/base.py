"""What a domain of prompts is: items, each with several wordings, split as a whole."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from hedgespec.files import sha256_text

LONGEST_PROMPT = 1200  # characters; longer ones leave a small model too little room to answer
_HELD_OUT_SHARE = 8  # one item in so many is held out


@dataclass(frozen=True)
class Item:
    """Something to ask about and all the prompts that ask about it.

    Items of equal `key` fall on the same side of the split, whatever their prompts say.
    """

    key: str
    prompts: tuple[str, ...]


@dataclass(frozen=True)
class TemplatedDomain:
    """A label and a function that makes the domain's items, in a fixed order."""

    label: str
    items: Callable[[], Iterable[Item]]

    def is_held_out(self, key: str) -> bool:
        """Whether items of this key are for tests; the same on every machine, for ever."""
        plain = " ".join(key.casefold().split())
        return int(sha256_text(f"{self.label}\n{plain}")[:8], 16) % _HELD_OUT_SHARE == 0


def texts(block: str) -> list[str]:
    """The non-empty lines of a text block."""
    return [line.strip() for line in block.splitlines() if line.strip()]


def wordings(openings: Iterable[str], endings: Iterable[str], **fields: str) -> tuple[str, ...]:
    """Every opening with every ending; {placeholders} in them are filled from `fields`."""
    endings = list(endings)
    return tuple(
        f"{opening} {ending}".format(**fields) for opening in openings for ending in endings
    )


def topic_items(topics: str, openings: list[str], endings: list[str]) -> list[Item]:
    """An item per line of `topics`, put for {topic} in every wording."""
    return [Item(topic, wordings(openings, endings, topic=topic)) for topic in texts(topics)]
