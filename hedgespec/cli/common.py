"""What commands share: how they print, their progress bars, and what those that run models need."""

import argparse
import json
import math
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from types import TracebackType
from typing import TYPE_CHECKING, Any, TextIO

import hedgespec
from hedgespec.errors import HedgespecError, arg, at_shell, did_you_mean, shortened

if TYPE_CHECKING:
    from rich.console import Console

    from hedgespec.analysis.verdict import Judged, Verdict
    from hedgespec.results.statistics import Estimate

_PAUSE = 10.0  # seconds between lines where no bar is drawn


class Parser(argparse.ArgumentParser):
    """Says what an unknown choice may have meant."""

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        try:
            super()._check_value(action, value)
        except argparse.ArgumentError as error:
            choices = [str(choice) for choice in action.choices or ()]
            raise argparse.ArgumentError(
                action, error.message + did_you_mean(str(value), choices)
            ) from error


def shell_words(error: Exception, command: argparse.ArgumentParser) -> str:
    """An error's message, arguments being named by the options of `command` that set them."""
    if not isinstance(error, HedgespecError):
        return shortened(str(error))
    # The dest of a setting has its class before it. Of two settings of one name the first counts.
    options = {
        action.dest.rpartition(".")[2]: option.removeprefix("--")
        for action in reversed(command._actions)
        for option in action.option_strings
        if not option.startswith("--no-")
    }
    return error.worded(lambda name, *value: at_shell(options.get(name, name), *value))


def one_blas_thread() -> None:
    """Have matrix products use one core, if NumPy is not imported yet and the user does not say
    otherwise: replays and reports make thousands of small ones, and waking a thread for each takes
    as much time as all of them, or many times that beside other work."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def add_json(parser: argparse.ArgumentParser) -> None:
    """The option --json."""
    parser.add_argument(
        "--json",
        action="store_true",
        help="print one JSON document instead, for programs (docs/machines.md)",
    )


def add_quiet(parser: argparse.ArgumentParser) -> None:
    """The option --quiet."""
    parser.add_argument(
        "--quiet", action="store_true", help="print only warnings and errors, no progress"
    )


def print_json(document: object) -> None:
    """Print a document; numbers that are none are null."""
    print(json.dumps(_finite(document), indent=1))


def verdicts_as_json(found: "Sequence[Judged]") -> list[dict[str, Any]]:
    """Verdicts, for --json."""
    return [
        {
            "trace": one.trace,
            "about": one.about,
            "verdict": _verdict(one.speed or one.rounds),
            "in_rounds": _verdict(one.rounds),
        }
        for one in found
    ]


def _verdict(found: "Verdict") -> dict[str, Any]:
    return {
        "unit": found.unit,
        "advice": found.advice,
        "best": found.best.label,
        "rate": found.best.rate,
        "share_of_halves": found.best.share,
        "single": None if found.single is None else found.single.label,
        "percent_over_single": _interval(found.over_single),
        "percent_over_none": _interval(found.over_none),
        "alike": found.alike,
        "questions": found.questions,
        "settings": found.settings,
    }


def _interval(gain: "Estimate | None") -> dict[str, float] | None:
    if gain is None:
        return None
    return {"value": float(gain.value[0]), "low": float(gain.low[0]), "high": float(gain.high[0])}


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


@contextmanager
def work_bar(first: str, quiet: bool = False) -> Iterator[Callable[[str, int, int], None]]:
    """A progress bar on standard error: gives what is told a label, and how many of how many are
    done. `first` is its label before that; `quiet` shows none."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    errors = Console(stderr=True)
    bar = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        console=errors,
        transient=True,
        disable=quiet,
    )
    lines = Lines(errors)

    def show(label: str, done: int, total: int) -> None:
        bar.update(task, description=label, completed=done, total=total)
        if not quiet:
            lines.say(f"{done} of {total}: {label}")

    with bar:
        task = bar.add_task(first, total=None)
        yield show


_HELD: list[str] = []  # lines that wait for the end of what is being printed
_HOLDING: list[bool] = []


