"""Drafting step by step, compared with scoring a whole text."""

import torch

from hedgespec.models.drafters import Drafter, ScoringBatch

LENGTH, DEPTHS = 24, 5


def scored(drafter: Drafter, text, states) -> list["torch.Tensor"]:
    """Per depth the logits (L-1, V) of scoring; row t-1 is that of token t."""
    ids = text[None]
    batch = ScoringBatch(
        ids,
        torch.ones_like(ids),
        torch.arange(LENGTH - 1),
        [text[:1].tolist()],
        [text[1:].tolist()],
        {layer: state[None] for layer, state in states.items()},
    )
    prepared = drafter.prepare(batch)
    return [
        drafter.logits(prepared, min(depth, drafter.depths), slice(0, LENGTH - 1))
        for depth in range(1, DEPTHS + 1)
    ]


def extend(session, text, states, begin: int, end: int) -> "torch.Tensor":
    """Tell the session tokens begin..end-1 of the text, and the states that exist by then."""
    known = slice(max(begin - 1, 0), end - 1)
    return session.extend(
        text[begin:end], {layer: state[known] for layer, state in states.items()}
    )[0]


def check_draft(session, first, expected, text, start: int) -> None:
    """Compare a round that drafts the text's own tokens from `start` on."""
    logits = first
    for number in range(min(DEPTHS, LENGTH - start)):
        if number:
            logits = session.step(text[start + number - 1])
        assert logits.shape == (63,)
        assert logits.dtype == torch.float32
        torch.testing.assert_close(
            logits, expected[number][start + number - 1], rtol=1e-5, atol=1e-5
        )
