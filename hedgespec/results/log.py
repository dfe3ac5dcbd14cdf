"""The log of a live run: names of its files, its tables, and what run.json says.

FOLDER/trace is a trace of what was decoded, FOLDER/rounds.parquet has a row per round and
FOLDER/losses.parquet one per loss that was learned (`results.schema.LIVE_ROUNDS`, `LIVE_LOSSES`),
FOLDER/run.json says what made them.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict, cast

import numpy as np
import polars as pl

from hedgespec.errors import HedgespecError, arg
from hedgespec.files import read_json, read_parquet, write_table, write_text
from hedgespec.results.schema import LIVE_LOSSES, LIVE_ROUNDS
from hedgespec.results.store import RUN_FILE

TRACE = "trace"
_LOSSES = LIVE_LOSSES.types["losses"]


class LiveRun(TypedDict, total=False):
    """The keys of run.json.

    `arm_lengths` are the draft lengths that were chosen between, of which `draft_length` is the
    greatest; none where every drafter drafted that. `feedback` and `loss` are those in force, None
    of selectors that do not learn from the losses of all drafters; in logs of early versions None
    is also the default. `round_seconds` are those of each arm that losses in seconds took, if any.
    `seconds` are those of each part of all rounds. `tables` are the sha256 of the files beside it.
    `arm_lengths`, `rule`, `round_seconds` and `tables` lack in logs of early versions.
    """

    command: list[str]
    created: str
    selector: str
    seed: int
    draft_length: int
    arm_lengths: list[int]
    rule: str
    feedback: str | None
    loss: str | None
    rounds: int
    tokens: int
    mat: float
    seconds: dict[str, float]
    dropped_drafters: dict[str, str]
    versions: dict[str, str]
    tables: dict[str, str]
    round_seconds: list[float] | None


# What a replay needs of it, and its types.
_NEEDED: dict[str, tuple[type, ...]] = {
    "selector": (str,),
    "seed": (int,),
    "draft_length": (int,),
    "feedback": (str, type(None)),
    "loss": (str, type(None)),
}


@dataclass(frozen=True)
class LoggedRun:
    """What made a log, its rounds in order, and the losses that were learned, in that order; None
    in logs of early versions."""

    run: LiveRun
    rounds: pl.DataFrame
    losses: pl.DataFrame | None


def learned_losses(learned: Mapping[int, tuple[np.ndarray, np.ndarray]]) -> pl.DataFrame:
    """The table LIVE_LOSSES of positions (M) and losses (M, N) of each query."""
    parts = [
        LIVE_LOSSES.made(
            {
                "query": np.full(len(positions), query),
                "position": positions,
                "losses": pl.Series(losses.tolist(), dtype=_LOSSES),
            }
        )
        for query, (positions, losses) in learned.items()
    ]
    empty = pl.DataFrame(schema=LIVE_LOSSES.types)
    return pl.concat([empty, *parts])


def write_log(folder: Path, run: LiveRun, rounds: pl.DataFrame, losses: pl.DataFrame) -> None:
    """Write what made a log, and its tables, each file whole or not at all; run.json last."""
    tables = {
        table.file: write_table(folder / table.file, rows)
        for table, rows in ((LIVE_ROUNDS, rounds), (LIVE_LOSSES, losses))
    }
    write_text(folder / RUN_FILE, json.dumps({**run, "tables": tables}, indent=1) + "\n")


def read_log(folder: Path) -> LoggedRun:
    """Read a log. Raises HedgespecError if there is none, or its files are not those written."""
    path = folder / RUN_FILE
    if not path.is_file():
        raise HedgespecError(
            f"{folder}: no log of a live run; `hedgespec live` writes one to its {arg('out')}"
        )
    run = _checked(read_json(path), path)
    hashes = run.get("tables", {})
    rounds, losses = (
        read_parquet(file, sha256=hashes.get(file.name), where=RUN_FILE) if file.is_file() else None
        for file in (folder / LIVE_ROUNDS.file, folder / LIVE_LOSSES.file)
    )
    if rounds is None or (losses is None and LIVE_LOSSES.file in hashes):
        raise HedgespecError(
            f"{folder}: a table is missing; a log holds {LIVE_ROUNDS.file} and {LIVE_LOSSES.file}"
        )
    return LoggedRun(run, rounds.sort(LIVE_ROUNDS.keys), losses)


def _checked(found: Any, path: Path) -> LiveRun:
    """run.json, if it has what a replay needs. Raises HedgespecError naming the first field."""
    if not isinstance(found, dict):
        raise HedgespecError(f"{path}: not a run.json of `hedgespec live`")
    for name, kinds in _NEEDED.items():
        value = found.get(name, ...)
        if not isinstance(value, kinds) or isinstance(value, bool):
            raise HedgespecError(
                f'{path}: field "{name}" is missing or of the wrong type: '
                "not a run.json of `hedgespec live`"
            )
    tables = found.get("tables", {})
    if not isinstance(tables, dict) or not all(isinstance(one, str) for one in tables.values()):
        raise HedgespecError(f'{path}: field "tables" is not hashes by file')
    seconds = found.get("round_seconds")
    if seconds is not None and not (
        isinstance(seconds, list)
        and seconds
        and all(isinstance(one, int | float) and 0 < one < float("inf") for one in seconds)
    ):
        raise HedgespecError(f'{path}: field "round_seconds" is not seconds of each arm')
    lengths = found.get("arm_lengths", [])
    if not (
        isinstance(lengths, list)
        and all(isinstance(one, int) and not isinstance(one, bool) for one in lengths)
    ):
        raise HedgespecError(f'{path}: field "arm_lengths" is not a list of draft lengths')
    return cast(LiveRun, found)
