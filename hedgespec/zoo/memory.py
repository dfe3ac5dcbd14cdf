"""What a zoo needs of a device's memory, estimated from shapes before it starts."""

import os
from dataclasses import dataclass
from pathlib import Path

import torch

from hedgespec.models.target import LanguageModel
from hedgespec.zoo.settings import ZooSettings

_PROMPT = 128  # tokens of a long question
_GIB = 1 << 30
# Where Linux says how much memory a container may use.
_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
_FREE = 0.85  # part of the free memory that may be planned with


@dataclass(frozen=True)
class MemoryNeed:
    """Bytes: those of the target, of writing `answers` at once, of a training, of a text's states.

    The states are kept on the device, or on the host, or if they would fill half of either are
    computed anew in each step.
    """

    target: int
    answers: int
    answering: int
    training: int
    states: int

    def __str__(self) -> str:
        def gib(size: int) -> str:
            return f"{size / _GIB:.1f} GiB"

        return (
            f"memory, estimated at its peak: {gib(self.target + self.answering)} to write "
            f"{self.answers} answers at once, {gib(self.target + self.training)} to train, "
            f"and {gib(self.states)} for the target's states of the longest text"
        )


def estimate(target: LanguageModel, settings: ZooSettings, free: int | None = None) -> MemoryNeed:
    """What the zoo of `settings` needs; `free` bytes bound the answers that are written at once."""
    weights = sum(
        parameter.numel() * parameter.element_size() for parameter in target.model.parameters()
    )
    each = _of_answer(target, settings.max_new_tokens)
    wanted = min(settings.batch_size, max(settings.answers, settings.general_answers))
    answers = wanted if free is None else max(1, min(wanted, int(_FREE * free) // each))
    return MemoryNeed(
        weights,
        answers,
        answers * each,
        _of_training(target, settings),
        _of_states(target, settings),
    )


def free_memory(device: torch.device) -> int | None:
    """Free bytes of a GPU, those that torch only keeps for itself among them; None elsewhere."""
    if device.type != "cuda":
        return None
    torch.cuda.empty_cache()
    return torch.cuda.mem_get_info(device)[0]


def host_memory() -> int:
    """Bytes of memory that the process may use, as far as the system tells."""
    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for file in _LIMITS:
        if file.is_file() and (text := file.read_text(encoding="ascii").strip()).isdigit():
            found.append(int(text))
    return min(found)


def _of_answer(target: LanguageModel, tokens: int) -> int:
    """Keys and values of all layers, and a row of logits, converted, scaled, as probabilities."""
    config = target.model.config.get_text_config()
    heads = config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // heads
    keys = 2 * (getattr(config, "num_key_value_heads", None) or heads) * width
    size = target.model.dtype.itemsize
    # While a layer moves to a larger room it stands there twice.
    cache = (target.layers + 1) * keys * (tokens + _PROMPT) * size
    return int(cache + target.vocabulary_size * (size + 3 * 4))


def _of_training(target: LanguageModel, settings: ZooSettings) -> int:
    """Weights of a head seven times (gradient, two moments, and a copy of all but the gradient),
    what a layer keeps for each position and depth, and a piece of the logits."""
    config = target.model.config.get_text_config()
    size, mlp = target.hidden_size, settings.mlp_width or config.intermediate_size
    vocabulary = min(settings.draft_vocabulary, target.vocabulary_size)
    head = 4 * size * size + 3 * size * size + 3 * size * mlp + vocabulary * size
    kept = settings.positions * settings.depths * (16 * size + 4 * mlp) * 4
    piece = 1024 * vocabulary * (settings.depths * (4 + 4 + 4) + 8)
    return int(7 * 4 * head + kept + piece)


def _of_states(target: LanguageModel, settings: ZooSettings) -> int:
    tokens = max(settings.answers, settings.general_answers) * (settings.max_new_tokens + _PROMPT)
    if settings.mixed:
        tokens *= 1 + len(settings.domains)
    return int(tokens * 4 * target.hidden_size * target.model.dtype.itemsize)
