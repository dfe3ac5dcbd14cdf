"""Reads tree specifications."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hedgespec.errors import HedgespecError, arg
from hedgespec.models.trees.dynamic_tree import DynamicTree
from hedgespec.models.trees.growth import TreeShape
from hedgespec.models.trees.static_tree import EAGLE_1, StaticTree
from hedgespec.rules import parse_rule
from hedgespec.rules.tree import Tree


@dataclass(frozen=True)
class NamedTree:
    """A tree, its specification `id`, and the `label` of the rule that replays it."""

    label: str
    id: str
    shape: TreeShape


def make_trees(texts: Sequence[str]) -> dict[str, NamedTree]:
    """The trees of some [NAME=]SHAPE by their labels, tree:NAME or tree; SHAPE as in `make_tree`.

    Raises HedgespecError for a bad name or shape, or two trees of one label.
    """
    trees: dict[str, NamedTree] = {}
    for text in texts:
        name, specification = _named(text)
        label = parse_rule(f"{Tree.name}:{name}" if name else Tree.name).label
        if label in trees:
            raise HedgespecError(
                f"{arg('trees', text)}: {label} is given twice; name one, as in "
                f"{arg('trees', f'NAME={specification}')}"
            )
        trees[label] = NamedTree(label, specification, make_tree(specification))
    return trees


def _named(text: str) -> tuple[str, str]:
    """Name, "" if there is none, and specification of [NAME=]SHAPE; a SHAPE's file may hold "="."""
    name, named, specification = text.partition("=")
    return (name, specification) if named and ":" not in name else ("", text)


def make_tree(text: str) -> TreeShape:
    """The tree of `dynamic[:TOTAL,DEPTH,TOPK]` or `static[:FILE]`.

    FILE is a JSON list of rank paths; without it the tree is that of EAGLE-1's released code.
    Raises HedgespecError for anything else.
    """
    kind, _, argument = text.partition(":")
    if kind == "dynamic":
        return _dynamic(text, argument)
    if kind == "static":
        return StaticTree(_paths(text, Path(argument)) if argument else EAGLE_1)
    raise HedgespecError(
        f"tree {text!r}: unknown kind; choose dynamic[:TOTAL,DEPTH,TOPK] or static[:FILE]"
    )


def _dynamic(text: str, argument: str) -> DynamicTree:
    if not argument:
        return DynamicTree()
    numbers = argument.split(",")
    if len(numbers) != 3 or not all(number.isdecimal() for number in numbers):
        raise HedgespecError(
            f"tree {text!r}: give total tokens, depth and top-k, as in dynamic:60,7,10"
        )
    return DynamicTree(*map(int, numbers))


def _paths(text: str, path: Path) -> list[list[int]]:
    try:
        paths = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise HedgespecError(f"tree {text!r}: {path} cannot be read ({error})") from error
    if not isinstance(paths, list) or not all(isinstance(item, list) for item in paths):
        raise HedgespecError(f"tree {text!r}: {path} is not a list of lists of ranks")
    return paths
