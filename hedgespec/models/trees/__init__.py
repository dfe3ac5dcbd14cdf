"""Draft trees for recorded text: dynamic and static ones, built for all start positions in batches.

A drafter says how its trees grow (`growth.py`), a tree's shape says which nodes grow
(`dynamic_tree.py`, `static_tree.py`), `accepted.py` walks the text down each tree, and
`recorded_text.py` does it for whole texts.
"""

from hedgespec.models.trees.accepted import TreeStatistics
from hedgespec.models.trees.dynamic_tree import DynamicTree
from hedgespec.models.trees.growth import DraftTrees, Growth, TreeShape
from hedgespec.models.trees.recorded_text import BLOCK, score_trees
from hedgespec.models.trees.specification import NamedTree, make_tree, make_trees
from hedgespec.models.trees.static_tree import StaticTree

__all__ = [
    "BLOCK",
    "DraftTrees",
    "DynamicTree",
    "Growth",
    "NamedTree",
    "StaticTree",
    "TreeShape",
    "TreeStatistics",
    "make_tree",
    "make_trees",
    "score_trees",
]
