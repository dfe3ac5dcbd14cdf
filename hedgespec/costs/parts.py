"""What a round's seconds are made of: drafting, the target's pass, drafters' reading.

Seconds of rounds are sums over these parts, and each grows in proportion to its own costs. So the
seconds of a replay under costs in which a part takes x times as long are found from the seconds of
each part, without replaying.
"""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

from hedgespec.traces import Costs

DRAFT, TARGET, READING = PARTS = ("draft", "target", "reading")
# Whose part a field of `Costs`, or of what it holds, is; other fields are no seconds of rounds, but
# for `overhead` and `evaluation_overhead`, which are of no part.
PART_OF = {
    "step": DRAFT,
    "draft": DRAFT,
    "begin": DRAFT,
    "target": TARGET,
    "widths": TARGET,
    "evaluate": READING,
    "evaluate_all": READING,
    "evaluate_together": READING,
    "reads": READING,
}
_Kind = TypeVar("_Kind")


def scaled(costs: Costs, times: Mapping[str, float]) -> Costs:
    """Costs in which each of `PARTS` takes as many times as long as `times` says.

    Of these batch and context alone, without spreads, which belong to what was measured.
    """
    found = _scaled(costs, times)
    return replace(
        found,
        drafters={name: _scaled(one, times) for name, one in costs.drafters.items()},
        spread={},
        conditions=[],
    )


def doubled(costs: Costs, part: str) -> Costs:
    """Costs in which one of `PARTS` takes twice as long: rounds then take its seconds more."""
    return scaled(costs, {one: 1.0 + (one == part) for one in PARTS})


def with_drafter(costs: Costs, name: str, times: Mapping[str, float]) -> Costs:
    """Costs in which one drafter's part of each of `PARTS` takes as many times as long.

    The evaluation of several in one batch stays as it was measured. Of these batch and context
    alone, without spreads.
    """
    drafters = {**costs.drafters, name: _scaled(costs.drafters[name], times)}
    return replace(costs, drafters=drafters, spread={}, conditions=[])


def _scaled(holder: _Kind, times: Mapping[str, float]) -> _Kind:
    """A dataclass of costs with the fields in PART_OF scaled."""
    assert is_dataclass(holder)
    assert not isinstance(holder, type)
    found: _Kind = replace(
        holder,
        **{
            item.name: _times(getattr(holder, item.name), times[PART_OF[item.name]])
            for item in fields(holder)
            if item.name in PART_OF
        },
    )
    return found


def _times(value: Any, factor: float) -> Any:
    """Seconds, or all seconds in a dictionary or dataclass, times `factor`; None stays."""
    if value is None:
        return None
    if isinstance(value, dict):
        return {key: _times(one, factor) for key, one in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        return replace(
            value,
            **{item.name: _times(getattr(value, item.name), factor) for item in fields(value)},
        )
    return value * factor
