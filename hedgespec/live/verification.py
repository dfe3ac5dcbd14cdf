"""How the target verifies a draft. One rule so far: chains, by speculative sampling."""

from collections.abc import Callable

import torch

from hedgespec.tracegen.sampling import sample

# From p (k+1, V), q (k+1, V), the draft (k) and uniform numbers (k+1) to the number of accepted
# tokens and the target's own token (1) that follows them.
Verification = Callable[
    [torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor], tuple[int, torch.Tensor]]


def verify_chain(
    p: torch.Tensor, q: torch.Tensor, draft: torch.Tensor, u: torch.Tensor
) -> tuple[int, torch.Tensor]:
    """Speculative sampling (Leviathan et al. 2211.17192): accept each token with min(1, p/q).

    Behind the first rejection the target's token comes from norm((p-q)+); behind a whole draft,
    where the last row of q is 0, from p. At temperature 0 both are 0 or 1, and tokens are accepted
    as long as they are the target's argmax.
    """
    index = draft[:, None]
    ratio = (p[:-1].gather(1, index) / q[:-1].gather(1, index))[:, 0]
    accepted = int((u[: len(draft)] < ratio).long().cumprod(0).sum())
    residual = (p[accepted] - q[accepted]).clamp(min=0)
    if not residual.any():  # p = q but for rounding
        residual = p[accepted]
    return accepted, sample(residual[None], u[-1:])
