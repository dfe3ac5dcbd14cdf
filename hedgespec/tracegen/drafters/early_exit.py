"""Early exit: the target's own first layers, then its final norm and head."""

from functools import cached_property
from typing import Any

import torch

from hedgespec.errors import HedgespecError
from hedgespec.tracegen.cached import CachedModel, first_layers
from hedgespec.tracegen.drafters.base import Drafter, ScoringBatch
from hedgespec.tracegen.drafters.session import ModelSession
from hedgespec.tracegen.models import LanguageModel


class EarlyExit(Drafter):
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

    def session(self) -> ModelSession:
        """The target's first layers with a key/value cache of their own.

        The target has not read the last verified token yet, so its states cannot serve. Raises
        HedgespecError if the target's architecture cannot be cut.
        """
        return ModelSession(CachedModel(self._target, self._network), self._target.logits)

    @cached_property
    def _network(self) -> Any:
        return first_layers(self._target, self._layer)
