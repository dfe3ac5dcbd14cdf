"""Parallel heads: all draft tokens of a round from one pass (ParallelSpec, 2410.05589)."""

import torch

from hedgespec.errors import HedgespecError
from hedgespec.tracegen.drafters.base import ScoringBatch
from hedgespec.tracegen.drafters.eagle import HeadDrafter, HeadSession
from hedgespec.tracegen.eagle import EagleHead, ParallelHead
from hedgespec.tracegen.models import LanguageModel
from hedgespec.tracegen.trees.heads import ParallelGrowth


class Parallel(HeadDrafter):
    """A head with mask tokens, recorded at every depth that it drafts: one more than its masks."""

    kind = "parallel"
    usage = "parallel:FOLDER      a head that drafts all tokens in one pass, from mask tokens"

    def _set(self, name: str, identity: str, head: EagleHead, target: LanguageModel) -> None:
        if not isinstance(head, ParallelHead):
            raise HedgespecError(f"drafter {identity}: this head has no mask tokens; name it with "
                                 "eagle:FOLDER")
        super()._set(name, identity, head, target)
        self.depths = head.config.masks + 1

    def session(self) -> "_ParallelSession":
        """The head with a key/value cache of the verified tokens."""
        assert isinstance(self.head, ParallelHead)
        return _ParallelSession(self.head, self.target_layers)

    def growth(self, batch: ScoringBatch) -> ParallelGrowth:
        """A level's nodes all have the same children."""
        assert isinstance(self.head, ParallelHead)
        return ParallelGrowth(self.head, batch.ids, self.features(batch))


class _ParallelSession(HeadSession):
    """Drafts when a round begins; steps hand out what is there, and no proposal behind it."""

    def __init__(self, head: ParallelHead, layers: tuple[int, ...]):
        super().__init__(head, layers)
        self._masks = (head.mask_embeddings, head.mask_features)
        self._ahead = iter(self._no_proposal[:0])

    def step(self, token: int | torch.Tensor) -> torch.Tensor:
        """Logits of the next depth, whatever was drafted before."""
        return next(self._ahead, self._no_proposal)

    def _begin(
        self, embedded: torch.Tensor, features: torch.Tensor, rows: int
    ) -> torch.Tensor:
        # The masks' keys go when the next tokens come, as a draft's do.
        mask_embeddings, mask_features = self._masks
        logits = self._advance(
            torch.cat([embedded, mask_embeddings]), torch.cat([features, mask_features]),
            rows + len(mask_features))
        self._ahead = iter(logits[rows:])
        return logits[:rows]

    def _cut(self, length: int) -> None:
        super()._cut(length)
        self._ahead = iter(self._no_proposal[:0])
