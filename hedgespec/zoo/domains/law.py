"""Legal concepts as a law student explains them, and cases from US tort law exams."""

import re
from collections.abc import Iterator
from typing import Any

from hedgespec.zoo.domains.base import Item, TemplatedDomain, topic_items, wordings
from hedgespec.zoo.packages import evals_samples


def _items(data: dict[str, Any]) -> Iterator[Item]:
    yield from topic_items(data)
    for sample in evals_samples("us_tort_law/samples.jsonl"):
        # The case ends where the options "A. ...", "B. ..." begin.
        case = re.split(r"\nA[.)]", sample["input"][1]["content"])[0].strip()
        yield Item(case, wordings(**data["cases"], case=case))


DOMAIN = TemplatedDomain("law", _items)
