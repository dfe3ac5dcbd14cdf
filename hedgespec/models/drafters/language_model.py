"""A separate language model that shares the target's tokenizer."""

import warnings
from pathlib import Path
from typing import Any

import torch
from torch import nn

from hedgespec.errors import HedgespecError
from hedgespec.models.drafters.base import ModelDrafter, ScoringBatch
from hedgespec.models.heads.eagle.head import fit_vocabulary
from hedgespec.models.places import check_place
from hedgespec.models.target import LanguageModel, load_model
from hedgespec.models.tokenizers import listed, refuse_other_words, words_of


class LanguageModelDrafter(ModelDrafter):
    """Any Hugging Face causal LM with the target's vocabulary."""

    kind = "lm"
    usage = "lm:MODEL             a Hugging Face id, folder or .gguf with the target's tokenizer"

    def __init__(self, name: str, identity: str, target: LanguageModel, argument: str):
        """`argument` is the model. Raises HedgespecError if its tokenizer is another one."""
        model = load_model(argument, str(target.device), target.dtype)
        self._set(name or Path(argument).name.lower(), identity, model, target)

    @classmethod
    def check_argument(cls, identity: str, argument: str, layers: int | None) -> None:
        """The model must be there."""
        if not argument:
            raise HedgespecError(f"drafter {identity}: name a model, as in lm:MODEL")
        try:
            check_place(argument)
        except HedgespecError as error:
            raise HedgespecError(f"drafter {identity}: {error}") from error

    @classmethod
    def of(cls, name: str, model: LanguageModel, target: LanguageModel) -> "LanguageModelDrafter":
        """A model that is in memory; `name` is its own by default.

        Raises HedgespecError if it is on another device than the target, or its tokenizer is
        another one.
        """
        drafter = cls.__new__(cls)
        drafter._set(name or Path(model.id).name.lower(), f"{cls.kind}:{model.id}", model, target)
        return drafter

    def _set(self, name: str, identity: str, model: LanguageModel, target: LanguageModel) -> None:
        super().__init__(name, identity)
        if model.tokenizer_sha256 != target.tokenizer_sha256:
            _compare_tokenizers(identity, model, target)
        known = min(len(target.tokenizer), target.vocabulary_size)
        if model.vocabulary_size < known:
            raise HedgespecError(
                f"drafter {identity}: knows {model.vocabulary_size} tokens, the "
                f"target ({target.id}) and its tokenizer {known}"
            )
        if model.device != target.device:
            raise HedgespecError(
                f"drafter {identity}: on {model.device}, but the target is on {target.device}"
            )
        self._model, self._network = model, None
        known = int(model.model.get_input_embeddings().weight.shape[0])
        if known < target.vocabulary_size:
            self._network = _KnownTokens(model.network, known)
        self.context_length = model.context_length
        self._vocabulary = target.vocabulary_size
        self.weights_sha256 = model.weights_sha256

    def prepare(self, batch: ScoringBatch) -> torch.Tensor:
        """Teacher-forced hidden states at the batch's rows, (M, H)."""
        last = self._model.layers
        ids = batch.ids if self._network is None else self._network.known(batch.ids)
        states = self._model.hidden_states(ids, batch.mask, ())[last]
        return batch.at_rows(states)

    def logits(self, prepared: torch.Tensor, depth: int, rows: slice) -> torch.Tensor:
        """Its logits at the rows."""
        return self.final_logits(prepared[rows])

    def final_logits(self, final: torch.Tensor) -> torch.Tensor:
        """Its logits, cut or filled with -inf where its embedding is padded otherwise."""
        return fit_vocabulary(self._model.logits(final), self._vocabulary)

    @property
    def reader(self) -> tuple[LanguageModel, Any]:
        """The whole model."""
        return self._model, self._network


class _KnownTokens(nn.Module):
    """A network that reads tokens which only the target's padding has as the last one it knows."""

    def __init__(self, network: nn.Module, count: int):
        """`count` tokens have an embedding."""
        super().__init__()
        self._network, self._count = network, count

    def known(self, ids: torch.Tensor) -> torch.Tensor:
        """Tokens that it can read."""
        return ids.clamp(max=self._count - 1)

    def forward(self, input_ids: torch.Tensor, **inputs: Any) -> Any:
        """What the network makes of them."""
        return self._network(input_ids=self.known(input_ids), **inputs)


def _compare_tokenizers(identity: str, model: LanguageModel, target: LanguageModel) -> None:
    """Warn of added and special tokens that differ; raise HedgespecError for others."""
    differences = refuse_other_words(
        identity, words_of(model.tokenizer), words_of(target.tokenizer), target.id
    )
    if differences:
        warnings.warn(
            f"drafter {identity}: its tokenizer and the target's ({target.id}) differ in added or "
            f"special tokens: {listed(differences)}; drafting goes on, and all others are the same",
            UserWarning,
            stacklevel=2,
        )
