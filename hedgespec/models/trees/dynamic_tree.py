"""Dynamic draft trees (EAGLE-2, 2406.16858, section 4; settings and counting of its released code).

The root gets its top_k most probable children. Then `depth` times the top_k nodes of the deepest
level with the greatest cumulative log-probability get top_k children each. Of all nodes those with
the greatest cumulative log-probability stay, total_tokens - 1 of them: the verified tokens are
these and the root. A parent is never less probable than its child, so no node stays without it.
"""

from dataclasses import dataclass

import torch

from hedgespec.errors import HedgespecError
from hedgespec.models.trees.growth import DraftTrees, Growth, TreeShape


@dataclass(frozen=True)
class DynamicTree(TreeShape):
    """Raises HedgespecError for settings out of range."""

    total_tokens: int = 60
    depth: int = 7
    top_k: int = 10

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.total_tokens < 2 or self.depth < 0 or self.top_k < 1:
            raise HedgespecError(
                f"a dynamic tree needs at least 2 total tokens, depth 0 and top-k 1, not "
                f"{self.total_tokens}, {self.depth}, {self.top_k}"
            )

    @property
    def deepest(self) -> int:
        """Levels of nodes: the root's children and `depth` more."""
        return self.depth + 1

    def build(self, growth: Growth, places: torch.Tensor) -> DraftTrees:
        """Trees of the rounds at `places` (B, S)."""
        scores, tokens = growth.best(growth.begin(places), self.top_k)
        roots = torch.zeros_like(tokens)
        frontier = _Nodes(
            scores,
            tokens,
            roots,
            torch.arange(tokens.shape[1], device=tokens.device).expand_as(tokens),
        )
        levels = [_Nodes(scores, tokens, roots - 1, frontier.numbers)]
        count = tokens.shape[1]
        for _ in range(self.depth):
            scores, tokens = growth.best(growth.grow(frontier.tokens, frontier.parents), self.top_k)
            children = _children(frontier, scores, tokens, count)
            count += children.tokens.shape[1]
            levels.append(children)
            frontier = _frontier(children, self.top_k, scores.shape[-1])
        return _most_probable(levels, self.total_tokens - 1)


@dataclass(frozen=True)
class _Nodes:
    """Nodes (n, m): cumulative log-probabilities, tokens, parents, and numbers in the tree."""

    scores: torch.Tensor
    tokens: torch.Tensor
    parents: torch.Tensor
    numbers: torch.Tensor


def _children(frontier: _Nodes, scores: torch.Tensor, tokens: torch.Tensor, first: int) -> _Nodes:
    """All children (n, m*k) of the frontier, from `scores` and `tokens` (n, m, k)."""
    cumulative = (frontier.scores[:, :, None] + scores).flatten(1)
    numbers = torch.arange(first, first + cumulative.shape[1], device=tokens.device)
    parents = frontier.numbers[:, :, None].expand_as(tokens).flatten(1)
    return _Nodes(cumulative, tokens.flatten(1), parents, numbers.expand_as(cumulative))


def _frontier(children: _Nodes, top_k: int, siblings: int) -> _Nodes:
    """The most probable of them, whose `parents` are numbered within the frontier before."""
    scores, index = children.scores.topk(min(top_k, children.scores.shape[1]))
    return _Nodes(
        scores,
        children.tokens.gather(1, index),
        index // siblings,
        children.numbers.gather(1, index),
    )


def _most_probable(levels: list[_Nodes], count: int) -> DraftTrees:
    """The `count` most probable of all nodes, in the order in which they were made."""
    scores, tokens, parents = (
        torch.cat([getattr(level, name) for level in levels], dim=1)
        for name in ("scores", "tokens", "parents")
    )
    depths = torch.cat(
        [torch.full_like(level.tokens, number) for number, level in enumerate(levels, 1)], dim=1
    )
    # Stable: a child as probable as its parent comes after it.
    order = scores.sort(dim=1, descending=True, stable=True).indices[:, :count]
    kept = order.sort(dim=1).values
    numbers = torch.zeros_like(tokens).scatter_(
        1, kept, torch.arange(kept.shape[1], device=kept.device).expand_as(kept)
    )
    parents = parents.gather(1, kept)
    parents = torch.where(parents < 0, -1, numbers.gather(1, parents.clamp(min=0)))
    real = scores.gather(1, kept) > -torch.inf
    return DraftTrees(
        tokens.gather(1, kept).masked_fill(~real, -1), parents, depths.gather(1, kept)
    )
