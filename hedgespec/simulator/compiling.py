"""Kernels that a sweep will need; a second process compiles them, from the last one to the first.

Compilation holds a lock, so threads do not help. What the second process (beside.py) has finished,
the sweep finds on disk; it changes no result, and whatever goes wrong in it goes wrong in the sweep
too, which then tells.
"""

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hedgespec.selectors import ConfiguredSelector, parse_selector
from hedgespec.selectors.feedback import Feedback
from hedgespec.simulator.kernels import exact_kernel, is_compiled, selector_kernel
from hedgespec.simulator.replayer import Replayer
from hedgespec.simulator.runs import Job
from hedgespec.traces import TraceReader


@dataclass(frozen=True)
class Wanted:
    """A kernel by what it is for, so that another process can compile it."""

    selector: str
    feedback: Feedback | None
    exact: bool

    @property
    def kernel(self) -> Any:
        """The kernel, compiled or not."""
        configured = parse_selector(self.selector)
        if self.exact:
            return exact_kernel(configured)
        return selector_kernel(configured, self.feedback)


def compile_wanted(parent: int, trace: Path, wanted: Sequence[Wanted]) -> None:
    """Compile kernels, up to one that is compiled, while process `parent` runs."""
    replayer = Replayer(TraceReader(trace).read(np.arange(1)))
    for one in wanted:
        if os.getppid() != parent or is_compiled(one.kernel):
            return
        with suppress(Exception):  # a learner of the user's own: the sweep tells
            if one.exact:
                replayer.run_exact(one.selector, one.feedback)
            else:
                replayer.run(one.selector, 0, one.feedback)


def missing_kernels(jobs: Sequence[Job]) -> list[Wanted]:
    """Each kernel that is to be compiled and kept on disk, in the order of first use."""
    kernels: dict[Callable[..., None], Wanted] = {}
    for job in jobs:
        if isinstance(job.chooser, ConfiguredSelector) and job.chooser.module:
            wanted = Wanted(job.chooser.label, job.feedback, job.exact)
            kernels.setdefault(wanted.kernel, wanted)
    return [wanted for kernel, wanted in kernels.items() if not is_compiled(kernel)]
