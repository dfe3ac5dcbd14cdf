"""Drafting step by step for one text, as live decoding does."""

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable

import torch

from hedgespec.models.cached import CachedModel
from hedgespec.models.trees.growth import Growth
from hedgespec.models.trees.language_model import ModelGrowth


class DraftSession(ABC):
    """What a drafter keeps of one text. Use it within `torch.inference_mode()`.

    A round begins with `extend` by the newly verified tokens and goes on with a `step` for each
    drafted one. `verified` is the number of verified tokens so far.
    """

    def __init__(self) -> None:
        """No token known yet."""
        self.verified = 0

    def extend(
        self, tokens: torch.Tensor, states: dict[int, torch.Tensor], rows: int = 1
    ) -> torch.Tensor:
        """Drop the draft, append verified tokens (n >= rows); return logits (rows, V).

        They are those of what follows each of the last `rows` tokens, the last row that of the
        first draft token, float32, -inf throughout where there is no proposal. `states[l]` (n, H)
        are the target's hidden states of the drafter's `target_layers`. The target has not read
        the last token yet, so they go on where the states so far ended and stop one token before:
        n-1 of them come with the first tokens, n later.
        """
        self.rewind(self.verified)
        logits = self._extend(tokens, states, rows)
        self.verified += len(tokens)
        return logits

    def rewind(self, length: int) -> None:
        """Forget the draft and all verified tokens but the first `length`; `extend` comes next."""
        self.verified = length
        self._cut(length)

    def fork(self) -> "DraftSession":
        """Another session that stands where this one does, for a branch of the draft.

        Sessions that change what they hold in place must copy it here.
        """
        return copy.copy(self)

    def growth(self) -> Growth | None:
        """How draft trees grow on this text (B = 1); None if the drafter drafts none.

        To be asked for after `extend`, before any `step`: trees may start at any of the verified
        tokens, from the growth's `first_place` on.
        """
        return None

    @abstractmethod
    def step(self, token: int | torch.Tensor) -> torch.Tensor:
        """Append a drafted token (a number or 0-d); return the next one's logits (V)."""

    @abstractmethod
    def _extend(
        self, tokens: torch.Tensor, states: dict[int, torch.Tensor], rows: int
    ) -> torch.Tensor:
        """`extend` where no draft is left; `verified` does not count `tokens` yet."""

    @abstractmethod
    def _cut(self, length: int) -> None:
        """Forget all but the first `length` tokens."""


class ModelSession(DraftSession):
    """Drafts with a model that reads the text itself."""

    def __init__(self, model: CachedModel, logits: Callable[[torch.Tensor], torch.Tensor]):
        """`logits` turns the model's final states (n, H) into logits (n, V)."""
        super().__init__()
        self._model = model
        self._logits = logits
        self._finals: torch.Tensor | None = None  # of the verified tokens (L, H)

    def step(self, token: int | torch.Tensor) -> torch.Tensor:
        """Read one token more."""
        token = torch.as_tensor(token, device=self._model.device).reshape(1)
        return self._logits(self._model.read(token)[0])[0]

    def fork(self) -> "ModelSession":
        """The model's keys and values so far are shared."""
        other = copy.copy(self)
        other._model = self._model.fork()
        return other

    def growth(self) -> ModelGrowth:
        """Nodes are read behind the text; raises HedgespecError if the model cannot."""
        assert self._finals is not None
        return ModelGrowth(self._model.fork(), self._logits, self._finals[None])

    def _extend(
        self, tokens: torch.Tensor, states: dict[int, torch.Tensor], rows: int
    ) -> torch.Tensor:
        final, _ = self._model.read(tokens)
        self._finals = final if self._finals is None else torch.cat([self._finals, final])
        return self._logits(final[len(final) - rows :])

    def _cut(self, length: int) -> None:
        self._model.cut(length)
        if self._finals is not None:
            self._finals = self._finals[:length]
