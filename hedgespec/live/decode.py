"""Lossless speculative decoding of one text with one drafter: chain drafts, batch 1."""

import torch

from hedgespec.errors import HedgespecError
from hedgespec.tracegen.cached import CachedModel
from hedgespec.tracegen.drafters import Drafter
from hedgespec.tracegen.drafters.session import DraftSession
from hedgespec.tracegen.models import LanguageModel
from hedgespec.tracegen.sampling import Sampling, probabilities, sample


@torch.inference_mode()
def speculative_decode(
    target: LanguageModel,
    drafter: Drafter,
    prompt: list[int],
    sampling: Sampling,
    draft_length: int,
    max_new_tokens: int,
    generator: torch.Generator,
) -> tuple[list[int], list[int]]:
    """Continue `prompt` (token ids); return the answer's tokens and how many each round emitted.

    The answer is distributed as the target's own and ends with an end token or at
    `max_new_tokens`. A round that would run past the end is cut there, as in a replay. `generator`
    lives on the CPU. Raises HedgespecError if the prompt is empty or prompt and answer may exceed
    a model's context.
    """
    _check(target, drafter, prompt, draft_length, max_new_tokens)
    model, session = CachedModel(target), drafter.session()
    # Tokens that are new to the drafter; the target has not read the last of them.
    known = torch.tensor(prompt, device=target.device)
    states: dict[int, torch.Tensor] = {}
    if len(prompt) > 1:
        _, states = model.read(known[:-1], drafter.target_layers)
    answer: list[int] = []
    emitted: list[int] = []
    ends = set(target.eos_tokens)
    while len(answer) < max_new_tokens and not ends & set(answer[-1:]):
        room = max_new_tokens - len(answer)
        u = torch.rand(2 * draft_length + 1, generator=generator, dtype=torch.float64)
        u = u.to(target.device)
        logits = session.extend(known, states)
        draft, q = _draft(session, logits, sampling, u[: min(draft_length, room)])
        final, states = model.read(torch.cat([known[-1:], draft]), drafter.target_layers)
        p = probabilities(target.logits(final), sampling)
        accepted = _accepted(p, q, draft, u[draft_length:])
        known = torch.cat([draft[:accepted], _next(p, q, accepted, u[-1:])])
        model.cut(model.length - len(draft) + accepted)
        states = {layer: state[: accepted + 1] for layer, state in states.items()}
        new = _up_to_end(known[:room].tolist(), ends)
        answer += new
        emitted.append(len(new))
    return answer, emitted


def _draft(
    session: DraftSession, logits: torch.Tensor, sampling: Sampling, u: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """At most len(u) tokens (k) and the distributions (k+1, V) they are from.

    The draft ends where there is no proposal. A row of zeros stands behind the last.
    """
    tokens: list[torch.Tensor] = []
    rows: list[torch.Tensor] = []
    for number in range(len(u)):
        if number:
            logits = session.step(tokens[-1])
        row = probabilities(logits[None], sampling)[0]
        if not row.any():
            break
        rows.append(row)
        tokens.append(sample(row[None], u[number : number + 1])[0])
    none = torch.zeros_like(logits)
    return (torch.stack(tokens) if tokens else none.new_empty(0, dtype=torch.long),
            torch.stack([*rows, none]))


def _accepted(p: torch.Tensor, q: torch.Tensor, draft: torch.Tensor, u: torch.Tensor) -> int:
    """Accepted tokens of a draft (k): each with probability min(1, p/q), up to the first failure.

    At temperature 0, where p and q are 0 or 1, that is where both have the same argmax.
    """
    index = draft[:, None]
    ratio = (p[:-1].gather(1, index) / q[:-1].gather(1, index))[:, 0]
    return int((u[: len(draft)] < ratio).long().cumprod(0).sum())


def _next(p: torch.Tensor, q: torch.Tensor, accepted: int, u: torch.Tensor) -> torch.Tensor:
    """The target's own token (1) after the accepted ones, from norm((p-q)+).

    After a whole draft q is 0, and it comes from p: the bonus token.
    """
    residual = (p[accepted] - q[accepted]).clamp(min=0)
    if not residual.any():  # p = q but for rounding
        residual = p[accepted]
    return sample(residual[None], u)


def _up_to_end(tokens: list[int], ends: set[int]) -> list[int]:
    """The tokens up to the first end token."""
    for number, token in enumerate(tokens):
        if token in ends:
            return tokens[: number + 1]
    return tokens


def _check(
    target: LanguageModel, drafter: Drafter, prompt: list[int], draft_length: int,
    max_new_tokens: int,
) -> None:
    if draft_length < 1 or max_new_tokens < 1:
        raise HedgespecError("draft length and new tokens must be at least 1")
    if not prompt:
        raise HedgespecError("the prompt holds no token")
    context = min(target.context_length, drafter.context_length or target.context_length)
    if len(prompt) + max_new_tokens > context:
        raise HedgespecError(
            f"{len(prompt)} prompt tokens and {max_new_tokens} new ones exceed the shortest "
            f"context of target and drafter, {context}"
        )
