"""What a selector chooses between in a replay: drafters, with verification rules and lengths."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hedgespec.errors import HedgespecError
from hedgespec.rules import Rule, verification_rule
from hedgespec.selectors.arms import NO_DRAFTER, Arms, arm_labels
from hedgespec.traces import Trace
from hedgespec.traces.drafted import drafted_tokens
from hedgespec.traces.schema import MAX_DRAFT_LENGTH


@dataclass(frozen=True)
class RuledArms(Arms):
    """N arms of a trace's drafters, and the rule that verifies each."""

    rules: list[Rule]

    @property
    def rule(self) -> str:
        """The rule of all arms, or several joined by +."""
        return "+".join(dict.fromkeys(rule.label for rule in self.rules))

    @property
    def path_only(self) -> np.ndarray:
        """Whose statistics end where the text leaves what was drafted, bool (N)."""
        return np.array([rule.path_only for rule in self.rules])

    def drafter_names(self, trace: Trace) -> list[str | None]:
        """The drafter of each arm, None without."""
        return [
            None if drafter == NO_DRAFTER else trace.manifest.drafter_names[drafter]
            for drafter in self.drafters
        ]

    def drafted(self, trace: Trace) -> np.ndarray:
        """Tokens that each arm drafts in a round from each token, (T, N); of trees all nodes.

        (1, N) where they are the same everywhere.
        """
        columns = [self._drafted(trace, arm) for arm in range(len(self.names))]
        rows = max(map(len, columns))
        return np.stack([np.broadcast_to(column, rows) for column in columns], axis=1)

    def _drafted(self, trace: Trace, arm: int) -> np.ndarray:
        """Of one arm, (T) or (1)."""
        rule, drafter, length = self.rules[arm], int(self.drafters[arm]), self.lengths[arm]
        if drafter == NO_DRAFTER:
            return np.zeros(1, dtype=np.int64)
        if rule.path_only:
            return trace.rules[f"nodes.{rule.label}"][:, 0, drafter].astype(np.int64)
        found = drafted_tokens(trace, drafter)
        return np.array([length]) if found is None else np.minimum(found, length)

    def spread_by_rule(self, statistic: Callable[[Rule, int], np.ndarray]) -> np.ndarray:
        """A statistic of acceptance, (T, D, drafters) of each rule, as (T, D', N) of the arms: see
        `spread`."""
        distinct = {rule.label: rule for rule in self.rules}
        found = {label: statistic(rule, self.longest) for label, rule in distinct.items()}
        return self.spread([found[rule.label] for rule in self.rules])


def make_arms(
    trace: Trace,
    draft_length: int | None,
    lengths: tuple[int, ...] = (),
    named: tuple[str, ...] = (),
    rule: str = "auto",
) -> RuledArms:
    """Every drafter under one rule, with one draft length, or, if `lengths` are given, with each.

    With `named` instead these arms, each DRAFTER[@RULE][*K], where `all` stands for every drafter;
    what is left out is `rule` and `draft_length`. `draft_length` None is the trace's, or a tree's,
    own. Raises HedgespecError as `arm_labels` does, and for a length that does not fit the trace.
    """
    names = trace.manifest.drafter_names
    labels = arm_labels(names, lengths, named)
    drafting = [label for label in labels if label.drafter in names]
    first = verification_rule(drafting[0].rule or rule, trace)
    numbers, rules, chosen = [], [], []
    for label in labels:
        if label.drafter not in names:  # verified by no rule of its own
            numbers.append(NO_DRAFTER)
            rules.append(first)
            chosen.append(0)
            continue
        numbers.append(names.index(label.drafter))
        rules.append(verification_rule(label.rule or rule, trace))
        chosen.append(
            _default_length(draft_length, rules[-1], trace)
            if label.length is None
            else label.length
        )
        _check_length(chosen[-1], rules[-1], numbers[-1], trace)
    return RuledArms([str(label) for label in labels], np.array(numbers), np.array(chosen), rules)


def _default_length(draft_length: int | None, rule: Rule, trace: Trace) -> int:
    if draft_length is not None:
        return draft_length
    return rule.longest(trace) or trace.manifest.draft_length


def _check_length(length: int, rule: Rule, number: int, trace: Trace) -> None:
    if not 1 <= length <= MAX_DRAFT_LENGTH:
        raise HedgespecError(
            f"draft length must be at least 1 and at most {MAX_DRAFT_LENGTH}, not {length}"
        )
    drafter, longest = trace.manifest.drafters[number], rule.longest(trace)
    if longest is not None and length > longest:
        raise HedgespecError(
            f"trace {trace.name}: rule {rule.label} was recorded to level "
            f"{longest}; draft length {length} is longer"
        )
    if longest is None and 1 < drafter.depths < length:
        raise HedgespecError(
            f"trace {trace.name}: drafter {drafter.name} was recorded to depth "
            f"{drafter.depths}; draft length {length} is longer"
        )
