"""Draft trees of all drafters along a text that is being decoded."""

from collections.abc import Sequence

import numpy as np
import torch

from hedgespec.models.trees import DraftTrees, TreeShape
from hedgespec.models.trees.accepted import walk
from hedgespec.rules.tree import by_position, within


class TreeEvaluation:
    """Walks a text down the trees that N drafters would have drafted at each of its positions.

    A tree is there when its round could have started; what it holds of the text is known level by
    level, as the text goes on. So the trees of the last positions are kept.
    """

    def __init__(self, shape: TreeShape, label: str, arms: int, device: torch.device):
        """A new text; `label` is that of the rule."""
        self._levels, self._label = shape.deepest, label
        self._trees = [DraftTrees.none(0, device)] * arms
        self._p: torch.Tensor | None = None
        self._tokens = torch.empty(0, dtype=torch.long, device=device)

    def statistics(
        self, trees: Sequence[DraftTrees], p: torch.Tensor, tokens: torch.Tensor
    ) -> dict[str, np.ndarray]:
        """Live statistics of `rules.tree` for the next m tokens (m), drawn from `p` (m, V).

        `trees` are each drafter's, of the rounds that would have started with these tokens.
        """
        before, levels = len(self._tokens), self._levels
        p = p if self._p is None else torch.cat([self._p, p])
        text = torch.cat([self._tokens, tokens])
        count = len(text)
        places = (torch.arange(count)[:, None] + torch.arange(levels)).to(text.device)
        rows = places.clamp(max=count - 1)
        following = text[rows].masked_fill(places >= count, -1)
        grown = [DraftTrees.join(parts) for parts in zip(self._trees, trees, strict=True)]
        found = [walk(one, following, p, rows) for one in grown]
        depth, nodes = (
            np.stack([part.cpu().numpy() for part in parts], axis=-1)[:, None]
            for parts in zip(*((one.accepted, one.drafted) for one in found), strict=True)
        )
        mass = np.stack([one.mass.cpu().numpy() for one in found], axis=-1)
        # What was told before is not told again: only the new tokens' share of older trees.
        kept = max(0, count - (levels - 1))
        self._trees = [one.part(slice(kept, None)) for one in grown]
        self._p, self._tokens = p[kept:], text[kept:]
        return {
            f"gamma.{self._label}": by_position(mass)[before:],
            f"a.{self._label}": by_position(within(depth, levels))[before:],
            f"nodes.{self._label}": nodes[before:].astype(np.float32),
        }
