"""Results in memory, and the folder they are written to and read from."""

import json
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, cast

import numpy as np
import polars as pl

from hedgespec.errors import HedgespecError, arg
from hedgespec.files import (
    folder_beside,
    move_up,
    read_json,
    read_parquet,
    remove_leftovers,
    write_table,
    write_text,
)
from hedgespec.results.keys import RunKey
from hedgespec.results.overview import overview
from hedgespec.results.schema import QUERY_NAMES, TABLES, Table

if TYPE_CHECKING:
    import pandas

RUN_FILE = "run.json"
PICTURE = "regret.png"  # of a run that was asked for one
PARTS_FOLDER = "parts"  # of a run that is to go on after an interruption


class CostSource(TypedDict, total=False):
    """Whose costs seconds of a trace are estimated from: `name` and `batch` are those of the rows.

    `evaluation` says how all drafters' evaluation is counted, `drafters` the seconds of each: of a
    draft step, before the first one, and of its evaluation alone on a round's tokens. Those of all
    in one batch are `evaluate_all`, None if not measured; with `reads`, other numbers of tokens
    were measured too. `engine` says how the models ran (empty if unknown); `sha256` is that of the
    file of costs, None of a trace's own.
    """

    name: str
    batch: int
    device: str
    dtype: str
    evaluation: str
    drafters: dict[str, dict[str, Any]]
    evaluate_all: float | None
    reads: bool
    engine: str
    context: int
    sha256: str | None


class TraceSource(TypedDict, total=False):
    """A trace that was replayed, its target, and its costs, none or several."""

    name: str
    folder: str
    manifest_sha256: str
    target: str
    costs: list[CostSource]


class Provenance(TypedDict, total=False):
    """What made the results: the keys of run.json.

    `tables` are the sha256 of the files beside it; in memory there are none.
    """

    complete: bool
    command: list[str]
    created: str
    traces: list[TraceSource]
    settings: list[dict[str, Any]]
    versions: dict[str, str]
    grid: dict[str, Any]
    tables: dict[str, str]


@dataclass
class Results:
    """Result tables of a sweep, with what made them; their columns are those of `results.schema`.

    `first` are the results of the first settings of a sweep alone.
    """

    summary: pl.DataFrame
    per_query: pl.DataFrame
    curves: pl.DataFrame
    answer: pl.DataFrame
    provenance: Provenance = field(default_factory=lambda: Provenance())
    complete: bool = True
    first: "Results | None" = None

    def save(self, folder: Path | str, force: bool = False) -> None:
        """Write the tables and run.json, as `hedgespec sim --out FOLDER` does.

        Raises HedgespecError if the folder holds another run, unless that is to be replaced by
        `force`.
        """
        check_replaceable(Path(folder), self.provenance, force)
        save_results(Path(folder), self)

    def to_pandas(self, table: str = "summary") -> "pandas.DataFrame":
        """One of the tables as a pandas frame. Raises HedgespecError where pandas is missing."""
        try:
            import pandas
        except ImportError as error:
            raise HedgespecError("pandas is not installed: pip install pandas") from error
        frames = {schema.name: frame for schema, frame in self.tables()}
        if table not in frames:
            raise HedgespecError(f"{arg('table', table)}: there are {', '.join(frames)}")
        return pandas.DataFrame(frames[table].to_dict(as_series=False))

    def overview(self) -> pl.DataFrame:
        """Means over seeds of each setting, highest MAT first within a trace; see `overview`."""
        return overview(self.summary)

    def _repr_html_(self) -> str:
        """The overview, where a notebook shows it."""
        return self.overview()._repr_html_()

    def tables(self) -> Iterator[tuple[Table, pl.DataFrame]]:
        """Each table's schema and the table."""
        for table in TABLES:
            yield table, getattr(self, table.name)

    @classmethod
    def joined(cls, parts: "list[Results]") -> "Results":
        """The tables of several parts in one, without what made them."""
        # Traces have their own drafters, hence their own columns of rounds.
        return cls.of(
            [
                pl.concat(
                    [getattr(part, table.name) for part in parts] or [table.empty()], how="diagonal"
                )
                for table in TABLES
            ]
        )

    @classmethod
    def of(cls, frames: Sequence[pl.DataFrame]) -> "Results":
        """The tables, in the order of TABLES, without what made them."""
        summary, per_query, curves, answer = frames
        return cls(summary, per_query, curves, answer)

    def divided(self, sizes: Sequence[Sequence[int]]) -> "list[Results]":
        """The parts that were joined, by the numbers of rows in each one's tables. Raises
        ValueError if these are not those of the tables."""
        rows = [len(frame) for _, frame in self.tables()]
        given = [sum(of_table) for of_table in zip(*sizes, strict=True)]
        if given != rows or min(map(min, sizes)) < 0:
            raise ValueError(f"the parts have {sizes} rows, the tables {rows}")
        begins = np.cumsum([[0] * len(TABLES), *sizes], axis=0).tolist()
        return [
            Results.of(
                [
                    frame.slice(begin, rows)
                    for (_, frame), begin, rows in zip(self.tables(), *part, strict=True)
                ]
            )
            for part in zip(begins[:-1], sizes, strict=True)
        ]


