"""Compiles kernels that a sweep will need in a second process, from the last one to the first.

Compilation holds a lock, so threads do not help. What the second process has finished, the sweep
finds on disk; it changes no result, and whatever goes wrong in it goes wrong in the sweep too,
which then tells.
"""

import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hedgespec.selectors import ConfiguredSelector, parse_selector
from hedgespec.selectors.feedback import Feedback
from hedgespec.selectors.kernel_cache import kernel_folder
from hedgespec.simulator.kernels import exact_kernel, is_compiled, selector_kernel
from hedgespec.simulator.replayer import Replayer
from hedgespec.simulator.runs import Job
from hedgespec.traces import TraceReader

WORTH_IT = 4  # kernels; a further process takes two seconds to start


@contextmanager
def compiling(trace: Path, jobs: Sequence[Job], threads: int) -> Iterator[None]:
    """Compile meanwhile the kernels of `jobs` that are not in the cache, on any trace.

    Nothing is done with one thread, or for few kernels. The process ends with the block.
    """
    missing = missing_kernels(jobs) if threads > 1 and kernel_folder() is not None else []
    if len(missing) < WORTH_IT:
        yield
        return
    process = subprocess.Popen(
        [sys.executable, "-m", "hedgespec.simulator.compiling"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert process.stdin is not None
        with suppress(BrokenPipeError), process.stdin as pipe:
            pickle.dump((os.getpid(), trace.absolute(), missing[::-1]), pipe)
        yield
    finally:
        process.terminate()
        process.wait()


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


if __name__ == "__main__":
    compile_wanted(*pickle.load(sys.stdin.buffer))
