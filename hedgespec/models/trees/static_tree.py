"""Static draft trees: the same shape at every start, given as rank paths (Medusa, EAGLE-1).

A path [r1, ..., rd] is the node reached from the root by the child of rank r1, its child of rank
r2, and so on, ranks counting from 0, the most probable child.
"""

from collections.abc import Sequence

import torch

from hedgespec.errors import HedgespecError
from hedgespec.models.trees.growth import DraftTrees, Growth, TreeShape

# The tree of EAGLE-1's released code, 25 nodes.
EAGLE_1 = (
    (0,),
    (1,),
    (2,),
    (3,),
    (0, 0),
    (0, 1),
    (0, 2),
    (1, 0),
    (1, 1),
    (2, 0),
    (2, 1),
    (3, 0),
    (0, 0, 0),
    (0, 0, 1),
    (0, 0, 2),
    (0, 1, 0),
    (0, 1, 1),
    (0, 2, 0),
    (0, 2, 1),
    (1, 0, 0),
    (0, 0, 0, 0),
    (0, 0, 0, 1),
    (0, 0, 0, 2),
    (0, 0, 0, 0, 0),
    (0, 0, 0, 0, 1),
)


class StaticTree(TreeShape):
    """The tree of some rank paths, in any order."""

    def __init__(self, paths: Sequence[Sequence[int]]):
        """Raises HedgespecError unless each path's beginnings are paths too and none stands twice."""
        if not paths:
            raise HedgespecError("a static tree needs at least one path")
        for path in paths:
            if not path or any(not isinstance(rank, int) or rank < 0 for rank in path):
                raise HedgespecError(f"static tree: {list(path)} is not a path of ranks from 0 on")
        ordered = sorted(map(tuple, paths), key=lambda path: (len(path), path))
        for path in ordered:
            if len(path) > 1 and path[:-1] not in ordered:
                raise HedgespecError(f"static tree: {list(path)} has no parent {list(path[:-1])}")
        if len(set(ordered)) < len(ordered):
            raise HedgespecError("static tree: a path is given twice")
        self.paths = ordered

    @property
    def deepest(self) -> int:
        """Length of the longest path."""
        return len(self.paths[-1])

    def build(self, growth: Growth, places: torch.Tensor) -> DraftTrees:
        """Trees of the rounds at `places` (B, S)."""
        numbers = {path: number for number, path in enumerate(self.paths)}
        growing: list[tuple[int, ...]] = [()]
        logits = growth.begin(places)[:, None]
        all_tokens: list[torch.Tensor] = []
        for level in range(1, self.deepest + 1):
            nodes = [path for path in self.paths if len(path) == level]
            slot = {path: number for number, path in enumerate(growing)}
            above = torch.tensor([slot[path[:-1]] for path in nodes], device=places.device)
            ranks = torch.tensor([path[-1] for path in nodes], device=places.device)
            tokens = _ranked(growth, logits, above, ranks)
            all_tokens.append(tokens)
            parents = {path[:-1] for path in self.paths if len(path) == level + 1}
            chosen = [number for number, path in enumerate(nodes) if path in parents]
            if chosen:
                growing = [nodes[number] for number in chosen]
                logits = growth.grow(
                    tokens[:, chosen].clamp(min=0), above[chosen].expand(len(tokens), -1)
                )
        tokens = torch.cat(all_tokens, dim=1)
        parents_of = torch.tensor([numbers.get(path[:-1], -1) for path in self.paths])
        levels = torch.tensor([len(path) for path in self.paths])
        return DraftTrees(
            _without_orphans(tokens, parents_of.tolist()),
            parents_of.to(tokens.device).expand_as(tokens),
            levels.to(tokens.device).expand_as(tokens),
        )


def _ranked(
    growth: Growth, logits: torch.Tensor, parents: torch.Tensor, ranks: torch.Tensor
) -> torch.Tensor:
    """Tokens (n, m) of the children of given ranks (m) of `parents` (m), -1 where there is none."""
    values, tokens = growth.best(logits, int(ranks.max()) + 1)
    there = ranks < tokens.shape[-1]
    chosen = (slice(None), parents, ranks.clamp(max=tokens.shape[-1] - 1))
    return tokens[chosen].masked_fill(values[chosen].isneginf() | ~there, -1)


def _without_orphans(tokens: torch.Tensor, parents: list[int]) -> torch.Tensor:
    """Tokens (n, N) without the nodes whose parent is none; parents stand before them."""
    tokens = tokens.clone()
    for node, parent in enumerate(parents):
        if parent >= 0:
            tokens[:, node].masked_fill_(tokens[:, parent] < 0, -1)
    return tokens
