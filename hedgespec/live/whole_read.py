"""Reads a decoded answer whole, at once: its text must be the target's own, but for rounding."""

import numpy as np
import torch

from hedgespec.models.distributions import Sampling, probabilities
from hedgespec.models.target import LanguageModel

_ROWS = 256  # of the vocabulary's width, at a time


@torch.inference_mode()
def answer_gap(
    target: LanguageModel,
    prompt: list[int],
    answer: list[int],
    log_p: np.ndarray,
    sampling: Sampling,
) -> np.ndarray:
    """How far log p of an answer's tokens, as decoded (T), is from that of reading it whole, (T).

    At temperature 0 it is how far each token's log-softmax is below the highest.
    """
    tokens = torch.tensor(answer, device=target.device)
    states = _final_states(target, torch.tensor([*prompt, *answer], device=target.device))
    rows = states[len(prompt) - 1 : -1]
    parts = [
        _own_gap(target.logits(rows[part]), tokens[part], sampling)
        for part in (slice(start, start + _ROWS) for start in range(0, len(rows), _ROWS))
    ]
    found: np.ndarray = torch.cat(parts).cpu().numpy()
    return found if sampling.temperature == 0 else np.abs(found - log_p)


def _own_gap(logits: torch.Tensor, tokens: torch.Tensor, sampling: Sampling) -> torch.Tensor:
    """log p of tokens (n); at temperature 0 what they lack to the highest."""
    index = tokens[:, None]
    if sampling.temperature == 0:
        return logits.amax(dim=-1) - logits.gather(-1, index)[:, 0]
    p = probabilities(logits, sampling, emitted=tokens)
    return p.gather(-1, index)[:, 0].log()


def _final_states(target: LanguageModel, text: torch.Tensor) -> torch.Tensor:
    """States (L, H), each of a text that ends there or is read with the same RoPE."""

    def read(ids: torch.Tensor) -> torch.Tensor:
        states = target.hidden_states(ids[None], torch.ones_like(ids[None]), ())
        return states[target.layers][0]

    switch = target.rope_switch
    if switch is None or len(text) <= switch:
        return read(text)
    return torch.cat([read(text[:switch]), read(text)[switch:]])
