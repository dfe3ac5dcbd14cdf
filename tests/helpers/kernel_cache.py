"""Compiled functions of the learners, kept on disk from one run of the tests to the next."""

import hashlib
from pathlib import Path

from hedgespec import selectors
from hedgespec.simulator.kernel_cache import keep_compiled


def keep_learners_on_disk() -> None:
    """Keep the functions of all built-in selectors beside the kernels.

    Their names hold the state of all the selectors' files, which a function may call into.
    """
    files = sorted(Path(selectors.__file__).parent.rglob("*.py"))
    state = hashlib.sha256(b"\0".join(path.read_bytes() for path in files)).hexdigest()[:16]
    for name in (*selectors.BUILT_IN, *selectors.CONTEXTUAL):
        selector = selectors.built_in(name)
        for function in (selector.reset, selector.play, selector.learn):
            keep_compiled(function, f"learner-{name}_{state}")
