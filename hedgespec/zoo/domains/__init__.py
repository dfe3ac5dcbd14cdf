"""The domains of prompts; `general` first, it is everything but the others.

What they ask is in `hedgespec/data/zoo/`, a file for each; a module here makes prompts of it where
that takes more than to put topics into wordings.
"""

from hedgespec.zoo.domains import law, math, medicine, python, sql, translation
from hedgespec.zoo.domains.base import Item, TemplatedDomain, topic_items

BUILT_IN = (
    TemplatedDomain("general", topic_items),
    python.DOMAIN,
    math.DOMAIN,
    TemplatedDomain("biology", topic_items),
    medicine.DOMAIN,
    law.DOMAIN,
    sql.DOMAIN,
    translation.DOMAIN,
)

__all__ = ["BUILT_IN", "Item", "TemplatedDomain"]
