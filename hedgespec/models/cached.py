"""A model that reads one text piece by piece and keeps its keys and values (batch 1)."""

import copy
from typing import Any

import torch
from torch import nn
from transformers import DynamicCache

from hedgespec.errors import HedgespecError, arg
from hedgespec.models.layers import layers_name
from hedgespec.models.states import States, read_text_states
from hedgespec.models.target import LanguageModel


class CachedModel:
    """Reads on where it stopped, and can forget what it read last.

    `length` is the number of tokens read so far; `cache` holds their keys and values, which
    `network` reads. Where RoPE is another one for longer texts (`rope_switch`), a text that gets
    there is read anew from its beginning, as `generate` does.
    """

    def __init__(self, model: LanguageModel, network: Any = None):
        """Nothing read yet; `network` is the whole one if None, or see `first_layers`."""
        self.model, self.device = model, model.device
        self.length = 0
        self._last = model.layers
        self.network = model.network if network is None else network
        # Without a config every layer keeps all keys, so that those of sliding windows can be cut.
        self.cache = DynamicCache()
        self._switch = model.rope_switch
        self._text = torch.empty(0, dtype=torch.long, device=model.device)  # with a switch only
        self._beyond = False  # whether keys are those of a text beyond the switch

    def read(
        self, tokens: torch.Tensor, layers: tuple[int, ...] = ()
    ) -> tuple[torch.Tensor, States]:
        """Read tokens (n); return the final states (n, H), normed, and the states of `layers`.

        Layers count as in `read_states`; each of their states is (n, H).
        """
        if self._switch is not None:
            return self._read_switching(tokens, layers, self._switch)
        found = self._call(layers, input_ids=tokens[None])
        self.length += len(tokens)
        return found

    def _read_switching(
        self, tokens: torch.Tensor, layers: tuple[int, ...], switch: int
    ) -> tuple[torch.Tensor, States]:
        """`read`, each token as in a text that ends with it."""
        before = switch - self.length
        if self.length and 0 < before < len(tokens):
            parts = [
                self._read_switching(part, layers, switch)
                for part in (tokens[:before], tokens[before:])
            ]
            return (
                torch.cat([final for final, _ in parts]),
                {layer: torch.cat([states[layer] for _, states in parts]) for layer in layers},
            )
        count, beyond = len(tokens), self.length + len(tokens) > switch
        self._text = torch.cat([self._text[: self.length], tokens])
        if self.length and beyond != self._beyond:
            self.cache, self.length, tokens = DynamicCache(), 0, self._text
        final, states = self._call(layers, input_ids=tokens[None])
        self.length, self._beyond = len(self._text), beyond
        return final[-count:], {layer: state[-count:] for layer, state in states.items()}

    def read_tree(
        self, tokens: torch.Tensor, parents: list[int], layers: tuple[int, ...] = ()
    ) -> tuple[torch.Tensor, States]:
        """`read` of a tree's tokens (n), each seeing what was read before and its own ancestors.

        `parents` are numbers of earlier ones of these tokens, -1 at a root. `keep` must follow. The
        model must have plain attention (`has_plain_attention`).
        """
        sees = torch.eye(len(parents), dtype=torch.bool)
        for node, parent in enumerate(parents):
            if parent >= 0:
                sees[node] |= sees[parent]
        levels = sees.sum(1) - 1
        before = torch.ones(len(parents), self.length, dtype=torch.bool)
        return self._call(
            layers,
            input_ids=tokens[None],
            attention_mask=torch.cat([before, sees], dim=1)[None, None].to(self.device),
            position_ids=(self.length + levels)[None].to(self.device),
        )

    def _call(self, layers: tuple[int, ...], **inputs: Any) -> tuple[torch.Tensor, States]:
        return read_text_states(
            self.network, self._last, layers, past_key_values=self.cache, use_cache=True, **inputs
        )

    def keep(self, rows: list[int]) -> None:
        """Of the tree that was read last keep a path: the tokens of these rows."""
        kept = torch.tensor(
            [*range(self.length), *(self.length + row for row in rows)], device=self.device
        )
        for layer in self.cache.layers:
            places = kept.to(layer.keys.device)  # a split model's layer may be elsewhere
            layer.keys = layer.keys.index_select(2, places)
            layer.values = layer.values.index_select(2, places)
        self.length += len(rows)

    def fork(self, network: Any = None) -> "CachedModel":
        """One that has read the same and goes on by itself; keys and values so far are shared.

        It goes on with `network`, see `first_layers`, or as this one if None.
        """
        other = copy.copy(self)
        other.network = self.network if network is None else network
        other.cache = copy.copy(self.cache)  # reading on makes new tensors, it changes none
        other.cache.layers = [copy.copy(layer) for layer in self.cache.layers]
        return other

    def cut(self, length: int) -> None:
        """Forget all but the first `length` tokens."""
        if length < self.length:
            self.cache.crop(length - self.length)
            self.length = length


def first_layers(model: LanguageModel, count: int) -> Any:
    """The model's network without the layers after the first `count`; weights are shared.

    It applies the final norm to what they put out. Raises HedgespecError for an architecture where
    this cannot be done.
    """
    network = holder = _view(model.network)
    name = layers_name(network, model.layers)
    if name is not None:
        *inner, last = name.split(".")
        for part in inner:  # "decoder" of OPT
            inside = holder._modules[part] = _view(holder._modules[part])
            holder = inside
        holder._modules[last] = holder._modules[last][:count]
    ids = torch.arange(4, device=model.device)[None] % model.vocabulary_size
    with torch.inference_mode():
        states = model.hidden_states(ids, torch.ones_like(ids), (count,))[count]
        expected = model.early_logits(states)
        found = model.logits(network(input_ids=ids, use_cache=False).last_hidden_state)
    if not torch.allclose(found, expected, rtol=1e-2, atol=1e-2, equal_nan=True):
        raise HedgespecError(
            f"{model.id}: drafting with the first layers alone does not work for this "
            f"architecture ({type(model.model).__name__}); record with {arg('costs', False)}"
        )
    return network


def _view(module: nn.Module) -> Any:
    """A copy whose children can be replaced without touching the original's."""
    view = copy.copy(module)
    view._modules = dict(module._modules)
    return view
