"""One compiled replay kernel per selector, cached on disk across processes.

Numba caches a function by the file it stands in and does not notice changes in other files, and a
kernel that receives the selector's functions as arguments is never found in the cache again. So
each selector gets a small module of its own: the text of the replay template with the selector's
import put in, under a name that contains the hash of every source file the kernel is made of. A
changed source gives a new name, hence a fresh compilation; the speed is that of a hand-written
kernel. Beside what is compiled (`selectors/kernel_cache.py`) lies the text, to be read; it is never
run.
"""

import functools
import hashlib
import inspect
import re
import sys
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import numba

from hedgespec.errors import HedgespecError
from hedgespec.files import write_text
from hedgespec.selectors import CHOSEN, ConfiguredSelector, Selector
from hedgespec.selectors.faults import compile_fault
from hedgespec.selectors.feedback import Feedback
from hedgespec.selectors.kernel_cache import (
    is_kept,
    keep_compiled,
    kernel_folder,
    state_of_learners,
)
from hedgespec.selectors.trial import Plain
from hedgespec.simulator import (
    evaluations,
    expectations,
    replay_assigned,
    replay_chosen,
    replay_drawn,
    replay_exact,
    replay_full,
    replay_partial,
    tasks,
    verification,
)

_SELECTOR_IMPORT = re.compile(r"^from hedgespec\.selectors\.\w+ import SELECTOR$", re.MULTILINE)


def selector_kernel(
    configured: ConfiguredSelector, feedback: Feedback | None = None
) -> Callable[..., None]:
    """The replay function compiled for this selector (see replay_full, _partial and _chosen).

    That of feedback `queued` without modifiers takes it for granted, and is faster.
    """
    feedback = feedback or Feedback()
    general = feedback != Feedback()
    if configured.selector.feedback == CHOSEN:
        return _selector_copy(replay_chosen, configured, "")
    if feedback.partial:
        return _selector_copy(replay_partial, configured, "partial-")
    return _selector_copy(replay_full, configured, "general-" if general else "", general)


def plain_kernel(
    configured: ConfiguredSelector, exact: bool, partial: bool = False
) -> tuple[Callable[..., int], Plain]:
    """The same loops as plain Python, each call of the learner checked: slow, and with lines.

    Also the learner that it calls.
    """
    selector = configured.selector
    template = (
        replay_exact
        if exact
        else (
            replay_chosen
            if selector.feedback == CHOSEN
            else replay_partial
            if partial
            else replay_full
        )
    )
    names = _in_memory(template, selector, True, False)
    plain = Plain(selector)
    names |= {"reset": plain.reset, "play": plain.play, "learn": plain.learn}
    loop: Callable[..., int] = FunctionType(names["replay"].py_func.__code__, names)
    return loop, plain


def exact_kernel(configured: ConfiguredSelector) -> Callable[..., None]:
    """The exact expectations compiled for this selector (see replay_exact)."""
    return _selector_copy(replay_exact, configured, "exact-")


def _selector_copy(
    template: ModuleType, configured: ConfiguredSelector, prefix: str, general: bool = True
) -> Callable[..., None]:
    if not configured.module:
        return _compiled_in_memory(template, configured.selector, general)
    name = re.sub(r"[^A-Za-z0-9-]", "-", configured.selector.name)[:60]  # of a file
    loaded: Any = _compiled_copy(
        template, configured.module, prefix + name, configured.attribute, general, configured.own
    )
    return loaded.replay


def compile_or_load(kernel: Callable[..., None], name: str, *arguments: object) -> None:
    """Have `kernel` ready for such arguments; no query is replayed.

    Raises HedgespecError if numba cannot compile it: a learner of the user's own.
    """
    try:
        kernel(0, 0, *arguments)
    except numba.core.errors.NumbaError as error:
        raise HedgespecError(f"{name}: {compile_fault(error)}") from error


