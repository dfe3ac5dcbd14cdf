"""Draft trees for recorded text: dynamic and static ones, built for all start positions in batches.

A drafter says how its trees grow (`growth.py`), a tree's shape says which nodes grow (`dynamic.py`,
`static.py`), `accepted.py` walks the text down each tree, and `score.py` does it for whole texts.
"""

from hedgespec.tracegen.trees.accepted import TreeStatistics
from hedgespec.tracegen.trees.dynamic import DynamicTree
from hedgespec.tracegen.trees.growth import Growth, Trees, TreeShape
from hedgespec.tracegen.trees.score import BLOCK, score_trees
from hedgespec.tracegen.trees.specification import NamedTree, make_tree, make_trees
from hedgespec.tracegen.trees.static import StaticTree

__all__ = [
    "BLOCK", "DynamicTree", "Growth", "NamedTree", "StaticTree", "TreeShape", "TreeStatistics",
    "Trees", "make_tree", "make_trees", "score_trees",
]
