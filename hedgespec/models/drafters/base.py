"""What a drafter must offer to be recorded."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch

from hedgespec.files import without_folders
from hedgespec.models.cached import CachedModel
from hedgespec.models.drafters.session import DraftSession, ModelSession
from hedgespec.models.target import LanguageModel
from hedgespec.models.trees.growth import Growth
from hedgespec.models.trees.language_model import ModelGrowth
from hedgespec.traces import DrafterInfo


@dataclass(frozen=True)
class ScoringBatch:
    """Sequences scored together by teacher forcing.

    `ids` and `mask` (B, L) hold prompt and answer, padded on the right. `rows` (M) are the flat
    indices into B*L whose next token is an answer token, sequence by sequence. `prompts` and
    `answers` are the same as lists. `states[l]` (B, L, H) are the target's hidden states of layer l
    (see LanguageModel.hidden_states).
    """

    ids: torch.Tensor
    mask: torch.Tensor
    rows: torch.Tensor
    prompts: list[list[int]]
    answers: list[list[int]]
    states: dict[int, torch.Tensor]

    def at_rows(self, state: torch.Tensor) -> torch.Tensor:
        """Entries (M, H) of a state (B, L, H) at `rows`."""
        return state.flatten(0, 1)[self.rows]


class Drafter(ABC):
    """A drafter. A prefix-only one (`depths` = 1) depends on the tokens so far and nothing else.

    `statistics` are those of OPTIONAL_STATISTICS that `text_statistics` gives: "drafted" of all
    whose drafts may hold fewer tokens than asked. `greedy_only` says why it works at temperature 0
    only, "" if it works at all. `from_states` says that the target's states of `target_layers` are
    all that its logits are made of.
    """

    kind: ClassVar[str]
    usage: ClassVar[str]
    greedy_only: ClassVar[str] = ""
    statistics: ClassVar[tuple[str, ...]] = ()
    from_states: ClassVar[bool] = False
    weights_sha256: str | None = None
    target_layers: tuple[int, ...] = ()
    depths: int = 1
    context_length: int | None = None

    def __init__(self, name: str, identity: str):
        """`name` labels the trace's columns; `identity` is the specification it was made from."""
        self.name = name
        self.identity = identity

    @classmethod
    def check_argument(cls, identity: str, argument: str, layers: int | None) -> None:
        """Raise HedgespecError for an argument that cannot be right, before anything is loaded.

        `identity` is the specification; `layers` are those of the target, None if not known yet.
        """
        return

    def info(self) -> DrafterInfo:
        """Its entry in the manifest."""
        return DrafterInfo(
            self.name,
            self.kind,
            without_folders(self.identity),
            self.weights_sha256,
            self.depths,
            self.statistics,
        )

    def text_statistics(
        self, prompts: list[list[int]], answers: list[list[int]]
    ) -> dict[str, np.ndarray]:
        """The optional statistics (M) named in `statistics` of drafts that start at the answers'
        tokens, text by text."""
        return {}

    def make_ready(self, trees: bool = False) -> None:  # noqa: B027
        """Do what a first call would wait for else, `trees` of draft trees too: what it takes is no
        part of a round."""

    @abstractmethod
    def prepare(self, batch: ScoringBatch) -> Any:
        """Whatever `logits` needs of a batch, computed once."""

    @abstractmethod
    def logits(self, prepared: Any, depth: int, rows: slice) -> torch.Tensor:
        """Logits (n, V), float32, at a draft depth (from 1) for a slice of the batch's M rows.

        A row without any proposal is -inf throughout.
        """

    @abstractmethod
    def session(self) -> DraftSession:
        """Start drafting one text step by step; the logits are those of `logits`."""

    def session_beside(self, reading: CachedModel) -> DraftSession:
        """`session` of a text that the target reads in `reading`.

        Whenever a round begins, it has read all verified tokens but the last, or more of them.
        """
        return self.session()

    def logits_of_states(self, states: dict[int, torch.Tensor]) -> torch.Tensor:
        """Logits (n, V) of what follows n tokens, from the target's `states` (n, H) of these.

        Only where `from_states` says that they are enough.
        """
        raise NotImplementedError

    def growth(self, batch: ScoringBatch) -> Growth | None:
        """How its draft trees grow on a batch; None if it drafts no trees.

        Raises HedgespecError if its model cannot.
        """
        return None


class ModelDrafter(Drafter):
    """A drafter that reads the text itself."""

    @property
    @abstractmethod
    def reader(self) -> tuple[LanguageModel, Any]:
        """The model, and the part of its network that reads (None: the whole one).

        Raises HedgespecError if the model's architecture cannot be cut so.
        """

    @abstractmethod
    def final_logits(self, final: torch.Tensor) -> torch.Tensor:
        """Logits (n, V) from the final states (n, H) of what reads."""

    def session(self) -> ModelSession:
        """What reads, with a key/value cache."""
        return ModelSession(CachedModel(*self.reader), self.final_logits)

    def growth(self, batch: ScoringBatch) -> ModelGrowth:
        """Nodes are read behind the text."""
        return ModelGrowth.of_texts(*self.reader, self.final_logits, batch.ids)
