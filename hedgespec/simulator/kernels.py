"""One compiled replay kernel per selector, cached on disk across processes.

Numba caches a function by the file it stands in and does not notice changes in other files, and a
kernel that receives the selector's functions as arguments is never found in the cache again. So
each selector gets a small module of its own in the cache folder: the text of the replay template
with the selector's import put in, under a name that contains the hash of every source file the
kernel is made of. A changed source gives a new name, hence a fresh compilation; the speed is that
of a hand-written kernel.
"""

import functools
import hashlib
import importlib.util
import inspect
import re
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from hedgespec import selectors
from hedgespec.files import cache_folder, write_text
from hedgespec.selectors import CHOSEN, ConfiguredSelector
from hedgespec.simulator import (
    replay_chosen,
    replay_full,
    replay_schedule,
    tables,
    verification,
)

_SELECTOR_IMPORT = re.compile(r"^from hedgespec\.selectors\.\w+ import SELECTOR$", re.MULTILINE)


def selector_kernel(configured: ConfiguredSelector) -> Callable[..., None]:
    """The replay function compiled for this selector (see replay_full and replay_chosen)."""
    template = replay_chosen if configured.selector.feedback == CHOSEN else replay_full
    loaded: Any = _compiled_copy(template, configured.module, configured.selector.name)
    return loaded.replay


def schedule_kernel() -> Callable[..., None]:
    """The replay function of replay_schedule."""
    loaded: Any = _compiled_copy(replay_schedule, None, "schedule")
    return loaded.replay


def table_kernels() -> Any:
    """The functions of tables.py."""
    return _compiled_copy(tables, None, "tables")


@functools.cache
def _compiled_copy(template: ModuleType, selector_module: str | None, name: str) -> ModuleType:
    """The template's own module in the cache folder, with the selector's import put in."""
    text = inspect.getsource(template)
    parts = [verification]
    if selector_module:
        text, found = _SELECTOR_IMPORT.subn(f"from {selector_module} import SELECTOR", text)
        assert found == 1, f"{template.__name__} must import SELECTOR once"
        parts.append(import_module(selector_module))
    # Selectors may share helpers, and all use uniforms.
    learners = sorted(Path(selectors.__file__).parent.glob("*.py"))
    sources = [text, *(inspect.getsource(part) for part in parts),
               *(path.read_text(encoding="utf-8") for path in learners)]
    digest = hashlib.sha256("\0".join(sources).encode()).hexdigest()[:16]
    return _load(cache_folder() / "kernels" / f"{name}_{digest}.py", text)


def _load(path: Path, text: str) -> ModuleType:
    """Import the generated file, writing it first if it is new."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, text)
    qualified = f"hedgespec_kernel_{path.stem}"
    spec = importlib.util.spec_from_file_location(qualified, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[qualified] = module
    spec.loader.exec_module(module)
    return module
