"""One request's acceptance, in the fields that vLLM and AIPerf share."""

from typing import Any

import polars as pl

from hedgespec.bridges.imports.contract import (
    COUNTS,
    ROUNDS,
    Imported,
    count_of,
    counted,
    counts_of,
    told_apart,
)
from hedgespec.errors import HedgespecError

_BY_STEP = ("per_step_accepted", "per_step_drafted")
# What a policy in the engine may write beside them (hedgespec/bridges/vllm_proposer.py).
_CHOSEN, _PROPENSITY = "per_step_drafter", "per_step_propensity"


def imported(requests: list[tuple[str, str, dict[str, Any]]], drafter: str) -> Imported:
    """From each request's place in the file, id and fields: rounds if all have them, else counts.

    Raises HedgespecError where the fields contradict each other.
    """
    by_step = [
        {*_BY_STEP} <= {key for key, value in item.items() if value is not None}
        for _, _, item in requests
    ]
    if not all(by_step):
        counts = [_counts(item, where, drafter) for where, _, item in requests]
        return Imported(None, _summed(counts))
    names = told_apart([request for _, request, _ in requests])
    rounds = pl.concat(
        [
            _rounds(item, where, name, drafter)
            for name, (where, _, item) in zip(names, requests, strict=True)
        ]
    )
    return Imported(rounds, counted(rounds))


def _rounds(item: dict[str, Any], where: str, request: str, drafter: str) -> pl.DataFrame:
    accepted, drafted = (counts_of(item, name, where) for name in _BY_STEP)
    if len(accepted) != len(drafted):
        raise HedgespecError(
            f'{where}: fields "{_BY_STEP[0]}" and "{_BY_STEP[1]}" have '
            f"{len(accepted)} and {len(drafted)} entries"
        )
    for step, (taken, made) in enumerate(zip(accepted, drafted, strict=True)):
        if taken > made:
            raise HedgespecError(
                f'{where}: field "{_BY_STEP[0]}"[{step}]: {taken} accepted of {made} drafted'
            )
    for name, values in (("num_accepted_draft_tokens", accepted), ("num_draft_tokens", drafted)):
        if name in item and count_of(item, name, where) != sum(values):
            raise HedgespecError(
                f'{where}: field "{name}" is {item[name]}, its steps add up to {sum(values)}'
            )
    steps = len(accepted)
    return pl.DataFrame(
        {
            "request": [request] * steps,
            "round": range(steps),
            "drafter": _listed(item, _CHOSEN, where, steps, str) or [drafter] * steps,
            "drafted": drafted,
            "accepted": accepted,
            "propensity": _propensities(item, where, steps),
        },
        schema=ROUNDS,
    )


def _propensities(item: dict[str, Any], where: str, steps: int) -> list[float | None]:
    found = _listed(item, _PROPENSITY, where, steps, float)
    if not found:
        return [None] * steps
    for step, value in enumerate(found):
        if not 0 < value <= 1:
            raise HedgespecError(
                f'{where}: field "{_PROPENSITY}"[{step}] is {value}, not a probability above 0'
            )
    return list(found)


def _listed(item: dict[str, Any], name: str, where: str, steps: int, kind: type) -> list[Any]:
    value = item.get(name)
    if value is None:
        return []
    if (
        not isinstance(value, list)
        or len(value) != steps
        or not all(isinstance(one, kind) or (kind is float and type(one) is int) for one in value)
    ):
        raise HedgespecError(
            f'{where}: field "{name}" is not one {kind.__name__} for each of {steps} steps'
        )
    return value


def _counts(item: dict[str, Any], where: str, drafter: str) -> dict[str, Any]:
    found = {
        name: count_of(item, field, where)
        for name, field in (
            ("rounds", "num_spec_steps"),
            ("drafted", "num_draft_tokens"),
            ("accepted", "num_accepted_draft_tokens"),
        )
    }
    if found["accepted"] > found["drafted"]:
        raise HedgespecError(f"{where}: {found['accepted']} accepted of {found['drafted']} drafted")
    histogram = _histogram(item, where)
    summed = {
        "rounds": sum(histogram.values()),
        "accepted": sum(depth * steps for depth, steps in histogram.items()),
    }
    for name, value in summed.items() if histogram else ():
        if value != found[name]:
            raise HedgespecError(
                f'{where}: field "acceptance_histogram" adds up to {value} '
                f"{name}, the request has {found[name]}"
            )
    return {"drafter": drafter, **found, "histogram": histogram}


def _histogram(item: dict[str, Any], where: str) -> dict[int, int]:
    """Steps by accepted tokens: a list by number, or an object."""
    value = item.get("acceptance_histogram")
    if isinstance(value, dict):
        if not all(key.isdecimal() for key in value):
            raise HedgespecError(f'{where}: field "acceptance_histogram" is not by counts')
        return {
            int(key): count_of(value, key, f'{where}: field "acceptance_histogram"')
            for key in value
        }
    if value is None:
        return {}
    return dict(enumerate(counts_of(item, "acceptance_histogram", where)))


def _summed(counts: list[dict[str, Any]]) -> pl.DataFrame:
    histogram: dict[int, int] = {}
    for one in counts:
        for accepted, steps in one["histogram"].items():
            histogram[accepted] = histogram.get(accepted, 0) + steps
    steps = sum(histogram.values())
    rates = (
        [
            sum(count for accepted, count in histogram.items() if accepted >= depth) / steps
            for depth in range(1, max(histogram, default=0) + 1)
        ]
        if steps
        else []
    )
    return pl.DataFrame(
        [
            {
                "drafter": counts[0]["drafter"],
                **{
                    name: sum(one[name] for one in counts)
                    for name in ("rounds", "drafted", "accepted")
                },
                "accepted_at": rates,
            }
        ],
        schema=COUNTS,
    )
