"""Figures from result tables, one kind per file; all in the style of `style.py`."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module

from hedgespec.analysis.figures.regret import regret_figure
from hedgespec.analysis.figures.style import Drawing
from hedgespec.analysis.study import Study

# In the order of the report; each is a module of this folder with a HEADING and a function `draw`.
_FILES = ("acceptance", "gains", "regret", "seconds", "adoption", "answer", "drafters", "delay",
          "router", "pareto", "answer_length", "load")


@dataclass(frozen=True)
class FigureKind:
    """What a kind of figure shows, and the function that draws it from a study."""

    heading: str
    draw: Callable[[Study], Iterator[Drawing]]


def _kind(file: str) -> FigureKind:
    module = import_module(f"{__name__}.{file}")
    return FigureKind(module.HEADING, module.draw)


FIGURES = {file.replace("_", "-"): _kind(file) for file in _FILES}

__all__ = ["FIGURES", "FigureKind", "regret_figure"]
