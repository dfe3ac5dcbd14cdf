"""Saves the figures of a report while further ones are computed: drawing is what takes time."""

import os
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import ExitStack
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from types import TracebackType

from matplotlib.figure import Figure

from hedgespec.analysis.figures.paper import Paper, plot, styled
from hedgespec.analysis.figures.style import Drawing
from hedgespec.analysis.html import anchor, csv
from hedgespec.files import write_text, write_with

WORTH_IT = 6  # figures; a further process takes a second to start
_LASTING = ExitStack()


class FigureSaver:
    """Writes figures, and their numbers as CSV, into a folder; on the other cores if they are many."""

    def __init__(self, folder: Path, paper: Paper, processes: int | None = None):
        """`processes` in all, this one among them; None is one on each core."""
        self._folder, self._paper = folder, paper
        self._others = (processes or os.cpu_count() or 1) - 1
        self._waiting: list[Drawing] = []
        self._begun: list[tuple[Drawing, Future[None]]] = []
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> "FigureSaver":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self._finish()
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def save(self, drawing: Drawing) -> None:
        """Write its numbers, and its pictures now or soon."""
        write_text(self._folder / f"{anchor(drawing.name)}.csv", csv(drawing.data))
        if not self._paper.formats:
            return
        self._waiting.append(drawing)
        if self._others and self._pool is None and len(self._waiting) >= WORTH_IT:
            # New processes, not forks of this one, whose threads may hold locks.
            self._pool = ProcessPoolExecutor(
                self._others, get_context("spawn"), _dress, (self._paper,)
            )
        if self._pool is not None:
            self._begun += [
                (one, self._pool.submit(_save, one, self._folder, self._paper))
                for one in self._waiting
            ]
            self._waiting = []

    def _finish(self) -> None:
        """Write what no other process has begun, the last first, and wait for the others."""
        for drawing, future in reversed(self._begun):
            if future.cancel():
                self._waiting.append(drawing)
        with styled(self._paper):
            for drawing in self._waiting:
                _save(drawing, self._folder, self._paper)
        for _, future in self._begun:
            if not future.cancelled():
                future.result()


def _dress(paper: Paper) -> None:
    """Begin a process that only draws: the style lasts as long as it does."""
    _LASTING.enter_context(styled(paper))


def _save(drawing: Drawing, folder: Path, paper: Paper) -> None:
    """Where the style's settings are in force: setting them takes as long as drawing a panel."""
    figure = plot(drawing, paper.width)
    for kind in paper.formats:
        write_with(folder / f"{anchor(drawing.name)}.{kind}", partial(_write, figure, kind))


def _write(figure: Figure, kind: str, path: Path) -> None:
    """Without dates and versions, so that the same numbers make the same file."""
    stamps = {
        "pdf": {"CreationDate": None},
        "svg": {"Date": None, "Creator": None},
        "png": {"Software": None},
    }
    figure.savefig(path, format=kind, facecolor="white", metadata=stamps[kind])
