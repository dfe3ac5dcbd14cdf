"""What is wrong with a learner of the user's own, with file and line."""

import re
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numpy as np

from hedgespec.errors import HedgespecError
from hedgespec.selectors.contract import Selector
from hedgespec.selectors.limits import OverdueError

_PACKAGES = tuple(str(Path(str(package.__file__)).parent) for package in (numba, np))
_OWN = str(Path(__file__).parents[1])


class LearnerError(HedgespecError):
    """A call of a learner that breaks the contract; the message begins with file and line."""


def fault_of(
    error: BaseException, selector: Selector, called: Callable[..., Any] | None = None
) -> LearnerError:
    """What an exception out of a learner's function says, at the line of the user's that raised it.

    Where no line is known it is that of the function that was `called`, or of `play`.
    """
    if isinstance(error, LearnerError):
        return error
    if isinstance(error, numba.core.errors.NumbaError):
        return LearnerError(compile_fault(error))
    files = [
        _code(function).co_filename for function in (selector.reset, selector.play, selector.learn)
    ]
    return LearnerError(
        f"{users_line(error, files) or line_of(called or selector.play)}: {told(error)}"
    )


def line_of(function: Callable[..., Any]) -> str:
    """Where a function stands: file or cell, line and name."""
    code = _code(function)
    return _place(code.co_filename, code.co_firstlineno, code.co_name)


def users_line(error: BaseException, files: list[str]) -> str | None:
    """The innermost line of code in `files`, or that is no package's, of an exception's; None if
    there is none."""
    if isinstance(error, SyntaxError):
        return f"{error.filename}, line {error.lineno}"
    stack = (
        error.stack
        if isinstance(error, OverdueError)
        else (traceback.extract_tb(error.__traceback__))
    )
    for frame in reversed(stack):
        if frame.filename in files or not _is_package(frame.filename):
            return _place(frame.filename, frame.lineno, frame.name)
    return None


def compile_fault(error: numba.core.errors.NumbaError) -> str:
    """What numba says of code that it cannot compile, with the line where it says one."""
    text = str(error)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    said = next(
        (line for line in lines if ("rror" in line or "nknown" in line) and not line.endswith(":")),
        lines[0],
    )
    places = [
        (str(Path(file).resolve()), line)
        for file, line in re.findall(r'File "(.+)", line (\d+)', text)
    ]
    # The innermost of the user's, behind whose lines stand those that called them.
    users = [place for place in places if not _is_package(place[0])]
    place = "{}, line {}: ".format(*(users or places[::-1])[0]) if places else ""
    return f"{place}numba cannot compile it: {said}"


def told(error: BaseException) -> str:
    """The kind and the first line of an exception."""
    if isinstance(error, OverdueError):
        return str(error)
    first = (str(error).strip().splitlines() or [""])[0]
    return f"{type(error).__name__}: {first}" if first else type(error).__name__


def _code(function: Any) -> Any:
    return getattr(function, "py_func", function).__code__


def _is_package(filename: str) -> bool:
    return (
        filename.startswith((_OWN, *_PACKAGES, "<frozen")) or Path(filename).name == "threading.py"
    )


def _place(filename: str, line: int | None, name: str) -> str:
    return f"{filename}, line {line}, in {name}"
