"""Drafter families, and the reading of drafter specifications."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from hedgespec.errors import HedgespecError
from hedgespec.models.drafters.base import Drafter, ScoringBatch
from hedgespec.models.drafters.early_checks import check_before_loading
from hedgespec.models.drafters.families import FAMILIES, Specification, check_name
from hedgespec.models.drafters.language_model import LanguageModelDrafter
from hedgespec.models.lossless import check_lossless
from hedgespec.models.settings import Sampling
from hedgespec.models.target import LanguageModel


def default_drafters(layers: int) -> list[str]:
    """Drafters that any target of this many layers has: four early exits and the context."""
    exits = sorted({max(1, round(layers * part)) for part in (1 / 2, 2 / 3, 5 / 6, 14 / 15)})
    return [f"early-exit:{layer}" for layer in exits if layer < layers] + ["prompt-lookup", "ngram"]


def make_drafters(
    specifications: Sequence[Any] | Mapping[str, Any], target: LanguageModel
) -> list[Drafter]:
    """Build drafters; the keys of a mapping name them.

    Each is made of a specification `[NAME=]FAMILY[:ARGUMENT]`, or of what is in memory: a
    transformers model that has the target's tokenizer, a LanguageModel with its own, or a Drafter.
    Raises HedgespecError for an unknown family, a bad argument, a model that does not fit the
    target, or two drafters of one name.
    """
    named = (
        specifications.items()
        if isinstance(specifications, Mapping)
        else [("", one) for one in specifications]
    )
    drafters = [_make(name, given, target) for name, given in named]
    names = [drafter.name for drafter in drafters]
    for name in names:
        check_name(name)
        if names.count(name) > 1:
            raise HedgespecError(f"two drafters are called {name!r}; name one with NAME=FAMILY:...")
    return drafters


def check_sampling(drafters: list[Drafter], sampling: Sampling) -> None:
    """Raise HedgespecError if a drafter works at temperature 0 only and `sampling` is not."""
    for drafter in drafters:
        if drafter.greedy_only and sampling.temperature != 0:
            raise HedgespecError(
                f"drafter {drafter.name} ({drafter.kind}) works at temperature 0 only, not at "
                f"{sampling.temperature:g}: {drafter.greedy_only}"
            )


def check_readers(drafters: Sequence[Drafter]) -> None:
    """Raise HedgespecError if a drafter's own model cannot draft step by step; takes seconds."""
    for drafter in drafters:
        if isinstance(drafter, LanguageModelDrafter):
            check_lossless(drafter.reader[0])


def _make(name: str, given: Any, target: LanguageModel) -> Drafter:
    if isinstance(given, str):
        return Specification.parse(f"{name}={given}" if name else given).made(target)
    if isinstance(given, Drafter):
        drafter = copy.copy(given)
        drafter.name = name or given.name
        return drafter
    model = given if isinstance(given, LanguageModel) else LanguageModel.of(given, target.tokenizer)
    return LanguageModelDrafter.of(name, model, target)


__all__ = [
    "FAMILIES",
    "Drafter",
    "ScoringBatch",
    "check_before_loading",
    "check_readers",
    "check_sampling",
    "default_drafters",
    "make_drafters",
]
