"""Costs that are measured between answers too: what a machine takes moves from minute to minute."""

from time import perf_counter

from hedgespec.costs.timing import Measurement
from hedgespec.live.engine import Engine
from hedgespec.traces import Costs

_SHARE = 0.1  # of the time, that measuring again takes at most


class CostMeter:
    """Measures what rounds cost once more between answers.

    So rounds can be compared with what their parts took in the same minutes. `costs` are medians
    over all times; what rounds take besides their parts is that of the first.
    """

    def __init__(self, engine: Engine, measurement: Measurement, first: Costs):
        """`first` was taken from the `measurement` before the first answer, with overheads."""
        self._engine, self._measurement = engine, measurement
        self._due = 0.0
        self.costs = first

    def between_answers(self) -> None:
        """Measure once more, if the last time is long enough ago. The engine's text is ended."""
        started = perf_counter()
        if started >= self._due:
            with self._engine.unlimited():
                self.costs = self._measurement.take(1).with_overheads_of(self.costs)
            ended = perf_counter()
            self._due = ended + (ended - started) / _SHARE
