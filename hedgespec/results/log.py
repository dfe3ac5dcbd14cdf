"""The log of a live run: names of its files, its rounds' table, and what run.json says.

FOLDER/trace is a trace of what was decoded, FOLDER/rounds.parquet has a row per round (see
`results.schema.LIVE_ROUNDS`), FOLDER/run.json says what made them.
"""

import json
from pathlib import Path
from typing import TypedDict

import polars as pl

from hedgespec.errors import HedgespecError
from hedgespec.files import read_parquet, write_text, write_with
from hedgespec.results.schema import LIVE_ROUNDS
from hedgespec.results.store import RUN_FILE

TRACE = "trace"


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


def write_log(folder: Path, run: LiveRun, rounds: pl.DataFrame) -> None:
    """Write what made a log, and its rounds, each file whole or not at all."""
    write_with(folder / LIVE_ROUNDS.file, rounds.write_parquet)
    write_text(folder / RUN_FILE, json.dumps(run, indent=1) + "\n")


def read_log(folder: Path) -> tuple[LiveRun, pl.DataFrame]:
    """What made a log, and its rounds in order. Raises HedgespecError if there is no log."""
    path = folder / RUN_FILE
    if not path.is_file():
        raise HedgespecError(f"{folder}: no log of a live run (hedgespec live --out)")
    run: LiveRun = json.loads(path.read_text(encoding="utf-8"))
    return run, read_parquet(folder / LIVE_ROUNDS.file).sort(LIVE_ROUNDS.keys)
