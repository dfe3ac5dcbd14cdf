"""Statistics of emitted tokens, made on the device in tensors of fixed size and place."""

import torch

from hedgespec.live.evaluated import no_statistics, reduce_together, statistic_names
from hedgespec.live.plan import RoundPlan
from hedgespec.live.static_drafters import StaticText
from hedgespec.models.acceptance import emitted_log_p
from hedgespec.models.compiling import compile_shapes
from hedgespec.models.distributions import Sampling, probabilities
from hedgespec.rules import Rule

# The target's distributions at the last tokens, for evaluation; more than ever wait for it.
KEPT = 256


class TokenStatistics:
    """Tables of the statistics of emitted tokens under drafters.

    `tables[n, N]` (1+S, n, N) holds those of n tokens under N drafters, log p first.
    """

    def __init__(self, text: StaticText, plan: RoundPlan, vocabulary: int, compiled: int = 0):
        """Of tokens of `text`; of at most `compiled` at once torch.compile makes the kernels."""
        device = text.tokens.device
        self._compiled = compiled
        self._short = compile_shapes(_reduced) if compiled else _reduced
        self._text, self._plan = text, plan
        self._p = torch.zeros(KEPT, vocabulary, device=device)
        self._steps = torch.arange(max(KEPT, plan.draft_length + 1), device=device)
        self.tables: dict[tuple[int, int], torch.Tensor] = {}

    def note(self, places: torch.Tensor, p: torch.Tensor) -> None:
        """Keep the distributions p (n, V) of the tokens at some places (n)."""
        self._p.index_copy_(0, places % KEPT, p)

    def reduce(
        self,
        begin: torch.Tensor,
        first: torch.Tensor,
        logits: torch.Tensor,
        known: torch.Tensor | None,
    ) -> torch.Tensor:
        """Statistics (S, M, n) of n tokens from `begin` (1) on.

        `first` (M, v) are the logits of the first of them, `logits` (M, n, v) of those that follow,
        of the tokens that are `known` (see models/known_tokens.py), or of all.
        """
        return self.reduce_own(begin, torch.cat([first[:, None], logits[:, :-1]], dim=1), known)

    def reduce_own(
        self, begin: torch.Tensor, logits: torch.Tensor, known: torch.Tensor | None
    ) -> torch.Tensor:
        """Statistics (S, M, n) of n tokens from `begin` (1) on, whose own logits are (M, n, v)."""
        tokens, p = self._emitted(begin, logits.shape[1])
        short = logits.shape[1] <= self._compiled and not self._plan.rule.recorded
        return (self._short if short else _reduced)(
            self._plan.rule, self._plan.sampling, p, logits, tokens, known
        )

    def reduce_listed(
        self, begin: torch.Tensor, q: torch.Tensor, known: torch.Tensor
    ) -> torch.Tensor:
        """Statistics (S, M, n) of n tokens from `begin` (1) on, from q at known tokens (M, n, v)."""
        tokens, p = self._emitted(begin, q.shape[1])
        return reduce_together(self._plan.rule, p, q, tokens, known)

    def without(self, members: int, count: int) -> torch.Tensor:
        """Room for statistics (S, M, n) that are put into a table later."""
        return self._p.new_zeros(len(statistic_names(self._plan.rule)), members, count)

    def put(self, members: torch.Tensor, of: int, found: torch.Tensor) -> None:
        """Put statistics (S, M, n) of some members (M) into the table of so many."""
        table = self.tables[found.shape[2], of]
        table[1:].index_copy_(2, members, found.transpose(1, 2))

    def tabulate(self, begin: torch.Tensor, found: torch.Tensor) -> None:
        """Put statistics (S, N, n), and log p of the tokens, into a table."""
        _, members, count = found.shape
        log_p = emitted_log_p(*reversed(self._emitted(begin, count)))
        table = torch.cat([log_p.expand(1, members, -1), found]).transpose(1, 2)
        if (count, members) not in self.tables:
            self.tables[count, members] = table.new_empty(table.shape)
        self.tables[count, members].copy_(table)

    def nothing(self, begin: torch.Tensor, count: int) -> torch.Tensor:
        """The table (1+S, n, 1) of `count` tokens under a drafter that proposes nothing."""
        log_p = emitted_log_p(*reversed(self._emitted(begin, count)))
        none = no_statistics(self._plan.rule, count).to(log_p.device)
        return torch.cat([log_p[None, :, None], none])

    def _emitted(self, begin: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Tokens (n) from `begin` (1) on and the target's distributions (n, V) there."""
        places = begin + self._steps[:count]
        return self._text.tokens.index_select(0, places), self._p.index_select(0, places % KEPT)


def _reduced(
    rule: Rule,
    sampling: Sampling,
    p: torch.Tensor,
    logits: torch.Tensor,
    tokens: torch.Tensor,
    known: torch.Tensor | None,
) -> torch.Tensor:
    """Statistics (S, M, n) of p (n, V) and logits (M, n, v) at tokens (n)."""
    q = probabilities(logits.flatten(0, 1), sampling).view_as(logits)
    return reduce_together(rule, p, q, tokens, known)
