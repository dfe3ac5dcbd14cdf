"""Saves the figures of a report, on all cores: drawing text is what a report spends its time on."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from matplotlib.figure import Figure

from hedgespec.analysis.figures.style import Drawing, styled
from hedgespec.analysis.html import anchor, csv, svg
from hedgespec.files import write_text, write_with

WORTH_IT = 8  # figures; a further process takes a second to start


def save_figures(drawings: Sequence[Drawing], folder: Path, progress: Callable[[int], None]
                 ) -> list[str]:
    """Write each figure as PDF, PNG and CSV into `folder`; return them as SVG for the page.

    `progress` is told how many are done.
    """
    jobs = [(one.figure, str(folder / anchor(one.name)), one.title) for one in drawings]
    for (_, stem, _), one in zip(jobs, drawings, strict=True):
        write_text(Path(f"{stem}.csv"), csv(one.data))
    found = []
    for done, text in enumerate(_saved(jobs)):
        found.append(text)
        progress(done + 1)
    return found


def _saved(jobs: Sequence[tuple[Figure, str, str]]) -> Iterator[str]:
    workers = min(os.cpu_count() or 1, len(jobs) // WORTH_IT)
    if workers < 2:
        yield from map(_save, jobs)
        return
    # A new process, not a fork of this one, whose threads may hold locks.
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        yield from pool.map(_save, jobs)


def _save(job: tuple[Figure, str, str]) -> str:
    figure, stem, title = job
    with styled():
        for kind in ("pdf", "png"):
            write_with(Path(f"{stem}.{kind}"), partial(_write, figure, kind))
        return svg(figure, Path(stem).name, title)


def _write(figure: Figure, kind: str, path: Path) -> None:
    """Without dates and versions, so that the same numbers make the same file."""
    stamps = {"CreationDate": None} if kind == "pdf" else {"Software": None}
    figure.savefig(path, format=kind, facecolor="white", metadata=stamps)
