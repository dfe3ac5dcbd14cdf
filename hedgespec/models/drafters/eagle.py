"""EAGLE heads: they draft from the target's hidden states and, deeper, from their own output."""

import copy
from abc import abstractmethod
from pathlib import Path
from typing import Self

import torch
from torch.nn import functional

from hedgespec.errors import HedgespecError
from hedgespec.models.drafters.base import Drafter, ScoringBatch
from hedgespec.models.drafters.session import DraftSession
from hedgespec.models.heads.config_keys import check_folder
from hedgespec.models.heads.eagle import EagleHead, load_head
from hedgespec.models.heads.eagle.head import target_tokens, unroll_rows
from hedgespec.models.heads.eagle.rope import longest_text
from hedgespec.models.target import LanguageModel, parameters_sha256
from hedgespec.models.trees.heads import Caches, EagleGrowth

DEPTHS = 8


class HeadDrafter(Drafter):
    """A draft head of EAGLE's kind."""

    def __init__(self, name: str, identity: str, target: LanguageModel, argument: str):
        """`argument` is the head's folder. Raises HedgespecError if it does not fit the target."""
        head = load_head(Path(argument), target.model.dtype).to(target.device)
        self._set(name or Path(argument).name.lower(), identity, head, target)
        self.weights_sha256 = parameters_sha256(head.state_dict())

    @classmethod
    def check_argument(cls, identity: str, argument: str, layers: int | None) -> None:
        """The head's folder must be there."""
        check_head_folder(identity, argument)

    @classmethod
    def of(cls, name: str, identity: str, head: EagleHead, target: LanguageModel) -> Self:
        """A head that is in memory, on the target's device."""
        drafter = cls.__new__(cls)
        drafter._set(name, identity, head, target)
        return drafter

    def _set(self, name: str, identity: str, head: EagleHead, target: LanguageModel) -> None:
        super().__init__(name, identity)
        self.head, config = head, head.config
        check_fit(
            identity,
            target,
            config.vocabulary_size,
            config.target_hidden_size or config.hidden_size,
        )
        check_known_tokens(identity, target, getattr(head, "d2t", None))
        if config.hidden_size != target.hidden_size:
            _check_own(identity, target, head)
        head.attach(target.model.get_input_embeddings(), target.logits, target.vocabulary_size)
        try:
            self.target_layers = config.fused_layers(target.layers)
        except HedgespecError as error:
            raise HedgespecError(f"drafter {identity}: {error}") from error
        self.context_length = longest_text(config.layer)

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


def check_head_folder(identity: str, folder: str) -> None:
    """Raise HedgespecError for a head's folder that is not named or not there, or has no config."""
    if not folder:
        raise HedgespecError(
            f"drafter {identity}: name the head's folder, as in {identity.partition(':')[0]}:FOLDER"
        )
    check_folder(Path(folder))


def check_fit(identity: str, target: LanguageModel, vocabulary: int, width: int) -> None:
    """Raise HedgespecError unless a head is made for a target of this width and vocabulary.

    The vocabularies may be padded differently behind the tokens of the target's tokenizer.
    """
    found, wanted = (vocabulary, width), (target.vocabulary_size, target.hidden_size)
    known = len(target.tokenizer) if target.tokenizer is not None else max(found[0], wanted[0])
    if width != wanted[1] or (vocabulary != wanted[0] and min(vocabulary, wanted[0]) < known):
        raise HedgespecError(
            f"drafter {identity}: made for a target of (vocabulary, width) {found}, this one "
            f"({target.id}) has {wanted}"
        )


def check_known_tokens(identity: str, target: LanguageModel, d2t: torch.Tensor | None) -> None:
    """Raise HedgespecError if a head's tokens go beyond the target's."""
    highest = -1 if d2t is None else int(target_tokens(d2t).max())
    if highest >= target.vocabulary_size:
        raise HedgespecError(
            f"drafter {identity}: its tensor 'd2t' names token {highest}, the "
            f"target ({target.id}) knows {target.vocabulary_size}"
        )


