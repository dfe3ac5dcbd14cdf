"""From logits to the distributions p and q: temperature, top-k and top-p, for everybody alike."""

from dataclasses import dataclass

import torch
from transformers import (
    LogitsProcessorList,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from hedgespec.errors import HedgespecError, arg
from hedgespec.rules.draws import sample

__all__ = ["Sampling", "probabilities", "sample", "warp"]


@dataclass(frozen=True)
class Sampling:
    """Temperature 0 is greedy; top_p 1 and top_k 0 are off.

    Raises HedgespecError for values out of range.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.temperature != 0 and not 0.01 <= self.temperature <= 100:
            raise HedgespecError(
                f"{arg('temperature')} must be 0 (greedy) or lie in [0.01, 100], not "
                f"{self.temperature}")
        if not 0 < self.top_p <= 1:
            raise HedgespecError(f"{arg('top_p')} must lie in (0, 1], not {self.top_p}")
        if self.top_k < 0:
            raise HedgespecError(f"{arg('top_k')} must be >= 0, not {self.top_k}")


def probabilities(
    logits: torch.Tensor, sampling: Sampling, emitted: torch.Tensor | None = None
) -> torch.Tensor:
    """Distribution (n, V) that is sampled from, float32, of logits (n, V).

    A row of logits that is -inf throughout (a drafter without a proposal) gives zeros. `emitted`
    (n) are tokens known to have been sampled from this distribution: they stay in its support even
    where rounding would push them over the edge of the nucleus, and at temperature 0 they are it.
    """
    none = logits.isneginf().all(dim=-1, keepdim=True)
    if sampling.temperature == 0:
        top = logits.argmax(dim=-1) if emitted is None else emitted
        chosen = torch.zeros_like(logits).scatter_(-1, top[:, None], 1.0)
        return chosen.masked_fill_(none, 0.0)
    kept = warp(logits, sampling)
    if emitted is not None:
        index = emitted[:, None]
        kept = kept.scatter(-1, index, logits.gather(-1, index) / sampling.temperature)
    return kept.softmax(dim=-1).masked_fill_(none, 0.0)


def warp(logits: torch.Tensor, sampling: Sampling) -> torch.Tensor:
    """Logits after temperature, top-k and top-p, in the order of Hugging Face `generate`."""
    warpers = LogitsProcessorList()
    if sampling.temperature != 1:
        warpers.append(TemperatureLogitsWarper(float(sampling.temperature)))
    if sampling.top_k:
        warpers.append(TopKLogitsWarper(sampling.top_k))
    if sampling.top_p < 1:
        warpers.append(TopPLogitsWarper(sampling.top_p))
    warped: torch.Tensor = warpers(None, logits)
    return warped