@contextmanager
def one_line_warnings() -> Iterator[None]:
    """Warnings are a line each, shown once: hedgespec's own, and those of packages by their place.

    A line comes above a progress bar, which rich does for all that is written while there is one.
    """
    before, shown = warnings.showwarning, set[str]()

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if Path(filename).is_relative_to(Path(hedgespec.__file__).parent):
            text = f"hedgespec: warning: {message}"
        else:
            said = " ".join(str(message).split())
            text = f"{Path(filename).name}:{lineno}: {category.__name__}: {said}"
            if text in shown:
                return
            shown.add(text)
        _HELD.append(text)
        if not _HOLDING:
            _show_held()

    warnings.showwarning = show
    try:
        yield
    finally:
        warnings.showwarning = before


@contextmanager
def held_warnings() -> Iterator[None]:
    """Warnings are shown at the end: within, a line is being printed bit by bit."""
    _HOLDING.append(True)
    try:
        yield
    finally:
        _HOLDING.pop()
        if not _HOLDING:
            _show_held()


def _show_held() -> None:
    for text in _HELD:
        print(text, file=sys.stderr)
    _HELD.clear()


def require_models(what: str) -> None:
    """Raise HedgespecError naming the missing package unless models can be run."""
    try:
        import torch  # noqa: F401
        import transformers  # noqa: F401
    except ImportError as error:
        raise HedgespecError(
            f"{error.name} is not installed; {what} needs it: pip install 'hedgespec[models]' "
            "(in a clone: pip install -e '.[models]')"
        ) from error


def chosen_device(device: str) -> str:
    """ "auto" becomes cuda if there is one, else cpu."""
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return device


def chosen_dtype(dtype: str, device: str) -> str:
    """ "auto" becomes bfloat16 on cuda, float32 on the CPU."""
    return {"auto": "float32" if device == "cpu" else "bfloat16"}.get(dtype, dtype)


def part_of_torchrun(device: str | None) -> dict[str, str]:
    """The part of this process where torchrun started it, one for each GPU.

    Raises HedgespecError where each would take all GPUs.
    """
    import torch

    from hedgespec.models.options import SPLIT

    if not {"RANK", "WORLD_SIZE", "LOCAL_RANK"} <= os.environ.keys():
        return {}
    if device == SPLIT:
        raise HedgespecError(
            f"{arg('device', SPLIT)} takes all GPUs, and torchrun gives a process "
            f"one: start each with {arg('part', 'I/N')} and its own "
            "CUDA_VISIBLE_DEVICES"
        )
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))  # what "cuda" means from now on
    return {"part": f"{os.environ['RANK']}/{os.environ['WORLD_SIZE']}"}


class Lines:
    """What a bar would show, in a file or a pipe, where none is drawn: a line now and then."""

    def __init__(self, console: "Console"):
        self._console = console
        self._since = perf_counter()

    def say(self, text: str) -> None:
        """Print it, unless a bar is drawn or the last line is less than _PAUSE seconds old."""
        if self._console.is_terminal or perf_counter() - self._since < _PAUSE:
            return
        self._since = perf_counter()
        print(text, file=sys.stderr, flush=True)


@contextmanager
def told(what: str) -> Iterator[None]:
    """Says on standard error what is waited for; on a terminal only as long as it is."""
    from rich.console import Console
    from rich.markup import escape

    console = Console(stderr=True)
    if not console.is_terminal:
        print(f"{what} ...", file=sys.stderr, flush=True)
        yield
        return
    with console.status(escape(what)):
        yield


class StepBar:
    """Progress bar on standard error for work of several parts, each with its own total."""

    def __enter__(self) -> "StepBar":
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        console = Console(stderr=True)
        self._bar = Bar(
            TextColumn("{task.description:30}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=console,
            transient=True,
        )
        self._lines = Lines(console)
        self._part = ""
        self._bar.start()
        return self

    def update(self, part: str, total: int, done: int, note: str) -> None:
        """Show the progress of a part; a new one starts a new bar."""
        if part != self._part:
            for task in self._bar.task_ids:
                self._bar.remove_task(task)
            self._task = self._bar.add_task(part, total=total, note=note)
            self._part = part
        self._bar.update(self._task, completed=done, note=note)
        self._lines.say(f"{part}: {done} of {total} {note}".rstrip())

    def say(self, text: str) -> None:
        """Print a line that stays."""
        self._bar.console.print(text, highlight=False, markup=False, soft_wrap=True)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()
