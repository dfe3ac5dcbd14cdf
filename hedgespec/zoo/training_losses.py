"""What a draft head is trained to lower, from the target's and its own distributions.

At draft depth d a head puts out q_d, the target p. With gamma_d = sum_v min(p(v), q_d(v)), the
probability that the depth's token is accepted:

- kl: the cross-entropy -sum_v p(v) log q_d(v), which differs from KL(p, q_d) by a constant,
  weighted by DECAY^(d-1) as early depths are reached more often (EAGLE, 2401.15077);
- tv: 1 - gamma_d, the total variation distance, weighted alike;
- length: minus the expected number of accepted tokens, sum_k prod_{d <= k} gamma_d along each
  chain, which is what a round gains.

Positions times vocabulary are gigabytes. So all of these are sums over positions of a term of p and
q there, times a coefficient: terms and their derivatives by the logits are computed together, a
piece of the positions at a time, and of the logits nothing is kept. The coefficients of `length`
are its derivatives by the gammas, which a first pass gives.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch.nn.functional import pad

from hedgespec.models.compiling import compile_shapes

DECAY = 0.8
_PIECE = 1024  # positions; batches have a multiple of it

# From p (R, v) and logits (D, R, v): terms (D, R), their derivatives (D, R, v) by the logits.
Terms = Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]


@dataclass(frozen=True)
class Drafts:
    """What a drafter puts out on a batch of M positions.

    `readouts` (D, M, H) are what its LM head `weight` (v, H) reads at each depth, over the
    temperature. `p_of` gives the target's p (R, v) at a slice of the positions. `places` (M) are
    the flat places into `shape` (B, L) where they are drafted, `real` (M) whether they count: one
    may stand more than once, real once.
    """

    readouts: torch.Tensor
    weight: torch.Tensor
    p_of: Callable[[slice], torch.Tensor]
    places: torch.Tensor
    real: torch.Tensor
    shape: tuple[int, int]


def cross_entropy(p: torch.Tensor, logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """-sum_v p log q; p may sum to less than 1."""
    log_q = logits.log_softmax(-1, dtype=torch.float32)
    term = -torch.linalg.vecdot(p.to(log_q.dtype), log_q)
    return term, log_q.exp_().mul_(p.sum(-1, keepdim=True)).sub_(p)


def overlap(p: torch.Tensor, logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """gamma = sum_v min(p, q)."""
    q = logits.softmax(-1, dtype=torch.float32)
    below = torch.where(q < p, q, 0.0)
    return torch.minimum(p, q).sum(-1), below - q * below.sum(-1, keepdim=True)


def drafting_loss(kind: str, drafts: Drafts) -> torch.Tensor:
    """Mean loss of the given kind over the `real` positions, whose gradient is finite if it is."""
    if kind == "length":
        gammas = acceptance(drafts).requires_grad_()
        with torch.enable_grad():
            value = -accepted_lengths(gammas, drafts).sum() / drafts.real.sum()
            (coefficients,) = torch.autograd.grad(value, gammas)
        found = _Weighted.apply(drafts.readouts, drafts.weight, drafts.p_of, overlap, coefficients)
        return value.detach() + found - found.detach()
    weights = _weights(drafts)
    if kind == "kl":
        return _Weighted.apply(drafts.readouts, drafts.weight, drafts.p_of, cross_entropy, weights)
    gamma = _Weighted.apply(drafts.readouts, drafts.weight, drafts.p_of, overlap, weights)
    return weights.sum() - gamma


@torch.no_grad()
def acceptance(drafts: Drafts) -> torch.Tensor:
    """gamma (D, M) of each depth at each position."""
    readouts, weight = _in_precision(drafts.readouts, drafts.weight)
    work = _on(readouts.device, overlap)
    return torch.cat(
        [
            work(drafts.p_of(rows), readouts[:, rows] @ weight.T)[0]
            for rows in _pieces(readouts.shape[1])
        ],
        dim=1,
    )


def accepted_lengths(gammas: torch.Tensor, drafts: Drafts) -> torch.Tensor:
    """Expected accepted tokens (M) of the chains that start at each place, 0 where not `real`.

    `gammas` (D, M) are those of each depth; a chain's depth d lies d-1 places after its start, and
    a chain ends with its text.
    """
    places, shape = drafts.places, drafts.shape
    # Those that are not real repeat another's place and must not write there.
    slots = torch.where(drafts.real, places, shape[0] * shape[1])
    alive, total = gammas.new_ones(shape), gammas.new_zeros(shape)
    for depth, gamma in enumerate(gammas):
        spread = gamma.new_zeros(shape[0] * shape[1] + 1).index_put((slots,), gamma)
        at_places = spread[:-1].view(shape)
        alive = alive * pad(at_places[:, depth:], (0, depth))
        total = total + alive
    return total.flatten()[places] * drafts.real


def _weights(drafts: Drafts) -> torch.Tensor:
    """DECAY^(d-1) over the number of positions that a chain of depth d can end at, (D, M)."""
    depths = torch.arange(len(drafts.readouts), device=drafts.places.device)[:, None]
    # A chain of this depth that ends here must have started within the text.
    inside = drafts.real & (drafts.places % drafts.shape[1] >= depths)
    return DECAY**depths * inside / inside.sum(-1, keepdim=True).clamp(min=1)


class _Weighted(torch.autograd.Function):
    """sum of coefficients (D, M) times terms, with gradients for readouts and LM head."""

    @staticmethod
    def forward(
        ctx: Any,
        readouts: torch.Tensor,
        weight: torch.Tensor,
        p_of: Callable[[slice], torch.Tensor],
        terms: Terms,
        coefficients: torch.Tensor,
    ) -> torch.Tensor:
        states, table = _in_precision(readouts, weight)
        work = _on(states.device, _scaled(terms))
        total = coefficients.new_zeros(())
        by_states, by_table = torch.empty_like(states), torch.zeros_like(weight)
        with torch.autocast(states.device.type, enabled=False):
            for rows in _pieces(states.shape[1]):
                some, factor = states[:, rows], coefficients[:, rows]
                value, slope = work(p_of(rows), some @ table.T, factor)
                total = total + value
                by_states[:, rows] = slope @ table
                by_table += slope.flatten(0, 1).T @ some.flatten(0, 1)
        ctx.save_for_backward(by_states, by_table)
        ctx.dtype = readouts.dtype
        return total

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        by_states, by_table = ctx.saved_tensors
        (grad,) = grads
        return (by_states * grad).to(ctx.dtype), by_table * grad, None, None, None


@cache
def _scaled(terms: Terms) -> Callable[..., tuple[torch.Tensor, torch.Tensor]]:
    """The sum of terms times factors (D, R), and its derivatives typed as the logits."""

    def run(
        p: torch.Tensor, logits: torch.Tensor, factors: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        term, slope = terms(p, logits)
        return (term * factors).sum(), slope.mul_(factors[..., None]).to(logits.dtype)

    return run


def _on(device: torch.device, work: Callable[..., Any]) -> Callable[..., Any]:
    return _compiled(work) if device.type == "cuda" else work


@cache
def _compiled(work: Callable[..., Any]) -> Callable[..., Any]:
    """The same in a kernel or two, or as it is where there is no compiler."""
    chosen = compile_shapes(work)

    def run(*tensors: torch.Tensor) -> Any:
        nonlocal chosen
        try:
            return chosen(*tensors)
        except torch._dynamo.exc.TorchDynamoException:
            chosen = work
            return chosen(*tensors)

    return run


def _pieces(count: int) -> Iterator[slice]:
    return (slice(start, min(start + _PIECE, count)) for start in range(0, count, _PIECE))


def _in_precision(*tensors: torch.Tensor) -> list[torch.Tensor]:
    """In the type of products under autocast, where that is on."""
    kind = tensors[0].device.type
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else tensors[0].dtype
    return [tensor.detach().to(dtype) for tensor in tensors]
