"""What decoding gives: rounds, and the answer that they make."""

from dataclasses import dataclass, field

import numpy as np

from hedgespec.live.clock import Clock
from hedgespec.rules import Statistics


@dataclass(frozen=True)
class Round:
    """One round: the numbers of the arm and of its drafter, tokens drafted and emitted.

    Where nothing is drafted, `drafter` is NO_DRAFTER, and with selector `none` `arm` too.
    `position` counts tokens of the answer before the round, `weights` (N) are the selector's play,
    `evaluated` are the numbers of the drafters that were evaluated before it.
    """

    position: int
    arm: int
    drafter: int
    weights: np.ndarray
    evaluated: list[int]
    drafted: int
    tokens: list[int]
    clock: Clock

    @property
    def seconds(self) -> dict[str, float]:
        """Of each of the round's parts, one after the other; waits until a GPU has done them."""
        return self.clock.seconds


@dataclass
class Answer:
    """The tokens of an answer and its rounds; `finish_reason` is "eos" or "length".

    `statistics` are those of the tokens on which all drafters were evaluated, in order, and
    `by_drafter` those of each drafter's, where only some are evaluated at a time. `learned`
    are the positions (M) whose losses the selector was fed with, in that order, and these (M, N).
    """

    tokens: list[int] = field(default_factory=list)
    rounds: list[Round] = field(default_factory=list)
    statistics: list[Statistics] = field(default_factory=list)
    finish_reason: str = "length"
    by_drafter: dict[int, list[Statistics]] = field(default_factory=dict)
    learned: tuple[np.ndarray, np.ndarray] | None = None

    @property
    def mat(self) -> float:
        """Emitted tokens per round."""
        return len(self.tokens) / max(len(self.rounds), 1)
