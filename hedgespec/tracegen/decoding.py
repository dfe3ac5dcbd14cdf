"""Decodes many texts at once: key/value tensors of fixed size, and CUDA graphs on a GPU.

A growing cache is copied at every step, and a small model's step is mostly the launching of its
kernels. Here a stretch of steps shares one cache that has room for all of them, so that on a GPU
one step is captured as a graph and replayed. Between stretches, finished texts are dropped.
"""

from collections.abc import Callable

import torch
from transformers import Cache, DynamicCache

from hedgespec.models.fixed_tensors import FixedLayer, Places
from hedgespec.models.target import LanguageModel

STRETCH = 64
# Attention kernels want key lengths that are multiples of this.
_ALIGNMENT = 8


def decode(
    target: LanguageModel,
    ids: torch.Tensor,
    mask: torch.Tensor,
    limits: torch.Tensor,
    choose: Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor],
    on_step: Callable[[int], None],
) -> torch.Tensor:
    """Continue prompts `ids` (B, W), padded on the left as `mask` (B, W) says.

    `limits` (B) are the most tokens of each; `choose(logits (n, V), rows (n), step)` draws the next
    tokens of some rows. Returns tokens (B, max(limits)); after an end token they mean nothing.
    """
    prompt = target.model.base_model(
        input_ids=ids, attention_mask=mask, position_ids=(mask.cumsum(-1) - 1).clamp(min=0),
        past_key_values=DynamicCache(), use_cache=True)
    past = [(layer.keys, layer.values) for layer in prompt.past_key_values.layers]
    rows = torch.arange(len(ids), device=ids.device)
    tokens = torch.zeros(len(ids), int(limits.max()), dtype=torch.long, device=ids.device)
    on_step(0)
    first = choose(target.logits(prompt.last_hidden_state[:, -1]), rows, rows.new_tensor([0]))
    tokens[:, 0] = first
    del prompt
    done = 1
    ends = torch.tensor(target.eos_tokens, device=ids.device)
    limits = limits.to(ids.device)
    while done < tokens.shape[1]:
        written = tokens[rows, :done]
        running = (limits[rows] > done) & ~torch.isin(written, ends).any(-1)
        kept = running.nonzero()[:, 0]
        if len(kept) == 0:
            break
        rows, mask = rows[kept], mask[kept]
        steps = min(STRETCH, tokens.shape[1] - done)
        stretch = _Stretch(target, past, kept, mask, steps, rows, done, tokens, choose)
        for step in range(steps):
            on_step(done + step)
            stretch.step(step)
        past, mask = stretch.past(), stretch.mask()
        done += steps
    return tokens


class _Stretch:
    """Some steps of the rows that still run, all tensors fixed in place."""

    def __init__(
        self, target: LanguageModel, past: list[tuple[torch.Tensor, torch.Tensor]],
        kept: torch.Tensor, mask: torch.Tensor, steps: int, rows: torch.Tensor, done: int,
        tokens: torch.Tensor, choose: Callable[..., torch.Tensor],
    ):
        self._target, self._choose, self._tokens, self._rows = target, choose, tokens, rows
        length = past[0][0].shape[2]
        self._length = length + steps
        room = -self._length % _ALIGNMENT + self._length
        self._place = torch.tensor([length], device=mask.device)
        # Not 0-d: an index of no dimension would be read by the host.
        self._step = torch.tensor([done], device=mask.device)
        self._position = mask.sum(-1, keepdim=True)
        self._mask = torch.zeros(len(rows), 1, 1, room, dtype=torch.bool, device=mask.device)
        self._mask[:, 0, 0, :length] = mask.bool()
        self._token = tokens[rows, done - 1][:, None].clone()
        places = Places()
        places.now = self._place
        layers = []
        for number in range(len(past)):  # one layer at a time: both copies of all need not fit
            fixed = [tensor.new_zeros(len(rows), tensor.shape[1], room, tensor.shape[3])
                     for tensor in past[number]]
            for new, old in zip(fixed, past[number], strict=True):
                new[:, :, :length] = old[kept]
            past[number] = (fixed[0], fixed[1])
            layer = FixedLayer(places, room)
            layer.hold(fixed[0], fixed[1])
            layers.append(layer)
        self._layers = past
        self._cache = Cache(layers=layers)
        self._graph: torch.cuda.CUDAGraph | None = None

    def step(self, number: int) -> None:
        """Run one step; on a GPU the second one is captured, and replayed from then on."""
        if not self._token.is_cuda or number == 0:
            self._advance()
            return
        if self._graph is None:
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph):
                self._advance()
        self._graph.replay()

    def _advance(self) -> None:
        self._mask.index_fill_(3, self._place, True)
        states = self._target.model.base_model(
            input_ids=self._token, attention_mask=self._mask, position_ids=self._position,
            past_key_values=self._cache, use_cache=True,
        ).last_hidden_state
        chosen = self._choose(self._target.logits(states[:, 0]), self._rows, self._step)
        self._tokens[self._rows, self._step] = chosen
        self._token.copy_(chosen[:, None])
        for counter in (self._place, self._step, self._position):
            counter.add_(1)

    def past(self) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Keys and values of each layer up to the last step."""
        self._graph = None  # frees its memory before the next stretch takes its own
        return [(keys[:, :, : self._length], values[:, :, : self._length])
                for keys, values in self._layers]

    def mask(self) -> torch.Tensor:
        """Which of these keys belong to the text, (n, length)."""
        return self._mask[:, 0, 0, : self._length].long()