def is_compiled(kernel: Any) -> bool:
    """Whether `kernel` is in the cache: for some arguments, and all calls have the same types."""
    return is_kept(kernel)


def assigned_kernel() -> Callable[..., None]:
    """The replay function of replay_assigned."""
    loaded: Any = _compiled_copy(replay_assigned, None, "assigned")
    return loaded.replay


def drawing_kernel() -> Callable[..., Any]:
    """The function of replay_drawn."""
    loaded: Any = _compiled_copy(replay_drawn, None, "drawn")
    return loaded.drawn_drafters


def evaluation_kernels() -> Any:
    """The functions of evaluations.py."""
    return _compiled_copy(evaluations, None, "evaluations")


def table_kernels() -> Any:
    """The functions of expectations.py."""
    return _compiled_copy(expectations, None, "expectations")


@functools.cache
def _compiled_in_memory(
    template: ModuleType, selector: Selector, general: bool
) -> Callable[..., None]:
    """The template's function for a selector that stands in no file: compiled in each process, for
    what it is made of cannot be told from its name."""
    loaded: Callable[..., None] = _in_memory(template, selector, general, True)["replay"]
    return loaded


def _in_memory(
    template: ModuleType, selector: Selector, general: bool, checked: bool
) -> dict[str, Any]:
    """The names of the template with the selector put in, in no file."""
    text = _SELECTOR_IMPORT.sub("", _source(template, general, checked))
    names: dict[str, Any] = {"SELECTOR": selector, "__name__": f"{template.__name__}_in_memory"}
    exec(compile(text, template.__file__ or "", "exec"), names)
    return names


def _source(template: ModuleType, general: bool, checked: bool) -> str:
    """The text of a template with its constants set."""
    text = inspect.getsource(template)
    for name, before, now in (("GENERAL", True, general), ("CHECKED", False, checked)):
        if now != before:
            assert f"{name} = {before}\n" in text
            text = text.replace(f"{name} = {before}\n", f"{name} = {now}\n")
    return text


@functools.cache
def _compiled_copy(
    template: ModuleType,
    selector_module: str | None,
    name: str,
    attribute: str = "SELECTOR",
    general: bool = True,
    checked: bool = False,
) -> ModuleType:
    """The template's own module, with the selector's import put in."""
    text = _source(template, general, checked)
    parts = [verification, tasks, expectations]
    if selector_module:
        imported = attribute if attribute == "SELECTOR" else f"{attribute} as SELECTOR"
        text, found = _SELECTOR_IMPORT.subn(f"from {selector_module} import {imported}", text)
        assert found == 1, f"{template.__name__} must import SELECTOR once"
        parts.append(import_module(selector_module))
    # Selectors may share helpers, and all use uniforms and the schedule.
    sources = [text, *(inspect.getsource(part) for part in parts), state_of_learners()]
    digest = hashlib.sha256("\0".join(sources).encode()).hexdigest()[:16]
    return _load(f"{name}_{digest}", text, template.__file__ or "")


def _load(name: str, text: str, template: str) -> ModuleType:
    """The text as a module, its compiled functions kept on disk."""
    _show(f"{name}.py", text)
    module = ModuleType(f"hedgespec_kernel_{name}")
    sys.modules[module.__name__] = module  # numba looks there for what it finds on disk
    exec(compile(text, template, "exec"), module.__dict__)
    for function in vars(module).values():
        if isinstance(function, numba.core.registry.CPUDispatcher) and (
            function.py_func.__module__ == module.__name__
        ):
            keep_compiled(function, name)
    return module


def _show(name: str, text: str) -> None:
    """Have the text of a kernel in the cache folder, where there is one."""
    folder = kernel_folder()
    with suppress(HedgespecError, OSError):  # a full disk: nothing is lost
        if folder is not None and not _holds(folder / name, text):
            write_text(folder / name, text)


def _holds(path: Path, text: str) -> bool:
    return path.is_file() and path.read_bytes() == text.encode()
