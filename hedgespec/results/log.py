"""The log of a live run: names of its files, its tables, and what run.json says.

FOLDER/trace is a trace of what was decoded, FOLDER/rounds.parquet has a row per round and
FOLDER/losses.parquet one per loss that was learned (`results.schema.LIVE_ROUNDS`, `LIVE_LOSSES`),
FOLDER/run.json says what made them.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import numpy as np
import polars as pl

from hedgespec.errors import HedgespecError, arg
from hedgespec.files import read_parquet, write_text, write_with
from hedgespec.results.schema import LIVE_LOSSES, LIVE_ROUNDS
from hedgespec.results.store import RUN_FILE

TRACE = "trace"
_LOSSES = LIVE_LOSSES.types["losses"]


class LiveRun(TypedDict, total=False):
    """The keys of run.json; `feedback` and `loss` None are the selector's defaults.

    `seconds` are those of each part of all rounds. `rule` lacks in logs of early versions.
    """

    command: list[str]
    created: str
    selector: str
    seed: int
    draft_length: int
    rule: str
    feedback: str | None
    loss: str | None
    rounds: int
    tokens: int
    mat: float
    seconds: dict[str, float]
    dropped_drafters: dict[str, str]
    versions: dict[str, str]


@dataclass(frozen=True)
class LoggedRun:
    """What made a log, its rounds in order, and the losses that were learned, in that order; None
    in logs of early versions."""

    run: LiveRun
    rounds: pl.DataFrame
    losses: pl.DataFrame | None


def learned_losses(learned: Mapping[int, tuple[np.ndarray, np.ndarray]]) -> pl.DataFrame:
    """The table LIVE_LOSSES of positions (M) and losses (M, N) of each query."""
    parts = [LIVE_LOSSES.made({"query": np.full(len(positions), query), "position": positions,
                               "losses": pl.Series(losses.tolist(), dtype=_LOSSES)})
             for query, (positions, losses) in learned.items()]
    empty = pl.DataFrame(schema=LIVE_LOSSES.types)
    return pl.concat([empty, *parts])


def write_log(folder: Path, run: LiveRun, rounds: pl.DataFrame, losses: pl.DataFrame) -> None:
    """Write what made a log, and its tables, each file whole or not at all."""
    write_with(folder / LIVE_ROUNDS.file, rounds.write_parquet)
    write_with(folder / LIVE_LOSSES.file, losses.write_parquet)
    write_text(folder / RUN_FILE, json.dumps(run, indent=1) + "\n")


def read_log(folder: Path) -> LoggedRun:
    """Read a log. Raises HedgespecError if there is none."""
    path = folder / RUN_FILE
    if not path.is_file():
        raise HedgespecError(f"{folder}: no log of a live run; `hedgespec live` writes one to its "
                             f"{arg('out')}")
    run: LiveRun = json.loads(path.read_text(encoding="utf-8"))
    losses = folder / LIVE_LOSSES.file
    return LoggedRun(run, read_parquet(folder / LIVE_ROUNDS.file).sort(LIVE_ROUNDS.keys),
                     read_parquet(losses) if losses.is_file() else None)
