"""Short English sentences to translate into French and to explain word by word.

The item is a group of sentences on one theme; it stays on one side of the split.
"""

from collections.abc import Iterator
from typing import Any

from hedgespec.zoo.domains.base import Item, TemplatedDomain, wordings


def _items(data: dict[str, Any]) -> Iterator[Item]:
    for sentences in data["groups"]:
        listed = "\n".join(f"{number}. {text}" for number, text in enumerate(sentences, start=1))
        prompts = list(wordings(data["group_openings"], data["endings"], sentences=listed))
        for sentence in sentences:
            prompts += wordings(data["sentence_openings"], data["endings"], sentence=sentence)
        yield Item(" | ".join(sentences), tuple(prompts))


DOMAIN = TemplatedDomain("translation", _items)
