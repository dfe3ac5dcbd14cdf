"""What decoding one text needs of the models: drafting, verification, evaluation."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from enum import Enum

import torch

from hedgespec.costs.timing import Measurement
from hedgespec.live.clock import Clock
from hedgespec.rules import Statistics
from hedgespec.traces import Costs


class Evaluation(Enum):
    """When drafters are evaluated on what was emitted, and the feedback it serves."""

    NEVER = "bandits"
    ON_DEMAND = "every:M"
    EACH_ROUND = "queued"
    ASIDE = "rounds:D"  # beside the next round's drafting, where the device can do that
    IN_PART = "eliminate:c,p"  # on demand, some of the drafters


class Engine(ABC):
    """Target and N drafters on one text after the other. Use within `torch.inference_mode()`.

    `evaluation` may change between texts. `waiting` counts emitted tokens on which the drafters
    were not evaluated yet; `dropped` are drafters that failed, and why: they propose nothing, their
    acceptance probability is 0. `beside` says that evaluation is started after each round unasked.
    """

    evaluation: Evaluation
    beside: bool = False
    waiting: int
    dropped: dict[str, str]

    @abstractmethod
    def begin(self, prompt: list[int], limit: int) -> None:
        """A new text, of at most `limit` tokens after the prompt."""

    @abstractmethod
    def round(
        self, drafter: int, noise: torch.Tensor, room: int, clock: Clock
    ) -> tuple[int, list[int]]:
        """Draft with a drafter and verify: the number of tokens drafted, and those emitted.

        `noise` (k+1, W) are the rule's uniform numbers on the host, float64, of a draft of k
        tokens, the plan's draft length at most; k is 0 with NO_DRAFTER. At most `room` tokens are
        emitted. Reads the clock for "draft".
        """

    @abstractmethod
    def keep(self, count: int) -> None:
        """Of the last round's tokens the answer keeps `count`; with fewer than all it has ended."""

    @abstractmethod
    def evaluate(self, until: int) -> Statistics:
        """Statistics of all drafters on waiting tokens, up to the answer's `until`-th at least.

        They are those of the first draft depth; of draft trees all levels, by position.
        """

    @abstractmethod
    def evaluate_some(self, arms: Sequence[int]) -> list[Statistics]:
        """Statistics (N = 1) of each of some drafters, on all tokens it was not evaluated on yet.

        For Evaluation.IN_PART; as `evaluate` otherwise.
        """

    @abstractmethod
    def evaluate_one(self, arm: int) -> Statistics:
        """Statistics of one drafter (N = 1) on the last round's tokens."""

    @abstractmethod
    def unlimited(self) -> AbstractContextManager[None]:
        """No drafter is dropped for the time that it takes within: it is measured."""

    @abstractmethod
    def measurement(self, context: int = 256, widths: Sequence[int] = ()) -> Measurement:
        """Measures what the parts of a round take after `context` tokens; see `costs_measurement`.

        To take it ends the text.
        """

    @abstractmethod
    def costs_of_texts(self, texts: int, context: int, repeats: int | None = None) -> Costs:
        """The same of so many texts at once, each after `context` tokens."""
