"""What the device does in a round, on tensors of fixed size and place.

Nothing here waits for the device, so that each method can be captured as a CUDA graph: what varies
from round to round stands in tensors.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from hedgespec.live.evaluated import emitted_log_p, reduce_for
from hedgespec.live.static_drafters import Group, StaticText, make_groups
from hedgespec.models.distributions import Sampling, probabilities
from hedgespec.models.drafters.base import Drafter
from hedgespec.models.fixed_tensors import StaticModel
from hedgespec.models.target import LanguageModel
from hedgespec.rules import Rule

# The target's distributions at the last tokens, for evaluation; more than ever wait for it.
_KEPT = 256


class DrafterFailureError(Exception):
    """The work of some drafters raised."""

    def __init__(self, arms: list[int], error: Exception):
        said = str(error).strip().splitlines()
        self.arms = arms
        self.reason = f"{type(error).__name__}: {said[0]}" if said else type(error).__name__
        super().__init__(self.reason)


class _Standing:
    """Drafters that have read the text up to some token.

    `first` (N, V) are the logits of the draft token that follows, `features` of each group what
    drafting goes on from. `slots[arm]` is its row in `first`: groups are rows side by side.
    """

    def __init__(
        self, drafters: list[Drafter], room: int, target: LanguageModel, compiled: int = 0
    ):
        self.groups: list[tuple[Group, slice]] = []
        arms: list[int] = []
        for group in make_groups(drafters, room, compiled):
            begin = len(arms)
            arms += [drafters.index(drafter) for drafter in group.drafters]
            self.groups.append((group, slice(begin, len(arms))))
        self.arms = arms
        self.slots = [arms.index(arm) for arm in range(len(arms))]
        self.order = torch.tensor(self.slots, device=target.device, dtype=torch.long)
        self.first = torch.full(
            (len(arms), target.vocabulary_size), -torch.inf, device=target.device)
        self.features = [torch.zeros(len(group.drafters), 1, group.width, dtype=group.dtype,
                                     device=target.device) for group, _ in self.groups]

    def of(self, arm: int) -> tuple[int, int]:
        """Number of a drafter's group, and of the drafter in it."""
        slot = self.slots[arm]
        for number, (_, rows) in enumerate(self.groups):
            if rows.start <= slot < rows.stop:
                return number, slot - rows.start
        raise IndexError(arm)

    def settle(
        self, number: int, features: torch.Tensor, logits: torch.Tensor, member: int | None = None
    ) -> None:
        """Drafting goes on from features (M, 1, H) and logits (M, V) of a group or one of it."""
        first = self.first[self.rows(number, member)]
        kept = self.features[number]
        if member is not None:
            kept = kept[member : member + 1]
        kept.copy_(features)
        first.copy_(logits)

    def rows(self, number: int, member: int | None = None) -> slice:
        """Rows of a group, or of one of it."""
        rows = self.groups[number][1]
        if member is None:
            return rows
        return slice(rows.start + member, rows.start + member + 1)


