"""Expected tokens per round of drafters on held-out text."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from hedgespec.zoo.corpus import Batch, Corpus
from hedgespec.zoo.training_losses import acceptance_probability, accepted_lengths


@dataclass(frozen=True)
class Drafts:
    """What a drafter puts out on a batch.

    `log_qs[d-1]` (M, v) is log q of depth d, `p` (M, v) the target's, `places` (M) the flat places
    into `shape` (B, L) where they are drafted, `real` (M) whether they count.
    """

    log_qs: list[torch.Tensor]
    p: torch.Tensor
    places: torch.Tensor
    real: torch.Tensor
    shape: tuple[int, int]


@torch.no_grad()
def tokens_per_round(
    draft: Callable[[Batch], Drafts], corpus: Corpus, positions: int, depths: int
) -> float:
    """1 + expected accepted tokens of a chain, averaged over chains from every answer position.

    A drafter that gives one log q is prefix-only: its distribution is the same at all depths. More
    than `depths` are left out.
    Replay starts rounds only where the last one ended, so its MAT differs a little.
    """
    total = torch.zeros(())
    count = 0
    for batch in corpus.once(positions):
        drafts = draft(batch)
        gammas = [acceptance_probability(drafts.p, log_q) for log_q in drafts.log_qs[:depths]]
        if len(gammas) == 1:
            gammas *= depths
        total += accepted_lengths(gammas, drafts.places, drafts.real, drafts.shape).sum().cpu()
        count += int(drafts.real.sum())
    return 1 + float(total) / count
