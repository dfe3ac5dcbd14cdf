"""What references and the router ask of a replayer: what is known of a trace before any round."""

from collections.abc import Callable
from typing import Protocol

import numpy as np

from hedgespec.simulator.arms import Arms
from hedgespec.traces import Trace


class Known(Protocol):
    """A trace, the arms on it, and what can be said of their rounds beforehand."""

    trace: Trace
    arms: Arms

    @property
    def expected_rounds(self) -> np.ndarray:
        """Exact expected rounds of each fixed arm, (Q, N)."""

    @property
    def expected_seconds(self) -> np.ndarray:
        """Exact expected seconds of each fixed arm, (Q, N). Raises HedgespecError without costs."""

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
