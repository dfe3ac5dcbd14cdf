"""Figures from result tables, one kind per file; page and paper draw the same panels."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module

from hedgespec.analysis.figures.regret import regret_figure
from hedgespec.analysis.figures.style import Drawing
from hedgespec.analysis.study import Study

# In the order of the report; each is a module of this folder with a HEADING, what it NEEDS of the
# results, and a function `draw`.
_FILES = (
    "gains",
    "shares",
    "acceptance",
    "regret",
    "seconds",
    "pareto",
    "load",
    "router",
    "adoption",
    "answers",
    "answer",
    "drafters",
    "delay",
    "answer_length",
)


@dataclass(frozen=True)
class FigureKind:
    """What a kind of figure shows, the function that draws it, and what results lack without it."""

    heading: str
    needs: str
    draw: Callable[[Study], Iterator[Drawing]]


def _kind(file: str) -> FigureKind:
    module = import_module(f"{__name__}.{file}")
    return FigureKind(module.HEADING, module.NEEDS, module.draw)


FIGURES = {file.replace("_", "-"): _kind(file) for file in _FILES}

__all__ = ["FIGURES", "FigureKind", "regret_figure"]
