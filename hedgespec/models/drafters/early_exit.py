"""Early exit: the target's own first layers, then its final norm and head."""

from functools import cached_property
from typing import Any

import torch

from hedgespec.errors import HedgespecError
from hedgespec.models.cached import first_layers
from hedgespec.models.drafters.base import ModelDrafter, ScoringBatch
from hedgespec.models.target import LanguageModel


class EarlyExit(ModelDrafter):
    """Needs no weights of its own; its hidden states come with the target's pass."""

    kind = "early-exit"
    usage = "early-exit:LAYER     the target's first LAYER layers"

    def __init__(self, name: str, identity: str, target: LanguageModel, argument: str):
        """`argument` is the number of layers. Raises HedgespecError unless 0 < it < all."""
        super().__init__(name or f"early-exit-{argument}", identity)
        if not argument.isdecimal() or not 0 < int(argument) < target.layers:
            raise HedgespecError(
                f"drafter {identity}: the layer must be a number from 1 to {target.layers - 1}"
            )
        self._target = target
        self._layer = int(argument)
        self.target_layers = (self._layer,)
        self.weights_sha256 = target.weights_sha256

    def prepare(self, batch: ScoringBatch) -> torch.Tensor:
        """The target's hidden states of the exit layer."""
        return batch.at_rows(batch.states[self._layer])

    def logits(self, prepared: torch.Tensor, depth: int, rows: slice) -> torch.Tensor:
        """The target's final norm and head on them."""
        return self._target.early_logits(prepared[rows])

    @cached_property
    def reader(self) -> tuple[LanguageModel, Any]:
        """The target's first layers: its states cannot serve, as it has not read the last token."""
        return self._target, first_layers(self._target, self._layer)

    def final_logits(self, final: torch.Tensor) -> torch.Tensor:
        """The target's head; the norm is applied already."""
        return self._target.logits(final)
