"""What a drafter must offer to be recorded."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from hedgespec.traces import DrafterInfo


@dataclass(frozen=True)
class ScoringBatch:
    """Sequences scored together by teacher forcing.

    `ids` and `mask` (B, L) hold prompt and answer, padded on the right. `rows` (M) are the flat
    indices into B*L whose next token is an answer token, sequence by sequence. `prompts` and
    `answers` are the same as lists. `states[l]` (M, H) are the target's normed hidden states of
    layer l at `rows`.
    """

    ids: torch.Tensor
    mask: torch.Tensor
    rows: torch.Tensor
    prompts: list[list[int]]
    answers: list[list[int]]
    states: dict[int, torch.Tensor]


class Drafter(ABC):
    """A prefix-only drafter: its distribution depends on the tokens so far and nothing else."""

    kind: ClassVar[str]
    usage: ClassVar[str]
    weights_sha256: str | None = None
    target_layers: tuple[int, ...] = ()

    def __init__(self, name: str, identity: str):
        """`name` labels the trace's columns; `identity` is the specification it was made from."""
        self.name = name
        self.identity = identity

    def info(self) -> DrafterInfo:
        """Its entry in the manifest."""
        return DrafterInfo(self.name, self.kind, self.identity, self.weights_sha256)

    @abstractmethod
    def prepare(self, batch: ScoringBatch) -> Any:
        """Whatever `logits` needs of a batch, computed once."""

    @abstractmethod
    def logits(self, prepared: Any, rows: slice) -> torch.Tensor:
        """Logits (n, V), float32, for a slice of the batch's M rows.

        A row without any proposal is -inf throughout.
        """
