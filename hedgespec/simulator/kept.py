"""Finished jobs of a sweep on disk, so that an interrupted one goes on where it was."""

import hashlib
import json
from collections.abc import Sequence
from functools import cache, cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hedgespec import results, rules, selectors
from hedgespec.bundled import trace_folder
from hedgespec.errors import HedgespecError
from hedgespec.files import (
    make_folder,
    read_json,
    read_parquet,
    remove_leftovers,
    sha256_file,
    write_table,
    write_text,
)
from hedgespec.results.schema import TABLES, Table
from hedgespec.results.store import RUN_FILE, Provenance, Results
from hedgespec.selectors import ConfiguredSelector
from hedgespec.selectors.feedback import Feedback
from hedgespec.selectors.learning import Loss
from hedgespec.simulator.choosers import Chooser
from hedgespec.simulator.found import Found
from hedgespec.simulator.runs import Job
from hedgespec.traces.schema import MANIFEST
from hedgespec.version import __version__


class KeptResults:
    """Result tables by what made them; keeps nothing if `folder` is None.

    `run` is said in the folder, which may be left before there are results.
    """

    def __init__(self, folder: Path | None, run: Provenance | None = None):
        self._folder = folder
        self._run = run
        self._used: set[str] = set()
        self._damaged: set[str] = set()
        self._read: dict[str, dict[str, Results]] = {}
        self._passing: TemporaryDirectory[str] | None = None

    def key(self, identity: Sequence[object], job: Job) -> str:
        """Hash of a job, of the trace and settings it belongs to, and of the code that runs it."""
        parts = (job.feedback or Feedback(), job.loss or Loss())
        text = json.dumps(
            [
                *identity,
                job.chooser.label,
                [part.label for part in parts],
                job.feedback is None,
                job.loss is None,
                job.exact,
                job.seeds,
                _made_with(job.chooser),
                __version__,
                _sources(),
            ],
            sort_keys=True,
        )
        return hashlib.sha256(text.encode()).hexdigest()[:20]

    def load(self, key: str) -> Results | None:
        """The tables of a job, None if they are not there whole: they are then made anew."""
        if key not in self._index:
            return None
        stem = self._index[key]
        if stem not in self._read:
            self._read = {stem: self._batch(stem)}  # jobs are asked for as they were kept
        found = self._read[stem].get(key)
        if found is not None:
            self._used.add(stem)
        return found

    def save(self, made: Sequence[tuple[str, Job, Results]]) -> None:
        """Keep tables of jobs, by their keys, in one file for each table; their hashes, written
        last, make them count.

        A selector that stands in no file has no code to tell it by: its tables are not kept.
        """
        lasting = {key: one for key, job, one in made if _made_with(job.chooser)}
        if self._folder is None or not lasting:
            return
        make_folder(self._folder)
        if self._run is not None:
            write_text(self._folder / RUN_FILE, json.dumps(self._run, indent=1) + "\n")
            self._run = None
        stem = next(iter(lasting))
        hashes = {
            table.name: write_table(self._path(stem, table), frame)
            for table, frame in Results.joined([*lasting.values()]).tables()
        }
        rows = {key: [len(frame) for _, frame in one.tables()] for key, one in lasting.items()}
        write_text(self._said(stem), json.dumps({"tables": hashes, "rows": rows}) + "\n")
        self._used.add(stem)
        for damaged in self._damaged - {stem}:  # or they would be asked for these jobs again
            self._said(damaged).unlink(missing_ok=True)

    @cached_property
    def _index(self) -> dict[str, str]:
        """What the files are called that hold a job's tables, by its key."""
        paths = [] if self._folder is None else sorted(self._folder.glob("*.json"))
        return {key: path.stem for path in paths for key in _keys(path)}

    def _batch(self, stem: str) -> dict[str, Results]:
        """The tables of the jobs that were kept together; nothing if a file is another one."""
        path = self._said(stem)
        try:
            said = read_json(path)
            hashes, rows = said["tables"], _rows(said)
            whole = Results.of(
                [
                    read_parquet(
                        self._path(stem, table), where=path.name, sha256=str(hashes[table.name])
                    )
                    for table in TABLES
                ]
            )
            found = whole.divided([*rows.values()])
        except (HedgespecError, TypeError, KeyError, ValueError, AttributeError):
            self._damaged.add(stem)
            return {}
        return dict(zip(rows, found, strict=True))

    def parked(self, key: str, job: Job) -> "Parked":
        """Where what the units of a job find is kept until all are done."""
        lasting = self._folder is not None and bool(_made_with(job.chooser))
        if lasting:
            assert self._folder is not None
            make_folder(self._folder)
            self._used.add(key)
            return Parked(self._folder, key)
        self._passing = self._passing or TemporaryDirectory(prefix="hedgespec-")
        return Parked(Path(self._passing.name), key)

    def drop_unused(self) -> None:
        """Remove what this sweep, which is complete, neither made nor took."""
        if self._folder is None or not self._folder.is_dir():
            return
        for path in self._folder.glob("*.*"):
            if path.name.partition(".")[0] not in self._used | {"", Path(RUN_FILE).stem}:
                path.unlink(missing_ok=True)
        remove_leftovers(self._folder)

    def _said(self, stem: str) -> Path:
        assert self._folder is not None
        return self._folder / f"{stem}.json"

    def _path(self, stem: str, table: Table) -> Path:
        assert self._folder is not None
        return self._folder / f"{stem}.{table.file}"


class Parked:
    """What the units of one job found, in files."""

    def __init__(self, folder: Path, key: str):
        self._folder, self._key = folder, key

    def save(self, unit: str, found: Sequence[Found]) -> None:
        """Keep what a unit found under each of its costs; the last of them makes it count."""
        for number, one in reversed(list(enumerate(found))):
            one.save(self._path(unit, number))

    def load(self, unit: str, number: int) -> Found | None:
        """What a unit found under the costs of this number; None if it is not there whole."""
        return Found.load(self._path(unit, number))

    def remove(self) -> None:
        """Remove all of it."""
        for path in self._folder.glob(f"{self._key}.*.npz"):
            path.unlink(missing_ok=True)

    def _path(self, unit: str, number: int) -> Path:
        return self._folder / f"{self._key}.{unit}.{number}.npz"


def _keys(path: Path) -> list[str]:
    """The keys of jobs that a file says it has the tables of; none if it says nothing of them."""
    try:
        return [*_rows(read_json(path))]
    except (HedgespecError, TypeError, KeyError, ValueError, AttributeError):
        return []


def _rows(said: dict[str, Any]) -> dict[str, list[int]]:
    """How many rows of each table belong to each key."""
    return {str(key): [int(count) for count in counts] for key, counts in said["rows"].items()}


def _made_with(chooser: Chooser) -> str:
    """What else than its label shapes a chooser: its code, or what a router was trained on."""
    if isinstance(chooser, ConfiguredSelector):
        return chooser.module
    if chooser.name.trace is None:
        return "reference"
    return sha256_file(trace_folder(chooser.name.trace) / MANIFEST)


@cache
def _sources() -> str:
    """Hash of the code of results, rules, selectors and simulator."""
    rooms = (results.__file__, rules.__file__, selectors.__file__, __file__)
    folders = [Path(str(room)).parent for room in rooms]
    digest = hashlib.sha256()
    for path in sorted(path for folder in folders for path in folder.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()
