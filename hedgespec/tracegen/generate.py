"""The target writes its answers, batched, each with random numbers of its own."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from transformers import LogitsProcessor, LogitsProcessorList

from hedgespec.tracegen.models import LanguageModel
from hedgespec.tracegen.sampling import Sampling, probabilities, sample


@dataclass(frozen=True)
class Answer:
    """Emitted tokens (the end token included), why it ended ("eos" or "length"), and log-softmax
    of each token at temperature 1 as the generating pass saw it."""

    tokens: list[int]
    finish_reason: str
    log_softmax: np.ndarray


def query_uniforms(seed: int, query: int, count: int) -> np.ndarray:
    """Uniform numbers of one query: the same whatever batch the query is in."""
    return np.random.Generator(np.random.Philox(key=[seed, query])).random(count)


@torch.inference_mode()
def generate_answers(
    target: LanguageModel,
    prompts: list[list[int]],
    limits: list[int],
    uniforms: list[np.ndarray],
    sampling: Sampling,
    on_step: Callable[[int], None] = lambda step: None,
) -> list[Answer]:
    """Write one answer per prompt.

    `limits` are the most tokens of each answer, `uniforms` one number per token. `on_step` is
    called with each step's number.
    """
    longest = max(limits)
    width = max(map(len, prompts))
    pad = target.tokenizer.pad_token_id
    ids = torch.tensor([[pad] * (width - len(prompt)) + prompt for prompt in prompts])
    mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts])
    numbers = np.stack([np.pad(row[:longest], (0, longest - len(row[:longest])))
                        for row in uniforms])
    sampler = _Sampler(sampling, torch.tensor(numbers, device=target.device), width, on_step)
    output = target.model.generate(
        input_ids=ids.to(target.device),
        attention_mask=mask.to(target.device),
        logits_processor=LogitsProcessorList([sampler]),
        do_sample=False,
        max_new_tokens=longest,
    )
    rows = output[:, width:].tolist()
    log_softmax = torch.stack(sampler.log_softmax, dim=1).cpu().numpy()
    ends = set(target.eos_tokens)
    return [_cut(row, limit, ends, logs)
            for row, limit, logs in zip(rows, limits, log_softmax, strict=True)]


def _cut(row: list[int], limit: int, ends: set[int], log_softmax: np.ndarray) -> Answer:
    """The answer up to its end token or its limit."""
    for position, token in enumerate(row[:limit]):
        if token in ends:
            return Answer(row[: position + 1], "eos", log_softmax[: position + 1])
    return Answer(row[:limit], "length", log_softmax[:limit])


class _Sampler(LogitsProcessor):
    """Draws the next token itself and leaves `generate` no choice: it alone stays possible."""

    def __init__(self, sampling: Sampling, uniforms: torch.Tensor, width: int,
                 on_step: Callable[[int], None]):
        self._sampling = sampling
        self._uniforms = uniforms
        self._width = width
        self._on_step = on_step
        self.log_softmax: list[torch.Tensor] = []

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        step = input_ids.shape[1] - self._width
        self._on_step(step)
        scores = scores.float()
        if self._sampling.temperature == 0:
            chosen = scores.argmax(dim=-1)
        else:
            chosen = sample(probabilities(scores, self._sampling), self._uniforms[:, step])
        index = chosen[:, None]
        log_softmax = scores.gather(-1, index)[:, 0] - scores.logsumexp(dim=-1)
        self.log_softmax.append(log_softmax)
        return torch.full_like(scores, -torch.inf).scatter_(-1, index, 0.0)
