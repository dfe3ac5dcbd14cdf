"""Real decoding of a tiny history-dependent pair with the rules' own steps, many texts at once.

And the trace of all texts of that pair, each once, from which exact laws are computed.
"""

from dataclasses import replace
from itertools import product

import numpy as np
import polars as pl
import torch

from hedgespec.models.acceptance import reduce_pair
from hedgespec.rules import Rule
from hedgespec.traces import (
    DrafterInfo,
    Manifest,
    RuleInfo,
    SamplingInfo,
    TargetInfo,
    Trace,
)
from tests.helpers.real_decoding import TinyPair

_AT_ONCE = 20_000  # small enough for a processor's cache


def decode(
    pair: TinyPair,
    rule: Rule,
    draft_length: int,
    texts: int,
    seed: int,
    trees: "Trees | None" = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Tokens (texts, T) and where rounds started, bool (texts, T).

    Each round draws its drafter with equal chances.
    """
    generator = torch.Generator().manual_seed(seed)
    parts = []
    for begin in range(0, texts, _AT_ONCE):
        decoder = _Decoder(pair, rule, draft_length, min(_AT_ONCE, texts - begin), generator, trees)
        while len(decoder.running):
            decoder.round()
        parts.append((decoder.tokens.numpy(), decoder.starts.numpy()))
    tokens, starts = zip(*parts, strict=True)
    return np.concatenate(tokens), np.concatenate(starts)


class _Decoder:
    """`running` texts stand at `position` with the prefix `code`."""

    def __init__(self, pair, rule, draft_length, texts, generator, trees):
        self.p, self.q = torch.from_numpy(pair.p), torch.from_numpy(pair.q)
        self.rule, self.k, self.trees = rule, draft_length, trees
        self.length, _, self.vocabulary = pair.p.shape
        self.generator = generator
        self.tokens = torch.zeros(texts, self.length, dtype=torch.long)
        self.starts = torch.zeros(texts, self.length, dtype=torch.bool)
        self.position, self.code = (torch.zeros(texts, dtype=torch.long) for _ in range(2))
        self.running = torch.arange(texts)
        self.shared = (
            self._uniform(texts, self.length + draft_length + 1) if (rule.shared_noise) else None
        )

    def round(self):
        rows = self.running
        self.starts[rows, self.position[rows]] = True
        arm = torch.randint(len(self.q), (len(rows),), generator=self.generator)
        if self.shared is None:
            noise = self._uniform(len(rows), self.k + 1)
        else:
            places = self.position[rows, None] + torch.arange(self.k + 1)
            noise = self.shared[rows[:, None], places]
        if self.trees is not None:
            self._tree(rows, arm, noise)
        elif self.rule.candidates == 1:
            self._chain(rows, arm, noise)
        else:
            self._levels(rows, arm, noise)
        self.running = rows[self.position[rows] < self.length]

    def _chain(self, rows, arm, noise):
        """Draft K tokens, then verify them together."""
        code, p, q, draft = self.code[rows], [], [], []
        for level in range(self.k + 1):
            place = self.position[rows] + level
            p.append(self._at(self.p, place, code))
            q.append(self._proposals(arm, place, code) * (level < self.k))
            if level < self.k:
                draft.append(self.rule.draft(q[-1], noise[:, level])[:, 0])
                code = (code * self.vocabulary + draft[-1]) % self.p.shape[1]
        draft = torch.stack(draft, 1)
        accepted, following = self.rule.verify(torch.stack(p, 1), torch.stack(q, 1), draft, noise)
        for level in range(self.k + 1):
            token = following.where(accepted == level, draft[:, min(level, self.k - 1)])
            self._emit(rows, token, accepted >= level)

    def _levels(self, rows, arm, noise):
        """Candidates are drafted where the round has come to: no others matter."""
        going = torch.ones(len(rows), dtype=torch.bool)
        for level in range(self.k + 1):
            place, code = self.position[rows], self.code[rows]
            p, q = (
                self._at(self.p, place, code),
                self._proposals(arm, place, code) * (level < self.k),
            )
            draft = self.rule.draft(q, noise[:, level])
            chosen = self.rule.accept(p, q, draft, noise[:, level])
            accepted = draft.gather(1, chosen.clamp(min=0)[:, None])[:, 0]
            token = accepted.where(chosen >= 0, self.rule.follow(p, q, draft, noise[:, level]))
            self._emit(rows, token, going)
            going = going & (chosen >= 0)

    def _tree(self, rows, arm, noise):
        """The target draws its way down the tree that was fixed at the start of the round."""
        start, prefix = self.position[rows], self.code[rows]
        path, going = torch.zeros_like(prefix), torch.ones(len(rows), dtype=torch.bool)
        for level in range(self.k + 1):
            p = self._at(self.p, self.position[rows], self.code[rows])
            nothing = torch.zeros(len(rows), 1, dtype=torch.long)
            token = self.rule.follow(p, p * 0, nothing, noise[:, level])
            self._emit(rows, token, going)
            path = path * self.vocabulary + token
            if level < self.k:
                inside = torch.from_numpy(self.trees.member[level])
                going = going & inside[arm, start, prefix, path]

    def _emit(self, rows, token, going):
        place = self.position[rows]
        going = going & (place < self.length)
        self.tokens[rows[going], place[going]] = token[going]
        self.code[rows[going]] = (self.code[rows] * self.vocabulary + token)[going]
        self.position[rows[going]] += 1

    def _proposals(self, arm, place, code):
        """q, 0 behind the end."""
        inside = place < self.length
        q = self.q[arm, place.clamp(max=self.length - 1), code % self.p.shape[1]]
        return q * inside[:, None]

    def _at(self, table, place, code):
        return table[place.clamp(max=self.length - 1), code % self.p.shape[1]]

    def _uniform(self, rows, levels):
        return torch.rand(
            rows,
            levels,
            self.rule.width(self.vocabulary),
            dtype=torch.float64,
            generator=self.generator,
        )


class Trees:
    """At each prefix the `nodes` paths of greatest probability under the drafter, to `levels`.

    `member[l]` (N, T, codes, V^(l+1)) says whether a path of l+1 tokens is in the tree. With
    `width` only the best that many children of a node may be; width 1 makes a chain.
    """

    def __init__(self, pair: TinyPair, levels: int, nodes: int, width: int):
        arms, length, codes, vocabulary = pair.q.shape
        place = np.arange(length)[:, None, None]
        code = np.arange(codes)[None, :, None]
        reach, paths = np.ones((arms, length, codes, 1)), []
        for level in range(levels):
            here = np.minimum(place + level, length - 1)
            path = np.arange(vocabulary**level)
            q = pair.q[:, here, (code * vocabulary**level + path) % codes]
            rank = (-q).argsort(-1).argsort(-1)
            q = np.where((rank < width) & (place + level < length)[..., None], q, 0)
            reach = (reach[..., None] * q).reshape(arms, length, codes, -1)
            paths.append(reach)
        everything = np.concatenate(paths, axis=-1)
        least = np.sort(everything, axis=-1)[..., [-min(nodes, everything.shape[-1])]]
        self.member = [(reach >= least) & (reach > 0) for reach in paths]
        self.nodes = sum(member.sum(-1) for member in self.member)


def all_texts(
    pair: TinyPair, draft_length: int, rules: tuple[Rule, ...] = (), trees: Trees | None = None
) -> tuple[Trace, np.ndarray]:
    """A trace of every text of the pair and the texts' probabilities (V^T)."""
    arms, length, _, vocabulary = pair.q.shape
    texts = np.array(list(product(range(vocabulary), repeat=length)))
    code = np.zeros((len(texts), length), dtype=np.int64)
    for place in range(1, length):
        code[:, place] = code[:, place - 1] * vocabulary + texts[:, place - 1]
    place = np.broadcast_to(np.arange(length), texts.shape)
    p, q = (
        pair.p[place, code].reshape(-1, vocabulary),
        pair.q[:, place, code].reshape(arms, -1, vocabulary),
    )
    token = torch.from_numpy(texts.reshape(-1))
    columns = [
        _columns(torch.from_numpy(p), torch.from_numpy(q[arm]), token, rules) for arm in range(arms)
    ]
    stacked = {
        name: np.stack([column[name].numpy() for column in columns], -1)[:, None]
        for name in columns[0]
    }
    p_token = p[np.arange(len(p)), token.numpy()]
    own = {name: stacked.pop(name) for name in ("log_q", "gamma", "match", "p_top")}
    infos = [RuleInfo(rule.label) for rule in rules]
    if trees is not None:
        stacked |= _tree_columns(pair, trees, texts, code)
        infos.append(RuleInfo("tree", len(trees.member)))
    manifest = Manifest(
        "tiny",
        "",
        TargetInfo("tiny", "", "", vocabulary),
        [DrafterInfo(f"d{arm}", "tiny", "", None) for arm in range(arms)],
        SamplingInfo(1.0, 1.0, 0, 0, length),
        draft_length,
        "full",
        "",
        "",
        len(texts),
        texts.size,
        {},
        rules=infos,
    )
    trace = Trace(
        manifest,
        pl.DataFrame(),
        np.arange(len(texts) + 1) * length,
        texts.reshape(-1),
        np.log(p_token),
        rules=stacked,
        **own,
    )
    return trace, p_token.reshape(len(texts), length).prod(axis=1)


def _columns(p, q, token, rules):
    columns = reduce_pair(p, q, token)
    for rule in rules:
        generator = torch.Generator().manual_seed(0)
        for statistic, values in rule.reduce(p, q, token, generator).items():
            columns[f"{statistic}.{rule.label}"] = values
    return columns


def _tree_columns(
    pair: TinyPair, trees: Trees, texts: np.ndarray, code: np.ndarray
) -> dict[str, np.ndarray]:
    arms, length, _, vocabulary = pair.q.shape
    levels = len(trees.member)
    depth = np.zeros((len(texts), length, arms), dtype=np.uint8)
    mass = np.zeros((len(texts), length, levels, arms), dtype=np.float32)
    nodes = np.zeros((len(texts), length, arms), dtype=np.uint16)
    for start, arm in product(range(length), range(arms)):
        path, inside = np.zeros(len(texts), dtype=np.int64), np.ones(len(texts), dtype=bool)
        nodes[:, start, arm] = trees.nodes[arm, start, code[:, start]]
        for level in range(min(levels, length - start)):
            place = start + level
            children = path[:, None] * vocabulary + np.arange(vocabulary)
            among = trees.member[level][arm, start, code[:, start, None], children]
            p = pair.p[place, code[:, place]]
            mass[:, start, level, arm] = np.where(inside, (p * among).sum(-1), 0)
            path = path * vocabulary + texts[:, place]
            inside &= trees.member[level][arm, start, code[:, start], path]
            depth[:, start, arm] += inside
    flat = len(texts) * length
    return {
        "depth.tree": depth.reshape(flat, 1, arms),
        "nodes.tree": nodes.reshape(flat, 1, arms),
        "mass.tree": mass.reshape(flat, levels, arms),
    }


def law_of_starts(acceptance: np.ndarray, length: int, draft_length: int) -> np.ndarray:
    """P(round starts | text) of texts (X, 2^T), each round's drafter drawn with equal chances.

    `acceptance` (X*T, D, N). Bit t of the second index says that a round started at t.
    """
    table = acceptance.reshape(-1, length, *acceptance.shape[1:])
    reached = {(0, 1): np.ones(len(table))}
    law = np.zeros((len(table), 2**length))
    for start in range(length):
        for (position, bits), probability in list(reached.items()):
            if position != start:
                continue
            going = np.full((len(table), table.shape[3]), 1 / table.shape[3])
            for emitted in range(1, min(draft_length + 1, length - start) + 1):
                last = emitted == min(draft_length + 1, length - start)
                a = table[:, start + emitted - 1, min(emitted, table.shape[2]) - 1]
                here = going.sum(1) if last else (going * (1 - a)).sum(1)
                going = going * a
                end = start + emitted
                if end == length:
                    law[:, bits] += probability * here
                else:
                    key = end, bits | 1 << end
                    reached[key] = reached.get(key, 0) + probability * here
    return law


def without(trace: Trace, rule: str) -> Trace:
    """The trace without a rule's statistics."""
    return replace(
        trace,
        rules={
            name: values for name, values in trace.rules.items() if not name.endswith(f".{rule}")
        },
    )
