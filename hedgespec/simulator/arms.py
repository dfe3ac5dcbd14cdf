"""What a selector chooses between: drafters, with their verification rules and draft lengths."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from hedgespec.errors import HedgespecError, arg, did_you_mean
from hedgespec.results.labels import EVERY_DRAFTER, NONE, ArmLabel
from hedgespec.rules import Rule, verification_rule
from hedgespec.traces import Trace
from hedgespec.traces.drafted import drafted_tokens
from hedgespec.traces.schema import MAX_DRAFT_LENGTH, NO_DRAFTER

MOST_ARMS = 2**15 - 1  # choices are int16


@dataclass(frozen=True)
class Arms:
    """N arms: `names`, the number of each one's drafter in the trace, its draft length and rule.

    The arm `none` has NO_DRAFTER and draft length 0.
    """

    names: list[str]
    drafters: np.ndarray
    lengths: np.ndarray
    rules: list[Rule]

    @property
    def longest(self) -> int:
        """The greatest draft length."""
        return int(self.lengths.max())

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
        return [None if drafter == NO_DRAFTER else trace.manifest.drafter_names[drafter]
                for drafter in self.drafters]

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

    def spread(self, statistic: Callable[[Rule, int], np.ndarray]) -> np.ndarray:
        """A statistic of acceptance, (T, D, drafters) of each rule, as (T, D', N) of the arms.

        Behind an arm's draft length acceptance is 0. The target's token that follows a whole draft
        is then the one that follows a rejection there, so that rounds and expected tokens are those
        of the shorter draft.
        """
        distinct = {rule.label: rule for rule in self.rules}
        found = {label: statistic(rule, self.longest) for label, rule in distinct.items()}
        whole = next(iter(found.values()))
        if len(found) == 1 and (self.lengths == self.longest).all() and np.array_equal(
                self.drafters, np.arange(whole.shape[2])):
            return np.ascontiguousarray(whole, dtype=np.float32)  # one arm per drafter
        levels = np.arange(self.longest)
        spread = np.zeros((len(whole), self.longest, len(self.names)), dtype=np.float32)
        for arm, (rule, drafter, length) in enumerate(
                zip(self.rules, self.drafters, self.lengths, strict=True)):
            values = found[rule.label]
            depths = np.minimum(levels[:length], values.shape[1] - 1)
            spread[:, :length, arm] = values[:, depths, drafter]
        return spread


def make_arms(
    trace: Trace, draft_length: int | None, lengths: tuple[int, ...] = (),
    named: tuple[str, ...] = (), rule: str = "auto",
) -> Arms:
    """Every drafter under one rule, with one draft length, or, if `lengths` are given, with each.

    With `named` instead these arms, each DRAFTER[@RULE][*K], where `all` stands for every drafter;
    what is left out is `rule` and `draft_length`. `draft_length` None is the trace's, or a tree's,
    own. `none`, or the length 0, is an arm that does not draft. Raises HedgespecError for an arm or
    length that stands twice or does not fit the trace.
    """
    names = trace.manifest.drafter_names
    labels = arm_labels(names, lengths, named)
    drafting = [label for label in labels if label.drafter in names]
    if not drafting:
        raise HedgespecError(f"{arg('arms' if named else 'arm_lengths')}: {NONE} alone leaves "
                             "nothing to choose; give drafters besides")
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
        chosen.append(_default_length(draft_length, rules[-1], trace) if label.length is None
                      else label.length)
        _check_length(chosen[-1], rules[-1], numbers[-1], trace)
    return Arms([str(label) for label in labels], np.array(numbers), np.array(chosen), rules)


def arm_labels(
    drafters: list[str], lengths: tuple[int, ...] = (), named: tuple[str, ...] = ()
) -> list[ArmLabel]:
    """The arms that are asked for, each drafter spelled out; see `make_arms`."""
    if NONE in drafters and 0 in lengths:
        raise HedgespecError(f"{arg('arm_lengths')}: the trace has a drafter called {NONE}, so "
                             "that not drafting cannot be an arm")
    given = [_parse(text, drafters) for text in named] or _pairs(drafters, lengths)
    every = {} if EVERY_DRAFTER in drafters else {EVERY_DRAFTER: drafters}
    labels = [replace(label, drafter=name) for label in given
              for name in every.get(label.drafter, [label.drafter])]
    option = "arms" if named else "arm_lengths"
    if len(labels) > MOST_ARMS:
        raise HedgespecError(f"{arg(option)} and the trace's drafters make {len(labels)} arms; at "
                             f"most {MOST_ARMS} can be told apart")
    for label, times in Counter(labels).items():
        if times > 1:
            raise HedgespecError(f"{arg(option)} names {label} twice")
    return labels


def _pairs(drafters: list[str], lengths: tuple[int, ...]) -> list[ArmLabel]:
    """Every drafter with every length; length 0, once, is the arm `none`."""
    drafted: list[int | None] = [length for length in lengths if length] if lengths else [None]
    return [*[ArmLabel(NONE)] * lengths.count(0),
            *(ArmLabel(name, length=length) for name in drafters for length in drafted)]


def _parse(text: str, drafters: list[str]) -> ArmLabel:
    label = ArmLabel.parse(text)
    if label is not None and label.drafter == EVERY_DRAFTER and EVERY_DRAFTER in drafters:
        raise HedgespecError(f"{arg('arms', text)}: the trace has a drafter called "
                             f"{EVERY_DRAFTER}; name each drafter")
    if text == NONE:
        return ArmLabel(NONE)
    if label is None or label.drafter not in (EVERY_DRAFTER, *drafters):
        raise HedgespecError(f"{arg('arms', text)}: want DRAFTER[@RULE][*K], DRAFTER being "
                             f"{EVERY_DRAFTER} or one of {', '.join(drafters)}; or {NONE}"
                             + did_you_mean(label.drafter if label else text, drafters))
    return label


def _default_length(draft_length: int | None, rule: Rule, trace: Trace) -> int:
    if draft_length is not None:
        return draft_length
    return rule.longest(trace) or trace.manifest.draft_length


def _check_length(length: int, rule: Rule, number: int, trace: Trace) -> None:
    if not 1 <= length <= MAX_DRAFT_LENGTH:
        raise HedgespecError(
            f"draft length must be at least 1 and at most {MAX_DRAFT_LENGTH}, not {length}")
    drafter, longest = trace.manifest.drafters[number], rule.longest(trace)
    if longest is not None and length > longest:
        raise HedgespecError(f"trace {trace.name}: rule {rule.label} was recorded to level "
                             f"{longest}; draft length {length} is longer")
    if longest is None and 1 < drafter.depths < length:
        raise HedgespecError(
            f"trace {trace.name}: drafter {drafter.name} was recorded to depth "
            f"{drafter.depths}; draft length {length} is longer")
