"""Learners of the user's own: in a file, `FILE.py:NAME`, or as objects."""

import hashlib
import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

from hedgespec.errors import HedgespecError, did_you_mean
from hedgespec.selectors.contract import CHOSEN, FULL, NONE, Parameter, Selector
from hedgespec.selectors.faults import LearnerError, told, users_line
from hedgespec.selectors.limits import run_limited
from hedgespec.selectors.trial import try_out


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
            "(see docs/tutorial.md)" + did_you_mean(name, found)
        )
    check_contract(selector, f"{path}:{name}")
    return selector, module.__name__


def check_contract(selector: Selector, where: str) -> None:
    """Raise HedgespecError, beginning with `where`, if a selector breaks the contract.

    It is tried out on three drafters with its default parameters.
    """
    _check_description(selector, where)
    params = tuple(float(item.default) for item in selector.parameters)
    check_on(selector, params, 3, 5, where)


def check_on(
    selector: Selector, params: tuple[float, ...], arms: int, draft_length: int, where: str
) -> None:
    """The same with these parameters, N = `arms` drafters and draft length K.

    Whatever compiles a learner of the user's own calls it before. Each N and K is tried once.
    """
    try:
        try_out(selector, params, arms, draft_length)
    except LearnerError as error:
        raise HedgespecError(f"{where}: {error}") from error


def _check_description(selector: Selector, where: str) -> None:
    if selector.feedback not in (FULL, CHOSEN, NONE):
        raise HedgespecError(
            f"{where}: feedback is {selector.feedback!r}, not FULL, CHOSEN or NONE"
        )
    if selector.uses_features and selector.feedback != FULL:
        raise HedgespecError(
            f"{where}: features are there for feedback FULL alone, not {selector.feedback!r}"
        )
    for function in (selector.reset, selector.play, selector.learn):
        if not hasattr(function, "py_func"):
            raise HedgespecError(
                f"{where}: reset, play and learn must be decorated with `compiled`"
            )
    for item in selector.parameters:
        if (
            not isinstance(item, Parameter)
            or not isinstance(item.default, int | float)
            or (not re.fullmatch(r"[^\s:,=]+", str(item.name)))
        ):
            raise HedgespecError(
                f"{where}: parameters must hold Parameter(name, number, help), "
                f"the name without space and any of :,=, not {item!r}"
            )


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
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module

    def run() -> None:
        """The very text of the hash: bytecode that lies beside it may be of an edit before."""
        exec(compile(source, str(spec.origin), "exec"), vars(module))

    try:
        run_limited(run, lambda: len(sys.modules))
    except BaseException as error:
        del sys.modules[name]
        if isinstance(error, KeyboardInterrupt):
            raise
        place = users_line(error, [str(path)]) or str(path)
        raise HedgespecError(f"{path}: {place}: {told(error)}") from error
    return module
