"""Recurrent drafting with beam search (ReDrafter, 2403.09919), at temperature 0 only.

The published rule for sampled text keeps the longest accepted prefix over the beams, which favours
beams that agree with the target: the text is no longer distributed as the target's. Greedy
verification has no such choice: the target's text is one, and some beam holds more of it or less.

What is verified is every beam that the search held at any depth, merged into a tree: at most B
nodes at each depth. So whether a text is accepted up to depth d does not depend on the draft
length. The released code verifies the beams of the last depth only, a part of this tree.
"""

import copy
from pathlib import Path

import torch

from hedgespec.errors import HedgespecError
from hedgespec.models.drafters.base import Drafter, ScoringBatch
from hedgespec.models.drafters.eagle import (
    DEPTHS,
    check_fit,
    check_head_folder,
    check_known_tokens,
)
from hedgespec.models.drafters.session import DraftSession
from hedgespec.models.heads.recurrent import BeamSearch, RecurrentHead, load_redrafter
from hedgespec.models.target import LanguageModel, parameters_sha256
from hedgespec.models.trees.heads import RecurrentGrowth

WIDTH = 4
_CHUNK = {"cpu": 256, "cuda": 4096}


class Redrafter(Drafter):
    """A recurrent head, recorded at draft depths 1 to 8.

    Its logits are 0 at the token it proposes and -inf elsewhere. Scored on a text, it proposes at
    depth d the text's own token if a beam of length d is the text since the round's start; else
    the token of the best beam that has the text before it, if there is one.
    """

    kind = "redrafter"
    usage = "redrafter:FOLDER[,B] a recurrent head, B (default 4) beams; temperature 0 only"
    depths = DEPTHS
    greedy_only = "the published rule for several beams does not keep the target's distribution"

    def __init__(self, name: str, identity: str, target: LanguageModel, argument: str):
        """`argument` is the head's folder and, behind a comma, the width of the beam search.

        Raises HedgespecError if the head does not fit the target.
        """
        self.check_argument(identity, argument, None)
        folder, self.width = _parsed(argument)
        super().__init__(name or folder.name.lower(), identity)
        self.head = load_redrafter(folder, target.model.dtype).to(target.device)
        config = self.head.config
        check_fit(identity, target, config.vocabulary_size, config.hidden_size)
        check_known_tokens(identity, target, self.head.d2t)
        self.head.attach(target.model.get_input_embeddings(), target.logits)
        self._vocabulary = target.vocabulary_size
        self.target_layers = (target.layers,)
        self.weights_sha256 = parameters_sha256(self.head.state_dict())
        self._chunk = _CHUNK.get(target.device.type, _CHUNK["cuda"])

    @classmethod
    def check_argument(cls, identity: str, argument: str, layers: int | None) -> None:
        """A folder that is there, and a width."""
        folder, width = _parsed(argument)
        if width < 1:
            raise HedgespecError(f"drafter {identity}: the beam search needs a width of at least 1")
        check_head_folder(identity, argument and str(folder))

    def prepare(self, batch: ScoringBatch) -> torch.Tensor:
        """Proposed tokens (M, D) at the batch's rows and each depth, -1 where there is none."""
        features = batch.states[self.target_layers[0]].flatten(0, 1)
        by_start = torch.cat(
            [self._proposals(batch, features, rows) for rows in batch.rows.split(self._chunk)]
        )
        # At depth d a row belongs to the round that started d-1 rows before, in the same text.
        count = len(batch.rows)
        proposals = torch.full_like(by_start, -1)
        for depth in range(min(self.depths, count)):
            started = batch.rows[: count - depth]
            same = started == batch.rows[depth:] - depth
            proposals[depth:, depth] = torch.where(same, by_start[: count - depth, depth], -1)
        return proposals

    def _proposals(
        self, batch: ScoringBatch, features: torch.Tensor, rows: torch.Tensor
    ) -> torch.Tensor:
        """Proposals (n, D) of the rounds that start at some rows."""
        ids, width = batch.ids.flatten(), batch.ids.shape[1]
        search = BeamSearch(self.head, self.width, features[(rows - 1).clamp(min=0)], ids[rows])
        proposals = []
        for depth in range(1, self.depths + 1):
            text = ids[(rows + depth).clamp(max=len(ids) - 1)]
            search.step()
            proposals.append(torch.where(search.holds(text), text, search.proposals()))
            search.follow(text)
        absent = rows % width == 0  # the text's first token: there is no state before it
        return torch.stack(proposals, dim=1).masked_fill(absent[:, None], -1)

    def logits(self, prepared: torch.Tensor, depth: int, rows: slice) -> torch.Tensor:
        """0 at the proposed tokens."""
        return self.one_hot(prepared[rows, depth - 1])

    def one_hot(self, tokens: torch.Tensor) -> torch.Tensor:
        """Logits (n, V) of proposed tokens (n), -1 being none."""
        logits = torch.full((len(tokens), self._vocabulary), -torch.inf, device=tokens.device)
        values = torch.where(tokens < 0, -torch.inf, 0.0)
        return logits.scatter_(1, tokens.clamp(min=0)[:, None], values[:, None])

    def growth(self, batch: ScoringBatch) -> RecurrentGrowth:
        """Trees of any shape, not only those of the beam search."""
        return RecurrentGrowth(self.head, batch.ids, batch.states[self.target_layers[0]])

    def session(self) -> "_RedrafterSession":
        """A beam search in each round."""
        return _RedrafterSession(self, self.head)


