"""A learner's functions made anew: as plain Python, or compiled with bounds checks.

What they call is made anew too, so that no helper of the user's writes where it should not.
"""

import builtins
import math
from collections.abc import Callable, Iterator
from functools import cache
from types import CellType, CodeType, FunctionType, ModuleType, SimpleNamespace
from typing import Any, NamedTuple

import numba
import numpy as np
from numba.core.imputils import impl_ret_borrowed
from numba.extending import intrinsic

from hedgespec.selectors.contract import CHOSEN, Selector, compiled

# Compiled, math gives infinities and NaN where plain Python raises.
_AS_COMPILED = {
    id(getattr(math, name)): getattr(np, "power" if name == "pow" else name)
    for name in ("exp", "expm1", "log", "log1p", "log2", "log10", "sqrt", "pow")
}
_MATH = SimpleNamespace(
    **{name: _AS_COMPILED.get(id(value), value) for name, value in vars(math).items()}
)
# Arithmetic on 64 bits that wraps around: it touches no array.
_KEPT = "hedgespec.selectors.uniforms"


class Functions(NamedTuple):
    """reset, play and learn of a learner."""

    reset: Callable[..., Any]
    play: Callable[..., Any]
    learn: Callable[..., Any]


@cache
def plain_functions(selector: Selector) -> Functions:
    """Without compiling: NumPy checks the bounds, and errors have lines."""
    copies = _Copies(lambda copy, original: copy, plain=True)
    return Functions(*(copies.of(function) for function in _functions(selector)))


@cache
def checked_functions(selector: Selector) -> Functions:
    """Compiled so that an index out of bounds raises IndexError.

    What they may only read is of a type that cannot be written to: a function that would is
    refused when it is compiled, even if it never gets there.
    """
    copies = _Copies(_bounds_checked, plain=False)
    reset, play, learn = (copies.of(function) for function in _functions(selector))

    @compiled
    def guarded_reset(state, params, arms, draft_length):
        reset(state, only_read(params), arms, draft_length)

    @compiled
    def guarded_play(state, params, key, weights):
        play(state, only_read(params), key, weights)

    @compiled
    def guarded_learn(state, params, position, played, loss):
        learn(state, only_read(params), position, only_read(played), only_read(loss))

    @compiled
    def guarded_round(state, params, key, position, arm, propensity, outcome):
        learn(state, only_read(params), key, position, arm, propensity, only_read(outcome))

    return Functions(
        guarded_reset, guarded_play, guarded_round if selector.feedback == CHOSEN else guarded_learn
    )


def compiled_functions(selector: Selector, checked: bool) -> Functions:
    """As the learner's file has them, or `checked_functions`."""
    return checked_functions(selector) if checked else Functions(*_functions(selector))


@intrinsic
def only_read(typing, array):
    """The same array, of a type that compiled code does not write to."""

    def same(context, builder, signature, arguments):
        return impl_ret_borrowed(context, builder, signature.return_type, arguments[0])

    return array.copy(readonly=True)(array), same


@compiled
def is_distribution(weights):
    """Whether `weights` (N) are probabilities: none negative or NaN, their sum 1."""
    total = 0.0
    for arm in range(weights.shape[0]):
        if not weights[arm] >= 0.0:
            return False
        total += weights[arm]
    return abs(total - 1.0) <= 1e-9


def _functions(selector: Selector) -> tuple[Callable[..., Any], ...]:
    return selector.reset, selector.play, selector.learn


def _is_compiled(value: object) -> bool:
    return hasattr(value, "py_func") and hasattr(value, "targetoptions")


def _bounds_checked(copy: FunctionType, original: Any) -> Callable[..., Any]:
    options = {**original.targetoptions, "nopython": True, "boundscheck": True}
    made: Callable[..., Any] = numba.jit(**options)(copy)
    return made


class _Copies:
    """Copies of compiled functions, `finish(copy, original)` of each; one for each original."""

    def __init__(self, finish: Callable[[FunctionType, Any], Any], plain: bool):
        self._finish, self._plain = finish, plain
        self._made: dict[int, Any] = {}

    def of(self, value: Any) -> Any:
        """A compiled function's copy; of a module one that has copies; anything else as it is."""
        if _is_compiled(value) and value.py_func.__module__ != _KEPT:
            return self._function(value)
        if not self._plain:
            return value
        if value is math:
            return _MATH
        if isinstance(value, ModuleType) and any(map(_is_compiled, vars(value).values())):
            return _Attributes(value, self.of)
        return _AS_COMPILED.get(id(value), value)

    def _function(self, original: Any) -> Any:
        if id(original) in self._made:
            return self._made[id(original)]
        function, names = original.py_func, {"__builtins__": builtins}
        cells = tuple(CellType() for _ in function.__closure__ or ())
        copy = FunctionType(
            function.__code__, names, function.__name__, function.__defaults__, cells
        )
        copy.__kwdefaults__, copy.__module__ = function.__kwdefaults__, function.__module__
        copy.__qualname__ = function.__qualname__
        # Kept before its names are filled in: it may call itself.
        made = self._made[id(original)] = self._finish(copy, original)
        names["__name__"] = function.__module__
        names.update(
            {
                name: self.of(function.__globals__[name])
                for name in _names(function.__code__)
                if name in function.__globals__
            }
        )
        for cell, own in zip(cells, function.__closure__ or (), strict=True):
            cell.cell_contents = self.of(own.cell_contents)
        return made


class _Attributes:
    """What a module has, compiled functions as copies."""

    def __init__(self, module: ModuleType, copied: Callable[[Any], Any]):
        self._module, self._copied = module, copied

    def __getattr__(self, name: str) -> Any:
        return self._copied(getattr(self._module, name))


def _names(code: CodeType) -> Iterator[str]:
    """Global names that a function and those inside it may use."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)
