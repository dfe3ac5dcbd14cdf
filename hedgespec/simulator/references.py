"""What learners are compared with: fixed drafters, hindsight, and a router by the prompt.

They learn nothing: which drafter would run a round from each token is known before the first.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hedgespec.costs.estimate import costs_of
from hedgespec.errors import HedgespecError, did_you_mean
from hedgespec.results.labels import (
    BEST_FIXED,
    BEST_SINGLE,
    BEST_SWITCHING,
    FASTEST_FIXED,
    FASTEST_SINGLE,
    HINDSIGHT,
    LOOKUP_FIRST,
    NONE,
    ORACLE,
    PROMPT,
    ROUTER,
    SelectorLabel,
    fixed,
)
from hedgespec.simulator.kernels import table_kernels
from hedgespec.simulator.known import Known
from hedgespec.traces.drafted import COPYING, drafted_tokens, matched_tokens

Assign = Callable[[Known, SelectorLabel], np.ndarray]


@dataclass(frozen=True)
class ReferenceKind:
    """`shown` is how it is written, `knows` what it knows before it chooses, as the column
    `feedback` of the results says it; `assign` gives the arm of a round from each token, (T).
    `timed` says that the trace must have costs, without `drafts` no arm is taken at all."""

    shown: str
    meaning: str
    knows: str
    assign: Assign
    timed: bool = False
    drafts: bool = True


@dataclass(frozen=True)
class Reference:
    """A reference by its label."""

    name: SelectorLabel
    kind: ReferenceKind

    @property
    def label(self) -> str:
        """How results name it."""
        return str(self.name)

    @property
    def knows(self) -> str:
        """What it knows before it chooses."""
        return self.kind.knows

    def check(self, known: Known) -> None:
        """Raise HedgespecError if it cannot be had on the replayer's trace."""
        if self.kind.assign is _fixed:
            _number(known, self.name, self.name.arm or "")
        if self.name.instead is not None:
            _lookup_first(known, self.name)
        if self.name.routes:
            known.check_router(self.name.trace)
        if self.kind.timed:
            costs_of(known.trace)

    def assign(self, known: Known) -> np.ndarray:
        """The arm of a round that would start at each token, (T) int16."""
        return self.kind.assign(known, self.name).astype(np.int16)


def parse_reference(text: str) -> Reference | None:
    """The reference that `text` names; None if it names none."""
    name = SelectorLabel.parse(text)
    if name.arm is not None or name.routes or name.instead is not None:
        return Reference(name, KINDS[name.name])
    return Reference(name, KINDS[text]) if text in KINDS else None


def is_reference(text: str) -> bool:
    """Whether `text` names a reference, not a learner."""
    return parse_reference(text) is not None


def _fixed(known: Known, name: SelectorLabel) -> np.ndarray:
    return np.full(len(known.trace.tokens), _number(known, name, name.arm or ""))


def _best_fixed(known: Known, name: SelectorLabel) -> np.ndarray:
    return throughout(known, known.expected_rounds.argmin(axis=1))


def _best_single(known: Known, name: SelectorLabel) -> np.ndarray:
    best = known.in_whole.expected_rounds.sum(axis=0).argmin()
    return np.full(len(known.trace.tokens), best)


def _fastest_fixed(known: Known, name: SelectorLabel) -> np.ndarray:
    return throughout(known, known.expected_seconds.argmin(axis=1))


def _fastest_single(known: Known, name: SelectorLabel) -> np.ndarray:
    fastest = known.in_whole.expected_seconds.sum(axis=0).argmin()
    return np.full(len(known.trace.tokens), fastest)


def _nobody(known: Known, name: SelectorLabel) -> np.ndarray:
    raise AssertionError("no arm is taken")


def _best_switching(known: Known, name: SelectorLabel) -> np.ndarray:
    best: np.ndarray = known.table(table_kernels().switching_table).argmin(axis=1)
    return best


def _oracle(known: Known, name: SelectorLabel) -> np.ndarray:
    emitted = known.table(table_kernels().round_table)
    best: np.ndarray = emitted.argmax(axis=1)
    return best


def _router(known: Known, name: SelectorLabel) -> np.ndarray:
    return throughout(known, known.route(name.trace))


