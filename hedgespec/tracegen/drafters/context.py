"""Drafters without weights: they continue the prefix as its own earlier text went on."""

from collections import Counter, defaultdict
from collections.abc import Iterator

import torch

from hedgespec.errors import HedgespecError
from hedgespec.tracegen.drafters.base import Drafter, ScoringBatch
from hedgespec.tracegen.models import LanguageModel

Proposal = dict[int, int]  # proposed token -> weight


class ContextDrafter(Drafter):
    """Looks the last n tokens up in the prefix, from n = MAX_NGRAM down to 1."""

    def __init__(self, name: str, identity: str, target: LanguageModel, argument: str):
        """`argument` is MAX_NGRAM, 3 if empty. Raises HedgespecError unless it is 1 or more."""
        super().__init__(name or self.kind, identity)
        argument = argument or "3"
        if not argument.isdigit() or int(argument) < 1:
            raise HedgespecError(f"drafter {identity}: the n-gram length must be 1 or more")
        self._longest = int(argument)
        self._vocabulary = target.vocabulary_size

    def proposals(self, prompt: list[int], answer: list[int]) -> Iterator[Proposal]:
        """For each answer position, the weighted proposals given the tokens before it."""
        tokens = prompt + answer
        seen: dict[tuple[int, ...], Counter[int]] = defaultdict(Counter)
        last: dict[tuple[int, ...], int] = {}
        for position in range(len(tokens)):
            if position >= len(prompt):
                yield self._propose(tokens, position, seen, last)
            for n in range(1, min(self._longest, position) + 1):
                key = tuple(tokens[position - n : position])
                seen[key][tokens[position]] += 1
                last[key] = tokens[position]

    def _propose(
        self,
        tokens: list[int],
        position: int,
        seen: dict[tuple[int, ...], Counter[int]],
        last: dict[tuple[int, ...], int],
    ) -> Proposal:
        for n in range(min(self._longest, position), 0, -1):
            key = tuple(tokens[position - n : position])
            if key in last:
                return self.pick(seen[key], last[key])
        return {}

    def pick(self, counts: Counter[int], latest: int) -> Proposal:
        """Proposals from what followed the matching n-gram: all `counts`, and the `latest`."""
        raise NotImplementedError

    def prepare(self, batch: ScoringBatch) -> tuple[list[Proposal], torch.device]:
        """The proposals of all rows."""
        pairs = zip(batch.prompts, batch.answers, strict=True)
        found = [item for prompt, answer in pairs for item in self.proposals(prompt, answer)]
        return found, batch.ids.device

    def logits(self, prepared: tuple[list[Proposal], torch.device], rows: slice) -> torch.Tensor:
        """Log weights of the proposals, -inf elsewhere."""
        found, device = prepared
        chosen = found[rows]
        row = [index for index, item in enumerate(chosen) for _ in item]
        column = [token for item in chosen for token in item]
        weight = [float(count) for item in chosen for count in item.values()]
        logits = torch.full((len(chosen), self._vocabulary), -torch.inf, device=device)
        logits[torch.tensor(row, dtype=torch.long, device=device),
               torch.tensor(column, dtype=torch.long, device=device)] = (
            torch.tensor(weight, device=device).log())
        return logits


class PromptLookup(ContextDrafter):
    """Prompt lookup decoding: the token after the latest occurrence, with q = 1 (Saxena 2023)."""

    kind = "prompt-lookup"
    usage = "prompt-lookup[:N]    copy what followed the last N (default 3) tokens before"

    def pick(self, counts: Counter[int], latest: int) -> Proposal:
        """The latest continuation alone."""
        return {latest: 1}


class NGram(ContextDrafter):
    """An n-gram model of the context: q proportional to the counts after the longest match."""

    kind = "ngram"
    usage = "ngram[:N]            sample from the continuations of the last N (default 3) tokens"

    def pick(self, counts: Counter[int], latest: int) -> Proposal:
        """All continuations by their counts."""
        return dict(counts)
