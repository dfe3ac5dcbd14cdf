"""What a verification rule is, and what it is computed from.

`draft`, `accept`, `follow`, `verify` and `reduce` work on torch's tensors; no file of this folder
imports torch before one of them runs, for a replay does without it.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from hedgespec.errors import HedgespecError
from hedgespec.rules.draws import draw_token, row_at
from hedgespec.rules.recorded import check_bounds, check_present
from hedgespec.traces import Trace

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Statistics:
    """As in a trace: `log_p` (T); `log_q`, `gamma`, `match`, `p_top` and all `rules` (T, D, N)."""

    log_p: np.ndarray
    log_q: np.ndarray
    gamma: np.ndarray
    match: np.ndarray
    p_top: np.ndarray
    rules: dict[str, np.ndarray] = field(default_factory=dict)


class Rule(ABC):
    """How the target accepts draft tokens. docs/write-a-rule.md shows how to add one.

    For replays: `expected` and `realised`, from the columns that every trace has, or from those
    that `reduce` makes while a trace is recorded, named in `recorded`; `option` is the recorder's.
    For real decoding: `draft`, `accept` and `follow`, of one position; `verify` makes a chain of
    them. `path_only`: statistics end where the text leaves what was drafted. `shared_noise`: a
    position's random numbers are the same in every round and for every drafter. `in_order`: a token
    is verified without the distributions behind it. `by_order`: `draft` asks for the order of
    tokens alone; from q over some of them, in order, it draws the same, as numbers among these.
    `candidates`: tokens proposed at a position.
    """

    name: ClassVar[str]
    help: ClassVar[str]
    source: ClassVar[str]
    recorded: ClassVar[tuple[str, ...]] = ()
    option: ClassVar[str] = "rules"
    path_only: ClassVar[bool] = False
    shared_noise: ClassVar[bool] = False
    in_order: ClassVar[bool] = True
    by_order: ClassVar[bool] = True
    candidates: int = 1

    def __init__(self, argument: str = ""):
        """`argument` is what stands behind the name, as in multi:3.

        Raises HedgespecError if it means nothing to the rule.
        """
        if argument:
            raise HedgespecError(f"rule {self.name} takes no argument: leave :{argument} out")
        self.label = self.name

    def check(self, trace: Trace) -> None:
        """Raise HedgespecError if `trace` cannot be replayed under this rule, and say what can.

        By default: if it lacks the recorded statistics, or they cannot go with the others.
        """
        if self.recorded:
            check_present(trace, self.label, self.recorded, self.how_to_record())
            check_bounds(trace, self.label, *self.bounds(trace))

    def how_to_record(self) -> tuple[str, str]:
        """The recorder's argument for its statistics, and the value to give."""
        return self.option, self.label

    def bounds(self, trace: Trace) -> tuple[np.ndarray, np.ndarray]:
        """Least and greatest gamma under this rule, given that of `sampling`; (T, D, N) each."""
        return np.zeros_like(trace.gamma), np.ones_like(trace.gamma)

    def longest(self, trace: Trace) -> int | None:
        """The greatest draft length on record, None if that is up to the drafters."""
        return None

    def expected(self, trace: Statistics | Trace, draft_length: int) -> np.ndarray:
        """gamma: the probability that a position's draft is accepted, float32 (T, D, N).

        Entry [t, d-1] is of a round that started at t-d+1; D = 1 stands for all depths.
        """
        return trace.rules[f"gamma.{self.label}"]

    def realised(self, trace: Statistics | Trace, draft_length: int) -> np.ndarray:
        """a: the same given the token that was emitted, float32 (T, D, N).

        Given the text, a round accepts its d-th draft token with this probability if it accepted
        those before, independently of all other rounds.
        """
        return trace.rules[f"a.{self.label}"]

    def reduce(
        self, p: "Tensor", q: "Tensor", emitted: "Tensor", generator: object = None
    ) -> "dict[str, Tensor]":
        """The `recorded` statistics (n) from p, q (n, V) and the emitted tokens (n).

        A row of q that is 0 throughout proposes nothing. `generator` is torch's, for statistics
        that are estimated.
        """
        raise NotImplementedError(f"rule {self.name} records nothing by position")

    def width(self, vocabulary: int) -> int:
        """Uniform numbers W that one position takes in real decoding."""
        return 2 * self.candidates + 1

    @abstractmethod
    def draft(self, q: "Tensor", noise: "Tensor") -> "Tensor":
        """Candidates (..., C) for a position from q (..., V) and uniform numbers (..., W)."""

    @abstractmethod
    def accept(self, p: "Tensor", q: "Tensor", draft: "Tensor", noise: "Tensor") -> "Tensor":
        """Which of a position's candidates (..., C) is accepted, its number (...), or -1.

        p, q (..., V) and noise (..., W). A candidate of q = 0 was no proposal.
        """

    @abstractmethod
    def follow(self, p: "Tensor", q: "Tensor", draft: "Tensor", noise: "Tensor") -> "Tensor":
        """The target's own token (...) where `accept` is -1; behind a whole draft q is 0."""

    def verify(
        self, p: "Tensor", q: "Tensor", draft: "Tensor", noise: "Tensor"
    ) -> "tuple[Tensor, Tensor]":
        """Verify a chain of K tokens (..., K): how many are accepted (...), and the token after.

        p, q (..., K+1, V) and noise (..., K+1, W); the last row of q is 0. Nothing waits for the
        device, so that it can be part of a CUDA graph.
        """
        chosen = self.accept(p[..., :-1, :], q[..., :-1, :], draft[..., None], noise[..., :-1, :])
        accepted = (chosen >= 0).long().cumprod(-1).sum(-1)
        behind = draft.new_zeros(*draft.shape[:-1], draft.shape[-1] + 1)
        behind[..., :-1] = draft
        return accepted, self.follow(
            *(row_at(values, accepted) for values in (p, q, behind[..., None], noise))
        )


class RuleOfSeveral(Rule):
    """A rule with a number of candidates, as in multi:3."""

    def __init__(self, argument: str = ""):
        """Raises HedgespecError unless `argument` is a number from 1 to 64."""
        if not (argument.isascii() and argument.isdigit() and 1 <= int(argument) <= 64):
            raise HedgespecError(
                f"rule {self.name} needs a number of candidates, 1 to 64, as in {self.name}:3"
            )
        self.candidates = int(argument)
        self.label = f"{self.name}:{self.candidates}"


class IndependentCandidates(RuleOfSeveral):
    """k candidates from q, each drawn alike; with one of them the rule is `sampling`."""

    recorded = ("gamma", "a")

    def bounds(self, trace: Trace) -> tuple[np.ndarray, np.ndarray]:
        """More candidates are never accepted less often than the one of `sampling`."""
        return trace.gamma, np.ones_like(trace.gamma)

    def draft(self, q: "Tensor", noise: "Tensor") -> "Tensor":
        """k tokens from q."""
        many = q[..., None, :].expand(*q.shape[:-1], self.candidates, q.shape[-1])
        return draw_token(many, noise[..., : self.candidates])
