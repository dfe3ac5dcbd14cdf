"""What a learner is fed with and when: feedback settings and losses, read from their names."""

import re
from dataclasses import dataclass

from hedgespec.errors import HedgespecError, arg
from hedgespec.selectors.contract import CHOSEN, FULL, Selector
from hedgespec.selectors.losses import ESTIMATORS

QUEUED, ORACLE, CENSORED, BOLD = "queued", "oracle", "censored", "bold"
FEEDBACK_HELP = {
    QUEUED: "each position's loss, in order, as soon as it is complete (the default)",
    BOLD: "the same to 2K independent copies of the learner, served in turn (BOLD)",
    CENSORED: "at the end of each round, sums cut off at what is verified: early and biased",
    ORACLE: "at the end of each round, complete: cannot be had live, the upper bound",
}
MODIFIER_HELP = {
    "rounds:D": "evaluation finishes D rounds later",
    "every:M": "only every M-th round is evaluated",
    "round": "only positions where rounds started are learned from, instead of all",
    "actual": "regret against what was really played, not against what would have been",
}
LOSS_HELP = {
    "length": "1 - EAL / (K+1), EAL being the expected emitted tokens of a round (the default)",
    "accept": "1 - gamma of the position: known at once",
    "hybrid:X": "X times accept plus 1-X times length",
    "seconds": "seconds per token, from the trace's costs, over those of the dearest drafter",
}


@dataclass(frozen=True)
class Feedback:
    """When losses arrive and which ones; see FEEDBACK_HELP and MODIFIER_HELP."""

    kind: str = QUEUED
    rounds: int = 0
    every: int = 1
    by_round: bool = False
    actual: bool = False

    @property
    def label(self) -> str:
        """Its name, without what is default."""
        parts = [self.kind] if self.kind != QUEUED or self == Feedback() else []
        parts += [f"rounds:{self.rounds}"] if self.rounds else []
        parts += [f"every:{self.every}"] if self.every != 1 else []
        parts += ["round"] if self.by_round else []
        parts += ["actual"] if self.actual else []
        return "+".join(parts)

    @property
    def complete(self) -> bool:
        """Whether losses come whole at the end of their round."""
        return self.kind == ORACLE

    @property
    def cut(self) -> bool:
        """Whether losses come at the end of their round, of what is verified by then."""
        return self.kind == CENSORED

    def copies(self, window: int) -> int:
        """Copies of the learner, for losses that take `window` positions to complete.

        Joulani's largest delay is 2 * window - 1; one copy more than that never waits.
        """
        return 2 * window if self.kind == BOLD else 1

    @property
    def by_position(self) -> bool:
        """Whether what was learned before a decision depends on its position only."""
        return (self.kind != CENSORED and self.rounds == 0 and self.every == 1
                and not self.by_round and not self.actual)


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


def parse_feedback(text: str) -> Feedback:
    """Read a kind and modifiers joined by "+", such as "bold", "rounds:2" or "every:4+round".

    Raises HedgespecError for an unknown one, or for two that exclude each other.
    """
    kind, values = QUEUED, {"rounds": 0, "every": 1, "round": 0, "actual": 0}
    for part in text.split("+"):
        name, _, number = part.partition(":")
        if part in FEEDBACK_HELP:
            kind = part
        elif part in ("round", "actual"):
            values[part] = 1
        elif name in ("rounds", "every") and re.fullmatch(r"[1-9]\d{0,5}", number):
            values[name] = int(number)
        else:
            known = ", ".join([*FEEDBACK_HELP, *MODIFIER_HELP])
            raise HedgespecError(f"unknown feedback {part!r} in {text!r}; choose from {known}, "
                                 "joined by +")
    feedback = Feedback(kind, values["rounds"], values["every"], bool(values["round"]),
                        bool(values["actual"]))
    if kind == BOLD and feedback != Feedback(BOLD):
        raise HedgespecError(f"feedback {text!r}: bold has as many copies as the delay of queued "
                             "needs, and stands alone")
    if kind in (CENSORED, ORACLE) and feedback.rounds:
        raise HedgespecError(f"feedback {text!r}: {kind} comes at the end of the round; rounds:D "
                             "delays queued only")
    return feedback


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
    if feedback is not None and feedback.cut and (
            loss is not None and (loss.accept_weight > 0 or loss.seconds)):
        raise HedgespecError(f"{arg('feedback', CENSORED)} cuts the sums of the length loss off: "
                             f"{arg('loss', loss.label)} makes no sense for it")
