"""Reduces the full distributions of a token to its acceptance statistics, on the device."""

import torch


def reduce_pair(p: torch.Tensor, q: torch.Tensor, emitted: torch.Tensor) -> dict[str, torch.Tensor]:
    """log q(x), gamma = sum_v min(p, q), whether argmax q = x, and p(argmax q).

    `p`, `q` have shape (n, V), `emitted` x shape (n). A row of q that is zero throughout (no
    proposal) gives -inf, 0, False and 0.
    """
    highest, top = q.max(dim=-1)
    proposes = highest > 0
    return {
        "log_q": q.gather(-1, emitted[:, None])[:, 0].log(),
        "gamma": torch.minimum(p, q).sum(dim=-1).clamp(0, 1),
        "match": (top == emitted) & proposes,
        "p_top": p.gather(-1, top[:, None])[:, 0] * proposes,
    }


def feature_statistics(logits: torch.Tensor) -> dict[str, torch.Tensor]:
    """How sure a drafter is, from its logits (n, V): its top probability and entropy, in nat.

    Both at temperature 1, whatever text is sampled at: at 0 they would say nothing. Of a row of
    -inf, no proposal, both are 0.
    """
    log_q = logits.log_softmax(dim=-1)
    q = log_q.exp()
    return {
        "q_top": q.amax(dim=-1).nan_to_num(0.0),
        "entropy": (-(q * log_q)).nan_to_num(0.0).sum(dim=-1).clamp_min(0.0),
    }


def emitted_log_p(p: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    """log p (n) of emitted tokens (n) under `p` (n, V).

    Never -inf: they were emitted, even where float32 has no number so small.
    """
    chosen = p.gather(-1, tokens[:, None])[:, 0]
    return chosen.clamp_min(torch.finfo(p.dtype).tiny).log().float()


def generator_of(tokens: torch.Tensor) -> torch.Generator:
    """For statistics that are estimated: the same tokens give the same ones."""
    return torch.Generator(tokens.device).manual_seed(int(tokens.sum()))
