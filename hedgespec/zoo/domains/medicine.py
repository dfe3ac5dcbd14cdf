"""Diseases as a medical student describes them, and exam questions of MedMCQA with the answer."""

from collections.abc import Iterator
from typing import Any

from hedgespec.zoo.domains.base import Item, TemplatedDomain, topic_items, wordings
from hedgespec.zoo.packages import evals_samples


def _items(data: dict[str, Any]) -> Iterator[Item]:
    yield from topic_items(data)
    for sample in evals_samples("medmcqa/samples.jsonl"):
        # "Subject: ...", an empty line, the question, an empty line, "a) ...", "b) ...", ...
        subject, _, rest = sample["input"][1]["content"].partition("\n\n")
        question = rest.partition("\n\na)")[0].strip()
        answer = sample["ideal"].partition(")")[2].strip()
        if "of the above" in answer.lower():
            continue  # says nothing without the other options
        if "Forensic" in subject:
            continue  # mostly about law
        yield Item(
            question,
            wordings(
                **data["exam"],
                subject=subject.removeprefix("Subject: "),
                question=question,
                answer=answer,
            ),
        )


DOMAIN = TemplatedDomain("medicine", _items)
