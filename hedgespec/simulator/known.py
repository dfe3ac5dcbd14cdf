"""What references and the router ask of a replayer: what is known of a trace before any round."""

from collections.abc import Callable
from typing import Protocol

import numpy as np
import polars as pl

from hedgespec.simulator.arms import RuledArms
from hedgespec.traces import Trace


class Asked(Protocol):
    """The queries of a trace."""

    @property
    def name(self) -> str:
        """The trace's name."""

    @property
    def queries(self) -> pl.DataFrame:
        """The table of its queries."""


class Taught(Protocol):
    """What a router asks of a trace: its queries, and which arm is best in each."""

    @property
    def trace(self) -> Asked:
        """The trace."""

    @property
    def arms(self) -> RuledArms:
        """The arms on it."""

    @property
    def expected_rounds(self) -> np.ndarray:
        """Exact expected rounds of each fixed arm, (Q, N)."""


class Expected(Taught, Protocol):
    """What hindsight asks of a whole trace."""

    @property
    def expected_seconds(self) -> np.ndarray:
        """Exact expected seconds of each fixed arm, (Q, N). Raises HedgespecError without costs."""


class Known(Expected, Protocol):
    """A trace or a piece of one, the arms on it, and what can be said of their rounds beforehand."""

    @property
    def trace(self) -> Trace:
        """The trace."""

    @property
    def in_whole(self) -> Expected:
        """The same of the whole trace."""

    def own_seconds(self) -> np.ndarray:
        """Mean seconds of a round of each arm alone, (N,). Raises HedgespecError without costs."""

    def table(self, kernel: Callable[..., None]) -> np.ndarray:
        """What a kernel of start positions finds for each, (T, N)."""

    def route(self, training: str | None) -> np.ndarray:
        """The arm (Q) that a router trained on a trace takes; None: on other questions of its own.

        Raises HedgespecError if it cannot be trained.
        """

    def check_router(self, training: str | None) -> None:
        """Raise HedgespecError if `route` would."""
