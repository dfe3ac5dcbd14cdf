"""Compiled functions of the learners, kept on disk from one run of the tests to the next."""

import hashlib
from pathlib import Path

import numba

from hedgespec import selectors
from hedgespec.files import cache_folder


def keep_learners_on_disk() -> None:
    """Have numba cache the functions of all built-in selectors.

    Numba does not notice changes in the files that a function calls into, hence a folder for each
    state of all the selectors' files.
    """
    files = sorted(Path(selectors.__file__).parent.rglob("*.py"))
    state = hashlib.sha256(b"\0".join(path.read_bytes() for path in files)).hexdigest()[:16]
    before = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = str(cache_folder() / "learners" / state)
    for name in selectors.BUILT_IN:
        selector = selectors.built_in(name)
        for function in (selector.reset, selector.play, selector.learn):
            function.enable_caching()
    numba.config.CACHE_DIR = before
