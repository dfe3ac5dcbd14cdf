"""Losses, read from their names, and which settings make sense for which learner."""

import re
from dataclasses import dataclass

from hedgespec.errors import HedgespecError, arg
from hedgespec.selectors.contract import CHOSEN, FULL, Selector
from hedgespec.selectors.feedback import Feedback
from hedgespec.selectors.losses import ESTIMATORS

LOSS_HELP = {
    "length": "1 - EAL / (K+1), EAL being the expected emitted tokens of a round (the default)",
    "accept": "1 - gamma of the position: known at once",
    "hybrid:X": "X times accept plus 1-X times length",
    "seconds": "seconds per token, from the trace's costs, over those of the dearest drafter",
}


@dataclass(frozen=True)
class Loss:
    """What is lost by a drafter at a start position.

    `accept_weight` is that of the acceptance loss against the length loss; `seconds` takes seconds
    per expected token instead of either. `prefill` takes the
    first depth's statistics for all depths, as an evaluation by prefilling the verified text sees
    them.
    """

    accept_weight: float = 0.0
    estimator: str = "gamma"
    prefill: bool = False
    seconds: bool = False

    @property
    def label(self) -> str:
        """Its name in results."""
        if self.accept_weight == 1.0:
            return "accept"
        kind = f"hybrid:{self.accept_weight:g}" if self.accept_weight else "length"
        if self.seconds:
            kind = "seconds"
        return f"{kind}:{self.estimator}" + (":prefill" if self.prefill else "")

    def window(self, draft_length: int) -> int:
        """Positions from the start on that must be verified before it is known."""
        return 1 if self.accept_weight == 1.0 else draft_length


def parse_loss(text: str, estimator: str = "gamma", prefill: bool = False) -> Loss:
    """Read "length", "accept", "seconds" or "hybrid:X" with 0 < X < 1.

    Raises HedgespecError for anything else, or an unknown estimator.
    """
    if estimator not in ESTIMATORS:
        raise HedgespecError(f"unknown estimator {estimator!r} of the length loss; choose from "
                             f"{', '.join(ESTIMATORS)}")
    if text == "length":
        return Loss(0.0, estimator, prefill)
    if text == "seconds":
        return Loss(0.0, estimator, prefill, seconds=True)
    if text == "accept":
        return Loss(1.0)
    name, _, number = text.partition(":")
    if name == "hybrid" and re.fullmatch(r"0?\.\d+", number) and float(number) > 0:
        return Loss(float(number), estimator, prefill)
    raise HedgespecError(
        f"unknown loss {text!r}; choose from {', '.join(LOSS_HELP)} with 0 < X < 1")


def check_learning(selector: Selector, feedback: Feedback | None, loss: Loss | None) -> None:
    """Raise HedgespecError, naming it, for what makes no sense for a learner."""
    if selector.feedback == CHOSEN:
        for name, given in (("feedback", feedback), ("loss", loss)):
            if given is not None:
                raise HedgespecError(
                    f"{selector.name} learns from the tokens of its own rounds: "
                    f"{arg(name, given.label)} makes no sense for it")
    if selector.feedback != FULL:
        return
    if feedback is not None and feedback.actual and not selector.uses_play:
        raise HedgespecError(f"{selector.name} does not look at what was played: "
                             f"{arg('feedback', feedback.label)} makes no sense for it")
    if feedback is not None and feedback.policy.cut and (
            loss is not None and (loss.accept_weight > 0 or loss.seconds)):
        raise HedgespecError(f"{arg('feedback', feedback.label)} cuts the sums of the length loss "
                             f"off: {arg('loss', loss.label)} makes no sense for it")
