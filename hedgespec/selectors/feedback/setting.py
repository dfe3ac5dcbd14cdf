"""A feedback setting: an arrival policy and modifiers, from its label to the kernels' form."""

import re
from dataclasses import dataclass

from hedgespec.errors import HedgespecError, did_you_mean
from hedgespec.results.labels import Term, join_terms, split_terms
from hedgespec.selectors.feedback.contract import (
    ArrivalPolicy,
    DelayPolicy,
    EvaluationPolicy,
    RegretPolicy,
)
from hedgespec.selectors.feedback.registry import ARRIVALS, DEFAULT, MODIFIERS
from hedgespec.selectors.feedback.schedule import Schedule


@dataclass(frozen=True)
class Feedback:
    """When losses arrive and which ones; `modifiers` are names with amounts, 1 for those without.

    `parse_feedback` reads one from its label.
    """

    arrival: str = DEFAULT
    modifiers: tuple[tuple[str, int], ...] = ()

    @property
    def label(self) -> str:
        """Its name, without what is default."""
        terms: list[Term] = [(name, str(amount) if MODIFIERS[name].symbol else "")
                             for name, amount in self.modifiers]
        if self.arrival != DEFAULT or not terms:
            terms.insert(0, (self.arrival, ""))
        return join_terms(terms)

    @property
    def policy(self) -> ArrivalPolicy:
        """The arrival policy."""
        return ARRIVALS[self.arrival]

    @property
    def actual(self) -> bool:
        """Whether regret is counted against what was really played."""
        return any(isinstance(MODIFIERS[name], RegretPolicy) for name, _ in self.modifiers)

    @property
    def delayed(self) -> bool:
        """Whether evaluation goes on while further rounds run."""
        return not self.spares and any(
            isinstance(MODIFIERS[name], DelayPolicy) for name, _ in self.modifiers)

    @property
    def spares(self) -> bool:
        """Whether drafters are evaluated when that is needed, instead of in each round."""
        policies = [MODIFIERS[name] for name, _ in self.modifiers]
        return any(policy.spares for policy in policies
                   if isinstance(policy, DelayPolicy | EvaluationPolicy))

    @property
    def by_position(self) -> bool:
        """Whether what was learned before a decision depends on its position only."""
        return not self.policy.cut and not self.modifiers

    def schedule(self, window: int) -> Schedule:
        """The setting for compiled functions; a loss takes `window` positions to complete."""
        amounts = dict(self.modifiers)
        return Schedule(
            list(ARRIVALS).index(self.arrival), tuple(amounts.get(name, 0) for name in MODIFIERS),
            window, self.policy.copies(window), self.policy.cut, self.actual)


def parse_feedback(label: str) -> Feedback:
    """Read an arrival policy and modifiers joined by "+": "bold", "rounds:2", "every:4+round".

    Raises HedgespecError for an unknown one, or for two that exclude each other.
    """
    arrival, amounts = DEFAULT, {}
    arrivals = {name: policy.name for policy in ARRIVALS.values()
                for name in (policy.name, *policy.aliases)}
    for name, value in split_terms(label):
        if name in arrivals and not value:
            arrival = arrivals[name]
        elif name in MODIFIERS and _is_amount(value, MODIFIERS[name].symbol):
            amounts[name] = int(value or 1)
        else:
            known = ", ".join([*ARRIVALS, *modifier_help()])
            raise HedgespecError(f"unknown feedback {join_terms([(name, value)])!r} in {label!r}; "
                                 f"choose from {known}, joined by +"
                                 + did_you_mean(name, [*arrivals, *MODIFIERS]))
    feedback = Feedback(arrival, tuple((name, amounts[name]) for name in MODIFIERS
                                       if name in amounts))
    _check(feedback, label)
    return feedback


def feedback_help() -> dict[str, str]:
    """What each arrival policy does, by name."""
    return {name: policy.help for name, policy in ARRIVALS.items()}


def modifier_help() -> dict[str, str]:
    """What each modifier does, by name and the symbol of its amount."""
    return {f"{name}:{policy.symbol}" if policy.symbol else name: policy.help
            for name, policy in MODIFIERS.items()}


def _is_amount(value: str, symbol: str) -> bool:
    return bool(re.fullmatch(r"[1-9]\d{0,5}", value)) if symbol else not value


def _check(feedback: Feedback, label: str) -> None:
    policies = [MODIFIERS[name] for name, _ in feedback.modifiers]
    if any(isinstance(policy, feedback.policy.excludes) for policy in policies):
        raise HedgespecError(f"feedback {label!r}: {feedback.policy.reason}")
    delays = [policy.name for policy in policies if isinstance(policy, DelayPolicy)]
    if len(delays) > 1:
        raise HedgespecError(f"feedback {label!r}: {' and '.join(delays)} exclude each other: one "
                             "says when an evaluation has finished")
