"""Draft trees: the drafter fixes a set of children for each node; the target draws and descends.

At a node with children C the target draws x from p, and the round goes on below x iff x is in C.
So a round accepts as many tokens as the text stays in the tree that was drafted at its start, and
nothing is random once the text is known: a is 0 or 1, and gamma is the mass of the children,
sum_{c in C} p(c). That holds for any tree that does not look at the target's draws, dynamic
(EAGLE-2, 2406.16858) or static (Medusa, 2401.10774; SpecInfer's greedy trees).

Recorded per start position and drafter: `depth`, how many tokens of the text stay in the tree;
`mass`, that of the children of the node at each level on the way, 0 behind where the text left; and
`nodes`, how many were drafted. A trace may hold several trees, tree:NAME.

While decoding a level is known when the text has come there. So live statistics are by position, as
those of other rules: `gamma`, `a` and `nodes`; `Tree.by_start` makes the recorded ones of them.
"""

import re
from typing import TYPE_CHECKING

import numpy as np

from hedgespec.errors import HedgespecError
from hedgespec.rules.base import Statistics
from hedgespec.rules.onehot import OneHot
from hedgespec.rules.recorded import check_present
from hedgespec.traces import Trace
from hedgespec.traces.checks import consistency_slack

if TYPE_CHECKING:
    from torch import Tensor


class Tree(OneHot):
    """A step is that of `onehot` with any number of candidates."""

    name = "tree"
    help = "a tree of drafts, followed as far as the target's draws stay in it"
    source = "Li et al. 2406.16858 (EAGLE-2); Cai et al. 2401.10774 (Medusa)"
    recorded = ("depth", "mass", "nodes")
    path_only = True
    option = "trees"

    def __init__(self, argument: str = ""):
        """`argument` is the tree's name in the trace. Raises HedgespecError if it cannot be one."""
        if argument and not re.fullmatch(r"[a-z0-9][a-z0-9.-]*", argument):
            raise HedgespecError(f"rule tree:{argument}: a tree's name holds a-z, 0-9, '.' and '-'")
        self.label = f"{self.name}:{argument}" if argument else self.name

    def check(self, trace: Trace) -> None:
        """Raises HedgespecError also where masses and depths contradict the text's p."""
        check_present(trace, self.label, self.recorded, self.how_to_record())
        depth, mass = (trace.rules[f"{part}.{self.label}"] for part in ("depth", "mass"))
        slack = consistency_slack(trace.manifest)
        p = np.exp(trace.log_p)
        for level in range(mass.shape[1]):
            starts = len(p) - level
            # Where the text is over, depth says so, and nothing is claimed about the next text.
            inside = depth[:starts, 0] > level
            emitted = p[level:, None]
            wrong = np.argwhere(inside & (mass[:starts, level] < emitted - slack))
            if len(wrong):
                row, arm = wrong[0]
                raise HedgespecError(
                    f"trace {trace.name}: row {row} of all tokens, drafter "
                    f"{trace.manifest.drafter_names[arm]}: mass.{self.label} at level {level + 1} "
                    f"is {mass[row, level, arm]:.5f}, less than p = {emitted[row, 0]:.5f} of the "
                    "token that is among the children"
                )

    def how_to_record(self) -> tuple[str, str]:
        """Trees are given by their shape."""
        _, named, name = self.label.partition(":")
        return self.option, f"{name}=dynamic" if named else "dynamic"

    def longest(self, trace: Trace) -> int | None:
        """The tree's levels."""
        return int(trace.rules[f"mass.{self.label}"].shape[1])

    def expected(self, trace: Statistics | Trace, draft_length: int) -> np.ndarray:
        """gamma: the mass of the children at the node that the text reached, 0 behind it."""
        known = trace.rules.get(f"gamma.{self.label}")
        if known is not None:
            return known[:, :draft_length]
        return by_position(trace.rules[f"mass.{self.label}"][:, :draft_length])

    def realised(self, trace: Statistics | Trace, draft_length: int) -> np.ndarray:
        """a: 1 where the text is still in the tree, else 0."""
        known = trace.rules.get(f"a.{self.label}")
        if known is not None:
            return known[:, :draft_length]
        return by_position(within(trace.rules[f"depth.{self.label}"], draft_length))

    def by_start(self, live: Statistics) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """`depth` (T, N), `mass` (T, D, N) and `nodes` (T, N) of a whole text that was decoded."""
        gamma, a, nodes = (live.rules[f"{part}.{self.label}"] for part in ("gamma", "a", "nodes"))
        return from_position(a).sum(axis=1), from_position(gamma), nodes[:, 0]

    def draft(self, q: "Tensor", noise: "Tensor") -> "Tensor":
        """Which tokens are children is the tree's matter, not the rule's."""
        raise NotImplementedError("a draft tree is made as a whole")


def within(depth: np.ndarray, levels: int) -> np.ndarray:
    """1 where the text is in the tree, else 0, float32 (T, K, N), of depths (T, 1, N)."""
    return (depth > np.arange(levels)[:, None]).astype(np.float32)


def by_position(table: np.ndarray) -> np.ndarray:
    """From [start, level] to [position, depth] of an array (T, K, N), 0 where no round started."""
    moved = np.zeros_like(table)
    for level in range(min(table.shape[1], len(table))):
        moved[level:, level] = table[: len(table) - level, level]
    return moved


def from_position(table: np.ndarray) -> np.ndarray:
    """The inverse of `by_position`, 0 behind the text's end."""
    moved = np.zeros_like(table)
    for level in range(min(table.shape[1], len(table))):
        moved[: len(table) - level, level] = table[level:, level]
    return moved


RULE = Tree
