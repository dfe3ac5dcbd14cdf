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
from pathlib import Path
from typing import Any

from hedgespec.selectors import parse_selector
from hedgespec.selectors.feedback import Feedback
from hedgespec.simulator.kernels import exact_kernel, is_compiled, selector_kernel
from hedgespec.simulator.references import is_reference
from hedgespec.simulator.replayer import Replayer
from hedgespec.simulator.runs import Job
from hedgespec.traces import read_trace

WORTH_IT = 4  # kernels; a further process takes two seconds to start


@contextmanager
def compiling(trace: Path, jobs: Sequence[Job], threads: int) -> Iterator[None]:
    """Compile meanwhile the kernels of `jobs` that are not in the cache, on any trace.

    Nothing is done with one thread, or for few kernels. The process ends with the block.
    """
    missing = _missing(jobs) if threads > 1 else []
    if len(missing) < WORTH_IT:
        yield
        return
    process = subprocess.Popen(
        [sys.executable, "-m", "hedgespec.simulator.compiling"], stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        assert process.stdin is not None
        with suppress(BrokenPipeError), process.stdin as pipe:
            pickle.dump((os.getpid(), trace.absolute(), missing[::-1]), pipe)
        yield
    finally:
        process.terminate()
        process.wait()


def compile_jobs(parent: int, trace: Path, jobs: Sequence[Job]) -> None:
    """Compile the kernels of `jobs`, up to one that is compiled, while process `parent` runs."""
    replayer = Replayer(read_trace(trace))
    for job in jobs:
        if os.getppid() != parent or is_compiled(_kernel(job)):
            return
        with suppress(Exception):  # a learner of the user's own: the sweep tells
            if job.exact:
                replayer.run_exact(job.text, job.feedback)
            else:
                replayer.run(job.text, 0, job.feedback)


def _missing(jobs: Sequence[Job]) -> list[Job]:
    """A job for each kernel that is to be compiled, in the order of first use."""
    kernels: dict[Callable[..., None], Job] = {}
    for job in jobs:
        if not is_reference(job.text):
            kernels.setdefault(_kernel(job), job)
    return [job for kernel, job in kernels.items() if not is_compiled(kernel)]


def _kernel(job: Job) -> Any:
    configured = parse_selector(job.text)
    if job.exact:
        return exact_kernel(configured)
    return selector_kernel(configured, (job.feedback or Feedback()) != Feedback())


if __name__ == "__main__":
    compile_jobs(*pickle.load(sys.stdin.buffer))
