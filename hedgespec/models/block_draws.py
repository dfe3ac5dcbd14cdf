"""Draws from distributions over large vocabularies, with one pass over them."""

import torch
from torch.nn.functional import pad

from hedgespec.models.distributions import sample

BLOCK = 128
_SMALL = 4096  # a vocabulary whose scan costs nothing


def sample_in_blocks(distribution: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
    """Inverse-CDF draw of a token (n) per row of `distribution` (n, V), float32, uniforms u (n).

    First a block of tokens, by the blocks' sums, then a token within it: float64 scans of V/128 and
    of 128 numbers instead of V. The sums are float32, so a probability is off by a part in 10^7,
    as much as the distribution itself: what is drawn is `sample`'s but where u lies that close to
    an edge. Rows must not be 0 throughout.
    """
    size = distribution.shape[-1]
    if size <= _SMALL:
        return sample(distribution, u)
    blocks = pad(distribution, (0, -size % BLOCK)).unflatten(-1, (-1, BLOCK))
    sums = blocks.sum(-1)
    chosen = sample(sums, u)[:, None]
    upto = sums.double().cumsum(-1)
    mass = sums.gather(-1, chosen).double()
    before = upto.gather(-1, chosen) - mass
    rest = ((u.double()[:, None] * upto[:, -1:] - before) / mass).clamp(0, 1)[:, 0]
    inside = blocks.gather(1, chosen[..., None].expand(-1, 1, BLOCK))[:, 0]
    return chosen[:, 0] * BLOCK + sample(inside, rest)
