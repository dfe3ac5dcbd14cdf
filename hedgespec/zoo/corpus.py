"""Prompts with the target's answers as token ids: what drafters are trained and tested on."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from hedgespec.errors import HedgespecError
from hedgespec.files import write_with

# Sequences of similar length are sought among this many batches' worth of shuffled ones.
_POOL = 64
# Batches come in few shapes: a GPU spends as long on preparing a new one as on computing it.
_WIDTH_STEP, _ROWS_STEP = 32, 1024


@dataclass(frozen=True)
class Batch:
    """Sequences padded on the right.

    `ids`, `mask` and `places` (B, L): token ids, whether they are text, and where they are in the
    corpus, its sequences laid end to end (0 for padding). `rows` (M): flat indices into B*L of the
    tokens whose successor is an answer token, the last one repeated up to a round number; `real`
    (M) is False for the repetitions.
    """

    ids: torch.Tensor
    mask: torch.Tensor
    places: torch.Tensor
    rows: torch.Tensor
    real: torch.Tensor

    def to(self, device: torch.device) -> "Batch":
        """The batch on another device."""
        tensors = (self.ids, self.mask, self.places, self.rows, self.real)
        if device.type == "cuda":  # copies from pinned memory do not wait for the device
            tensors = tuple(tensor.pin_memory() for tensor in tensors)
        return Batch(*(tensor.to(device, non_blocking=True) for tensor in tensors))


@dataclass(frozen=True)
class Corpus:
    """`sequences[i]` holds prompt and answer, the prompt being its first `prompts[i]` tokens."""

    sequences: list[np.ndarray]
    prompts: list[int]

    @property
    def answer_tokens(self) -> int:
        """Answer tokens of all sequences."""
        return sum(map(len, self.sequences)) - sum(self.prompts)

    @cached_property
    def starts(self) -> np.ndarray:
        """Where each sequence starts when all are laid end to end."""
        return np.cumsum([0, *map(len, self.sequences[:-1])])

    def counts(self, vocabulary: int) -> np.ndarray:
        """How often each token occurs in the answers, (vocabulary,)."""
        answers = [
            sequence[start:] for sequence, start in zip(self.sequences, self.prompts, strict=True)
        ]
        return np.bincount(np.concatenate(answers), minlength=vocabulary)

    def answer_positions(self, batch: Batch) -> torch.Tensor:
        """Where in their answers the tokens stand that follow a batch's real rows, from 0."""
        places = batch.places.flatten()[batch.rows[batch.real]].numpy()
        number = np.searchsorted(self.starts, places, side="right") - 1
        return torch.from_numpy(places + 1 - self.starts[number] - np.array(self.prompts)[number])

    @classmethod
    def joined(cls, corpora: Iterable["Corpus"]) -> "Corpus":
        """One corpus of several."""
        corpora = list(corpora)
        return cls(
            [sequence for corpus in corpora for sequence in corpus.sequences],
            [prompt for corpus in corpora for prompt in corpus.prompts],
        )

    def every(self, step: int) -> "Corpus":
        """One sequence in `step`, the first one included."""
        return Corpus(self.sequences[::step], self.prompts[::step])

    def batches(self, positions: int, seed: int) -> Iterator[Batch]:
        """Batches of at most `positions` padded tokens, without end, the same for one seed."""
        epoch = 0
        while True:
            yield from map(self.batch, self._plan(positions, [seed, epoch]))
            epoch += 1

    def once(self, positions: int) -> Iterator[Batch]:
        """Every sequence once, in batches of at most `positions` padded tokens."""
        order = np.argsort([len(sequence) for sequence in self.sequences], kind="stable")
        return map(self.batch, self._cut(order, positions))

    def _plan(self, positions: int, seed: list[int]) -> list[np.ndarray]:
        """One epoch: shuffled sequences, sorted by length within pools, cut, shuffled again."""
        rng = np.random.default_rng(seed)
        lengths = np.array([len(sequence) for sequence in self.sequences])
        order = rng.permutation(len(lengths))
        size = max(1, round(_POOL * positions / lengths.mean()))
        pools = [order[start : start + size] for start in range(0, len(order), size)]
        plan = [
            part
            for pool in pools
            for part in self._cut(pool[np.argsort(lengths[pool], kind="stable")], positions)
        ]
        return [plan[number] for number in rng.permutation(len(plan))]

    def _cut(self, order: np.ndarray, positions: int) -> list[np.ndarray]:
        """Cut sequences, ascending in length, into batches."""
        parts, start = [], 0
        for end in range(1, len(order) + 1):
            if (
                end == len(order)
                or (end + 1 - start) * _round_up(len(self.sequences[order[end]]), _WIDTH_STEP)
                > positions
            ):
                parts.append(order[start:end])
                start = end
        return parts

    def batch(self, numbers: np.ndarray) -> Batch:
        """The batch of some sequences."""
        chosen = [self.sequences[number] for number in numbers]
        width = _round_up(max(map(len, chosen)), _WIDTH_STEP)
        ids = np.zeros((len(chosen), width), dtype=np.int64)
        mask, places = np.zeros_like(ids), np.zeros_like(ids)
        all_rows = []
        for row, (number, sequence) in enumerate(zip(numbers, chosen, strict=True)):
            ids[row, : len(sequence)] = sequence
            mask[row, : len(sequence)] = 1
            places[row, : len(sequence)] = self.starts[number] + np.arange(len(sequence))
            all_rows.append(np.arange(self.prompts[number] - 1, len(sequence) - 1) + row * width)
        rows = np.concatenate(all_rows)
        missing = _round_up(len(rows), _ROWS_STEP) - len(rows)
        real = np.arange(len(rows) + missing) < len(rows)
        rows = np.pad(rows, (0, missing), mode="edge")
        return Batch(*map(torch.from_numpy, (ids, mask, places, rows, real)))


def _round_up(number: int, step: int) -> int:
    return -(-number // step) * step


def save_corpus(corpus: Corpus, path: Path, fingerprint: str) -> None:
    """Write a corpus; `fingerprint` says what made it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {
        "tokens": np.concatenate(corpus.sequences).astype(np.int32),
        "lengths": np.array([len(sequence) for sequence in corpus.sequences], dtype=np.int32),
        "prompts": np.array(corpus.prompts, dtype=np.int32),
    }
    write_with(path, lambda place: save_file(tensors, place, {"fingerprint": fingerprint}))


def load_corpus(path: Path, fingerprint: str) -> Corpus | None:
    """Read a corpus; None if there is none.

    Raises HedgespecError if it is damaged or was made by other settings.
    """
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="numpy") as handle:
            found = (handle.metadata() or {}).get("fingerprint")
            tokens, lengths, prompts = (
                handle.get_tensor(name) for name in ("tokens", "lengths", "prompts")
            )
    except (SafetensorError, OSError) as error:
        raise HedgespecError(f"{path}: damaged ({error}); delete it to make it again") from error
    if found != fingerprint:
        raise HedgespecError(
            f"{path}: made with other settings; choose another folder, or delete "
            "it to make it again"
        )
    return Corpus(np.split(tokens, np.cumsum(lengths)[:-1]), prompts.tolist())
