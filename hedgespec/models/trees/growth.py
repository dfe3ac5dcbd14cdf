"""What trees are, and what a drafter must do to grow them."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch.nn.functional import pad

from hedgespec.models.logits import refuse_faulty

_GROUP = 64


@dataclass(frozen=True)
class DraftTrees:
    """Draft trees of n rounds with at most N nodes each, the last verified token being the root.

    `tokens` (n, N) are the nodes' tokens, -1 where there is no node; `parents` (n, N) number their
    parents, which stand before them, -1 being the root; `levels` (n, N) count from 1. Where there
    is no node these two mean nothing.
    """

    tokens: torch.Tensor
    parents: torch.Tensor
    levels: torch.Tensor

    @classmethod
    def none(cls, count: int, device: torch.device) -> "DraftTrees":
        """Rounds in which nothing is drafted."""
        nothing = torch.full((count, 1), -1, device=device)
        return cls(nothing, nothing, nothing)

    @classmethod
    def join(cls, parts: "Sequence[DraftTrees]") -> "DraftTrees":
        """Those of all parts, in order."""
        widest = max(part.tokens.shape[1] for part in parts)
        return cls(
            *(
                torch.cat(
                    [
                        pad(getattr(part, name), (0, widest - part.tokens.shape[1]), value=-1)
                        for part in parts
                    ]
                )
                for name in ("tokens", "parents", "levels")
            )
        )

    def part(self, rounds: slice) -> "DraftTrees":
        """Those of some of the rounds."""
        return DraftTrees(self.tokens[rounds], self.parents[rounds], self.levels[rounds])

    def where(self, kept: torch.Tensor) -> "DraftTrees":
        """The same without any node in rounds that are not `kept` (n)."""
        return DraftTrees(self.tokens.masked_fill(~kept[:, None], -1), self.parents, self.levels)


class Growth(ABC):
    """Grows trees of one drafter on a scoring batch of B texts, a block of rounds at a time.

    A block has S rounds in each text, n = B*S in all, text by text. `first_place` is the least
    place of a round's last verified token; `widest` the greatest S, None for any.
    """

    first_place: ClassVar[int] = 0
    widest: ClassVar[int | None] = None

    @property
    def known(self) -> torch.Tensor | None:
        """The target's token (v,) of each logit; None if they are the same."""
        return None

    @abstractmethod
    def begin(self, places: torch.Tensor) -> torch.Tensor:
        """Start a block; logits (n, v) of the roots' children.

        `places` (B, S) are those of the last verified tokens in their texts.
        """

    @abstractmethod
    def grow(self, tokens: torch.Tensor, parents: torch.Tensor) -> torch.Tensor:
        """Logits (n, m, v) of the children of m nodes of one level, the next one.

        The nodes hold `tokens` (n, m); `parents` (n, m) number their parents among the nodes of the
        call before, 0 for the root.
        """

    def best(self, logits: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Log-probabilities and target tokens (..., count) of the most probable children."""
        values, index = best_log_probabilities(logits, count)
        return values, index if self.known is None else self.known[index]


class TreeShape(ABC):
    """Which nodes a tree has."""

    @property
    @abstractmethod
    def deepest(self) -> int:
        """The greatest level."""

    @abstractmethod
    def build(self, growth: Growth, places: torch.Tensor) -> DraftTrees:
        """Trees of the rounds at `places` (B, S)."""


class Ancestry:
    """Which of a round's nodes, of all levels so far, each node of the last level attends to.

    `sees` (n, m, nodes so far): its ancestors and itself, level by level; `sizes` are the levels'
    numbers of nodes.
    """

    def __init__(self, rounds: int, device: torch.device):
        """The roots alone: there is no node yet."""
        self.sees = torch.empty(rounds, 1, 0, dtype=torch.bool, device=device)
        self.sizes: list[int] = []

    def add(self, parents: torch.Tensor) -> None:
        """One level more, whose nodes have these parents (n, m) among the level before."""
        rounds, count = parents.shape
        above = self.sees.gather(1, parents[:, :, None].expand(-1, -1, self.sees.shape[2]))
        own = torch.eye(count, dtype=torch.bool, device=parents.device)
        self.sees = torch.cat([above, own.expand(rounds, -1, -1)], dim=2)
        self.sizes.append(count)


def pick(values: torch.Tensor, nodes: torch.Tensor) -> torch.Tensor:
    """Values (n, m, H) of some nodes (n, m) of each round, from those of a level (n, k, H)."""
    return values.gather(1, nodes[:, :, None].expand(-1, -1, values.shape[-1]))


def best_log_probabilities(logits: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Greatest log-probabilities (..., count), descending, and their indices, of logits (..., v).

    There are fewer if v is less. What has no probability has -inf, all where all logits are -inf.
    Raises LogitsError for NaN or +inf.
    """
    values, index = _greatest(logits, min(count, logits.shape[-1]))
    refuse_faulty(values)  # NaN and +inf are greater than any number
    normaliser = logits.logsumexp(-1, keepdim=True)
    return (values - normaliser).masked_fill(values.isneginf(), -torch.inf), index


def _greatest(logits: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The same as topk, which goes over a long row many times; this goes over it once.

    The greatest values lie in the groups whose own greatest ones are greatest.
    """
    size = logits.shape[-1]
    if size % _GROUP or size < 4 * count * _GROUP:
        return logits.topk(count)
    groups = logits.unflatten(-1, (-1, _GROUP))
    chosen = groups.amax(-1).topk(count).indices
    found = groups.gather(-2, chosen[..., None].expand(*chosen.shape, _GROUP))
    values, within = found.flatten(-2).topk(count)
    return values, chosen.gather(-1, within // _GROUP) * _GROUP + within % _GROUP
