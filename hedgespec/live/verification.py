"""How the target verifies a draft. One rule so far: chains, by speculative sampling."""

from collections.abc import Callable

import torch

from hedgespec.tracegen.sampling import sample

# From p (k+1, V), q (k+1, V), the draft (k) and uniform numbers (> k) to the number of accepted
# tokens (1) and the target's own token (1) that follows them. Nothing of it may wait for the
# device, so that it can be part of a CUDA graph.
Verification = Callable[
    [torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]


def verify_chain(
    p: torch.Tensor, q: torch.Tensor, draft: torch.Tensor, u: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Speculative sampling (Leviathan et al. 2211.17192): accept each token with min(1, p/q).

    Behind the first rejection the target's token comes from norm((p-q)+); behind a whole draft,
    where the last row of q is 0, from p. At temperature 0 both are 0 or 1, and tokens are accepted
    as long as they are the target's argmax. A token of q = 0 was no proposal: it is rejected.
    """
    index = draft[:, None]
    proposed = q[:-1].gather(1, index)[:, 0]
    ratio = torch.where(proposed > 0, p[:-1].gather(1, index)[:, 0] / proposed, 0.0)
    accepted = (u[: len(draft)] < ratio).long().cumprod(0).sum()[None]
    own = p.index_select(0, accepted)
    residual = (own - q.index_select(0, accepted)).clamp(min=0)
    # Without any, p = q but for rounding.
    return accepted, sample(torch.where(residual.any(), residual, own), u[-1:])
