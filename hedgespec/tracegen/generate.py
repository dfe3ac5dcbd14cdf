"""The target writes its answers, batched, each with random numbers of its own."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from transformers import LogitsProcessor, LogitsProcessorList

from hedgespec.models.block_draws import sample_in_blocks
from hedgespec.models.distributions import Sampling, probabilities
from hedgespec.models.fixed_tensors import has_plain_attention
from hedgespec.models.target import LanguageModel
from hedgespec.tracegen.decoding import decode


@dataclass(frozen=True)
class GeneratedAnswer:
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
    log_softmax: bool = True,
) -> list[GeneratedAnswer]:
    """Write one answer per prompt.

    `limits` are the most tokens of each answer, `uniforms` one number per token. `on_step` is
    called with each step's number. Without `log_softmax`, which costs passes over the vocabulary,
    the answers' are 0.
    """
    longest = max(limits)
    width = max(map(len, prompts))
    pad = target.pad_token
    ids = torch.tensor(
        [[pad] * (width - len(prompt)) + prompt for prompt in prompts], device=target.device
    )
    mask = torch.tensor(
        [[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts],
        device=target.device,
    )
    numbers = np.stack(
        [np.pad(row[:longest], (0, longest - len(row[:longest]))) for row in uniforms]
    )
    chooser = _Chooser(sampling, torch.tensor(numbers, device=target.device), log_softmax)
    if has_plain_attention(target):
        tokens = decode(target, ids, mask, torch.tensor(limits), chooser.choose, on_step)
    else:
        tokens = _generate(target, ids, mask, chooser, on_step)
    noted = chooser.log_softmax.cpu().numpy()
    ends = set(target.eos_tokens)
    return [
        _cut(row, limit, ends, logs)
        for row, limit, logs in zip(tokens.tolist(), limits, noted, strict=True)
    ]


def _cut(row: list[int], limit: int, ends: set[int], log_softmax: np.ndarray) -> GeneratedAnswer:
    """The answer up to its end token or its limit."""
    for position, token in enumerate(row[:limit]):
        if token in ends:
            return GeneratedAnswer(row[: position + 1], "eos", log_softmax[: position + 1])
    return GeneratedAnswer(row[:limit], "length", log_softmax[:limit])


class _Chooser:
    """Draws tokens and notes their log-softmax at temperature 1 in `log_softmax` (B, steps)."""

    def __init__(self, sampling: Sampling, uniforms: torch.Tensor, notes: bool):
        self._sampling = sampling
        self._uniforms = uniforms
        self._notes = notes
        self.log_softmax = torch.zeros_like(uniforms, dtype=torch.float32)

    def choose(self, logits: torch.Tensor, rows: torch.Tensor, step: torch.Tensor) -> torch.Tensor:
        """Next tokens (n) of the answers `rows` (n) at their `step` (1,), from logits (n, V)."""
        logits = logits.float()
        if self._sampling.temperature == 0:
            chosen = logits.argmax(dim=-1)
        else:
            chosen = sample_in_blocks(self._probabilities(logits), self._uniforms[rows, step])
        if self._notes:
            drawn = logits.gather(-1, chosen[:, None])[:, 0]
            self.log_softmax[rows, step] = drawn - logits.logsumexp(dim=-1)
        return chosen

    def _probabilities(self, logits: torch.Tensor) -> torch.Tensor:
        """Those sampled from; where nothing is cut off, with fewer passes over them."""
        sampling = self._sampling
        if sampling.top_k or sampling.top_p < 1:
            return probabilities(logits, sampling)
        return (logits / sampling.temperature).softmax(dim=-1)


def _generate(
    target: LanguageModel,
    ids: torch.Tensor,
    mask: torch.Tensor,
    chooser: _Chooser,
    on_step: Callable[[int], None],
) -> torch.Tensor:
    """Answers (B, steps) by Hugging Face `generate`, which knows every architecture."""
    steps = chooser.log_softmax.shape[1]
    output: torch.Tensor = target.model.generate(
        input_ids=ids,
        attention_mask=mask,
        logits_processor=LogitsProcessorList([_Forced(chooser, ids.shape[1], on_step)]),
        do_sample=False,
        max_new_tokens=steps,
    )
    return output[:, ids.shape[1] :]


class _Forced(LogitsProcessor):
    """Draws the next token itself and leaves `generate` no choice: it alone stays possible."""

    def __init__(self, chooser: _Chooser, width: int, on_step: Callable[[int], None]):
        self._chooser = chooser
        self._width = width
        self._on_step = on_step

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        step = input_ids.shape[1] - self._width
        self._on_step(step)
        rows = torch.arange(len(scores), device=scores.device)
        chosen = self._chooser.choose(scores, rows, torch.tensor([step], device=scores.device))
        return torch.full_like(scores, -torch.inf).scatter_(-1, chosen[:, None], 0.0)
