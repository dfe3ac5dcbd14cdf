"""Draws from distributions given uniform numbers, and look-ups along any leading dimensions.

torch is imported when one of them runs: a replay does without it.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def sample(distribution: "Tensor", u: "Tensor") -> "Tensor":
    """Inverse-CDF draw of a token (...) per row of `distribution` (..., V) with uniforms u (...).

    Rows need not be normed; one that is 0 throughout gives V, which is no token.
    """
    import torch

    cumulated = distribution.double().cumsum(dim=-1)
    total = cumulated[..., -1:]
    # Below the total even when rounded: the first sum above it ends at a token of p > 0.
    threshold = torch.minimum(
        u.double()[..., None] * total, total.nextafter(torch.zeros_like(total))
    )
    return torch.searchsorted(cumulated, threshold, right=True)[..., 0]


def draw_token(distribution: "Tensor", u: "Tensor") -> "Tensor":
    """`sample`, but a row that is 0 throughout gives the last token, whose probability is 0."""
    return sample(distribution, u).clamp(max=distribution.shape[-1] - 1)


def draw_residual(residual: "Tensor", instead: "Tensor", u: "Tensor") -> "Tensor":
    """A token (...) from the positive part of `residual` (..., V), or from `instead`, if there is
    none: then the two distributions that it is the difference of are equal but for rounding."""
    import torch

    positive = residual.clamp(min=0)
    return sample(torch.where(positive.any(-1, keepdim=True), positive, instead), u)


def probability_of(distribution: "Tensor", token: "Tensor") -> "Tensor":
    """Entry (...) of distributions (..., V) at a token (...)."""
    return distribution.gather(-1, token[..., None])[..., 0]


def row_at(values: "Tensor", index: "Tensor") -> "Tensor":
    """Row (..., X) number `index` (...) of values (..., L, X)."""
    place = index[..., None, None].expand(*index.shape, 1, values.shape[-1])
    return values.gather(-2, place)[..., 0, :]


def ratio(above: "Tensor", below: "Tensor") -> "Tensor":
    """above / below, 0 where `below` is 0."""
    import torch

    return torch.where(below > 0, above / below, torch.zeros_like(above))
