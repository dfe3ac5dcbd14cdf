"""Drafters without weights: they continue the prefix as its own earlier text went on."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from hedgespec.errors import HedgespecError
from hedgespec.models.drafters.base import Drafter, ScoringBatch
from hedgespec.models.drafters.session import DraftSession
from hedgespec.models.lookup import continued, matches
from hedgespec.models.target import LanguageModel
from hedgespec.models.trees.context import ContextGrowth
from hedgespec.traces.schema import ENDLESS


@dataclass(frozen=True)
class Proposals:
    """Proposals of a batch of `count` rows: `token` with `log_weight` in `row`, rows ascending, and
    the tokens of a row too."""

    count: int
    row: np.ndarray
    token: np.ndarray
    log_weight: np.ndarray

    @property
    def widest(self) -> int:
        """Tokens of the row that has the most."""
        return int(np.bincount(self.row).max(initial=0))

    @classmethod
    def joined(cls, parts: Sequence["Proposals"], rows: int) -> "Proposals":
        """Of batches behind each other, each with room for `rows`."""
        return cls(
            rows * len(parts),
            np.concatenate([part.row + rows * number for number, part in enumerate(parts)]),
            np.concatenate([part.token for part in parts]),
            np.concatenate([part.log_weight for part in parts]),
        )

    @classmethod
    def certain(cls, tokens: np.ndarray) -> "Proposals":
        """A token in each row."""
        count = len(tokens)
        return cls(count, np.arange(count), tokens, np.zeros(count, dtype=np.float32))

    def listed(self, width: int) -> tuple[np.ndarray, np.ndarray]:
        """Tokens and log weights (count, width), each row's own first; then 0 and -inf."""
        tokens = np.zeros((self.count, width), dtype=np.int64)
        weights = np.full((self.count, width), -np.inf, dtype=np.float32)
        place = np.arange(len(self.row)) - np.searchsorted(self.row, self.row)
        tokens[self.row, place], weights[self.row, place] = self.token, self.log_weight
        return tokens, weights


_LONGEST = "3"  # tokens that are looked up


