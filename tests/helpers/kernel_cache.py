"""Compiled functions of `selectors`, kept on disk from one run of the tests to the next."""

from importlib import import_module
from pkgutil import walk_packages

from numba.core.registry import CPUDispatcher

from hedgespec import selectors
from hedgespec.selectors.kernel_cache import keep_compiled, state_of_learners


def keep_functions_on_disk() -> None:
    """Keep all compiled functions that stand in a module: learners', and what they are made of.

    Their names hold the state of all the selectors' files, which a function may call into. Kernels
    that tests compile may call what others have inlined, and be some 10% slower: time none here.
    """
    for found in walk_packages(selectors.__path__, f"{selectors.__name__}."):
        for name, function in vars(import_module(found.name)).items():
            if isinstance(function, CPUDispatcher) and function.__module__ == found.name:
                keep_compiled(function, f"{found.name}.{name}_{state_of_learners()}")