def _lookup_first(known: Known, name: SelectorLabel) -> np.ndarray:
    """The lookup arm where its match is long enough, else the arm that is named."""
    assert name.instead is not None
    arm, least = name.instead
    other = _number(known, name, arm)
    if least and not (least.isdecimal() and int(least) >= 1):
        raise HedgespecError(
            f"{name}: the shortest match must be a number of tokens, 1 or more, not {least!r}"
        )
    drafters = known.trace.manifest.drafters
    lookup = next(
        (
            number
            for number, drafter in enumerate(known.arms.drafters)
            if drafter >= 0 and drafters[drafter].kind in COPYING
        ),
        None,
    )
    if lookup is None:
        raise HedgespecError(
            f"{name}: no arm of trace {known.trace.name} is one of {', '.join(COPYING)}"
        )
    matched = matched_tokens(known.trace, int(known.arms.drafters[lookup]))
    if matched is None and int(least or 1) > 1:
        raise HedgespecError(
            f"{name}: trace {known.trace.name} does not say how long matches are; "
            "record it with this version, or leave the number out"
        )
    if matched is None:
        matched = drafted_tokens(known.trace, int(known.arms.drafters[lookup]))
    assert matched is not None
    return np.where(matched >= int(least or 1), lookup, other)


KINDS = {
    "fixed": ReferenceKind(fixed("<drafter>"), "always this drafter", NONE, _fixed),
    BEST_FIXED: ReferenceKind(
        BEST_FIXED,
        "per query, the fixed drafter with the fewest expected rounds (hindsight)",
        HINDSIGHT,
        _best_fixed,
    ),
    BEST_SINGLE: ReferenceKind(
        BEST_SINGLE,
        "the one fixed drafter with the fewest expected rounds over the trace (hindsight)",
        HINDSIGHT,
        _best_single,
    ),
    FASTEST_FIXED: ReferenceKind(
        FASTEST_FIXED,
        "per query, the fixed drafter with the fewest expected seconds (hindsight)",
        HINDSIGHT,
        _fastest_fixed,
        timed=True,
    ),
    FASTEST_SINGLE: ReferenceKind(
        FASTEST_SINGLE,
        "the one fixed drafter with the fewest expected seconds over the trace (hindsight)",
        HINDSIGHT,
        _fastest_single,
        timed=True,
    ),
    ORACLE: ReferenceKind(
        ORACLE,
        "per round, the drafter with the most expected tokens on the recorded text (hindsight)",
        HINDSIGHT,
        _oracle,
    ),
    ROUTER: ReferenceKind(
        f"{ROUTER}[:<trace>]",
        "per query, the drafter that a linear classifier picks from the "
        "prompt's embedding; trained on other questions of the trace, or of <trace> (a folder, or "
        "a bundled trace's name)",
        PROMPT,
        _router,
    ),
    BEST_SWITCHING: ReferenceKind(
        BEST_SWITCHING,
        "per round, the drafter that leaves the fewest expected rounds to the "
        "answer's end (hindsight)",
        HINDSIGHT,
        _best_switching,
    ),
    LOOKUP_FIRST: ReferenceKind(
        f"{LOOKUP_FIRST}:<drafter>[,N]",
        "the lookup drafter wherever it finds the last N tokens "
        "(default: 1) earlier in the text, else <drafter>; engines that stack n-gram lookup on "
        "another drafter do this",
        NONE,
        _lookup_first,
    ),
    NONE: ReferenceKind(
        NONE,
        "no drafter: the target reads and writes one token a round",
        NONE,
        _nobody,
        drafts=False,
    ),
}


def throughout(known: Known, arm: np.ndarray) -> np.ndarray:
    """An arm for each query (Q) as one for each token (T)."""
    return np.repeat(arm, np.diff(known.trace.offsets))


def _number(known: Known, name: SelectorLabel, arm: str) -> int:
    names = known.arms.names
    if not arm:
        raise HedgespecError(
            f"{name}: names no drafter; write {name.name}:DRAFTER, with one of trace "
            f"{known.trace.name}: {', '.join(names)}"
        )
    if arm not in names:
        raise HedgespecError(
            f"{name}: trace {known.trace.name} has no drafter {arm!r}; it has: "
            f"{', '.join(names)}" + did_you_mean(arm, names)
        )
    return names.index(arm)