def save_results(
    folder: Path, results: Results, pictures: Mapping[str, Callable[[Path], object]] | None = None
) -> None:
    """Write the four tables, `pictures` and run.json to `folder`, in place of what was there.

    All are written beside and then take their places, run.json last, which has the tables' hashes:
    tables of two runs are never taken for one. `pictures` write a file of their name each; without
    PICTURE among them, that of the run before goes.
    """
    pictures = pictures or {}
    with folder_beside(folder) as beside:
        hashes = {
            table.file: write_table(beside / table.file, rows) for table, rows in results.tables()
        }
        for name, write in pictures.items():
            write(beside / name)
        provenance = {**results.provenance, "tables": hashes}
        write_text(beside / RUN_FILE, json.dumps(provenance, indent=1) + "\n")
        move_up(beside, [*hashes, *pictures, RUN_FILE])
    if PICTURE not in pictures:
        (folder / PICTURE).unlink(missing_ok=True)
    remove_leftovers(folder)


def check_replaceable(folder: Path, now: Provenance, force: bool) -> None:
    """Raise HedgespecError if `folder` holds another run than `now`, unless it is to be replaced.

    The same run is one of the same grid, or of the same settings on traces of the same names.
    """
    if (folder / "manifest.json").exists():
        raise HedgespecError(f"{folder}: holds a trace; choose another {arg('out')}")
    if force:
        return
    instead = f"choose another {arg('out')}, or replace them with {arg('force', True)}"
    for path in (folder / RUN_FILE, folder / PARTS_FOLDER / RUN_FILE):
        if path.exists():
            before = read_json(path)
            if not isinstance(before, dict) or not isinstance(before.get("settings"), list):
                raise HedgespecError(
                    f"{folder}: holds files that are no results of `hedgespec sim`; {instead}"
                )
            if differs := _difference(before, json.loads(json.dumps(now))):
                raise HedgespecError(
                    f"{folder}: holds results of another run: {differs}; {instead}"
                )
            return


def free_folder(folder: Path, now: Provenance, force: bool) -> Path:
    """Where results may go now: `folder`, or if another run has ended there meanwhile the first
    free one of FOLDER-2, FOLDER-3, ..., which a warning names: nobody's results are lost."""
    place, number = folder, 1
    while True:
        try:
            check_replaceable(place, now, force)
        except HedgespecError:
            number += 1
            place = Path(f"{folder}-{number}")  # "." has no name
            continue
        if place != folder:
            warnings.warn(
                f"{folder}: results of another run were written there meanwhile; these "
                f"go to {place}",
                stacklevel=2,
            )
        return place


def _difference(before: dict[str, Any], now: dict[str, Any]) -> str:
    """What sets one run apart from another, in words; empty for the same run."""
    grids = [(run.get("grid") or {}).get("file") for run in (before, now)]
    if grids[0] or grids[1]:
        return "" if grids[0] == grids[1] else _was(arg("grid"), *grids)
    if len(before["settings"]) != len(now["settings"]):
        return _was("the number of runs", len(before["settings"]), len(now["settings"]))
    for one, other in zip(before["settings"], now["settings"], strict=True):
        for name in other.keys() - {"traces", "threads", "memory"}:
            if _given(one.get(name)) != _given(other[name]):
                return _was(arg(name), one.get(name), other[name])
    names = [sorted(trace["name"] for trace in run["traces"]) for run in (before, now)]
    return "" if names[0] == names[1] else _was(arg("traces"), *names)