def _parsed(argument: str) -> tuple[Path, int]:
    """The folder and the width of FOLDER[,B]."""
    path, comma, width = argument.rpartition(",")
    own = bool(comma) and width.isdecimal()
    return Path(path if own else argument), int(width) if own else WIDTH


class _RedrafterSession(DraftSession):
    """Follows the drafted tokens through the search: a chain, the best beam as long as it lasts."""

    def __init__(self, drafter: Redrafter, head: RecurrentHead):
        super().__init__()
        self._drafter, self._head = drafter, head
        self._layer = drafter.target_layers[0]
        self._search: BeamSearch | None = None
        self._tokens = head.d2t.new_empty(0)
        self._features = head.lm_head.weight.new_empty(0, head.config.hidden_size)
        self._none = torch.full((1,), -1, device=head.d2t.device)

    def step(self, token: int | torch.Tensor) -> torch.Tensor:
        """One step of the search."""
        if self._search is None:
            return self._drafter.one_hot(self._none)[0]
        self._search.follow(torch.as_tensor(token, device=self._none.device).reshape(1))
        self._search.step()
        return self._drafter.one_hot(self._search.proposals())[0]

    def fork(self) -> "_RedrafterSession":
        """The search goes on by itself."""
        other = copy.copy(self)
        other._search = copy.copy(self._search)  # a step makes new tensors, it changes none
        return other

    def growth(self) -> RecurrentGrowth:
        """From the tokens and states of the text."""
        return RecurrentGrowth(self._head, self._tokens[None], self._features[None])

    def _extend(
        self, tokens: torch.Tensor, states: dict[int, torch.Tensor], rows: int
    ) -> torch.Tensor:
        following = tokens if self.verified else tokens[1:]
        places = min(rows, len(following))
        self._tokens = torch.cat([self._tokens, tokens])
        # The text's first token alone has no state before it.
        proposals = self._none.expand(rows - places)
        if places:
            self._features = torch.cat([self._features, states[self._layer]])
            search = BeamSearch(
                self._head, self._drafter.width, states[self._layer][-places:], following[-places:]
            )
            search.step()
            proposals = torch.cat([proposals, search.proposals()])
            search.keep_last()
            self._search = search
        return self._drafter.one_hot(proposals)

    def _cut(self, length: int) -> None:
        self._search = None
        self._tokens = self._tokens[:length]
        self._features = self._features[: max(length - 1, 0)]
