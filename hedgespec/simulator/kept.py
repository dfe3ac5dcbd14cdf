"""Finished jobs of a sweep on disk, so that an interrupted one goes on where it was."""

import hashlib
import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from hedgespec import results, rules, selectors
from hedgespec.bundled import trace_folder
from hedgespec.files import read_parquet, sha256_file, write_with
from hedgespec.results.schema import TABLES, Table
from hedgespec.results.store import Results
from hedgespec.selectors import ConfiguredSelector
from hedgespec.selectors.feedback import Feedback
from hedgespec.selectors.learning import Loss
from hedgespec.simulator.choosers import Chooser
from hedgespec.simulator.runs import Job
from hedgespec.traces.schema import MANIFEST
from hedgespec.version import __version__


class KeptResults:
    """Result tables by what made them; keeps nothing if `folder` is None."""

    def __init__(self, folder: Path | None):
        self._folder = folder

    def key(self, identity: Sequence[object], job: Job) -> str:
        """Hash of a job, of the trace and settings it belongs to, and of the code that runs it."""
        parts = (job.feedback or Feedback(), job.loss or Loss())
        text = json.dumps([*identity, job.chooser.label, [part.label for part in parts],
                           job.feedback is None, job.loss is None, job.exact, job.seeds,
                           _made_with(job.chooser), __version__, _sources()],
                          sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:20]

    def load(self, key: str) -> Results | None:
        """The tables of a job, None if they are not there."""
        if self._folder is None or not self._path(key, TABLES[-1]).is_file():
            return None
        summary, per_query, curves, answer = (read_parquet(self._path(key, table))
                                              for table in TABLES)
        return Results(summary, per_query, curves, answer)

    def save(self, key: str, job: Job, found: Results) -> None:
        """Keep a job's tables; the last of them makes it count.

        A selector that stands in no file has no code to tell it by: its tables are not kept.
        """
        if self._folder is None or not _made_with(job.chooser):
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        for table, rows in found.tables():
            write_with(self._path(key, table), rows.write_parquet)

    def _path(self, key: str, table: Table) -> Path:
        assert self._folder is not None
        return self._folder / f"{key}.{table.file}"


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