def _was(name: str, before: object, now: object) -> str:
    return f"{name} was {_given(before)} and is now {_given(now)}"


def _given(value: object) -> str:
    if isinstance(value, list):
        return " ".join(map(str, value)) or "not given"
    return "not given" if value is None else str(value)


def read_results(folder: Path) -> Results:
    """All of a results folder.

    Raises HedgespecError if a table is missing, unreadable or lacks a column, or run.json is not
    that of `hedgespec sim`.
    """
    provenance = read_provenance(folder)
    summary, per_query, curves, answer = (read_table(folder, table.name) for table in TABLES)
    return Results(summary, per_query, curves, answer, provenance, provenance["complete"])


def read_table(folder: Path, name: str) -> pl.DataFrame:
    """One table of a results folder. Raises HedgespecError if it is missing or unreadable."""
    [table] = [table for table in TABLES if table.name == name]
    path = folder / table.file
    if not path.is_file():
        raise HedgespecError(
            f"{path}: no such results; make them with `hedgespec sim` and its {arg('out')}"
        )
    rows = read_parquet(path, sha256=_hash(folder, table.file), where=RUN_FILE)
    rows = table.completed(rows)
    if lacking := table.lacking(rows):
        raise HedgespecError(
            f"{path}: lacks the columns {', '.join(lacking)}; make the results "
            "anew with this version's `hedgespec sim`"
        )
    for column in QUERY_NAMES:
        if column in rows.columns and rows[column].null_count():
            row = int(rows[column].is_null().arg_max() or 0)
            raise HedgespecError(
                f'{path}: row {row}, column "{column}": value is null; make the '
                "results anew with this version's `hedgespec sim`"
            )
    try:
        return table.shaped(rows)
    except pl.exceptions.PolarsError as fault:
        raise HedgespecError(
            f"{path}: {str(fault).splitlines()[0]}; make the results anew with "
            "this version's `hedgespec sim`"
        ) from fault


def _hash(folder: Path, file: str) -> str | None:
    """The sha256 of a table that run.json has; None in results of early versions."""
    path = folder / RUN_FILE
    found = read_json(path) if path.is_file() else {}
    hashes = found.get("tables", {}) if isinstance(found, dict) else {}
    return str(hashes.get(file)) if isinstance(hashes, dict) and hashes else None


def read_provenance(folder: Path) -> Provenance:
    """What made the results in a folder. Raises HedgespecError if it is not said."""
    path = folder / RUN_FILE
    if not path.is_file():
        raise HedgespecError(
            f"{path}: missing; name a folder that `hedgespec sim` has made, its {arg('out')}"
        )
    found = read_json(path)
    try:
        _check_provenance(found)
    except (TypeError, KeyError, AttributeError) as fault:
        raise HedgespecError(f"{path}: not a run.json of `hedgespec sim` ({fault!r})") from fault
    found.pop("tables", None)
    return cast(Provenance, found)


def _check_provenance(found: Any) -> None:
    """Raise TypeError or KeyError where run.json is not what readers take it for."""
    _of(dict, found)
    for trace in _of(list, found["traces"]):
        _of(dict, trace)["costs"] = _cost_sources(trace.get("costs"))
        texts = [trace["name"], trace["manifest_sha256"]]
        for costs in trace["costs"]:
            texts += [_of(dict, costs)[key] for key in ("name", "device", "dtype", "evaluation")]
            _of(int, costs["batch"])
        for text in texts:
            _of(str, text)
    for text in (*_of(list, found["command"]), found["created"]):
        _of(str, text)
    _of(dict, found["versions"])
    _of(bool, found["complete"])


def _cost_sources(found: Any) -> list[Any]:
    """Those of a trace in run.json; before there could be several, one or None stood there."""
    if isinstance(found, dict):
        return [{**found, "name": RunKey.costs, "batch": RunKey.batch}]
    return [] if found is None else list(_of(list, found))


def _of(kind: type, value: Any) -> Any:
    """The value. Raises TypeError if it is of another kind."""
    if not isinstance(value, kind):
        raise TypeError(f"{value!r} is no {kind.__name__}")
    return value
