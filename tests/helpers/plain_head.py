"""EAGLE heads written straight from the papers: one vector at a time, nothing shared or cached.

Nothing of hedgespec is used. Tensors are those of the checkpoint, by their own names.
"""

import math

import torch
from torch.nn import functional

from tests.helpers.head_zoo import HEAD_WIDTH, HEADS, KV_HEADS, VOCABULARY, Shape


def rms(states, weight, eps=1e-5):
    return weight * states / (states.pow(2).mean(-1, keepdim=True) + eps).sqrt()


class PlainHead:
    """Places of one text, one after the other; each gives the logits of what follows."""

    def __init__(self, shape: Shape, embedding, lm_head):
        """`embedding` (V, H) and `lm_head` (V, H) are the target's."""
        self.t = {name: tensor.double() for name, tensor in shape.tensors.items()}
        options = {
            "before": False,
            "norm_output": False,
            "windows": [None] * 9,
            "layers": None,
            "whole": False,
            "tied": False,
            "scale": 1.0,
            "turned": HEAD_WIDTH,
            "base": 10000.0,
            "slower": 1.0,
        } | shape.plain
        self.options, self.third = options, "norm.weight" in self.t
        self.embedding = self.t.get("embed_tokens.weight", embedding.double())
        own = self.t.get("embed_tokens.weight") if options["tied"] else lm_head.double()
        self.lm_head = self.t.get("lm_head.weight", own)
        self.first = "midlayer." if "midlayer.mlp.up_proj.weight" in self.t else "layers.0."
        self.depth = 1 + max(
            [0, *(int(name.split(".")[1]) for name in self.t if name.startswith("layers."))]
        )
        self.places = [[] for _ in range(self.depth)]

    def feature(self, states: list):
        """What a place reads of the target's states (H) of its layers."""
        if not self.third:
            return states[0]
        if "fc_norm.0.weight" in self.t:
            states = [
                rms(state, self.t[f"fc_norm.{number}.weight"])
                for number, state in enumerate(states)
            ]
        fused = torch.cat(states)
        if "input_norm.weight" in self.t:
            fused = rms(fused, self.t["input_norm.weight"])
        return self.t["fc.weight"] @ fused if "fc.weight" in self.t else fused

    def place(self, token: int, feature):
        """Read a token beside a feature; the place's output and logits (V)."""
        embedded = self.embedding[token]
        if self.third:
            embedded = rms(embedded, self.t[self.first + "input_layernorm.weight"])
            normed = rms(feature, self.t[self.first + "hidden_norm.weight"])
            residual = normed if self.options["before"] else feature
            states = torch.cat([embedded, normed])
        else:
            residual = states = (
                self.t["fc.weight"] @ torch.cat([embedded, feature]) + (self.t["fc.bias"])
            )
        output = self._layer(0, self.first, states, residual)
        for number in range(1, self.depth):
            prefix = f"layers.{number}."
            states = rms(output, self.t[prefix + "input_layernorm.weight"])
            if self.t[prefix + "self_attn.q_proj.weight"].shape[1] == 2 * len(states):
                states = torch.cat([embedded, states])
            output = self._layer(number, prefix, states, output)
        normed = rms(output, self.t["norm.weight"]) if self.third else output
        return (normed if self.options["norm_output"] else output), self._logits(normed)

    def _layer(self, number: int, prefix: str, states, residual):
        places, attention = self.places[number], prefix + "self_attn."
        queries = self._turned(self._heads(attention, "q", states, HEADS), len(places))
        keys = self._turned(self._heads(attention, "k", states, KV_HEADS), len(places))
        places.append((keys, self._heads(attention, "v", states, KV_HEADS)))
        window = self.options["windows"][number] or len(places)
        seen = places[-window:]
        out = []
        for head in range(HEADS):
            group = head // (HEADS // KV_HEADS)
            scores = torch.stack([queries[head] @ key[group] for key, _ in seen])
            weights = (scores / math.sqrt(HEAD_WIDTH)).softmax(0)
            out.append(
                sum(weight * value[group] for weight, (_, value) in zip(weights, seen, strict=True))
            )
        states = (
            residual
            + self.t[attention + "o_proj.weight"] @ torch.cat(out)
            + self.t.get(attention + "o_proj.bias", 0.0)
        )
        normed = rms(states, self.t[prefix + "post_attention_layernorm.weight"])
        gate, up, down = (
            self.t[f"{prefix}mlp.{name}_proj.weight"] for name in ("gate", "up", "down")
        )
        return states + down @ (functional.silu(gate @ normed) * (up @ normed))

    def _heads(self, attention: str, name: str, states, count: int):
        projected = self.t[f"{attention}{name}_proj.weight"] @ states + self.t.get(
            f"{attention}{name}_proj.bias", 0.0
        )
        heads = projected.view(count, HEAD_WIDTH)
        norm = self.t.get(f"{attention}{name}_norm.weight")
        return heads if norm is None else rms(heads, norm)

    def _turned(self, heads, position: int):
        """Pairs (i, i + n/2) of the first n numbers turn by their own frequencies."""
        count = self.options["turned"]
        half = count // 2
        turned = heads.clone()
        for pair in range(half):
            angle = position / self.options["slower"] / self.options["base"] ** (2 * pair / count)
            one, other = heads[:, pair], heads[:, pair + half]
            turned[:, pair] = one * math.cos(angle) - other * math.sin(angle)
            turned[:, pair + half] = other * math.cos(angle) + one * math.sin(angle)
        return turned

    def _logits(self, states):
        logits = self.options["scale"] * (self.lm_head @ states)
        if len(logits) == VOCABULARY:
            return logits
        known = (
            self.t["t2d"].nonzero()[:, 0]
            if "d2t" not in self.t
            else (torch.arange(len(logits)) + self.t["d2t"].long())
        )
        full = torch.full((VOCABULARY,), -math.inf, dtype=torch.double)
        full[known] = logits
        return full
