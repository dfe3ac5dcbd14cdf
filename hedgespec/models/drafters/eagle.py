"""EAGLE heads: they draft from the target's hidden states and, deeper, from their own output."""

from abc import abstractmethod
from pathlib import Path
from typing import Self

import torch
from torch.nn import functional

from hedgespec.errors import HedgespecError
from hedgespec.models.drafters.base import Drafter, ScoringBatch
from hedgespec.models.drafters.session import DraftSession
from hedgespec.models.heads.eagle import EagleHead, load_head
from hedgespec.models.heads.eagle.head import unroll_rows
from hedgespec.models.target import LanguageModel, parameters_sha256
from hedgespec.models.trees.heads import EagleGrowth

DEPTHS = 8


class HeadDrafter(Drafter):
    """A draft head of EAGLE's kind."""

    def __init__(self, name: str, identity: str, target: LanguageModel, argument: str):
        """`argument` is the head's folder. Raises HedgespecError if it does not fit the target."""
        head = load_head(Path(argument), target.model.dtype).to(target.device)
        self._set(name or Path(argument).name.lower(), identity, head, target)
        self.weights_sha256 = parameters_sha256(head.state_dict())

    @classmethod
    def of(cls, name: str, identity: str, head: EagleHead, target: LanguageModel) -> Self:
        """A head that is in memory, on the target's device."""
        drafter = cls.__new__(cls)
        drafter._set(name, identity, head, target)
        return drafter

    def _set(self, name: str, identity: str, head: EagleHead, target: LanguageModel) -> None:
        super().__init__(name, identity)
        self.head, config = head, head.config
        found = (config.vocabulary_size, config.target_hidden_size or config.hidden_size)
        wanted = (target.vocabulary_size, target.hidden_size)
        if found != wanted:
            raise HedgespecError(
                f"drafter {identity}: made for a target of (vocabulary, width) {found}, this one "
                f"({target.id}) has {wanted}"
            )
        head.attach(target.model.get_input_embeddings(), target.model.get_output_embeddings())
        self.target_layers = config.fused_layers(target.layers)

    def prepare(self, batch: ScoringBatch) -> tuple[list[torch.Tensor], torch.Tensor]:
        """Output features of each depth at the batch's rows, each (M, H), and their places (M)."""
        features = self.features(batch)
        outputs = unroll_rows(self.head, batch.ids, batch.rows, features, self.depths)
        return outputs, batch.rows % batch.ids.shape[1] - 1

    def features(self, batch: ScoringBatch) -> torch.Tensor:
        """Fused features (B, L, H) of a batch."""
        return self.head.fuse([batch.states[layer] for layer in self.target_layers])

    def logits(
        self, prepared: tuple[list[torch.Tensor], torch.Tensor], depth: int, rows: slice
    ) -> torch.Tensor:
        """The head's logits; no proposal where the round would start before the second token."""
        outputs, places = prepared
        absent = places[rows] < depth - 1
        return self.head.logits(outputs[depth - 1][rows]).masked_fill(absent[:, None], -torch.inf)


class Eagle(HeadDrafter):
    """An EAGLE-1/2/3 head, recorded at draft depths 1 to 8."""

    kind = "eagle"
    usage = "eagle:FOLDER         an EAGLE-1/2/3 head for the target (config.json, safetensors)"
    depths = DEPTHS

    def _set(self, name: str, identity: str, head: EagleHead, target: LanguageModel) -> None:
        if head.config.masks:
            raise HedgespecError(f"drafter {identity}: this head drafts in parallel, from mask "
                                 "tokens; name it with parallel:FOLDER")
        super()._set(name, identity, head, target)

    def session(self) -> "_EagleSession":
        """The head with a key/value cache."""
        return _EagleSession(self.head, self.target_layers)

    def growth(self, batch: ScoringBatch) -> EagleGrowth:
        """Nodes go on from their parents' outputs."""
        return EagleGrowth.of_texts(self.head, batch.ids, self.features(batch))


class HeadSession(DraftSession):
    """Keys and values of the places so far, drafted ones last.

    Place j reads token j+1 beside the feature of token j: the target's where the target has read
    token j, else the head's own output at the place before. So t verified tokens make t-1 places.
    """

    def __init__(self, head: EagleHead, layers: tuple[int, ...]):
        super().__init__()
        self._head = head
        self._layers = layers
        attention, weight = head.layer.self_attn, head.fc.weight
        self._keys = self._values = weight.new_empty(1, attention.heads, 0, attention.width)
        self._outputs = weight.new_empty(0, head.config.hidden_size)  # of verified places
        self._output: torch.Tensor | None = None
        self._no_proposal = torch.full(
            (head.config.vocabulary_size,), -torch.inf, device=weight.device)

    def _extend(
        self, tokens: torch.Tensor, states: dict[int, torch.Tensor], rows: int
    ) -> torch.Tensor:
        following = tokens if self.verified else tokens[1:]
        places = min(rows, len(following))
        # The text's first token alone makes no place.
        absent = self._no_proposal.expand(rows - places, -1)
        if places == 0:
            return absent
        features = self._head.fuse([states[layer] for layer in self._layers])
        outputs = self._begin(self._head.embed(following), features)
        self._outputs = torch.cat([self._outputs, outputs])
        return torch.cat([absent, self._head.logits(outputs[len(outputs) - places :])])

    @abstractmethod
    def _begin(self, embedded: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        """Outputs (n, H) at the new places, which read embeddings beside features (n, H)."""

    def _of_places(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Keys, values (1, heads, L, width) and outputs (1, L, H) of the verified places."""
        count = len(self._outputs)
        return self._keys[:, :, :count], self._values[:, :, :count], self._outputs[None]

    def _cut(self, length: int) -> None:
        places = max(length - 1, 0)
        self._keys, self._values = self._keys[:, :, :places], self._values[:, :, :places]
        self._outputs = self._outputs[:places]
        self._output = None

    def _advance(self, embedded: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        """Outputs (n, H) at new places, verified or drafted."""
        head, start, count = self._head, self._keys.shape[2], len(embedded)
        device = embedded.device
        residual, (queries, keys, values) = head.project(
            embedded[None], features[None],
            torch.arange(start, start + count, device=device)[None])
        self._keys = torch.cat([self._keys, keys], dim=2)
        self._values = torch.cat([self._values, values], dim=2)
        reach = torch.ones(count, start + count, dtype=torch.bool, device=device).tril(start)
        attended = functional.scaled_dot_product_attention(
            queries, self._keys, self._values, attn_mask=reach)
        output: torch.Tensor = head.finish(residual, attended)[0]
        self._output = output[-1:]
        return output


class _EagleSession(HeadSession):
    """Drafts token by token."""

    def step(self, token: int | torch.Tensor) -> torch.Tensor:
        """Go on from the head's own last output."""
        if self._output is None:
            return self._no_proposal
        ids = torch.as_tensor(token, device=self._keys.device).reshape(1)
        return self._head.logits(self._advance(self._head.embed(ids), self._output))[0]

    def growth(self) -> EagleGrowth:
        """From the keys and values that are there."""
        return EagleGrowth(self._head, *self._of_places())

    def _begin(self, embedded: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        return self._advance(embedded, features)
