"""Compiled functions of `selectors`, kept on disk from one run of the tests to the next."""

import hashlib
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages

from numba.core.registry import CPUDispatcher

from hedgespec import selectors
from hedgespec.simulator.kernel_cache import keep_compiled


def keep_functions_on_disk() -> None:
    """Keep all compiled functions that stand in a module: learners', and what they are made of.

    Their names hold the state of all the selectors' files, which a function may call into. Kernels
    that tests compile may call what others have inlined, and be some 10% slower: time none here.
    """
    files = sorted(Path(selectors.__file__).parent.rglob("*.py"))
    state = hashlib.sha256(b"\0".join(path.read_bytes() for path in files)).hexdigest()[:16]
    for found in walk_packages(selectors.__path__, f"{selectors.__name__}."):
        for name, function in vars(import_module(found.name)).items():
            if isinstance(function, CPUDispatcher) and function.__module__ == found.name:
                keep_compiled(function, f"{found.name}.{name}_{state}")
