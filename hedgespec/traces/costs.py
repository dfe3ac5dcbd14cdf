"""What rounds cost: the numbers of a manifest's field "costs", and of a file of costs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from hedgespec.errors import HedgespecError, arg

EVALUATE_ALL = "evaluate"  # name of the part that is the evaluation of all drafters


def target_part(width: int | str) -> str:
    """Name of the part that is the target's pass over `width` tokens."""
    return f"target {width}"


def step_part(drafter: str) -> str:
    """Name of one draft step."""
    return f"step {drafter}"


def draft_part(drafter: str) -> str:
    """Name of a draft of K steps."""
    return f"draft {drafter}"


def evaluate_part(drafter: str) -> str:
    """Name of a drafter's evaluation."""
    return f"evaluate {drafter}"


def begin_part(drafter: str) -> str:
    """Name of what gives a draft's first logits, where evaluation does not."""
    return f"begin {drafter}"


def together_part(count: int | str) -> str:
    """Name of the evaluation of so many drafters in one batch."""
    return f"together {count}"


def read_part(width: int | str, drafter: str = "") -> str:
    """Name of the evaluation on `width` tokens, of one drafter or of all in one batch."""
    return f"read {width} {drafter}".rstrip()


@dataclass(frozen=True)
class TargetCosts:
    """Seconds of a forward pass of the target over one token, and over a round's K+1."""

    one: float
    round: float


@dataclass(frozen=True)
class DrafterCosts:
    """Seconds of a drafter: one draft step, a draft of K steps, and the evaluation of a round's K+1
    newly verified tokens. It also gives the logits of the next draft's first token, unless these
    take seconds of their own, `begin`. `kind` is the drafter's, empty if it is not known. `reads`
    are those of evaluation on other numbers of tokens at once; more than the most of them are read
    in several passes."""

    step: float
    draft: float
    evaluate: float
    begin: float | None = None
    kind: str = ""
    reads: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Spread:
    """How `n` repeats of a measurement lie: their 10th and 90th percentile in seconds, and by how
    much their second half is slower than their first, as a share."""

    n: int
    low: float
    high: float
    drift: float


@dataclass(frozen=True)
class Costs:
    """Measured times of `batch` texts at once after `context` tokens each, medians; K is this
    `draft_length`.

    `evaluate_all` are seconds in which all drafters read a round's tokens together, None if they do
    so one after the other; `evaluate_together` those of some numbers of drafters in one batch,
    `reads` those of all of them on other numbers of tokens, as of one drafter. `overhead` is what a
    round takes besides the models, `evaluation_overhead` what it takes in addition where it begins
    with an evaluation: the host waits for what the drafters found, and learns. `part_overhead` is the
    same under a learner that has some of the drafters evaluated, each on its own; None where that was
    not measured: then it is taken to be as much. `widths` are those of the target's pass over other
    numbers of tokens. `spread` is that of each part by name; `engine` says how the models ran, `made`
    when and by which command. `conditions` are the same numbers of other batches and contexts; see
    `at`.
    """

    device: str
    dtype: str
    context: int
    draft_length: int
    target: TargetCosts
    drafters: dict[str, DrafterCosts]
    evaluate_all: float | None = None
    overhead: float = 0.0
    evaluation_overhead: float = 0.0
    part_overhead: float | None = None
    widths: dict[str, float] = field(default_factory=dict)
    spread: dict[str, Spread] = field(default_factory=dict)
    engine: str = ""
    made: str = ""
    evaluate_together: dict[str, float] = field(default_factory=dict)
    batch: int = 1
    conditions: "list[Costs]" = field(default_factory=list)
    reads: dict[str, float] = field(default_factory=dict)

    @property
    def overhead_in_part(self) -> float:
        """`part_overhead`, or what is taken for it."""
        return self.evaluation_overhead if self.part_overhead is None else self.part_overhead

    def with_overheads_of(self, other: "Costs") -> "Costs":
        """These, but for the overheads, which are those of others."""
        return replace(
            self,
            overhead=other.overhead,
            evaluation_overhead=other.evaluation_overhead,
            part_overhead=other.part_overhead,
        )

    @property
    def measured(self) -> "list[Costs]":
        """Every condition, the first one included, each without the others."""
        return [replace(self, conditions=[]), *self.conditions]

    def end(self, end: str) -> "Costs":
        """The same with every part at the "low" or "high" end of its spread.

        A part without one, or that is more than what was timed, stays as it is.
        """

        def of(part: str, median: float) -> float:
            spread = self.spread.get(part)
            known = spread is not None and spread.low <= median <= spread.high
            return float(getattr(spread, end)) if known else median

        def drafter(name: str, costs: DrafterCosts) -> DrafterCosts:
            draft = of(draft_part(name), costs.draft)
            step = of(step_part(name), costs.step * draft / costs.draft)
            begin = None if costs.begin is None else of(begin_part(name), costs.begin)
            return replace(
                costs,
                step=step,
                draft=draft,
                begin=begin,
                evaluate=of(evaluate_part(name), costs.evaluate),
                reads=reads(costs.reads, name),
            )

        def reads(known: dict[str, float], name: str = "") -> dict[str, float]:
            return {width: of(read_part(width, name), seconds) for width, seconds in known.items()}

        together = self.evaluate_all
        return replace(
            self,
            target=TargetCosts(
                of(target_part(1), self.target.one),
                of(target_part(self.draft_length + 1), self.target.round),
            ),
            drafters={name: drafter(name, costs) for name, costs in self.drafters.items()},
            evaluate_all=None if together is None else of(EVALUATE_ALL, together),
            widths={
                width: of(target_part(width), seconds) for width, seconds in self.widths.items()
            },
            evaluate_together={
                count: of(together_part(count), seconds)
                for count, seconds in self.evaluate_together.items()
            },
            reads=reads(self.reads),
        )

    def at(self, batch: int = 1, context: int | None = None, whose: str = "the costs") -> "Costs":
        """The costs of `batch` texts after `context` tokens (None: as many as in the first ones).

        Linear between the conditions that were measured. Raises HedgespecError beyond them, which
        calls them `whose`.
        """
        context = self.context if context is None else context
        contexts = {one.context for one in self.measured}
        lines = [
            _between(_having(self.measured, "context", length), "batch", batch, whose)
            for length in ({context} & contexts or contexts)
        ]
        return _between(lines, "context", context, whose)


