"""Kernels of a user's own learner, run so that none of its faults passes unseen.

The learner was tried out before (`ConfiguredSelector.check_on`). Where it fails in a compiled run
after all, the query is replayed as plain Python, which finds the line.
"""

from collections.abc import Callable
from functools import partial
from typing import Any
from zlib import crc32

import numpy as np

from hedgespec.errors import HedgespecError
from hedgespec.selectors import ConfiguredSelector
from hedgespec.selectors.faults import LearnerError, fault_of, line_of
from hedgespec.selectors.guard import FINE
from hedgespec.selectors.limits import run_limited
from hedgespec.simulator.kernels import plain_kernel
from hedgespec.simulator.tasks import ChosenTask, ExactTask, FullTask, PartialTask
from hedgespec.traces import Trace

Task = FullTask | PartialTask | ChosenTask | ExactTask


def guarded(
    kernel: Callable[..., Any], configured: ConfiguredSelector, trace: Trace
) -> Callable[..., None]:
    """`kernel` for a learner of the user's own, with the same arguments.

    It raises HedgespecError with file and line, query and position where a call of the learner
    raises or does not return, a play is no distribution, or memory behind the state was written to.
    """

    def run(first: int, last: int, task: Task, *outputs: np.ndarray) -> None:
        written = outputs[-1]  # as the run goes on
        try:
            fault = run_limited(
                partial(kernel, first, last, task, *outputs), lambda: crc32(written.data)
            )
            if fault == FINE:
                return
            error = LearnerError(_meaning(fault, configured))
            token = fault if fault >= 0 else -2 - fault
        except Exception as raised:
            error = fault_of(raised, configured.selector)
            token = _stopped_at(first, last, task, written)
        query = int(np.searchsorted(task.offsets, token, side="right")) - 1
        position = token - task.offsets[query]
        raise HedgespecError(
            f"{configured.name}: {_found(configured, query, first, task, outputs) or error} "
            f"(trace {trace.name}, query {trace.numbers[query]}, about position {position})"
        )

    return run


def _meaning(fault: int, configured: ConfiguredSelector) -> str:
    selector = configured.selector
    if fault < 0:
        return f"{line_of(selector.learn)}: it writes past the end of `state`"
    return f"{line_of(selector.play)}: it wrote no probabilities"


def _order(task: Task) -> np.ndarray:
    return np.arange(len(task.offsets) - 1) if isinstance(task, ExactTask) else task.order


def _stopped_at(first: int, last: int, task: Task, written: np.ndarray) -> int:
    """The last token that a run that did not end has written about; of the first query if none."""
    for query in _order(task)[first:last][::-1]:
        begin, end = task.offsets[query : query + 2]
        mine = written[begin:end]
        done = np.flatnonzero(mine.any(axis=1) if isinstance(task, ExactTask) else mine != -1)
        if len(done):
            return int(begin + done[-1])
    return int(task.offsets[_order(task)[first]])


def _found(
    configured: ConfiguredSelector,
    query: int,
    first: int,
    task: Task,
    outputs: tuple[np.ndarray, ...],
) -> LearnerError | None:
    """What plain Python says of this query or the next, whose first call may have failed."""
    order, selector = _order(task), configured.selector
    kernel, plain = plain_kernel(
        configured, isinstance(task, ExactTask), isinstance(task, PartialTask)
    )
    place = int(np.flatnonzero(order == query)[0])
    begin = first if not isinstance(task, ExactTask) and task.learner.carry else place
    fresh = [output.copy() for output in outputs]

    def work() -> None:
        with np.errstate(all="ignore"):
            kernel(begin, min(place + 2, len(order)), task, *fresh)

    try:
        run_limited(work, lambda: plain.calls)
    except Exception as error:
        return fault_of(error, selector, plain.called)
    return None
