"""From logits to the distributions p and q: temperature, top-k and top-p, for everybody alike."""

import torch
from transformers import (
    LogitsProcessorList,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from hedgespec.models.settings import Sampling
from hedgespec.rules.draws import sample

__all__ = ["Sampling", "cuts_off", "probabilities", "sample", "warp"]


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


def cuts_off(sampling: Sampling) -> bool:
    """Whether some tokens are left out for their low probability."""
    return bool(sampling.top_k) or sampling.top_p < 1


def warp(logits: torch.Tensor, sampling: Sampling) -> torch.Tensor:
    """Logits after temperature, top-k and top-p, in the order of Hugging Face `generate`."""
    if not cuts_off(sampling):
        return logits / sampling.temperature
    warpers = LogitsProcessorList()
    if sampling.temperature != 1:
        warpers.append(TemperatureLogitsWarper(float(sampling.temperature)))
    if sampling.top_k:
        warpers.append(TopKLogitsWarper(sampling.top_k))
    if sampling.top_p < 1:
        warpers.append(TopPLogitsWarper(sampling.top_p))
    warped: torch.Tensor = warpers(None, logits)
    return warped
