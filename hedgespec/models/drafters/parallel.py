"""Parallel heads: all draft tokens of a round from one pass (ParallelSpec, 2410.05589)."""

import torch

from hedgespec.errors import HedgespecError
from hedgespec.models.drafters.base import ScoringBatch
from hedgespec.models.drafters.eagle import HeadDrafter, HeadSession
from hedgespec.models.heads.eagle import EagleHead, ParallelHead
from hedgespec.models.target import LanguageModel
from hedgespec.models.trees.heads import ParallelGrowth


class Parallel(HeadDrafter):
    """A head with mask tokens, recorded at every depth that it drafts: one more than its masks."""

    kind = "parallel"
    usage = "parallel:FOLDER      a head that drafts all tokens in one pass, from mask tokens"

    def _set(self, name: str, identity: str, head: EagleHead, target: LanguageModel) -> None:
        if not isinstance(head, ParallelHead):
            raise HedgespecError(
                f"drafter {identity}: this head has no mask tokens; name it with eagle:FOLDER"
            )
        super()._set(name, identity, head, target)
        self.depths = head.config.masks + 1

    def session(self) -> "_ParallelSession":
        """The head with a key/value cache of the verified tokens."""
        assert isinstance(self.head, ParallelHead)
        return _ParallelSession(self.head, self.target_layers)

    def growth(self, batch: ScoringBatch) -> ParallelGrowth:
        """A level's nodes all have the same children."""
        assert isinstance(self.head, ParallelHead)
        return ParallelGrowth.of_texts(self.head, batch.ids, self.features(batch))


class _ParallelSession(HeadSession):
    """Drafts when a round begins; steps hand out what is there, and no proposal behind it."""

    def __init__(self, head: ParallelHead, layers: tuple[int, ...]):
        super().__init__(head, layers)
        self._parallel = head
        # Logits of the depths to come.
        self._ahead = self._no_proposal.new_empty(0, len(self._no_proposal))

    def step(self, token: int | torch.Tensor) -> torch.Tensor:
        """Logits of the next depth, whatever was drafted before."""
        if len(self._ahead) == 0:
            return self._no_proposal
        logits, self._ahead = self._ahead[0], self._ahead[1:]
        return logits

    def growth(self) -> ParallelGrowth:
        """The masks are read again, from any of the places."""
        return ParallelGrowth(self._parallel, *self._of_places())

    def _begin(self, embedded: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        # The masks' keys go when the next tokens come, as a draft's do.
        head = self._parallel
        outputs = self._advance(
            torch.cat([embedded, head.mask_embeddings]), torch.cat([features, head.mask_features])
        )
        self._ahead = head.logits(outputs[len(embedded) :])
        return outputs[: len(embedded)]

    def _cut(self, length: int) -> None:
        super()._cut(length)
        self._ahead = self._ahead[:0]
