"""Learners of the user's own: in a file, `FILE.py:NAME`, or as objects."""

import hashlib
import importlib.util
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from hedgespec.errors import HedgespecError
from hedgespec.selectors.contract import CHOSEN, FULL, NONE, OUTCOMES, Selector


def load_user_selector(path: Path, name: str) -> tuple[Selector, str]:
    """The Selector called `name` in a Python file, and the module that the file was loaded as.

    The module's name holds the hash of the file's text, so that an edited file is another module
    with kernels of its own. What the file imports from other files of the user is not followed.
    Raises HedgespecError if the file cannot be run, or the object is missing or breaks the
    contract.
    """
    module = _load(path)
    selector = getattr(module, name, None)
    if not isinstance(selector, Selector):
        found = [key for key, value in vars(module).items() if isinstance(value, Selector)]
        raise HedgespecError(
            f"{path}: no Selector called {name!r}; it has: {', '.join(found) or 'none'} "
            "(see docs/tutorial.md)")
    check_contract(selector, f"{path}:{name}")
    return selector, module.__name__


def check_contract(selector: Selector, where: str) -> None:
    """Raise HedgespecError, beginning with `where`, if a selector breaks the contract."""
    try:
        _try_out(selector)
    except HedgespecError as error:
        raise HedgespecError(f"{where}: {error}") from error
    except Exception as error:  # whatever the user's code raises
        kind = type(error).__name__
        raise HedgespecError(f"{where}: {kind}: {_first_line(error)}") from error


def _load(path: Path) -> ModuleType:
    try:
        source = path.read_bytes()
    except OSError as error:
        raise HedgespecError(f"{path}: cannot be read ({error.strerror})") from error
    digest = hashlib.sha256(str(path.resolve()).encode() + source).hexdigest()[:16]
    name = f"hedgespec_user_{digest}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        kind = type(error).__name__
        raise HedgespecError(f"{path}: {kind}: {_first_line(error)}") from error
    return module


@cache
def _try_out(selector: Selector) -> None:
    """A few rounds of three drafters, once per process, as plain Python: nothing is compiled yet.

    Raises HedgespecError where the contract is broken.
    """
    if selector.feedback not in (FULL, CHOSEN, NONE):
        raise HedgespecError(f"feedback is {selector.feedback!r}, not FULL, CHOSEN or NONE")
    arms, plain = 3, _functions(selector)
    params = np.array([item.default for item in selector.parameters], dtype=np.float64)
    state, weights = np.empty(selector.state_size(arms)), np.empty(arms)
    plain["reset"](state, params, arms, 5)
    rng = np.random.default_rng(0)
    for position in range(20):
        weights[:] = np.nan
        plain["play"](state, params, position, weights)
        if not (np.isfinite(weights).all() and (weights >= 0).all()
                and abs(weights.sum() - 1) < 1e-6):
            raise HedgespecError(f"play wrote {weights.tolist()}: no probabilities of 3 drafters")
        if selector.feedback == CHOSEN:
            arm = int(weights.argmax())
            outcome = np.ones(OUTCOMES)
            plain["learn"](state, params, position, position, arm, weights[arm], outcome)
        else:
            plain["learn"](state, params, position, weights, rng.random(arms))


def _functions(selector: Selector) -> dict[str, Callable[..., Any]]:
    """reset, play and learn as plain Python."""
    functions = {}
    for name in ("reset", "play", "learn"):
        function: Any = getattr(selector, name)
        if not hasattr(function, "py_func"):
            raise HedgespecError("reset, play and learn must be decorated with `compiled`")
        functions[name] = function.py_func
    return functions


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [""])[0]
