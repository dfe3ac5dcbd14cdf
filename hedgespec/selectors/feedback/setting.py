"""A feedback setting: an arrival policy and modifiers, from its label to the kernels' form."""

import re
from dataclasses import dataclass

from hedgespec.errors import HedgespecError, did_you_mean
from hedgespec.results.labels import Term, join_terms, split_terms
from hedgespec.selectors.feedback.contract import (
    Amount,
    ArrivalPolicy,
    DelayPolicy,
    EvaluationPolicy,
    Modifier,
    RegretPolicy,
    SetPolicy,
)
from hedgespec.selectors.feedback.registry import ARRIVALS, DEFAULT, MODIFIERS
from hedgespec.selectors.feedback.schedule import Schedule

_NUMBER = re.compile(r"\d{1,6}|\d{0,6}\.\d{1,17}|\d(\.\d{1,17})?e-\d{1,3}")
_NOT_ASKED = (-1.0, -1.0)  # numbers of a set policy


@dataclass(frozen=True)
class Feedback:
    """When losses arrive and which ones; `modifiers` are names with amounts, 1 for those without.

    The amount of a set policy are its numbers. `parse_feedback` reads one from its label.
    """

    arrival: str = DEFAULT
    modifiers: tuple[tuple[str, Amount], ...] = ()

    @property
    def label(self) -> str:
        """Its name, without what is default."""
        terms: list[Term] = [
            (name, _printed(amount) if MODIFIERS[name].symbol else "")
            for name, amount in self.modifiers
        ]
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
            isinstance(MODIFIERS[name], DelayPolicy) for name, _ in self.modifiers
        )

    @property
    def spares(self) -> bool:
        """Whether drafters are evaluated when that is needed, instead of in each round."""
        policies = [MODIFIERS[name] for name, _ in self.modifiers]
        return self.partial or any(
            policy.spares
            for policy in policies
            if isinstance(policy, DelayPolicy | EvaluationPolicy)
        )

    @property
    def partial(self) -> bool:
        """Whether some drafters may be evaluated without the others."""
        return any(isinstance(MODIFIERS[name], SetPolicy) for name, _ in self.modifiers)

    @property
    def timed(self) -> bool:
        """Whether the seconds of rounds and evaluations must be known."""
        policies = [MODIFIERS[name] for name, _ in self.modifiers]
        return any(policy.timed for policy in policies if isinstance(policy, SetPolicy))

    @property
    def by_position(self) -> bool:
        """Whether what was learned before a decision depends on its position only."""
        return not self.policy.cut and not self.modifiers

    def schedule(self, window: int) -> Schedule:
        """The setting for compiled functions; a loss takes `window` positions to complete."""
        given = dict(self.modifiers)
        amounts = {name: amount for name, amount in given.items() if isinstance(amount, int)}
        numbers = [
            given.get(name, _NOT_ASKED)
            for name, policy in MODIFIERS.items()
            if isinstance(policy, SetPolicy)
        ]
        return Schedule(
            list(ARRIVALS).index(self.arrival),
            tuple(amounts.get(name, 0) for name in MODIFIERS),
            window,
            self.policy.copies(window),
            self.policy.cut,
            self.actual,
            tuple((one[0], one[-1]) for one in numbers if isinstance(one, tuple)),
        )


def parse_feedback(label: str) -> Feedback:
    """Read an arrival policy and modifiers joined by "+": "bold", "rounds:2", "every:4+round".

    Raises HedgespecError for an unknown one, or for two that exclude each other.
    """
    arrival, amounts = DEFAULT, dict[str, Amount]()
    arrivals = {
        name: policy.name for policy in ARRIVALS.values() for name in (policy.name, *policy.aliases)
    }
    for name, value in split_terms(label):
        if name in arrivals and not value:
            arrival = arrivals[name]
        elif name in MODIFIERS and (amount := _amount(value, MODIFIERS[name])) is not None:
            amounts[name] = amount
        else:
            known = ", ".join([*ARRIVALS, *modifier_help()])
            raise HedgespecError(
                f"unknown feedback {join_terms([(name, value)])!r} in {label!r}; "
                f"choose from {known}, joined by +" + did_you_mean(name, [*arrivals, *MODIFIERS])
            )
    feedback = Feedback(
        arrival, tuple((name, amounts[name]) for name in MODIFIERS if name in amounts)
    )
    _check(feedback, label)
    return feedback


def feedback_help() -> dict[str, str]:
    """What each arrival policy does, by name."""
    return {name: policy.help for name, policy in ARRIVALS.items()}


def modifier_help() -> dict[str, str]:
    """What each modifier does, by name and the symbol of its amount."""
    return {
        f"{name}:{policy.symbol}" if policy.symbol else name: policy.help
        for name, policy in MODIFIERS.items()
    }


def _amount(value: str, policy: Modifier) -> Amount | None:
    """What stands behind the colon of a modifier; None if it is nothing that can stand there."""
    if isinstance(policy, SetPolicy):
        return _numbers(value, policy)
    if not policy.symbol:
        return None if value else 1
    return int(value) if re.fullmatch(r"[1-9]\d{0,5}", value) else None


def _numbers(value: str, policy: SetPolicy) -> tuple[float, ...] | None:
    found = value.split(",")
    if len(found) != len(policy.low) or not all(map(_NUMBER.fullmatch, found)):
        return None
    numbers = tuple(map(float, found))
    allowed = all(
        low <= one <= high and not (policy.whole and one % 1)
        for low, one, high in zip(policy.low, numbers, policy.high, strict=True)
    )
    return numbers if allowed else None


def _printed(amount: Amount) -> str:
    numbers = amount if isinstance(amount, tuple) else (amount,)
    return ",".join(str(int(one)) if one % 1 == 0 else repr(one) for one in numbers)


def _check(feedback: Feedback, label: str) -> None:
    policies = [MODIFIERS[name] for name, _ in feedback.modifiers]
    if any(isinstance(policy, feedback.policy.excludes) for policy in policies):
        raise HedgespecError(f"feedback {label!r}: {feedback.policy.reason}")
    delays = [policy.name for policy in policies if isinstance(policy, DelayPolicy)]
    if len(delays) > 1:
        raise HedgespecError(
            f"feedback {label!r}: {' and '.join(delays)} exclude each other: one "
            "says when an evaluation has finished"
        )
