"""Word problems with numbers.

The item is the kind of problem, whose story differs from all others: every version of it, with
other names and numbers, stays on one side of the split.
"""

import random
import re
from collections.abc import Iterator
from typing import Any

from hedgespec.zoo.domains.base import Item, TemplatedDomain, wordings

_VERSIONS = 12  # of each problem, with names and numbers of their own


def _items(data: dict[str, Any]) -> Iterator[Item]:
    for problem in data["problems"]:
        prompts: list[str] = []
        for version in range(_VERSIONS):
            prompts += wordings(
                data["openings"], data["endings"], problem=_version(problem, version, data["names"])
            )
        yield Item(problem, tuple(prompts))


def _version(problem: str, version: int, names: list[str]) -> str:
    """The problem with two names and with numbers, which depend on nothing but the arguments."""
    generator = random.Random(f"{version} {problem}")
    name, other = generator.sample(names, 2)

    def number(found: re.Match[str]) -> str:
        return str(generator.randint(int(found[1]), int(found[2])))

    numbered = re.sub(r"\[(\d+)-(\d+)\]", number, problem)
    return numbered.format(name=name, other=other)


DOMAIN = TemplatedDomain("math", _items)
