"""What a draft head is trained to lower, from the target's and its own distributions.

At draft depth d a head puts out q_d, the target p. With gamma_d = sum_v min(p(v), q_d(v)), the
probability that the depth's token is accepted:

- kl: the cross-entropy -sum_v p(v) log q_d(v), which differs from KL(p, q_d) by a constant,
  weighted by DECAY^(d-1) as early depths are reached more often (EAGLE, 2401.15077);
- tv: 1 - gamma_d, the total variation distance, weighted alike;
- length: minus the expected number of accepted tokens, sum_k prod_{d <= k} gamma_d along each
  chain, which is what a round gains.
"""

import torch

DECAY = 0.8


def acceptance_probability(p: torch.Tensor, log_q: torch.Tensor) -> torch.Tensor:
    """gamma (n) of p (n, V) and log q (n, V)."""
    return torch.minimum(p, log_q.exp()).sum(-1)


def accepted_lengths(
    gammas: list[torch.Tensor], places: torch.Tensor, real: torch.Tensor, shape: tuple[int, int]
) -> torch.Tensor:
    """Expected accepted tokens (n) of the chains that start at each place, 0 where not `real` (n).

    `gammas[d-1]` (n) belongs to depth d at the flat `places` (n) into `shape` (B, L); a chain's
    depth d lies d-1 places after its start, and a chain ends with its text.
    """
    # Those that are not real repeat another's place and must not write there.
    slots = torch.where(real, places, shape[0] * shape[1])
    alive, total = gammas[0].new_ones(shape), gammas[0].new_zeros(shape)
    for depth, gamma in enumerate(gammas):
        spread = gamma.new_zeros(shape[0] * shape[1] + 1).index_put((slots,), gamma)
        at_places = spread[:-1].view(shape)
        ahead = torch.nn.functional.pad(at_places[:, depth:], (0, depth))
        alive = alive * ahead
        total = total + alive
    return total.flatten()[places] * real


def drafting_loss(
    kind: str, p: torch.Tensor, log_qs: list[torch.Tensor], places: torch.Tensor,
    real: torch.Tensor, shape: tuple[int, int],
) -> torch.Tensor:
    """Mean loss of the given kind over the `real` ones (n) of the places (n).

    `log_qs[d-1]` (n, V) is log q of depth d. A place may stand more than once, real once.
    """
    if kind == "length":
        gammas = [acceptance_probability(p, log_q) for log_q in log_qs]
        return -accepted_lengths(gammas, places, real, shape).sum() / real.sum()
    total = p.new_zeros(())
    for depth, log_q in enumerate(log_qs):
        each = (-torch.linalg.vecdot(p, log_q) if kind == "kl"
                else 1 - acceptance_probability(p, log_q))
        # A chain of this depth that ends here must have started within the text.
        inside = real & (places % shape[1] >= depth)
        total = total + DECAY**depth * (each * inside).sum() / inside.sum().clamp(min=1)
    return total
