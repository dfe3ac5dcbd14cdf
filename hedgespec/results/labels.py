"""The grammar of labels: how settings are named in commands, tables and logs, and read again.

Each kind of label is printed and parsed here and nowhere else; parse(print(x)) = x. This is syntax
only: which learners, drafters, rules and losses there are is known to those who ask.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from hedgespec.errors import HedgespecError

# Selectors that are no learners: fixed:ARM, router[:TRACE], and those that know the recorded text.
_FIXED, ROUTER = "fixed", "router"
FIXED = f"{_FIXED}:"
BEST_FIXED, BEST_SINGLE, ORACLE = "best-fixed", "best-single", "oracle"
FASTEST_FIXED, FASTEST_SINGLE = "fastest-fixed", "fastest-single"
BEST_SWITCHING, LOOKUP_FIRST = "best-switching", "lookup-first"

# What stands in the column `feedback` of selectors that are not fed with all drafters' losses: a
# bandit's, none, the router's, and that of references which know the recorded text. NONE is also
# the arm, and the selector, that drafts nothing.
CHOSEN, NONE, PROMPT, HINDSIGHT = "chosen", "none", "prompt", "hindsight"
EMITTED = "emitted"  # what stands in the column `loss` of bandits
# Of the others the default, and the terms rounds:D and every:M; see docs/metrics.md.
QUEUED, DELAYED, EVERY = "queued", "rounds", "every"
CENSORED = "censored"  # the one that cuts the sums of loss `length` off, and knows no other
FORESIGHT = ("foresight", ORACLE)  # names of the one that live decoding cannot give

EVERY_DRAFTER = "all"  # in place of an arm's drafter
OWN_COSTS = "own"  # in place of the name of a file of costs: those in the trace
REPHRASED = "-rephrased"  # ends the id of a question that asks another one in other words

Term = tuple[str, str]  # a name and what follows its colon, "" for nothing


def join_terms(terms: Iterable[Term]) -> str:
    """Print terms as NAME[:VALUE]+NAME[:VALUE]..., such as "every:4+round"."""
    return "+".join(f"{name}:{value}" if value else name for name, value in terms)


def split_terms(label: str) -> list[Term]:
    """Parse what `join_terms` prints."""
    parts = (part.partition(":") for part in label.split("+"))
    return [(name, value) for name, _, value in parts]


def join_parameters(values: Iterable[Term]) -> str:
    """Print a selector's parameters as KEY=VALUE,KEY=VALUE..."""
    return ",".join(f"{key}={value}" for key, value in values)


def split_parameters(text: str) -> list[Term]:
    """Parse what `join_parameters` prints; without "=" the value is empty."""
    parts = (part.partition("=") for part in filter(None, text.split(",")))
    return [(key, value) for key, _, value in parts]


def shortest(value: float) -> str:
    """The shortest text that gives this very number back."""
    return f"{value:g}" if float(f"{value:g}") == value else repr(value)


@dataclass(frozen=True)
class SelectorLabel:
    """A selector: NAME[:ARGUMENT] or FILE.py:NAME[:ARGUMENT].

    The argument is a learner's parameters, the arm of `fixed`, the trace of `router`, or ARM[,N] of
    `lookup-first`; None without a colon.
    """

    name: str
    argument: str | None = None
    file: str = ""

    def __str__(self) -> str:
        parts = [self.file] if self.file else []
        return ":".join([*parts, self.name, *([] if self.argument is None else [self.argument])])

    @classmethod
    def parse(cls, text: str) -> "SelectorLabel":
        """Read a label; every text is one."""
        name, colon, argument = text.partition(":")
        user = None if name in (_FIXED, ROUTER, LOOKUP_FIRST) else _USER.fullmatch(text)
        if user:
            return cls(user["name"], user["argument"], user["file"])
        return cls(name, argument if colon else None)

    @property
    def arm(self) -> str | None:
        """The arm of fixed:ARM, None of other selectors."""
        return self.argument if self.name == _FIXED and not self.file else None

    @property
    def instead(self) -> tuple[str, str] | None:
        """The arm of lookup-first:ARM[,N], and N, "" if not named; None of other selectors."""
        if self.name != LOOKUP_FIRST or self.file:
            return None
        arm, _, least = (self.argument or "").partition(",")
        return arm, least

    @property
    def routes(self) -> bool:
        """Whether it is router[:TRACE]."""
        return self.name == ROUTER and not self.file

    @property
    def trace(self) -> str | None:
        """The trace of router:TRACE; None: the one it routes, or no router."""
        return self.argument or None if self.routes else None


_USER = re.compile(r"(?P<file>.+\.py):(?P<name>\w+)(?::(?P<argument>.*))?", re.DOTALL)


def fixed(arm: str) -> str:
    """The selector that always takes an arm."""
    return f"{FIXED}{arm}"


