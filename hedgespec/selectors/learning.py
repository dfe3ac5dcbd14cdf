"""Losses, read from their names, and which settings make sense for which learner."""

from dataclasses import dataclass

from hedgespec.errors import HedgespecError, arg, did_you_mean
from hedgespec.results.labels import LossLabel
from hedgespec.results.labels import default_loss as default_label
from hedgespec.selectors.contract import CHOSEN, FULL, Selector
from hedgespec.selectors.feedback import Feedback
from hedgespec.selectors.losses import ESTIMATORS

LOSS_HELP = {
    "length": "1 - EAL / (K+1), EAL being the expected emitted tokens of a round",
    "accept": "1 - gamma of the position: known at once (the default without costs)",
    "hybrid:X": "X times accept plus 1-X times length",
    "seconds": "a round's seconds over EAL, relative to the dearest's (the default with costs)",
    "visit": "probability that the drafter, used throughout, starts a round there: sums to rounds",
    "visit-seconds": "the same times a round's seconds over those of the dearest drafter",
}
# By whether starts of rounds are what is lost, and whether they are weighed by seconds.
_KINDS = {
    (False, False): "length",
    (False, True): "seconds",
    (True, False): "visit",
    (True, True): "visit-seconds",
}

NOT_ESTIMATED = "loss accept estimates no round"  # why an estimator is idle


@dataclass(frozen=True)
class Loss:
    """What is lost by a drafter at a start position.

    `accept_weight` is that of the acceptance loss against the length loss; `seconds` takes seconds
    per expected token instead of either. `visit` takes the probability that a round starts there,
    with `seconds` times the seconds of a round. `prefill` takes the
    first depth's statistics for all depths, as an evaluation by prefilling the verified text sees
    them.
    """

    accept_weight: float = 0.0
    estimator: str = "gamma"
    prefill: bool = False
    seconds: bool = False
    visit: bool = False

    @property
    def label(self) -> str:
        """Its name in results."""
        if self.accept_weight == 1.0:
            return str(LossLabel("accept"))
        kind, weight = _KINDS[self.visit, self.seconds], None
        if self.accept_weight:
            kind, weight = "hybrid", self.accept_weight
        return str(LossLabel(kind, weight, self.estimator, self.prefill))

    @property
    def estimated(self) -> bool:
        """Whether `estimator` and `prefill` matter."""
        return self.accept_weight != 1.0

    def window(self, draft_length: int) -> int:
        """Positions from the start on that must be verified before it is known."""
        return 1 if self.accept_weight == 1.0 or self.visit else draft_length


def parse_loss(text: str, estimator: str = "", prefill: bool = False) -> Loss:
    """Read a name of LOSS_HELP, "hybrid:X" with 0 < X < 1, or a loss's whole label.

    `estimator` and `prefill` are those of a text that does not name them. Raises HedgespecError for
    anything else, or an unknown estimator.
    """
    label = LossLabel.parse(text)
    estimator = label.estimator or estimator or Loss.estimator
    prefill = label.prefill or prefill
    if estimator not in ESTIMATORS:
        raise HedgespecError(
            f"unknown estimator {estimator!r} of the length loss; choose from "
            f"{', '.join(ESTIMATORS)}" + did_you_mean(estimator, ESTIMATORS)
        )
    if label.kind == "hybrid" and label.weight is not None and 0 < label.weight < 1:
        return Loss(label.weight, estimator, prefill)
    for (visit, seconds), kind in _KINDS.items():
        if label.weight is None and label.kind == kind:
            return Loss(0.0, estimator, prefill, seconds, visit)
    if label.weight is None and label.kind == "accept":
        return Loss(1.0)
    raise HedgespecError(
        f"unknown loss {text!r}; choose from {', '.join(LOSS_HELP)} with 0 < X < 1"
        + did_you_mean(label.kind, [name.partition(":")[0] for name in LOSS_HELP])
    )


def default_loss(feedback: Feedback, timed: bool) -> Loss:
    """The loss where none is named; `timed` says whether the drafters' costs are known."""
    return parse_loss(default_label(feedback.policy.cut, timed))


def check_learning(selector: Selector, feedback: Feedback | None, loss: Loss | None) -> None:
    """Raise HedgespecError, naming it, for what makes no sense for a learner."""
    if selector.feedback == CHOSEN:
        for name, given in (("feedback", feedback), ("loss", loss)):
            if given is not None:
                raise HedgespecError(
                    f"{selector.name} learns from the tokens of its own rounds: "
                    f"{arg(name, given.label)} makes no sense for it"
                )
    if selector.feedback != FULL:
        return
    if feedback is not None and selector.uses_features and not feedback.by_position:
        raise HedgespecError(
            f"{selector.name} reads what an evaluation in each round tells: "
            f"{arg('feedback', feedback.label)} makes no sense for it"
        )
    if feedback is not None and feedback.actual and not selector.uses_play:
        raise HedgespecError(
            f"{selector.name} does not look at what was played: "
            f"{arg('feedback', feedback.label)} makes no sense for it"
        )
    if (
        feedback is not None
        and feedback.policy.cut
        and (loss is not None and (loss.accept_weight > 0 or loss.seconds or loss.visit))
    ):
        raise HedgespecError(
            f"{arg('feedback', feedback.label)} cuts the sums of the length loss "
            f"off: {arg('loss', loss.label)} makes no sense for it"
        )
    if feedback is not None and feedback.partial and loss is not None and loss.visit:
        raise HedgespecError(
            f"{arg('loss', loss.label)} needs every drafter at every position: "
            f"{arg('feedback', feedback.label)} makes no sense for it"
        )
