"""Models on tensors of fixed size and place, whose work can be captured as a CUDA graph.

A growing cache is copied at every step, and a small model's step is mostly the launching of its
kernels. With keys and values that stay where they are, a step can be captured once and replayed.
"""

import copy
import inspect
from typing import Any

import torch
from transformers import Cache
from transformers.cache_utils import CacheLayerMixin

from hedgespec.models.compiled_layers import compiled_network
from hedgespec.models.compiling import free_size
from hedgespec.models.grouped_attention import GROUPED
from hedgespec.models.states import States, read_states
from hedgespec.models.target import LanguageModel


def has_plain_attention(model: LanguageModel) -> bool:
    """Whether every layer attends to the whole text through PyTorch's attention.

    Only such models can run on fixed tensors.
    """
    config = model.model.config.get_text_config()
    layers = set(getattr(config, "layer_types", None) or ["full_attention"])
    return (
        layers == {"full_attention"}
        and not getattr(config, "sliding_window", None)
        and config._attn_implementation in ("sdpa", GROUPED)
        and model.rope_switch is None
        and "position_ids" in inspect.signature(model.network.forward).parameters
    )


class Places:
    """Where the keys and values (n) of the tokens go that are being read: a tensor in `now`."""

    now: torch.Tensor


class FixedLayer(CacheLayerMixin):
    """Keys and values of one layer with `room` for a whole text; new ones go to `places`."""

    def __init__(self, places: Places, room: int):
        super().__init__()
        self._places, self._room = places, room

    def hold(self, keys: torch.Tensor, values: torch.Tensor) -> None:
        """Use given tensors (B, heads, room, width)."""
        self.keys, self.values, self.is_initialized = keys, values, True

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Tensors for states of these shapes."""
        keys, values = (
            states.new_zeros(*states.shape[:2], self._room, states.shape[3])
            for states in (key_states, value_states)
        )
        self.hold(keys, values)

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write the keys and values of the tokens being read; return all of them."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        assert self.keys is not None
        assert self.values is not None
        places = self._places.now.to(self.keys.device)  # a split model's layer may be elsewhere
        self.keys.index_copy_(2, places, key_states)
        self.values.index_copy_(2, places, value_states)
        return self.keys, self.values

    def get_seq_length(self) -> int:
        """Unused by the models: positions and mask are given."""
        return 0

    def get_max_length(self) -> int:
        """Room of the layer."""
        return self._room

    def get_max_cache_shape(self) -> int:
        """The same under its older name."""
        return self._room

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Length and offset of the keys."""
        return self._room, 0


def free_rooms(caches: list[tuple[torch.Tensor, torch.Tensor]], all_places: torch.Tensor) -> None:
    """The same for the rooms of keys and values (B, heads, room, width), and places (room)."""
    free_size(all_places, 0)
    for part in (part for pair in caches for part in pair):
        free_size(part, 2)


class StaticModel:
    """A model that reads one text, or several at once, of at most `room` tokens into fixed tensors.

    `read` never waits for the device. What was read behind a place is overwritten by reading on
    from there: nothing needs to be cut.
    """

    def __init__(
        self,
        model: LanguageModel,
        room: int,
        network: Any = None,
        compiled: int = 0,
        any_shape: bool = False,
    ):
        """`network` is the whole one if None, or see `first_layers` in cached.py.

        Reading at most `compiled` tokens at once goes through torch.compile, layer by layer
        (models/compiled_layers.py), which takes long once for each number of tokens and leaves a
        third of the kernels; the same kernels do for rooms of any size. With `any_shape` they do
        for two tokens and more, and for two texts and more.
        """
        self._last = model.layers
        self._network = model.network if network is None else network
        self._compiled, self._any_shape = compiled, any_shape
        self._short = compiled_network(self._network, any_shape) if compiled else None
        self._longest = model.context_length
        self._places = Places()
        self._cache = Cache(layers=[FixedLayer(self._places, room) for _ in range(model.layers)])
        self._all = torch.arange(room, device=model.device)

    def beside(self, network: Any) -> "StaticModel":
        """Another part of the model's network that reads and writes the same keys and values."""
        other = copy.copy(self)
        other._network = network
        other._short = compiled_network(network, self._any_shape) if self._compiled else None
        return other

    def read(
        self, tokens: torch.Tensor, places: torch.Tensor, layers: tuple[int, ...] = ()
    ) -> tuple[torch.Tensor, States]:
        """Read tokens (n) at consecutive `places` (n), counted from 0; see CachedModel.read."""
        final, states = self.read_texts(tokens[None], places, layers)
        return final[0], {layer: state[0] for layer, state in states.items()}

    def read_texts(
        self, tokens: torch.Tensor, places: torch.Tensor, layers: tuple[int, ...] = ()
    ) -> tuple[torch.Tensor, States]:
        """Read tokens (B, n) of B texts, always of as many, at the same places of each.

        States are (B, n, H).
        """
        self._places.now = places
        network, mask = self._network, reach(self._all, places)[None, None]
        # Places behind the text's end may lie beyond the context: what they hold is not used.
        positions = places.clamp(max=self._longest - 1)[None]
        inputs: dict[str, Any] = {
            "input_ids": tokens,
            "attention_mask": mask,
            "position_ids": positions,
            "past_key_values": self._cache,
            "use_cache": True,
        }
        if self._short is not None and len(places) <= self._compiled:
            network = self._short
            if not all(layer.is_initialized for layer in self._cache.layers):
                # Tensors that compiled code makes would have the room that it was compiled for.
                read_states(self._network, self._last, (), **inputs)
            self._free_shapes(tokens, positions, mask)
        return read_states(network, self._last, layers, **inputs)

    def _free_shapes(
        self, tokens: torch.Tensor, positions: torch.Tensor, mask: torch.Tensor
    ) -> None:
        """Tell torch.compile which sizes are to vary."""
        texts = [pair for layer in self._cache.layers for pair in (layer.keys, layer.values)]
        for tensor, size in ((mask, 3), *((pair, 2) for pair in texts)):
            free_size(tensor, size)
        if not self._any_shape:
            return
        for tensor, size in (
            (tokens, 0),
            (tokens, 1),
            (positions, 1),
            (mask, 2),
            (self._places.now, 0),
            *((pair, 0) for pair in texts),
        ):
            free_size(tensor, size)


def reach(
    all_places: torch.Tensor, places: torch.Tensor, window: int | None = None
) -> torch.Tensor:
    """Which of all places (room) each of some places (n) attends to, (n, room): those up to it,
    less than `window` back."""
    before = all_places <= places[:, None]
    return before if window is None else before & (all_places > places[:, None] - window)
