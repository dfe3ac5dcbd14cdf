"""Drafts that branch, by several candidates at a position or as draft trees, verified all at once.

The random numbers of a position are the same in all branches: only one of them is followed, and
which one depends on the numbers of the positions before.
"""

from collections.abc import Callable

import torch

from hedgespec.live.pool import Distribute, Pool, Text
from hedgespec.models.drafters.session import DraftSession
from hedgespec.models.trees import DraftTrees
from hedgespec.rules import Rule

ROOT = -1
MOST_NODES = 1024


class Candidates:
    """What branches: `tokens` and `parents` of the nodes, which follow ROOT, the text's last token.

    `q[node]` (V) is what the candidates behind a node were drawn from; they are the nodes
    `children[node]`. A node that has none stands in neither.
    """

    def __init__(self) -> None:
        """Only the root."""
        self.tokens: list[torch.Tensor] = []
        self.parents: list[int] = []
        self.q: dict[int, torch.Tensor] = {}
        self.children: dict[int, list[int]] = {}

    def add(self, token: torch.Tensor, parent: int) -> int:
        """A candidate behind `parent`; its number."""
        self.tokens.append(token)
        self.parents.append(parent)
        self.children.setdefault(parent, []).append(len(self.tokens) - 1)
        return len(self.tokens) - 1


def node_count(candidates: int, levels: int) -> int:
    """Nodes of a whole tree of drafts."""
    return sum(candidates**level for level in range(1, levels + 1))


def chain_candidates(draft: torch.Tensor, q: torch.Tensor) -> Candidates:
    """A draft (K), each token of which was drawn from its row of q (K+1, V)."""
    chain = Candidates()
    for parent, token in enumerate(draft, ROOT):
        chain.q[parent] = q[chain.add(token, parent)]
    return chain


def draft_candidates(
    pool: Pool, arm: int, text: Text, rule: Rule, noise: torch.Tensor, distribute: Distribute
) -> Candidates:
    """Draft `rule.candidates` tokens behind every token, as many levels as `noise` (K, W) has."""
    tree = Candidates()
    branches: list[tuple[int, DraftSession | None, torch.Tensor, torch.Tensor]] = [
        (ROOT, None, pool.first(arm, text), text.tokens)
    ]
    for level, own in enumerate(noise):
        grown = []
        for node, session, logits, context in branches:
            row = distribute(logits[None], context)[0]
            if not row.any():
                continue
            tree.q[node] = row
            for token in rule.draft(row, own):
                number = tree.add(token, node)
                if level + 1 < len(noise) and row[token] > 0:
                    branch, behind = pool.branch(arm, session, token)
                    grown.append((number, branch, behind, torch.cat([context, token[None]])))
        branches = grown
    return tree


def tree_candidates(trees: DraftTrees, levels: int, proposed: torch.Tensor) -> Candidates:
    """The one tree of `trees` down to a level.

    Its rule asks of q only whether it is positive: `proposed` (V) stands for it at every node.
    """
    tree, tokens = Candidates(), trees.tokens[0]
    numbers = {ROOT: ROOT}
    for node, (token, parent, level) in enumerate(
        zip(
            *(part[0].tolist() for part in (trees.tokens, trees.parents, trees.levels)), strict=True
        )
    ):
        if token >= 0 and level <= levels:
            numbers[node] = tree.add(tokens[node], numbers[parent])
            tree.q[numbers[parent]] = proposed
    return tree


def verify_candidates(
    tree: Candidates,
    rule: Rule,
    noise: torch.Tensor,
    target: Callable[[int, list[int]], torch.Tensor],
    ended: Callable[[list[int]], bool] | None = None,
) -> tuple[list[int], torch.Tensor, torch.Tensor]:
    """Follow the accepted candidates with noise (K+1, W).

    `target(node, path)` gives p (V) behind a node, `path` being the nodes to it. Returns the
    accepted path (m), the target's token (1) after it, and p (m+1, V) along it. Where
    `ended(path)` says so, the path's own last token is the one after it, and p is asked no more.
    """
    path: list[int] = []
    rows: list[torch.Tensor] = []
    while True:
        node = path[-1] if path else ROOT
        if path and ended is not None and ended(path):
            return path[:-1], tree.tokens[node][None], torch.stack(rows)
        p = target(node, path)
        rows.append(p)
        own, children = noise[len(path)], tree.children.get(node)
        if children is None:
            q = torch.zeros_like(p)
            draft = torch.zeros(rule.candidates, dtype=torch.long, device=p.device)
            return path, rule.follow(p, q, draft, own)[None], torch.stack(rows)
        q, draft = tree.q[node], torch.stack([tree.tokens[child] for child in children])
        chosen = int(rule.accept(p, q, draft, own))
        if chosen < 0:
            return path, rule.follow(p, q, draft, own)[None], torch.stack(rows)
        path.append(children[chosen])
