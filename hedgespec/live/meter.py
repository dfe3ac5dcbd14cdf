"""Costs that are measured between answers too: what a machine takes moves from minute to minute."""

from collections.abc import Callable
from dataclasses import replace
from time import perf_counter

import torch

from hedgespec.costs.timing import Measurement
from hedgespec.live.engine import Engine
from hedgespec.traces import Costs

_SHARE = 0.1  # of the time, that measuring again takes at most


class CostMeter:
    """Measures what rounds cost before the first answer, and once more between answers.

    So rounds can be compared with what their parts took in the same minutes. `costs` are medians
    over all times; what rounds take besides their parts is measured the first time.
    """

    def __init__(self, engine: Engine, measurement: Measurement, first: Callable[[], Costs]):
        """`first` takes the `measurement` for the first time, and measures overheads."""
        self._engine, self._measurement = engine, measurement
        self._due = 0.0
        self.costs = first()

    def between_answers(self) -> None:
        """Measure once more, if the last time is long enough ago. The engine's text is ended."""
        started = perf_counter()
        if started >= self._due:
            self.costs = self._again()
            ended = perf_counter()
            self._due = ended + (ended - started) / _SHARE

    def _again(self) -> Costs:
        with torch.inference_mode(), self._engine.unlimited():
            found = self._measurement.take(1)
        return replace(
            found,
            overhead=self.costs.overhead,
            evaluation_overhead=self.costs.evaluation_overhead,
            part_overhead=self.costs.part_overhead,
        )
