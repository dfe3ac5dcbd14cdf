"""What a domain of prompts is: items, each with several wordings, split as a whole."""

import tomllib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from hedgespec.bundled import DATA
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
    """A domain, and a function that makes its items, in a fixed order, of its file of wordings.

    The file is LABEL.toml in `hedgespec/data/zoo/`.
    """

    label: str
    make: Callable[[dict[str, Any]], Iterable[Item]]

    def items(self) -> Iterable[Item]:
        """The domain's items; packages that they come from are fetched when first needed."""
        text = (DATA / "zoo" / f"{self.label}.toml").read_text(encoding="utf-8")
        return self.make(tomllib.loads(text))

    def is_held_out(self, key: str) -> bool:
        """Whether items of this key are for tests; the same on every machine, for ever."""
        plain = " ".join(key.casefold().split())
        return int(sha256_text(f"{self.label}\n{plain}")[:8], 16) % _HELD_OUT_SHARE == 0


def wordings(openings: Iterable[str], endings: Iterable[str], **fields: str) -> tuple[str, ...]:
    """Every opening with every ending; {placeholders} in them are filled from `fields`."""
    endings = list(endings)
    return tuple(
        f"{opening} {ending}".format(**fields) for opening in openings for ending in endings
    )


def topic_items(data: dict[str, Any]) -> Iterator[Item]:
    """An item for each topic, which is put for {topic} in every wording."""
    for kind in data["topics"]:
        for topic in kind["about"]:
            yield Item(topic, wordings(kind["openings"], data["endings"], topic=topic))
