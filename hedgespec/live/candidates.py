"""Rules with several candidates at a position: drafts branch, and the target verifies all at once.

The random numbers of a position are the same in all branches: only one of them is followed, and
which one depends on the numbers of the positions before.
"""

from collections.abc import Callable

import torch

from hedgespec.live.pool import Distribute, Pool, Text
from hedgespec.rules import Rule
from hedgespec.tracegen.drafters.session import DraftSession

ROOT = -1
MOST_NODES = 1024


class Candidates:
    """A tree: `tokens` and `parents` of its nodes, which follow ROOT, the text's last token.

    `q[node]` (V) is what the candidates behind a node were drawn from; they are the nodes
    `first[node]`, `first[node] + 1`, ... A node without q has none.
    """

    def __init__(self) -> None:
        """Only the root."""
        self.tokens: list[torch.Tensor] = []
        self.parents: list[int] = []
        self.q: dict[int, torch.Tensor] = {}
        self.first: dict[int, int] = {}


def node_count(candidates: int, levels: int) -> int:
    """Nodes of a whole tree of drafts."""
    return sum(candidates**level for level in range(1, levels + 1))


def draft_candidates(
    pool: Pool, arm: int, text: Text, rule: Rule, noise: torch.Tensor, distribute: Distribute
) -> Candidates:
    """Draft `rule.candidates` tokens behind every token, as many levels as `noise` (K, W) has."""
    tree = Candidates()
    branches: list[tuple[int, DraftSession | None, torch.Tensor, torch.Tensor]] = [
        (ROOT, None, pool.first(arm, text), text.tokens)]
    for level, own in enumerate(noise):
        grown = []
        for node, session, logits, context in branches:
            row = distribute(logits[None], context)[0]
            if not row.any():
                continue
            tree.q[node], tree.first[node] = row, len(tree.tokens)
            for token in rule.draft(row, own):
                tree.tokens.append(token)
                tree.parents.append(node)
                if level + 1 < len(noise) and row[token] > 0:
                    branch, behind = pool.branch(arm, session, token)
                    grown.append((len(tree.tokens) - 1, branch, behind,
                                  torch.cat([context, token[None]])))
        branches = grown
    return tree


def verify_candidates(
    tree: Candidates, rule: Rule, noise: torch.Tensor,
    target: Callable[[int, list[int]], torch.Tensor],
) -> tuple[list[int], torch.Tensor, torch.Tensor]:
    """Follow the accepted candidates with noise (K+1, W).

    `target(node, path)` gives p (V) behind a node, `path` being the nodes to it. Returns the
    accepted path (m), the target's token (1) after it, and p (m+1, V) along it.
    """
    path: list[int] = []
    rows = []
    while True:
        node = path[-1] if path else ROOT
        p = target(node, path)
        rows.append(p)
        own, first = noise[len(path)], tree.first.get(node)
        if first is None:
            q = torch.zeros_like(p)
            draft = torch.zeros(rule.candidates, dtype=torch.long, device=p.device)
            return path, rule.follow(p, q, draft, own)[None], torch.stack(rows)
        q, draft = tree.q[node], torch.stack(tree.tokens[first : first + rule.candidates])
        chosen = int(rule.accept(p, q, draft, own))
        if chosen < 0:
            return path, rule.follow(p, q, draft, own)[None], torch.stack(rows)
        path.append(first + chosen)
