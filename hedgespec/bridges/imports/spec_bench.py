"""Spec-Bench's answers: `accept_lengths` of each question's rounds."""

from pathlib import Path

import polars as pl

from hedgespec.bridges.imports.contract import (
    ROUNDS,
    Import,
    Imported,
    counted,
    counts_of,
    told_apart,
)
from hedgespec.bridges.json_lines import json_lines
from hedgespec.errors import HedgespecError


def read(path: Path, drafter: str) -> Imported:
    """Accepted is a round's length less the target's own token; how many were drafted it does not
    say. A round that an answer's end cut counts as it stands."""
    parts = []
    items = list(json_lines(path))
    names = told_apart(
        [str(item.get("question_id", number)) for number, (_, item) in enumerate(items)]
    )
    for name, (where, item) in zip(names, items, strict=True):
        try:
            choice = item["choices"][0]
            lengths = counts_of(choice, "accept_lengths", where)
        except (KeyError, IndexError, TypeError, AttributeError) as error:
            raise HedgespecError(
                f'{where}: field "choices[0].accept_lengths" is missing'
            ) from error
        if min(lengths, default=1) < 1:
            raise HedgespecError(
                f'{where}: field "choices[0].accept_lengths" has a round without a token'
            )
        parts.append(
            pl.DataFrame(
                {
                    "request": [name] * len(lengths),
                    "round": range(len(lengths)),
                    "drafter": [str(item.get("model_id") or drafter)] * len(lengths),
                    "drafted": [None] * len(lengths),
                    "accepted": [length - 1 for length in lengths],
                    "propensity": [None] * len(lengths),
                },
                schema=ROUNDS,
            )
        )
    rounds = pl.concat(parts) if parts else pl.DataFrame(schema=ROUNDS)
    if rounds.is_empty():
        raise HedgespecError(f"{path}: holds no round")
    return Imported(rounds, counted(rounds))


IMPORT = Import("spec-bench", "answers of Spec-Bench, with accept_lengths", read)
