"""Saves the figures of a report while further ones are drawn: text is what both spend time on."""

import os
from concurrent.futures import Future, ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from types import TracebackType

from matplotlib.figure import Figure

from hedgespec.analysis.figures.style import Drawing, styled
from hedgespec.analysis.html import anchor, csv, svg
from hedgespec.files import write_text, write_with

WORTH_IT = 6  # figures; a further process takes a second to start


class FigureSaver:
    """Writes figures as PDF, PNG and CSV into `folder`, on the other cores if there are many."""

    def __init__(self, folder: Path, processes: int | None = None):
        """`processes` in all, this one among them; None is one on each core."""
        self._folder = folder
        self._others = (processes or os.cpu_count() or 1) - 1
        self._jobs: dict[str, tuple[Figure, str, str]] = {}
        self._begun: dict[str, Future[str]] = {}
        self._pictures: dict[str, str] = {}
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> "FigureSaver":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def save(self, drawing: Drawing) -> None:
        """Write the figure now or soon."""
        stem = str(self._folder / anchor(drawing.name))
        write_text(Path(f"{stem}.csv"), csv(drawing.data))
        self._jobs[drawing.name] = drawing.figure, stem, drawing.title
        if self._others and self._pool is None and len(self._jobs) >= WORTH_IT:
            # New processes, not forks of this one, whose threads may hold locks.
            self._pool = ProcessPoolExecutor(self._others, mp_context=get_context("spawn"))
        if self._pool is not None:
            for name, job in self._jobs.items():
                if name not in self._begun:
                    self._begun[name] = self._pool.submit(_save, *job)

    def picture(self, drawing: Drawing) -> str:
        """The figure as SVG for the page, once it and all before it are written."""
        self._finish()
        return self._pictures[drawing.name]

    def _finish(self) -> None:
        """Write what no other process has begun, the last first, and wait for the others."""
        for name in reversed(self._jobs):
            if name not in self._begun or self._begun[name].cancel():
                self._pictures[name] = _save(*self._jobs[name])
        for name in self._jobs.keys() - self._pictures.keys():
            self._pictures[name] = self._begun[name].result()
        self._jobs, self._begun = {}, {}


def _save(figure: Figure, stem: str, title: str) -> str:
    with styled():
        for kind in ("pdf", "png"):
            write_with(Path(f"{stem}.{kind}"), partial(_write, figure, kind))
        return svg(figure, Path(stem).name, title)


def _write(figure: Figure, kind: str, path: Path) -> None:
    """Without dates and versions, so that the same numbers make the same file."""
    stamps = {"CreationDate": None} if kind == "pdf" else {"Software": None}
    figure.savefig(path, format=kind, facecolor="white", metadata=stamps)
