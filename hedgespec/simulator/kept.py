"""Finished jobs of a sweep on disk, so that an interrupted one goes on where it was."""

import hashlib
import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

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
        self._passing: TemporaryDirectory[str] | None = None

    def key(self, identity: Sequence[object], job: Job) -> str:
        """Hash of a job, of the trace and settings it belongs to, and of the code that runs it."""
        parts = (job.feedback or Feedback(), job.loss or Loss())
        text = json.dumps([*identity, job.chooser.label, [part.label for part in parts],
                           job.feedback is None, job.loss is None, job.exact, job.seeds,
                           _made_with(job.chooser), __version__, _sources()],
                          sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:20]

    def load(self, key: str) -> Results | None:
        """The tables of a job, None if they are not there whole: they are then made anew."""
        if self._folder is None or not self._hashes(key).is_file():
            return None
        try:
            hashes = read_json(self._hashes(key))
            summary, per_query, curves, answer = (
                read_parquet(self._path(key, table), sha256=str(hashes[table.name]),
                             where=self._hashes(key).name) for table in TABLES)
        except (HedgespecError, TypeError, KeyError):
            return None
        self._used.add(key)
        return Results(summary, per_query, curves, answer)

    def save(self, key: str, job: Job, found: Results) -> None:
        """Keep a job's tables; their hashes, written last, make them count.

        A selector that stands in no file has no code to tell it by: its tables are not kept.
        """
        if self._folder is None or not _made_with(job.chooser):
            return
        make_folder(self._folder)
        if self._run is not None:
            write_text(self._folder / RUN_FILE, json.dumps(self._run, indent=1) + "\n")
            self._run = None
        hashes = {table.name: write_table(self._path(key, table), rows)
                  for table, rows in found.tables()}
        write_text(self._hashes(key), json.dumps(hashes) + "\n")
        self._used.add(key)

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

    def _hashes(self, key: str) -> Path:
        assert self._folder is not None
        return self._folder / f"{key}.json"

    def _path(self, key: str, table: Table) -> Path:
        assert self._folder is not None
        return self._folder / f"{key}.{table.file}"


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
