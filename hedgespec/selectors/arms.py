"""What a selector chooses between: drafters, each with one draft length or several."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from hedgespec.errors import HedgespecError, arg, did_you_mean
from hedgespec.options import Option
from hedgespec.results.labels import EVERY_DRAFTER, NONE, ArmLabel

NO_DRAFTER = -1  # in place of a drafter's number: nothing is drafted
MOST_ARMS = 2**15 - 1  # choices are int16
ARM_LENGTHS = Option(
    "draft lengths to choose between: an arm is a pair of a drafter and one of them, named "
    "DRAFTER*K; 0 is the arm none, which drafts nothing; --loss seconds weighs them",
    "K",
    low=0,
)


@dataclass(frozen=True)
class Arms:
    """N arms: `names`, the number of each one's drafter, and its draft length.

    The arm `none` has NO_DRAFTER and draft length 0.
    """

    names: list[str]
    drafters: np.ndarray
    lengths: np.ndarray

    @property
    def longest(self) -> int:
        """The greatest draft length."""
        return int(self.lengths.max())

    @cached_property
    def owner(self) -> np.ndarray:
        """The first arm (N) with the drafter of each."""
        drafters = self.drafters.tolist()
        return np.array([drafters.index(drafter) for drafter in drafters])

    @cached_property
    def first(self) -> np.ndarray:
        """Whether an arm (N) is the first of its drafter."""
        found: np.ndarray = np.logical_and(
            self.owner == np.arange(len(self.names)), self.drafters != NO_DRAFTER
        )
        return found

    @cached_property
    def alike(self) -> bool:
        """Whether each drafter has one arm, in order, and all have one draft length."""
        return bool((self.lengths == self.longest).all()) and np.array_equal(
            self.drafters, np.arange(len(self.names))
        )

    def spread(self, statistics: Sequence[np.ndarray]) -> np.ndarray:
        """Acceptance (T, D, drafters) as it is for each arm (N), as (T, D', N) float32 of the arms.

        Behind an arm's draft length acceptance is 0. The target's token that follows a whole draft
        is then the one that follows a rejection there, so that rounds and expected tokens are those
        of the shorter draft.
        """
        whole = statistics[0]
        if (
            self.alike
            and whole.shape[2] == len(self.names)
            and all(one is whole for one in statistics)
        ):
            return np.ascontiguousarray(whole, dtype=np.float32)
        spread = np.zeros((len(whole), self.longest, len(self.names)), dtype=np.float32)
        for arm, (values, drafter) in enumerate(zip(statistics, self.drafters, strict=True)):
            spread[:, :, arm] = self.cut(values[:, :, drafter], arm)
        return spread

    def first_depth(self, values: np.ndarray, arm: int | None = None) -> np.ndarray:
        """Acceptance (T, D, N), or that of one arm (T, D, 1), as prefilling finds it: that of the
        first depth at each depth of an arm's draft, (T, D', N). D' is 1 where no arm is shorter."""
        first, lengths = values[:, :1], self.lengths if arm is None else self.lengths[[arm]]
        if (self.lengths == self.longest).all():
            return first
        return np.where(np.arange(self.longest)[:, None] < lengths, first, np.float32(0))

    def cut(self, values: np.ndarray, arm: int) -> np.ndarray:
        """Acceptance (T, D) of an arm's drafter as (T, D') of the arm; see `spread`."""
        cut, length = np.zeros((len(values), self.longest), dtype=np.float32), self.lengths[arm]
        cut[:, :length] = values[:, np.minimum(np.arange(length), values.shape[1] - 1)]
        return cut


def arms_of(drafters: list[str], draft_length: int, lengths: tuple[int, ...] = ()) -> Arms:
    """Every drafter with one draft length, or, if `lengths` are given, with each of them.

    Raises HedgespecError as `arm_labels` does.
    """
    labels = arm_labels(drafters, lengths)
    numbers = [
        drafters.index(label.drafter) if label.drafter in drafters else NO_DRAFTER
        for label in labels
    ]
    return Arms(
        [str(label) for label in labels],
        np.array(numbers),
        np.array(
            [
                0
                if number == NO_DRAFTER
                else draft_length
                if label.length is None
                else label.length
                for number, label in zip(numbers, labels, strict=True)
            ]
        ),
    )


def alike_arms(count: int, draft_length: int) -> Arms:
    """So many drafters without names, with one draft length."""
    return arms_of([str(number) for number in range(count)], draft_length)


def arm_labels(
    drafters: list[str], lengths: tuple[int, ...] = (), named: tuple[str, ...] = ()
) -> list[ArmLabel]:
    """The arms that are asked for, each drafter spelled out: those `named`, else every drafter,
    with each of `lengths` if there are any.

    `none`, or the length 0, is an arm that does not draft. Raises HedgespecError for an arm that
    stands twice or of no drafter, for too many, and where none of them drafts.
    """
    if NONE in drafters and 0 in lengths:
        raise HedgespecError(
            f"{arg('arm_lengths')}: the pool has a drafter called {NONE}, so "
            "that drafting nothing cannot be an arm"
        )
    given = [_parse(text, drafters) for text in named] or _pairs(drafters, lengths)
    every = {} if EVERY_DRAFTER in drafters else {EVERY_DRAFTER: drafters}
    labels = [
        replace(label, drafter=name)
        for label in given
        for name in every.get(label.drafter, [label.drafter])
    ]
    option = "arms" if named else "arm_lengths"
    if len(labels) > MOST_ARMS:
        raise HedgespecError(
            f"{arg(option)} and the drafters make {len(labels)} arms; at "
            f"most {MOST_ARMS} can be told apart"
        )
    for label, times in Counter(labels).items():
        if times > 1:
            raise HedgespecError(f"{arg(option)} names {label} twice")
    if not any(label.drafter in drafters for label in labels):
        raise HedgespecError(
            f"{arg(option)}: {NONE} alone leaves nothing to choose; give drafters besides"
        )
    return labels


def _pairs(drafters: list[str], lengths: tuple[int, ...]) -> list[ArmLabel]:
    """Every drafter with every length; length 0, once, is the arm `none`."""
    drafted: list[int | None] = [length for length in lengths if length] if lengths else [None]
    return [
        *[ArmLabel(NONE)] * lengths.count(0),
        *(ArmLabel(name, length=length) for name in drafters for length in drafted),
    ]


def _parse(text: str, drafters: list[str]) -> ArmLabel:
    label = ArmLabel.parse(text)
    if label is not None and label.drafter == EVERY_DRAFTER and EVERY_DRAFTER in drafters:
        raise HedgespecError(
            f"{arg('arms', text)}: the pool has a drafter called {EVERY_DRAFTER}; name each drafter"
        )
    if text == NONE:
        return ArmLabel(NONE)
    if label is None or label.drafter not in (EVERY_DRAFTER, *drafters):
        raise HedgespecError(
            f"{arg('arms', text)}: expected DRAFTER[@RULE][*K], with DRAFTER "
            f"{EVERY_DRAFTER} or one of {', '.join(drafters)}; or {NONE}"
            + did_you_mean(label.drafter if label else text, drafters)
        )
    return label