def _check_own(identity: str, target: LanguageModel, head: EagleHead) -> None:
    """Raise HedgespecError if a head would borrow from a target of another width."""
    for module, name in (
        (head.embed_tokens, "embed_tokens.weight"),
        (head.lm_head, "lm_head.weight"),
    ):
        if module is None:
            raise HedgespecError(
                f"drafter {identity}: it has no {name} of its own and is "
                f"{head.config.hidden_size} wide; the target's ({target.id}) is "
                f"{target.hidden_size} wide"
            )


class Eagle(HeadDrafter):
    """An EAGLE-1/2/3 head, recorded at draft depths 1 to 8."""

    kind = "eagle"
    usage = "eagle:FOLDER         an EAGLE-1/2/3 head for the target (config.json, safetensors)"
    depths = DEPTHS

    def _set(self, name: str, identity: str, head: EagleHead, target: LanguageModel) -> None:
        if head.config.masks:
            raise HedgespecError(
                f"drafter {identity}: this head drafts in parallel, from mask "
                "tokens; name it with parallel:FOLDER"
            )
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
        attention = head.layer.self_attn
        weight = attention.q_proj.weight
        none = weight.new_empty(1, attention.heads, 0, attention.width)
        self._caches: Caches = [(none, none) for _ in head.layers]
        self._outputs = weight.new_empty(0, head.config.hidden_size)  # of verified places
        self._output: torch.Tensor | None = None
        self._no_proposal = torch.full((head.vocabulary,), -torch.inf, device=weight.device)

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

    def fork(self) -> "HeadSession":
        """Keys and values so far are shared."""
        other = copy.copy(self)
        other._caches = list(self._caches)  # reading on makes new tensors, it changes none
        return other

    def _of_places(self) -> tuple[Caches, torch.Tensor]:
        """Each layer's keys and values (1, heads, L, width), and outputs (1, L, H), of the
        verified places."""
        return self._first(len(self._outputs)), self._outputs[None]

    def _first(self, places: int) -> Caches:
        return [(keys[:, :, :places], values[:, :, :places]) for keys, values in self._caches]

    def _cut(self, length: int) -> None:
        places = max(length - 1, 0)
        self._caches = self._first(places)
        self._outputs = self._outputs[:places]
        self._output = None

    def _advance(self, embedded: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        """Outputs (n, H) at new places, verified or drafted."""
        head, start, count = self._head, self._caches[0][0].shape[2], len(embedded)
        device = embedded.device
        everywhere = torch.ones(count, start + count, dtype=torch.bool, device=device).tril(start)

        def attended(
            layer: int, queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor
        ) -> torch.Tensor:
            known = self._caches[layer]
            self._caches[layer] = keys, values = (
                torch.cat([known[0], keys], dim=2),
                torch.cat([known[1], values], dim=2),
            )
            window = head.config.window(layer)
            reach = everywhere if window is None else everywhere.triu(start + 1 - window)
            return functional.scaled_dot_product_attention(queries, keys, values, attn_mask=reach)

        places = torch.arange(start, start + count, device=device)[None]
        output = head.read(embedded[None], features[None], places, attended)[0]
        self._output = output[-1:]
        return output


class _EagleSession(HeadSession):
    """Drafts token by token."""

    def step(self, token: int | torch.Tensor) -> torch.Tensor:
        """Go on from the head's own last output."""
        if self._output is None:
            return self._no_proposal
        ids = torch.as_tensor(token, device=self._output.device).reshape(1)
        return self._head.logits(self._advance(self._head.embed(ids), self._output))[0]

    def growth(self) -> EagleGrowth:
        """From the keys and values that are there."""
        return EagleGrowth(self._head, *self._of_places())

    def _begin(self, embedded: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        return self._advance(embedded, features)