class ContextDrafter(Drafter):
    """Looks the last n tokens up in the prefix, from n = MAX_NGRAM, `longest`, down to 1."""

    latest_only = False
    statistics = ("drafted", "matched")

    def __init__(self, name: str, identity: str, target: LanguageModel, argument: str):
        """`argument` is MAX_NGRAM, 3 if empty. Raises HedgespecError unless it lies in 1..99."""
        super().__init__(name or self.kind, identity)
        self.check_argument(identity, argument, None)
        self.longest = int(argument or _LONGEST)
        self._vocabulary = target.vocabulary_size
        self.device = target.device

    @classmethod
    def check_argument(cls, identity: str, argument: str, layers: int | None) -> None:
        """A length in 1..99, or nothing."""
        argument = argument or _LONGEST
        if not argument.isdecimal() or not 1 <= int(argument) <= 99:
            raise HedgespecError(f"drafter {identity}: the n-gram length must lie in 1..99")

    def make_ready(self, trees: bool = False) -> None:
        """Compile what looks texts up, `trees` for draft trees too: no later call waits for that."""
        self.proposals([(np.zeros(2, dtype=np.int64), 1)])
        if trees:
            growth = self.growth_of(torch.zeros((1, 2), dtype=torch.long))
            growth.begin(torch.ones((1, 1), dtype=torch.long))

    def prepare(self, batch: ScoringBatch) -> Proposals:
        """The proposals of all rows."""
        return self.proposals(
            [
                (np.array(prompt + answer), len(prompt))
                for prompt, answer in zip(batch.prompts, batch.answers, strict=True)
            ]
        )

    def text_statistics(
        self, prompts: list[list[int]], answers: list[list[int]]
    ) -> dict[str, np.ndarray]:
        """The length of the match before each token, and that drafts end with none only."""
        parts = []
        for prompt, answer in zip(prompts, answers, strict=True):
            positions, _, lengths = matches(
                np.array(prompt + answer), len(prompt), self.longest, self.latest_only
            )
            parts.append(np.zeros(len(answer), dtype=np.uint8))
            parts[-1][positions] = lengths
        matched = np.concatenate(parts)
        return {"drafted": np.where(matched > 0, ENDLESS, 0).astype(np.uint16), "matched": matched}

    def proposals(self, texts: list[tuple[np.ndarray, int]]) -> Proposals:
        """Proposals for each position of a text's tokens from a first one on, text by text."""
        rows, tokens = [], []
        start = 0
        for text, first in texts:
            positions, followers, _ = matches(text, first, self.longest, self.latest_only)
            rows.append(positions + start)
            tokens.append(followers)
            start += len(text) - first
        keys = np.concatenate(rows) * self._vocabulary + np.concatenate(tokens)
        if self.latest_only:  # a token at most in each row, and all in order
            counts = np.ones_like(keys)
        else:
            keys, counts = np.unique(keys, return_counts=True)
        row, token = np.divmod(keys, self._vocabulary)
        return Proposals(start, row, token, np.log(counts, dtype=np.float32))

    def logits(self, prepared: Proposals, depth: int, rows: slice) -> torch.Tensor:
        """Log weights of the proposals, -inf elsewhere."""
        begin, end = np.searchsorted(prepared.row, [rows.start, rows.stop])
        part = slice(begin, end)
        index = torch.from_numpy(np.stack([prepared.row[part] - rows.start, prepared.token[part]]))
        index = index.to(self.device)
        logits = torch.full(
            (min(rows.stop, prepared.count) - rows.start, self._vocabulary),
            -torch.inf,
            device=self.device,
        )
        logits[index[0], index[1]] = torch.from_numpy(prepared.log_weight[part]).to(self.device)
        return logits

    def session(self) -> "_ContextSession":
        """Look up anew at each step."""
        return _ContextSession(self)

    def growth(self, batch: ScoringBatch) -> ContextGrowth:
        """Look up anew behind each node's path."""
        return self.growth_of(batch.ids)

    def growth_of(self, ids: torch.Tensor) -> ContextGrowth:
        """That of texts `ids` (B, L)."""
        return ContextGrowth(ids, self.longest, self.latest_only)

    def next_logits(self, tokens: np.ndarray, rows: int) -> torch.Tensor:
        """Logits (rows, V) of what follows each of the last `rows` tokens."""
        return self.logits(self.next_proposals(tokens, rows), 1, slice(0, rows))

    def next_proposals(self, tokens: np.ndarray, rows: int) -> Proposals:
        """Proposals for what follows each of the last `rows` tokens."""
        unknown = np.append(tokens, 0)  # room for the next position; its token is never read
        return self.proposals([(unknown, len(tokens) - rows + 1)])


class _ContextSession(DraftSession):
    """Keeps the tokens, drafted ones included."""

    def __init__(self, drafter: ContextDrafter):
        super().__init__()
        self._drafter = drafter
        self._tokens = np.empty(0, dtype=np.int64)

    def step(self, token: int | torch.Tensor) -> torch.Tensor:
        """Look up what follows the drafted token."""
        return self._append(np.array([int(token)]), 1)[0]

    def growth(self) -> ContextGrowth:
        """Of the text as it is."""
        text = torch.from_numpy(self._tokens[: self.verified])
        return self._drafter.growth_of(text.to(self._drafter.device)[None])

    def _extend(
        self, tokens: torch.Tensor, states: dict[int, torch.Tensor], rows: int
    ) -> torch.Tensor:
        return self._append(tokens.cpu().numpy(), rows)

    def _cut(self, length: int) -> None:
        self._tokens = self._tokens[:length]

    def _append(self, tokens: np.ndarray, rows: int) -> torch.Tensor:
        self._tokens = np.concatenate([self._tokens, tokens])
        return self._drafter.next_logits(self._tokens, rows)


class PromptLookup(ContextDrafter):
    """Prompt lookup decoding: the token after the latest occurrence, with q = 1 (Saxena 2023)."""

    kind = "prompt-lookup"
    usage = "prompt-lookup[:N]    copy what followed the last N (default 3) tokens before"
    latest_only = True

    def make_ready(self, trees: bool = False) -> None:
        """As any that looks texts up, and what `drafted` needs."""
        super().make_ready(trees)
        self.drafted(np.zeros(2, dtype=np.int64), 1)

    def drafted(self, text: np.ndarray, count: int) -> np.ndarray:
        """At most `count` tokens behind a text, drawn one after another as from `proposals`."""
        return continued(text, count, self.longest)


class NGram(ContextDrafter):
    """An n-gram model of the context: q proportional to the counts after the longest match."""

    kind = "ngram"
    usage = "ngram[:N]            sample from the continuations of the last N (default 3) tokens"