def _having(conditions: Sequence[Costs], name: str, value: int) -> list[Costs]:
    return [one for one in conditions if getattr(one, name) == value]


def _between(conditions: Sequence[Costs], name: str, value: int, whose: str) -> Costs:
    """The costs where `name`, the batch or the context, is `value`."""
    ordered = sorted(conditions, key=lambda one: int(getattr(one, name)))
    for one in ordered:
        if getattr(one, name) == value:
            return one
    for low, high in pairwise(ordered):
        begin, end = getattr(low, name), getattr(high, name)
        if begin < value < end:
            found = _mixed(low, high, (value - begin) / (end - begin))
            return replace(found, batch=value) if name == "batch" else replace(found, context=value)
    raise HedgespecError(
        f"{arg(name, value)}: {whose} were measured at {name} "
        f"{', '.join(str(getattr(one, name)) for one in ordered)} only; measure more with "
        "`hedgespec profile`"
    )


def _mixed(one: Costs, other: Costs, share: float) -> Costs:
    """1 - `share` of `one` and `share` of `other`, of what both have."""

    def mixed(pick: Callable[[Costs], float]) -> float:
        return (1 - share) * pick(one) + share * pick(other)

    def if_known(pick: Callable[[Costs], float | None]) -> float | None:
        low, high = pick(one), pick(other)
        return None if low is None or high is None else (1 - share) * low + share * high

    def each(pick: Callable[[Costs], dict[str, float]]) -> dict[str, float]:
        return {
            key: (1 - share) * value + share * pick(other)[key]
            for key, value in pick(one).items()
            if key in pick(other)
        }

    def drafter(name: str) -> DrafterCosts:
        return DrafterCosts(
            mixed(lambda costs: costs.drafters[name].step),
            mixed(lambda costs: costs.drafters[name].draft),
            mixed(lambda costs: costs.drafters[name].evaluate),
            if_known(lambda costs: costs.drafters[name].begin),
            one.drafters[name].kind,
            each(lambda costs: costs.drafters[name].reads),
        )

    def spread(name: str) -> Spread:
        return Spread(
            min(one.spread[name].n, other.spread[name].n),
            mixed(lambda costs: costs.spread[name].low),
            mixed(lambda costs: costs.spread[name].high),
            mixed(lambda costs: costs.spread[name].drift),
        )

    return replace(
        one,
        target=TargetCosts(
            mixed(lambda costs: costs.target.one), mixed(lambda costs: costs.target.round)
        ),
        drafters={name: drafter(name) for name in one.drafters},
        evaluate_all=if_known(lambda costs: costs.evaluate_all),
        overhead=mixed(lambda costs: costs.overhead),
        evaluation_overhead=mixed(lambda costs: costs.evaluation_overhead),
        part_overhead=if_known(lambda costs: costs.part_overhead),
        widths=each(lambda costs: costs.widths),
        evaluate_together=each(lambda costs: costs.evaluate_together),
        reads=each(lambda costs: costs.reads),
        spread={name: spread(name) for name in one.spread if name in other.spread},
        engine=one.engine if one.engine == other.engine else f"{one.engine}; {other.engine}",
    )
