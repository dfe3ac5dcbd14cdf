"""The domains of prompts, one file each; `general` first, it is everything but the others."""

from hedgespec.zoo.domains import biology, general, law, math, medicine, python, sql, translation
from hedgespec.zoo.domains.base import Item, TemplatedDomain

BUILT_IN = tuple(
    module.DOMAIN
    for module in (general, python, math, biology, medicine, law, sql, translation)
)

__all__ = ["BUILT_IN", "Item", "TemplatedDomain"]
