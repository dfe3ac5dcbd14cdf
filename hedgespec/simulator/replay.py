"""What a replay found: the rounds that were run, or their expectations."""

from dataclasses import dataclass

import numpy as np

from hedgespec.results.labels import EMITTED
from hedgespec.selectors import CHOSEN, FULL, NONE
from hedgespec.selectors.feedback import Feedback
from hedgespec.selectors.learning import Loss

REPLAYED, EXACT = "replayed", "exact"


@dataclass(frozen=True)
class Replay:
    """One replay of a whole trace, or the exact expectation over all replays of it.

    `choice` (T, int16) holds the drafter of the round that started at a token, -1 where none
    did; None if exact. `visits` (T) are the rounds started at a token and `usage` (Q, N) those of
    each drafter, `evaluated` (T) those rounds before which all drafters are evaluated: counts, or
    expectations if exact. `variance` (Q) is that of a query's rounds, None
    if replayed. `seconds` is the kernel's wall-clock time. `plays`, None if replayed, are the
    probabilities of the drafters in a round from each token, (T, N), or the drafter itself, (T).
    `knows` is what the selector learns from: FULL, CHOSEN or NONE, or what a reference knows;
    `feedback` and `loss` mean nothing but for FULL.
    """

    label: str
    knows: str
    feedback: Feedback
    loss: Loss
    mode: str
    seed: int | None
    choice: np.ndarray | None
    visits: np.ndarray
    usage: np.ndarray
    evaluated: np.ndarray
    variance: np.ndarray | None
    seconds: float
    plays: np.ndarray | None = None

    @property
    def feedback_label(self) -> str:
        """How tables name the feedback."""
        return self.feedback.label if self.knows == FULL else self.knows

    @property
    def loss_label(self) -> str:
        """How tables name the loss."""
        if self.knows == FULL:
            return self.loss.label
        return EMITTED if self.knows == CHOSEN else NONE

    def in_rounds(self, values: np.ndarray) -> np.ndarray:
        """Of `values` (N) that of the drafter of a round from each token, expected if exact (T).

        Where no round starts it means nothing.
        """
        arms = self.choice if self.plays is None else self.plays
        assert arms is not None
        found: np.ndarray = values[arms] if arms.ndim == 1 else arms @ values
        return found
