"""Results in memory, and the folder they are written to and read from."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

import polars as pl

from hedgespec.errors import HedgespecError, arg
from hedgespec.files import read_parquet, write_text, write_with
from hedgespec.results.overview import overview
from hedgespec.results.schema import TABLES, Table

if TYPE_CHECKING:
    import pandas

RUN_FILE = "run.json"


class CostBasis(TypedDict):
    """Whose costs the seconds of a trace are estimated from."""

    device: str
    dtype: str
    evaluation: str


class TraceSource(TypedDict, total=False):
    """A trace that was replayed; `costs` None: it has none."""

    name: str
    folder: str
    manifest_sha256: str
    costs: CostBasis | None


class Provenance(TypedDict, total=False):
    """What made the results: the keys of run.json."""

    complete: bool
    command: list[str]
    created: str
    traces: list[TraceSource]
    settings: list[dict[str, Any]]
    versions: dict[str, str]
    grid: dict[str, Any]


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

    def save(self, folder: Path | str) -> None:
        """Write the tables and run.json, as `hedgespec sim --out FOLDER` does."""
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
        summary, per_query, curves, answer = (
            pl.concat([getattr(part, table.name) for part in parts] or [table.empty()],
                      how="diagonal") for table in TABLES)
        return cls(summary, per_query, curves, answer)


def save_results(folder: Path, results: Results) -> None:
    """Write the four tables and run.json to `folder`, each file whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    for table, rows in results.tables():
        write_with(folder / table.file, rows.write_parquet)
    write_text(folder / RUN_FILE, json.dumps(results.provenance, indent=1) + "\n")


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
        raise HedgespecError(f"{path}: no such results; make them with `hedgespec sim` and "
                             f"its {arg('out')}")
    rows = read_parquet(path)
    if lacking := table.lacking(rows):
        raise HedgespecError(f"{path}: lacks the columns {', '.join(lacking)}; make the results "
                             "anew with this version's `hedgespec sim`")
    return table.shaped(rows)


def read_provenance(folder: Path) -> Provenance:
    """What made the results in a folder. Raises HedgespecError if it is not said."""
    path = folder / RUN_FILE
    if not path.is_file():
        raise HedgespecError(f"{path}: missing; name a folder that `hedgespec sim` has made, its "
                             f"{arg('out')}")
    try:
        found: Provenance = json.loads(path.read_text(encoding="utf-8"))
        for trace in found["traces"]:
            trace["name"], trace["manifest_sha256"]
        found["command"], found["created"], found["versions"], found["complete"]
    except (ValueError, TypeError, KeyError) as fault:
        raise HedgespecError(f"{path}: not a run.json of `hedgespec sim` ({fault!r})") from fault
    return found