@dataclass(frozen=True)
class ArmLabel:
    """An arm: DRAFTER[@RULE][*K]; rule "" and length None are not named."""

    drafter: str
    rule: str = ""
    length: int | None = None

    def __str__(self) -> str:
        return (
            self.drafter
            + f"@{self.rule}" * bool(self.rule)
            + ("" if self.length is None else f"*{self.length}")
        )

    @classmethod
    def parse(cls, text: str) -> "ArmLabel | None":
        """Read an arm; None if the text is none."""
        found = _ARM.fullmatch(text)
        if found is None:
            return None
        return cls(found[1], found[2] or "", int(found[3]) if found[3] else None)


_ARM = re.compile(r"([^@*]+)(?:@([^@*]+))?(?:\*([1-9]\d{0,4}))?")


def join_arms(arms: Iterable[object]) -> str:
    """Print what was chosen between: arms, or draft lengths of every drafter."""
    return " ".join(map(str, arms))


def split_arms(text: str) -> list[str]:
    """Parse what `join_arms` prints."""
    return text.split(" ") if text else []


@dataclass(frozen=True)
class LossLabel:
    """A loss: KIND[:X][:ESTIMATOR][:prefill], X being the weight of a mixture's first part."""

    kind: str
    weight: float | None = None
    estimator: str = ""
    prefill: bool = False

    def __str__(self) -> str:
        return ":".join(
            [
                self.kind,
                *([] if self.weight is None else [shortest(self.weight)]),
                *([self.estimator] if self.estimator else []),
                *([_PREFILL] if self.prefill else []),
            ]
        )

    @classmethod
    def parse(cls, text: str) -> "LossLabel":
        """Read a label. Raises HedgespecError if it is none."""
        found = _LOSS.fullmatch(text)
        if found is None:
            raise HedgespecError(f"loss {text!r}: expected KIND[:X][:ESTIMATOR][:{_PREFILL}]")
        weight = found["weight"]
        return cls(
            found["kind"],
            None if weight is None else float(weight),
            found["estimator"] or "",
            bool(found["prefill"]),
        )


def default_loss(cut: bool, timed: bool) -> str:
    """The label of the loss that full-information learners have where none is named.

    It is that of least regret (docs/findings.md): in seconds where the costs of drafters are known
    (`timed`), else in rounds. `cut` says whether the feedback is CENSORED.
    """
    if cut:
        return "length:gamma"
    return "seconds:gamma" if timed else "accept"


_PREFILL = "prefill"
_LOSS = re.compile(
    r"(?P<kind>[a-z][a-z-]*)(?::(?P<weight>\d*\.?\d+(?:e[+-]?\d+)?))?"
    rf"(?::(?P<estimator>(?!{_PREFILL}$)[a-z][a-z-]*))?(?P<prefill>:{_PREFILL})?"
)


@dataclass(frozen=True)
class PoolLabel:
    """A trace whose pool was made smaller or larger: TRACE.nN[sS], N drafters drawn with seed S."""

    trace: str
    drafters: int
    seed: int = 0

    def __str__(self) -> str:
        return f"{self.trace}.n{self.drafters}" + (f"s{self.seed}" if self.seed else "")

    @classmethod
    def parse(cls, text: str) -> "PoolLabel | None":
        """Read the name of such a trace; None of one as it was recorded."""
        found = _POOL.fullmatch(text)
        return cls(found[1], int(found[2]), int(found[3] or 0)) if found else None


_POOL = re.compile(r"(.+)\.n([1-9]\d*)(?:s([1-9]\d*))?", re.DOTALL)


@dataclass(frozen=True)
class QueryLabel:
    """A turn of a question: QUESTION[/TURN], turns counted from 0; of a rephrased question too."""

    question: str
    turn: int = 0
    rephrased: bool = False

    def __str__(self) -> str:
        return self.question + REPHRASED * self.rephrased + (f"/{self.turn}" if self.turn else "")

    @classmethod
    def parse(cls, text: str) -> "QueryLabel":
        """Read a query's id; every text is one."""
        found = _TURN.fullmatch(text)
        name, turn = (found[1], int(found[2])) if found else (text, 0)
        return cls(name.removesuffix(REPHRASED), turn, name.endswith(REPHRASED))


_TURN = re.compile(r"(.+)/(\d+)", re.DOTALL)


def questions(query_ids: Sequence[str]) -> list[int]:
    """The number of the question that each query belongs to, counted in order of appearance.

    Turns of one question belong together, and so does a question asked again in other words. Ids of
    the user's own may look like turns: ID/TURN is one only where the query ID is there as well.
    """
    known = set(query_ids)
    numbers: dict[str, int] = {}
    return [numbers.setdefault(_question(name, known), len(numbers)) for name in query_ids]


def _question(query_id: str, known: set[str]) -> str:
    label = QueryLabel.parse(query_id)
    first = str(replace(label, turn=0))
    return label.question if first in known else query_id
