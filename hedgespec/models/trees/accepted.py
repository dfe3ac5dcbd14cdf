"""The recorded text's way down each tree."""

from dataclasses import dataclass

import torch

from hedgespec.models.trees.growth import DraftTrees


@dataclass(frozen=True)
class TreeStatistics:
    """Of the trees that start at M positions of recorded text, one per answer token.

    `accepted` (M): tokens of the text, from that position on, that the tree holds. `mass` (M, D):
    at level d, the target's probability of the children of the visited node, which is the root at
    level 1 and then the text's own node; 0 where no node is visited, because the tree or the text
    ended. Given that level d is reached, `mass` is the probability that the target's token is in
    the tree. `drafted` (M): nodes of the tree.
    """

    accepted: torch.Tensor
    mass: torch.Tensor
    drafted: torch.Tensor

    @classmethod
    def none(cls, count: int, levels: int) -> "TreeStatistics":
        """Those of a drafter that drafts no trees: it proposes nothing."""
        nothing = torch.zeros(count, dtype=torch.long)
        return cls(nothing, torch.zeros(count, levels), nothing)

    @classmethod
    def join(cls, parts: list["TreeStatistics"]) -> "TreeStatistics":
        """Those of all parts, in order."""
        return cls(
            torch.cat([part.accepted for part in parts]),
            torch.cat([part.mass for part in parts]),
            torch.cat([part.drafted for part in parts]),
        )

    def at(self, rows: torch.Tensor) -> "TreeStatistics":
        """Those of some positions, by their numbers or a mask."""
        return TreeStatistics(self.accepted[rows], self.mass[rows], self.drafted[rows])

    def cpu(self) -> "TreeStatistics":
        """The same on the host."""
        return TreeStatistics(self.accepted.cpu(), self.mass.cpu(), self.drafted.cpu())


def walk(
    trees: DraftTrees, text: torch.Tensor, p: torch.Tensor, rows: torch.Tensor
) -> TreeStatistics:
    """Statistics of n trees on the device.

    `text` (n, D) are the tokens that follow each root, -1 behind the text's end. `p` (R, V) are
    distributions of the target; that of what follows a root's text up to level d-1 is row
    `rows[:, d-1]` (n, D).
    """
    real = trees.tokens >= 0
    index = trees.tokens.clamp(min=0)
    node = text.new_full((len(text),), -1)  # the root
    reached = torch.ones_like(node, dtype=torch.bool)
    accepted, masses = torch.zeros_like(node), []
    for level in range(text.shape[1]):
        token = text[:, level]
        reached = reached & (token >= 0)
        children = real & (trees.parents == node[:, None]) & reached[:, None]
        masses.append((p[rows[:, level, None], index] * children).sum(1))
        found = children & (trees.tokens == token[:, None])
        reached = found.any(1)
        node = found.long().argmax(1)
        accepted = accepted + reached
    return TreeStatistics(accepted, torch.stack(masses, dim=1).clamp(max=1), real.sum(1))
