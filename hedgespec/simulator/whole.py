"""What must be known of a whole trace before a piece of it can be replayed."""

from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Protocol

import numpy as np

from hedgespec.simulator.arms import RuledArms
from hedgespec.simulator.known import Asked
from hedgespec.simulator.router import Router
from hedgespec.traces import Costs, Trace


class Piece(Protocol):
    """A replayer of some queries of a trace."""

    trace: Trace
    arms: RuledArms

    @property
    def expected_rounds(self) -> np.ndarray:
        """Exact expected rounds of each fixed arm, (Q, N)."""

    @property
    def expected_seconds(self) -> np.ndarray:
        """Exact expected seconds of each fixed arm, (Q, N). Raises HedgespecError without costs."""

    def round_seconds(self) -> np.ndarray:
        """Seconds of a round of each arm from each token, (T, N); (1, N) if all are alike."""

    def per_query(self, values: np.ndarray) -> np.ndarray:
        """Sums (Q, ...) of what each token has, (T, ...)."""

    def under(self, costs: Costs | None) -> "Piece":
        """The same with other costs."""


class Whole:
    """A trace that is replayed in pieces, with all its queries.

    Each fact is found when it is first asked for, in one pass over the replayers that `pieces`
    gives, and is that of a replayer of the whole trace, bit for bit.
    """

    def __init__(
        self,
        trace: Asked,
        arms: RuledArms,
        pieces: Callable[[], Iterator[Piece]],
        replayed: Callable[[Trace], Piece],
    ):
        self.trace, self.arms = trace, arms
        self._pieces, self._replayed = pieces, replayed
        self._under: list[tuple[Costs | None, Whole]] = []

    def under(self, costs: Costs | None) -> "Whole":
        """The same under other costs: one for each, as finding its facts takes time."""
        for known, whole in self._under:
            if known is costs:
                return whole
        whole = Whole(
            self.trace,
            self.arms,
            lambda: (one.under(costs) for one in self._pieces()),
            self._replayed,
        )
        self._under.append((costs, whole))
        return whole

    @cached_property
    def expected_rounds(self) -> np.ndarray:
        """Exact expected rounds of each fixed arm, (Q, N)."""
        return np.concatenate([piece.expected_rounds for piece in self._pieces()])

    @cached_property
    def expected_seconds(self) -> np.ndarray:
        """Exact expected seconds of each fixed arm, (Q, N). Raises HedgespecError without costs."""
        return np.concatenate([piece.expected_seconds for piece in self._pieces()])

    @cached_property
    def _own_seconds(self) -> np.ndarray:
        sums, tokens = [], 0
        for piece in self._pieces():
            seconds = piece.round_seconds()
            if len(seconds) == 1 and len(piece.trace.tokens) > 1:
                alike: np.ndarray = seconds[0]
                return alike
            sums.append(piece.per_query(seconds))
            tokens += len(piece.trace.tokens)
        mean: np.ndarray = np.concatenate(sums).sum(axis=0) / tokens
        return mean

    def own_seconds(self) -> np.ndarray:
        """Mean seconds of a round of each arm alone, (N,). Raises HedgespecError without costs."""
        return self._own_seconds

    @cached_property
    def _router(self) -> Router:
        return Router(self, self._replayed)

    def route(self, training: str | None) -> np.ndarray:
        """The arm for each query (Q); see `Known`."""
        return self._router.route(training)

    def check_router(self, training: str | None) -> None:
        """Raise HedgespecError if `route` would."""
        self._router.check(training)
