"""What a job found in a piece of a trace, and the tables that all its pieces make.

All that is counted is counted by query, so that the pieces of a trace, put together, are the whole
trace, bit for bit.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import polars as pl

from hedgespec.files import write_with
from hedgespec.results.keys import RunKey
from hedgespec.results.schema import CURVES, PER_QUERY, QUERY_NAMES, SEED, SUMMARY
from hedgespec.results.store import Results
from hedgespec.simulator.curves import curve_columns
from hedgespec.simulator.measures import acceptance_of

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Counted:
    """One run of a job on some queries.

    `columns` are those of the table PER_QUERY that it fills, a row per query; `sums` (Q, ...) what
    the summary needs besides; `seconds` is the kernel's wall-clock time.
    """

    seed: int | None
    columns: pl.DataFrame
    sums: Arrays
    seconds: float

    def told(self, rounds: Mapping[str, pl.Series]) -> "Counted":
        """The same with the columns of PER_QUERY that say its rounds one by one."""
        return replace(self, columns=self.columns.with_columns(**rounds))


@dataclass(frozen=True)
class Found:
    """What the runs of a job found in the queries `numbers` (Q) of a trace under some costs.

    `curves` (4, Q, G) are sums over the runs. `answer` is the table of the answer that is shown if
    no other piece has one in which changing the drafter would help more than by `gain`. `said` are
    the columns of the summary that are the same in every piece.
    """

    key: RunKey
    numbers: np.ndarray
    runs: list[Counted]
    curves: np.ndarray
    answer: pl.DataFrame
    gain: float
    said: dict[str, bool]

    def save(self, path: Path) -> None:
        """Write all of it to one file."""
        told = {
            "key": asdict(self.key),
            "gain": self.gain,
            "said": self.said,
            "runs": [[run.seed, run.seconds] for run in self.runs],
        }
        arrays = {
            "numbers": self.numbers,
            "curves": self.curves,
            "answer": _bytes(self.answer),
            "told": np.frombuffer(json.dumps(told).encode(), dtype=np.uint8),
        }
        for number, run in enumerate(self.runs):
            arrays[f"columns {number}"] = _bytes(run.columns)
            arrays |= {f"sums {number} {name}": values for name, values in run.sums.items()}

        def write(temporary: Path) -> None:
            with open(temporary, "wb") as file:
                np.savez(file, **arrays)  # type: ignore[arg-type]

        write_with(path, write)

    @classmethod
    def load(cls, path: Path) -> "Found | None":
        """What `save` wrote; None if it is not there whole."""
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = dict(file)
        except (OSError, ValueError, EOFError, BadZipFile):
            return None
        told = json.loads(arrays["told"].tobytes())
        runs = []
        for number, (seed, seconds) in enumerate(told["runs"]):
            head = f"sums {number} "
            sums = {
                label.removeprefix(head): values
                for label, values in arrays.items()
                if label.startswith(head)
            }
            runs.append(Counted(seed, _table(arrays[f"columns {number}"]), sums, seconds))
        return cls(
            RunKey(**told["key"]),
            arrays["numbers"],
            runs,
            arrays["curves"],
            _table(arrays["answer"]),
            told["gain"],
            told["said"],
        )


def _bytes(table: pl.DataFrame) -> np.ndarray:
    content = BytesIO()
    table.write_parquet(content)
    return np.frombuffer(content.getbuffer(), dtype=np.uint8)


def _table(content: np.ndarray) -> pl.DataFrame:
    return pl.read_parquet(BytesIO(content.tobytes()))


def together(pieces: Sequence[Found]) -> Found:
    """What the same runs found in the pieces of a trace, by query."""
    order = np.argsort(np.concatenate([piece.numbers for piece in pieces]))

    def whole(parts: list[np.ndarray], axis: int = 0) -> np.ndarray:
        return np.take(np.concatenate(parts, axis), order, axis)

    runs = []
    for parts in zip(*(piece.runs for piece in pieces), strict=True):
        columns = pl.concat([part.columns for part in parts])[order]
        sums = {name: whole([part.sums[name] for part in parts]) for name in parts[0].sums}
        runs.append(Counted(parts[0].seed, columns, sums, sum(part.seconds for part in parts)))
    shown = max(pieces, key=lambda piece: piece.gain)
    return replace(
        shown,
        numbers=whole([piece.numbers for piece in pieces]),
        runs=runs,
        curves=whole([piece.curves for piece in pieces], 1),
    )


def in_turn(blocks: Sequence[Found]) -> Found:
    """What one block of runs after the other found in the same queries."""
    curves = blocks[0].curves
    for block in blocks[1:]:
        curves = curves + block.curves
    return replace(blocks[0], curves=curves, runs=[run for block in blocks for run in block.runs])


def tables(queries: pl.DataFrame, jobs: Sequence[Sequence[Found]]) -> list[Results]:
    """The tables of each job, by what it found under each of its costs in all `queries` of a trace.

    They are made together, which takes far less time than one by one.
    """
    several = [found for job in jobs for found in job]
    names = queries.select(QUERY_NAMES).to_dict()
    runs = [(found, run) for found in several for run in found.runs]
    whole = Results(
        SUMMARY.stacked([_summary(found, run) for found, run in runs]),
        PER_QUERY.stacked([_per_query(found, run, names) for found, run in runs]),
        CURVES.stacked(
            [curve_columns(found.key, queries, found.curves / len(found.runs)) for found in several]
        ),
        pl.concat([found.answer for found in several], how="diagonal"),
    )
    points = len(whole.curves) // len(several)
    return whole.divided(
        [
            [
                sum(len(found.runs) for found in job),
                sum(len(found.runs) for found in job) * len(queries),
                points * len(job),
                sum(len(found.answer) for found in job),
            ]
            for job in jobs
        ]
    )


def _per_query(found: Found, run: Counted, names: Mapping[str, pl.Series]) -> dict[str, Any]:
    """The columns of the rows of each query of one run."""
    untold = {column.name: None for column in PER_QUERY.columns if column.partly}
    return {**_keys(found, run), **names, **untold, **run.columns.to_dict()}


def _keys(found: Found, run: Counted) -> dict[str, Any]:
    return {**asdict(found.key), SEED.name: run.seed}


def _summary(found: Found, run: Counted) -> dict[str, Any]:
    """The summary row of one run."""
    columns, sums = run.columns, run.sums
    tokens, rounds = columns["tokens"].to_numpy(), columns["rounds"].to_numpy()
    total = tokens.sum()
    return {
        **_keys(found, run),
        "queries": len(tokens),
        "tokens": total,
        "rounds": rounds.sum(),
        "evaluations": columns["evaluations"].to_numpy().sum(),
        "rounds_sd": np.sqrt(sums["variance"].sum()) if "variance" in sums else None,
        "mat": total / rounds.sum(),
        "mat_per_query": np.mean(tokens / rounds),
        "regret_rounds": rounds.sum() - sums["fewest"].sum(),
        "tokens_per_second": _per_second(total, columns["seconds"].to_numpy()),
        "rounds_per_second": rounds.sum() / run.seconds,
        "evaluated_drafters": columns["evaluated_drafters"].to_numpy().sum(),
        **_acceptance(sums),
        **_of_losses(sums, found.key.draft_length),
        **{
            f"tokens_per_second_{end}": _per_second(total, sums.get(end)) for end in ("low", "high")
        },
        **found.said,
    }


def _per_second(tokens: int, seconds: np.ndarray | None) -> float | None:
    """None without costs."""
    return None if seconds is None or np.isnan(seconds).any() else tokens / seconds.sum()


def _acceptance(sums: Arrays) -> dict[str, object]:
    """Of a fixed drafter's drafts, nothing of others."""
    if "drafts" not in sums:
        return dict.fromkeys(("acceptance_rate", "accepted_at", "accepted_given"))
    found = acceptance_of(*(sums[name] for name in ("drafts", "drafted", "reached", "accepted")))
    return {
        "acceptance_rate": found.rate,
        "accepted_at": _known(found.at),
        "accepted_given": _known(found.given),
    }


def _known(values: np.ndarray) -> list[float | None]:
    return [None if np.isnan(value) else float(value) for value in values]


def _of_losses(sums: Arrays, draft_length: int) -> dict[str, float | None]:
    """What losses say of a fixed drafter on average, beside what comes of it: the tokens of a round
    that loss `length` compares, and the seconds of a token, loss `seconds`.

    None where no answer is longer than the draft length.
    """
    count = sums["positions"].sum() if "positions" in sums else 0.0
    length, seconds = (
        sums[name].sum() / count if name in sums and count else None
        for name in ("length_losses", "seconds_losses")
    )
    return {
        "eal": None if length is None else (1 - length) * (draft_length + 1),
        "seconds_per_token": seconds,
    }
