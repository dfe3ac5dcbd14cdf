"""Beam search with a recurrent head, for many rounds at once."""

import torch

from hedgespec.models.heads.eagle.head import target_tokens
from hedgespec.models.heads.recurrent.network import RecurrentHead
from hedgespec.models.trees.growth import best_log_probabilities


class BeamSearch:
    """n searches side by side, each following one continuation of its text.

    After d steps `tokens` (n, B) are the d-th tokens of the beams, best first: the `width` token
    sequences of length d of greatest probability among those that extend a beam of length d-1.
    """

    def __init__(
        self, head: RecurrentHead, width: int, contexts: torch.Tensor, tokens: torch.Tensor
    ):
        """No step yet: `contexts` (n, H) and the last verified `tokens` (n)."""
        self._head, self._width = head, width
        self._contexts = contexts[:, None]
        self._known = target_tokens(head.d2t)
        self._scores = contexts.new_zeros(len(tokens), 1, dtype=torch.float32)
        self._states = torch.zeros_like(self._contexts)
        self.tokens = tokens[:, None]
        # Which beams (n, B) end in the continuation that is followed, and which extended it last.
        self._followed = torch.ones_like(self.tokens, dtype=torch.bool)
        self._extend = self._followed

    def step(self) -> None:
        """All beams grow by a token, and the best remain."""
        head, count = self._head, len(self.tokens)
        states = head.advance(self._states, head.embed(self.tokens))
        logits = head.draft_logits(head.output(self._contexts.expand_as(states), states))
        best, index = best_log_probabilities(logits, self._width)
        scores = (self._scores[:, :, None] + best).view(count, -1)
        kept = scores.topk(min(self._width, scores.shape[1]))
        parents = kept.indices // index.shape[-1]
        self.tokens = self._known[index.view(count, -1).gather(1, kept.indices)]
        self._scores = kept.values
        self._states = states.gather(1, parents[:, :, None].expand(-1, -1, states.shape[-1]))
        self._extend = self._followed.gather(1, parents)

    def follow(self, tokens: torch.Tensor) -> None:
        """The continuation goes on with `tokens` (n); no beam may hold it any longer."""
        self._followed = self._extend & (self.tokens == tokens[:, None])

    def holds(self, tokens: torch.Tensor) -> torch.Tensor:
        """Whether (n) a beam is the continuation followed so far and then `tokens` (n)."""
        return (self._extend & (self.tokens == tokens[:, None])).any(1)

    def proposals(self) -> torch.Tensor:
        """Last token (n) of the best beam that extends the continuation, -1 where none does."""
        first = self._extend.long().argmax(1, keepdim=True)
        return torch.where(self._extend.any(1), self.tokens.gather(1, first)[:, 0], -1)

    def keep_last(self) -> None:
        """Go on with the last of the searches alone."""
        (self._contexts, self._scores, self._states, self.tokens, self._followed, self._extend) = (
            tensor[-1:]
            for tensor in (
                self._contexts,
                self._scores,
                self._states,
                self.tokens,
                self._followed,
                self._extend,
            )
        )
