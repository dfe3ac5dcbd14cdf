"""How well drafters draft on held-out text: expected tokens per round, acceptance by position."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from hedgespec.zoo.corpus import Batch, Corpus
from hedgespec.zoo.training_losses import Drafts, acceptance, accepted_lengths

# Where in an answer acceptance is told apart: from 0, 256, 512 and 1,024 tokens on.
EDGES = (0, 256, 512, 1024)


@dataclass(frozen=True)
class Score:
    """`tokens_per_round` is 1 + the expected accepted tokens of a chain, averaged over chains from
    every answer position. `by_position` is the probability of accepting the first draft token by
    where in its answer that stands: of ranges such as "256-512", the last one "1024-"; those that
    no answer reaches are left out."""

    tokens_per_round: float
    by_position: dict[str, float]


@torch.no_grad()
def judge(draft: Callable[[Batch], Drafts], corpus: Corpus, positions: int, depths: int) -> Score:
    """Judge a drafter on a corpus, `positions` padded tokens at a time.

    A drafter that gives one log q is prefix-only: its distribution is the same at all depths. More
    than `depths` are left out.
    Replay starts rounds only where the last one ended, so its MAT differs a little.
    """
    lengths, first, count = torch.zeros(3, len(EDGES), dtype=torch.double)
    for batch in corpus.once(positions):
        drafts = draft(batch)
        gammas = acceptance(drafts)[:depths]
        if len(gammas) == 1:
            gammas = gammas.expand(depths, -1)
        part = torch.bucketize(corpus.answer_positions(batch), torch.tensor(EDGES), right=True) - 1
        for total, values in (
            (lengths, accepted_lengths(gammas, drafts)),
            (first, gammas[0]),
            (count, torch.ones_like(gammas[0])),
        ):
            total.index_add_(0, part, values.double().cpu()[batch.real])
    return Score(1 + float(lengths.sum() / count.sum()), _by_position(first, count))


def _by_position(total: torch.Tensor, count: torch.Tensor) -> dict[str, float]:
    ends = [*map(str, EDGES[1:]), ""]
    return {
        f"{start}-{end}": round(float(total[number] / count[number]), 4)
        for number, (start, end) in enumerate(zip(EDGES, ends, strict=True))
        if count[number]
    }


def tokens_per_round(
    draft: Callable[[Batch], Drafts], corpus: Corpus, positions: int, depths: int
) -> float:
    """That of `judge`."""
    return judge(draft, corpus, positions, depths).tokens_per_round
