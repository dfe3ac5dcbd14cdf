"""Early exit: the target's own first layers, then its final norm and head."""

from functools import cached_property
from typing import Any

import torch

from hedgespec.errors import HedgespecError
from hedgespec.models.cached import CachedModel, first_layers
from hedgespec.models.drafters.base import ModelDrafter, ScoringBatch
from hedgespec.models.drafters.session import ModelSession
from hedgespec.models.target import LanguageModel
from hedgespec.traces.manifest import EARLY_EXIT


class EarlyExit(ModelDrafter):
    """The target's first `layer` layers: needs no weights of its own.

    Its hidden states come with the target's pass. Only tokens that the target has not read pass
    through its layers: the last verified one and the draft. Behind what the target has read, keys
    and values are the target's own.
    """

    kind = EARLY_EXIT
    from_states = True
    usage = "early-exit:LAYER     the target's first LAYER layers"

    def __init__(self, name: str, identity: str, target: LanguageModel, argument: str):
        """`argument` is the number of layers. Raises HedgespecError unless 0 < it < all."""
        super().__init__(name or f"early-exit-{argument}", identity)
        self.check_argument(identity, argument, target.layers)
        self._target = target
        self.layer = int(argument)
        self.target_layers = (self.layer,)
        self.weights_sha256 = target.weights_sha256

    @classmethod
    def check_argument(cls, identity: str, argument: str, layers: int | None) -> None:
        """A number of layers, less than the target has."""
        if layers is None and argument.isdecimal() and int(argument) > 0:
            return
        if layers is None or not argument.isdecimal() or not 0 < int(argument) < layers:
            most = "less than the target has" if layers is None else f"{layers - 1}"
            raise HedgespecError(
                f"drafter {identity}: the layer must be a number from 1 to "
                f"{most}, as in early-exit:12"
            )

    def prepare(self, batch: ScoringBatch) -> torch.Tensor:
        """The target's hidden states of the exit layer."""
        return batch.at_rows(batch.states[self.layer])

    def logits(self, prepared: torch.Tensor, depth: int, rows: slice) -> torch.Tensor:
        """The target's final norm and head on them."""
        return self._target.early_logits(prepared[rows])

    @cached_property
    def reader(self) -> tuple[LanguageModel, Any]:
        """The target's first layers."""
        return self._target, first_layers(self._target, self.layer)

    def session_beside(self, reading: CachedModel) -> "_SharedSession":
        """On the target's keys and values."""
        return _SharedSession(self, reading)

    def logits_of_states(self, states: dict[int, torch.Tensor]) -> torch.Tensor:
        """The final norm and head on them."""
        return self._target.early_logits(states[self.layer])

    def final_states(self, states: torch.Tensor) -> torch.Tensor:
        """States (..., H) of its layer, ready for `final_logits`."""
        normed: torch.Tensor = self._target.final_norm(states)
        return normed

    def final_logits(self, final: torch.Tensor) -> torch.Tensor:
        """The target's head; the norm is applied already."""
        return self._target.logits(final)


class _SharedSession(ModelSession):
    """Reads what the target has not read: of verified tokens the last one alone."""

    def __init__(self, drafter: EarlyExit, reading: CachedModel):
        """Behind what the target has read in `reading`."""
        self._drafter, self._reading, self._network = drafter, reading, drafter.reader[1]
        super().__init__(reading.fork(self._network), drafter.final_logits)

    def _extend(
        self, tokens: torch.Tensor, states: dict[int, torch.Tensor], rows: int
    ) -> torch.Tensor:
        known = self.verified + len(tokens) - 1
        self._model = self._reading.fork(self._network)
        self._model.cut(known)
        own = self._drafter.final_states(states[self._drafter.layer]) if known else None
        parts = [self._finals, own, self._model.read(tokens[-1:])[0]]
        self._finals = torch.cat([part for part in parts if part is not None])
        return self._logits(self._finals[len(self._finals) - rows :])

    def _cut(self, length: int) -> None:
        self._model.cut(length)
        # The last token's state comes anew, as the target's.
        if self._finals is not None:
            self._finals = self._finals[: max(length - 1, 0)]
