"""Decodes many texts at once: key/value tensors of fixed size, and CUDA graphs on a GPU.

A growing cache is copied at every step, and a small model's step is mostly the launching of its
kernels. Here a stretch of steps shares one cache that has room for all of them, so that on one GPU
a step is captured as a graph and replayed. Between stretches, finished texts are dropped.
"""

from collections.abc import Callable

import torch
from transformers import Cache, DynamicCache

from hedgespec.models.fixed_tensors import FixedLayer, Places
from hedgespec.models.target import LanguageModel

STRETCH = 64
# Attention kernels want key lengths that are multiples of this.
_ALIGNMENT = 8


# Rows whose logits are made at once: float32 numbers for all of V, several times over. As many as
# keep a GPU busy with the product, which reads the whole head each time.
_ROWS = 512

# Draws the next tokens (n) of some rows (n) at their step (1), from logits (n, V).
Choose = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
# Keys and values of each layer, each (n, heads, L, width).
Layers = list[tuple[torch.Tensor, torch.Tensor]]


def decode(
    target: LanguageModel,
    ids: torch.Tensor,
    mask: torch.Tensor,
    limits: torch.Tensor,
    choose: Choose,
    on_step: Callable[[int], None],
) -> torch.Tensor:
    """Continue prompts `ids` (B, W), padded on the left as `mask` (B, W) says.

    `limits` (B) are the most tokens of each; `choose` draws the tokens. Returns tokens
    (B, max(limits)); after an end token they mean nothing.
    """
    past, states = _read_prompts(target, ids, mask)
    rows = torch.arange(len(ids), device=ids.device)
    tokens = torch.zeros(len(ids), int(limits.max()), dtype=torch.long, device=ids.device)
    on_step(0)
    tokens[:, 0] = _chosen(target, choose, states, rows, rows.new_tensor([0]))
    del states
    limits = limits.to(ids.device)
    done = 1
    while done < tokens.shape[1]:
        kept = _unfinished(target, tokens[rows, :done], limits[rows])
        if len(kept) == 0:
            break
        rows, mask = rows[kept], mask[kept]
        steps = min(STRETCH, tokens.shape[1] - done)
        stretch = _Stretch(target, choose, tokens, rows, done)
        stretch.take(past, kept, mask, steps)
        for step in range(steps):
            on_step(done + step)
            stretch.step(step)
        past, mask = stretch.past(), stretch.mask()
        done += steps
    return tokens


def _read_prompts(
    target: LanguageModel, ids: torch.Tensor, mask: torch.Tensor
) -> tuple[Layers, torch.Tensor]:
    """Keys and values of prompts, and the final states (B, H) of their last tokens."""
    prompt = target.network(
        input_ids=ids,
        attention_mask=mask,
        position_ids=(mask.cumsum(-1) - 1).clamp(min=0),
        past_key_values=DynamicCache(),
        use_cache=True,
    )
    past = [(layer.keys, layer.values) for layer in prompt.past_key_values.layers]
    return past, prompt.last_hidden_state[:, -1]


def _chosen(
    target: LanguageModel,
    choose: Choose,
    states: torch.Tensor,
    rows: torch.Tensor,
    step: torch.Tensor,
) -> torch.Tensor:
    """The next tokens (n) of rows (n) whose final states are (n, H), some rows at a time."""
    return torch.cat(
        [
            choose(target.logits(part), own, step)
            for part, own in zip(states.split(_ROWS), rows.split(_ROWS), strict=True)
        ]
    )


def _unfinished(target: LanguageModel, written: torch.Tensor, limits: torch.Tensor) -> torch.Tensor:
    """Numbers of the texts that go on behind what is `written` (n, done), at most `limits` (n)."""
    ends = torch.tensor(target.eos_tokens, device=written.device)
    running = (limits > written.shape[1]) & ~torch.isin(written, ends).any(-1)
    return running.nonzero()[:, 0]


class _Stretch:
    """Some steps of the rows that still run, all tensors fixed in place."""

    def __init__(
        self,
        target: LanguageModel,
        choose: Choose,
        tokens: torch.Tensor,
        rows: torch.Tensor,
        done: int,
    ):
        """Rows (n) of `tokens` (B, T), of which `done` are written, go on."""
        self._target, self._choose, self._tokens, self._rows = target, choose, tokens, rows
        # Not 0-d: an index of no dimension would be read by the host.
        self._step = torch.tensor([done], device=tokens.device)
        self._token = tokens[rows, done - 1][:, None].clone()
        self._graph: torch.cuda.CUDAGraph | None = None
        self._captures = tokens.is_cuda and len(target.devices) == 1

    def take(self, past: Layers, kept: torch.Tensor, mask: torch.Tensor, steps: int) -> None:
        """Move the keys and values of the texts `kept` (n) here, with room for `steps` more.

        `past` is empty afterwards: it gives up one layer at a time, for both copies of all need not
        fit. `mask` (n, L) says which of the keys belong to the texts.
        """
        length = past[0][0].shape[2]
        self._length = length + steps
        room = -self._length % _ALIGNMENT + self._length
        self._place = torch.tensor([length], device=mask.device)
        self._position = mask.sum(-1, keepdim=True)
        self._mask = torch.zeros(len(kept), 1, 1, room, dtype=torch.bool, device=mask.device)
        self._mask[:, 0, 0, :length] = mask.bool()
        self._layers: Layers = []
        while past:
            keys, values = past.pop(0)
            self._layers.append((_with_room(keys, kept, room), _with_room(values, kept, room)))
        self._cache = Cache(layers=self._fixed_layers(room))

    def _fixed_layers(self, room: int) -> list[FixedLayer]:
        places = Places()
        places.now = self._place
        layers = [FixedLayer(places, room) for _ in self._layers]
        for layer, (keys, values) in zip(layers, self._layers, strict=True):
            layer.hold(keys, values)
        return layers

    def step(self, number: int) -> None:
        """Run one step; on one GPU the second one is captured, and replayed from then on."""
        if not self._captures or number == 0:
            self._advance()
            return
        if self._graph is None:
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph):
                self._advance()
        self._graph.replay()

    def _advance(self) -> None:
        self._mask.index_fill_(3, self._place, True)
        states = self._target.network(
            input_ids=self._token,
            attention_mask=self._mask,
            position_ids=self._position,
            past_key_values=self._cache,
            use_cache=True,
        ).last_hidden_state
        chosen = _chosen(self._target, self._choose, states[:, 0], self._rows, self._step)
        self._tokens[self._rows, self._step] = chosen
        self._token.copy_(chosen[:, None])
        for counter in (self._place, self._step, self._position):
            counter.add_(1)

    def past(self) -> Layers:
        """Keys and values of each layer up to the last step."""
        self._graph = None  # frees its memory before the next stretch takes its own
        return [
            (keys[:, :, : self._length], values[:, :, : self._length])
            for keys, values in self._layers
        ]

    def mask(self) -> torch.Tensor:
        """Which of these keys belong to the text, (n, length)."""
        return self._mask[:, 0, 0, : self._length].long()


def _with_room(old: torch.Tensor, rows: torch.Tensor, room: int) -> torch.Tensor:
    """Some rows of keys or values (n, heads, L, width), with `room` for more than L places."""
    new = old.new_zeros(len(rows), old.shape[1], room, old.shape[3])
    new[:, :, : old.shape[2]] = old[rows.to(old.device)]
    return new