class StaticRound:
    """Target and drafters with `room` for a text, and the parts of a round.

    `uniforms` (K+1, W) are read by `draft` and `verify`; `packet` holds after `verify` the number
    of accepted tokens, K+1 tokens of which the first accepted + 1 were emitted, and a flag for each
    drafter that gave NaN; `tables[n, N]` (1+S, n, N) after `evaluate` the statistics of n tokens,
    log p first, and `tables[n, 1]` after `read_on` those of one drafter.
    """

    def __init__(
        self, target: LanguageModel, drafters: list[Drafter], draft_length: int,
        sampling: Sampling, rule: Rule, room: int, apart: bool = False, compiled: bool = False,
    ):
        """`apart` gives drafting and evaluation keys and values of their own; `compiled` has
        torch.compile make the kernels of passes over a round's tokens."""
        device, few = target.device, compiled * (draft_length + 1)
        self._target, self._k, self._sampling = target, draft_length, sampling
        self._rule = rule
        self._layers = tuple(sorted(
            {layer for drafter in drafters for layer in drafter.target_layers}))
        self._model = StaticModel(target, room, compiled=few)
        size, vocabulary = target.hidden_size, target.vocabulary_size
        dtype = target.model.dtype
        self._text = StaticText(
            torch.zeros(room, dtype=torch.long, device=device),
            torch.zeros(1, dtype=torch.long, device=device),
            {layer: torch.zeros(room, size, dtype=dtype, device=device)
             for layer in self._layers})
        self._drafting = _Standing(drafters, room, target, few)
        self._evaluating = _Standing(drafters, room, target, few) if apart else self._drafting
        self._base = self._evaluating.first.clone()
        self._broken = torch.zeros(len(drafters), dtype=torch.bool, device=device)
        self._left_out: set[int] = set()
        self._q = torch.zeros(draft_length + 1, vocabulary, device=device)
        self._draft = torch.zeros(draft_length, dtype=torch.long, device=device)
        self._p = torch.zeros(_KEPT, vocabulary, device=device)
        self._steps = torch.arange(max(_KEPT, draft_length + 1), device=device)
        self._begin, self._end, self._done, self._goal = (
            torch.zeros(1, dtype=torch.long, device=device) for _ in range(4))
        self.uniforms = torch.zeros(draft_length + 1, rule.width(vocabulary), dtype=torch.float64,
                                    device=device)
        self.packet = torch.zeros(
            draft_length + 2 + len(drafters), dtype=torch.long, device=device)
        self.tables: dict[tuple[int, int], torch.Tensor] = {}

    def begin(self, prompt: list[int], left_out: list[int]) -> None:
        """Start a text: everybody reads the prompt, the target all but its last token."""
        text, count = self._text, len(prompt)
        text.tokens[:count].copy_(torch.tensor(prompt))
        for scalar in (text.length, self._done):
            scalar.fill_(count)
        self._broken.zero_()
        for arm in left_out:
            self.leave_out(arm)
        places = torch.arange(count, device=text.tokens.device)
        if count > 1:
            _, states = self._model.read(text.tokens[: count - 1], places[:-1], self._layers)
            for layer, state in states.items():
                text.states[layer][: count - 1].copy_(state)
        for standing in {id(one): one for one in (self._drafting, self._evaluating)}.values():
            standing.first.fill_(-torch.inf)
            for number, (group, rows) in enumerate(standing.groups):
                start = group.first_token
                if count > start and not self._left_out.issuperset(standing.arms[rows]):
                    with _failing(standing, number):
                        features = group.read(text, places[start : start + 1], count - start)
                        logits = self._logits(standing, number, features[:, -1:])
                    standing.settle(number, features[:, -1:], logits[:, 0])
        self._base.copy_(self._evaluating.first)

    def rewind(self, length: int) -> None:
        """Back to the text's first `length` tokens, all of them read by everybody."""
        for scalar in (self._text.length, self._done):
            scalar.fill_(length)
        self._goal.fill_(length + self._k + 1)

    def leave_out(self, arm: int) -> None:
        """From now on the drafter proposes nothing."""
        self._left_out.add(arm)
        for standing in (self._drafting, self._evaluating):
            self._broken[standing.slots[arm]] = True
            standing.first[standing.slots[arm]] = -torch.inf
        self._base[self._evaluating.slots[arm]] = -torch.inf

    def place(self, begin: int, end: int) -> None:
        """What `read_on` reads next: tokens from `begin` on, none beyond `end`."""
        self._begin.fill_(begin)
        self._end.fill_(end)

    def aim(self, end: int | None = None) -> None:
        """Where `evaluate` stops: at a token, by default at the text's end as the device knows."""
        if end is None:
            self._goal.copy_(self._text.length)
        else:
            self._goal.fill_(end)

    def draft(self, arm: int) -> None:
        """Draft K tokens, and keep the distributions they are from."""
        standing = self._drafting
        number, member = standing.of(arm)
        group = standing.groups[number][0]
        with _failing(standing, number, member):
            feature = standing.features[number][member : member + 1]
            logits, token = standing.first[standing.rows(number, member)], self._draft[:1]
            for step in range(self._k):
                if step:
                    feature = group.step(member, self._text, step, token, feature)
                    logits = self._logits(standing, number, feature, member)[0]
                row = probabilities(logits, self._sampling)
                # Of a row of zeros, no proposal, it is some token that will be rejected.
                token = self._rule.draft(row, self.uniforms[step : step + 1])[:, 0]
                self._q[step].copy_(row[0])
                self._draft[step : step + 1].copy_(token)

    def draft_nothing(self) -> None:
        """Propose no token."""
        self._q.zero_()

    def verify(self) -> None:
        """The target reads the draft, accepts part of it and adds a token; the text grows."""
        text, k = self._text, self._k
        steps = self._steps[: k + 1]
        last = text.length - 1
        final, states = self._model.read(
            torch.cat([text.tokens.index_select(0, last), self._draft]), last + steps,
            self._layers)
        for layer, state in states.items():
            text.states[layer].index_copy_(0, last + steps, state)
        p = probabilities(self._target.logits(final), self._sampling)
        accepted, following = self._rule.verify(
            p[None], self._q[None], self._draft[None], self.uniforms[None])
        emitted = torch.cat([self._draft, following]).scatter(0, accepted, following)
        places = text.length + steps
        text.tokens.index_copy_(0, places, emitted)
        self._p.index_copy_(0, places % _KEPT, p)
        text.length.add_(accepted + 1)
        broken = self._broken.index_select(0, self._drafting.order).long()
        self.packet.copy_(torch.cat([accepted, emitted, broken]))

    def read_on(self, arm: int, count: int, statistics: bool) -> None:
        """One drafter reads the next tokens, at most `count` and none beyond the end.

        With `statistics`, of these tokens under it.
        """
        standing, begin = self._drafting, self._begin
        number, member = standing.of(arm)
        kept = (self._end - begin).clamp(1, count) - 1
        with _failing(standing, number, member):
            features = standing.groups[number][0].read(self._text, begin, count, member)
            if statistics:
                logits = self._logits(standing, number, features, member)
                first = standing.first[standing.rows(number, member)]
                self._tabulate(begin, self._reduce(begin, first, logits))
            features = features.index_select(1, kept)
            logits = self._logits(standing, number, features, member)
        standing.settle(number, features, logits[:, 0], member)

    def evaluate(self, count: int) -> None:
        """All drafters read the next `count` tokens, of which those up to the goal are kept.

        Where drafting goes on from the same keys and values, it does so from there.
        """
        standing, begin = self._evaluating, self._done
        found = (self._goal - begin).clamp(1, count)
        tables = []
        for number, (group, rows) in enumerate(standing.groups):
            if self._left_out.issuperset(standing.arms[rows]):
                logits = self._base[rows][:, None].expand(-1, count, -1)
            else:
                with _failing(standing, number):
                    features = group.read(self._text, begin, count)
                    logits = self._logits(standing, number, features)
                standing.settle(number, features.index_select(1, found - 1),
                                logits.index_select(1, found - 1)[:, 0])
            tables.append(self._reduce(begin, self._base[rows], logits))
            self._base[rows].copy_(logits.index_select(1, found - 1)[:, 0])
        self._tabulate(begin, torch.cat(tables, dim=1).index_select(1, standing.order))
        begin.add_(found)

    def _logits(
        self, standing: _Standing, number: int, features: torch.Tensor, member: int | None = None
    ) -> torch.Tensor:
        """Logits (M, n, V) of a group or one of it; -inf of who gives NaN, and from then on."""
        logits = standing.groups[number][0].logits(features, member)
        broken = self._broken[standing.rows(number, member)]
        broken.logical_or_(logits.isnan().flatten(1).any(dim=1))
        return logits.masked_fill(broken[:, None, None], -torch.inf)

    def _reduce(
        self, begin: torch.Tensor, first: torch.Tensor, logits: torch.Tensor
    ) -> torch.Tensor:
        """Statistics (S, M, n) of n tokens from `begin` (1) on.

        `first` (M, V) are the logits of the first of them, `logits` (M, n, V) of those that follow.
        """
        members, count, _ = logits.shape
        tokens, p = self._emitted(begin, count)
        shifted = torch.cat([first[:, None], logits[:, :-1]], dim=1).flatten(0, 1)
        found = reduce_for(self._rule, p.repeat(members, 1),
                           probabilities(shifted, self._sampling), tokens.repeat(members))
        return found.view(-1, members, count)

    def _tabulate(self, begin: torch.Tensor, found: torch.Tensor) -> None:
        """Put statistics (S, N, n), and log p of the tokens, into a table."""
        _, members, count = found.shape
        log_p = emitted_log_p(*reversed(self._emitted(begin, count)))
        table = torch.cat([log_p.expand(1, members, -1), found]).transpose(1, 2)
        if (count, members) not in self.tables:
            self.tables[count, members] = table.new_empty(table.shape)
        self.tables[count, members].copy_(table)

    def _emitted(self, begin: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Tokens (n) from `begin` (1) on and the target's distributions (n, V) there."""
        places = begin + self._steps[:count]
        return self._text.tokens.index_select(0, places), self._p.index_select(0, places % _KEPT)


@contextmanager
def _failing(standing: _Standing, number: int, member: int | None = None) -> Iterator[None]:
    """Whatever is raised is the failure of a group, or of one of it."""
    try:
        yield
    except Exception as error:
        raise DrafterFailureError(standing.arms[standing.rows(number, member)], error) from error
