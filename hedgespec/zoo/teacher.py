"""The target as a teacher: what drafters learn from it, computed once for each text."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace

import torch

from hedgespec.models.target import LanguageModel
from hedgespec.zoo.corpus import Batch, Corpus
from hedgespec.zoo.memory import free_memory, host_memory

_ROWS = 512  # positions whose logits over all of V are made at once


@dataclass(frozen=True)
class Lessons:
    """The target's view of a corpus of N tokens, its sequences laid end to end.

    `inputs` (N, kH) are its hidden states of the k layers that heads read, `last` (N, H) that of
    the last layer, `log_normaliser` (N) the log-sum-exp of its logits at the teacher's temperature.
    """

    inputs: torch.Tensor
    last: torch.Tensor
    log_normaliser: torch.Tensor


class Teacher:
    """A frozen target; `temperature` is that of all distributions, `layers` those heads read."""

    def __init__(self, target: LanguageModel, temperature: float, layers: tuple[int, ...]):
        self.target = target
        self.temperature = temperature
        self._layers = layers

    @torch.no_grad()
    def read(self, corpus: Corpus, positions: int) -> Lessons | None:
        """One pass over a corpus, `positions` padded tokens at a time.

        Kept on the target's device if half of its free memory suffices, else on the host; None
        where half of its memory does not either: `at` then reads each batch when it is needed.
        """
        count = sum(map(len, corpus.sequences))
        device = self._room_for(count)
        if device is None:
            return None
        lessons = self._empty(count, device)
        for batch in corpus.once(positions):
            batch = batch.to(self.target.device)
            self._read_batch(lessons, batch)
        return lessons

    @torch.no_grad()
    def at(self, batch: Batch, lessons: Lessons | None) -> tuple[Batch, Lessons]:
        """A batch on the target's device and what has its lessons: `lessons`, or if there are none
        those of the batch alone, whose places are then others."""
        if lessons is not None:
            return batch, lessons
        text = batch.mask.flatten().nonzero()[:, 0]
        places = torch.zeros_like(batch.places.flatten())
        places[text] = torch.arange(len(text), device=places.device)
        batch = replace(batch, places=places.view_as(batch.places))
        lessons = self._empty(len(text), self.target.device)
        self._read_batch(lessons, batch)
        return batch, lessons

    def _room_for(self, count: int) -> torch.device | None:
        """Where lessons of `count` tokens are kept."""
        target = self.target
        width = (len(self._layers) + 1) * target.hidden_size
        size = count * width * target.model.dtype.itemsize
        host = torch.device("cpu")
        if target.device != host and size <= (free_memory(target.device) or 0) / 2:
            return target.device
        return host if size <= host_memory() / 2 else None

    def _empty(self, count: int, device: torch.device) -> Lessons:
        size, dtype = self.target.hidden_size, self.target.model.dtype
        return Lessons(
            torch.empty(count, len(self._layers) * size, dtype=dtype, device=device),
            torch.empty(count, size, dtype=dtype, device=device),
            torch.empty(count, device=device),
        )

    def _read_batch(self, lessons: Lessons, batch: Batch) -> None:
        """Fill in the lessons at the batch's places."""
        target, device = self.target, lessons.last.device
        with torch.autocast(target.device.type, enabled=False):
            states = target.hidden_states(batch.ids, batch.mask, self._layers)
            text = batch.mask.flatten().nonzero()[:, 0]
            places = batch.places.flatten()[text].to(device)
            inputs = torch.cat([states[layer] for layer in self._layers], dim=-1)
            lessons.inputs[places] = inputs.flatten(0, 1)[text].to(device)
            last = states[target.layers].flatten(0, 1)[text]
            lessons.last[places] = last.to(device)
            lessons.log_normaliser[places] = torch.cat(
                [
                    target.logits(part).div_(self.temperature).logsumexp(-1)
                    for part in last.split(_ROWS)
                ]
            ).to(device)

    def inputs(self, lessons: Lessons, batch: Batch) -> torch.Tensor:
        """Hidden states (B, L, kH) of the layers that heads read; any at padding."""
        return lessons.inputs[batch.places.to(lessons.inputs.device)].to(self.target.device)

    def last(self, lessons: Lessons, batch: Batch) -> torch.Tensor:
        """Hidden states (B, L, H) of the last layer; any at padding."""
        return lessons.last[batch.places.to(lessons.last.device)].to(self.target.device)

    def probabilities(
        self, lessons: Lessons, batch: Batch, tokens: torch.Tensor | None = None
    ) -> Callable[[slice], torch.Tensor]:
        """What gives p (m, v) of `tokens` (v,), of all by default, at a slice of the batch's rows.

        Tokens left out keep their share, so that rows sum to less than 1.
        """
        places = batch.places.flatten()[batch.rows].to(lessons.last.device)
        last = lessons.last[places].to(self.target.device)
        normaliser = lessons.log_normaliser[places].to(self.target.device)

        @torch.no_grad()
        def of(rows: slice) -> torch.Tensor:
            logits = self.target.logits(last[rows], tokens)
            return logits.div_(self.temperature).sub_(normaliser[rows, None]).exp_()

        return of

    def precision(self) -> AbstractContextManager[object]:
        """Mixed precision for training: the target's own type where it is a half one."""
        dtype = self.target.model.dtype
        if dtype == torch.float32:
            return nullcontext()
        return torch.autocast(self.target.device.type, dtype)
