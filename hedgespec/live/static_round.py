"""What the device does in a round, on tensors of fixed size and place.

Nothing here waits for the device, so that each method can be captured as a CUDA graph: what varies
from round to round stands in tensors.
"""

from collections.abc import Callable, Hashable
from typing import Any

import torch

from hedgespec.live.plan import RoundPlan
from hedgespec.live.standing import Members, Standing
from hedgespec.live.static_drafters import StaticText
from hedgespec.live.static_lookup import Packed
from hedgespec.live.static_statistics import TokenStatistics
from hedgespec.live.watch import Watch
from hedgespec.models.compiling import compile_shapes
from hedgespec.models.distributions import Sampling, cuts_off, probabilities
from hedgespec.models.drafters.base import Drafter
from hedgespec.models.fixed_tensors import StaticModel
from hedgespec.models.known_tokens import draw_draft, spread
from hedgespec.models.logits import are_faulty, check_shape, contained
from hedgespec.models.target import LanguageModel

_Work = Callable[..., Any]
MANY = 32  # tokens read at once by drafters that are far behind
_ROOM = 512  # a text's room is a multiple of it


def room_for(tokens: int) -> int:
    """The room of a text of so many tokens."""
    return -(-tokens // _ROOM) * _ROOM


class StaticRound:
    """Target and drafters with `room` for a text, and the parts of a round.

    `uniforms` (K+1, W) are read by `draft` and `verify`, of which k+1 rows in a round that drafts k
    tokens, K at most. `packets[k]` holds after `verify` of such a round the number of accepted
    tokens, k+1 tokens of which the first accepted + 1 were emitted, the faults (k+1) of the
    target's logits (see `contained`), and a flag for each drafter whose logits broke their
    contract; `tables[n, N]` (1+S, n, N) after `evaluate` the statistics of n tokens, log p first,
    and `tables[n, 1]` after `read_on` those of one drafter.
    """

    def __init__(
        self,
        target: LanguageModel,
        drafters: list[Drafter],
        plan: RoundPlan,
        room: int,
        watch: Watch,
        apart: bool = False,
        compiled: bool = False,
        any_shape: bool = False,
    ):
        """`watch` looks at the drafters' calls. `apart` gives drafting and evaluation keys and
        values of their own; `compiled` has torch.compile make the kernels of passes over a round's
        tokens, the target's with `any_shape` as in StaticModel."""
        device, few = target.device, compiled * (plan.draft_length + 1)
        self._target, self._plan, self._k = target, plan, plan.draft_length
        self._layers = tuple(
            sorted({layer for drafter in drafters for layer in drafter.target_layers})
        )
        self._model = StaticModel(target, room, compiled=few, any_shape=any_shape)
        self._text = StaticText.empty(target, self._layers, room)
        fused = compiled and not cuts_off(plan.sampling)
        self._statistics = TokenStatistics(
            self._text, plan, target.vocabulary_size, fused * (self._k + 1)
        )
        self.tables = self._statistics.tables
        # Where drafting goes on and where evaluation does: one place, unless they run apart.
        self._drafting = Standing(drafters, room, target, self._model, watch, few)
        self._evaluating = (
            Standing(drafters, room, target, self._model, watch, few) if apart else self._drafting
        )
        self._standings = [self._drafting, self._evaluating][: 1 + apart]
        # The drafters on the host, and what came from there, by what for and shape.
        self._on_host = torch.tensor(self._drafting.on_host, dtype=torch.long, device=device)
        self._listed: dict[Hashable, Packed] = {}
        # Logits of the first token that is evaluated next, of each group.
        self._base = [group.first.clone() for group in self._evaluating.groups]
        self._broken = torch.zeros(len(drafters), dtype=torch.bool, device=device)
        self._left_out: set[int] = set()
        short: Callable[[_Work], _Work] = compile_shapes if fused else (lambda work: work)
        self._law, self._target_law = short(probabilities), short(_law_of_target)
        self._without_broken = short(_without_broken)
        self._q = torch.zeros(self._k + 1, target.vocabulary_size, device=device)
        self._draft = torch.zeros(self._k, dtype=torch.long, device=device)
        self._steps = torch.arange(self._k + 1, device=device)
        self._all = torch.arange(room, device=device)
        # What `read_on` reads next, what `evaluate` has read, and where it stops.
        self._begin, self._end, self._done, self._goal = (
            torch.zeros(1, dtype=torch.long, device=device) for _ in range(4)
        )
        self.uniforms = torch.zeros(
            self._k + 1, plan.rule.width(target.vocabulary_size), dtype=torch.float64, device=device
        )
        packet = torch.zeros(2 * self._k + 3 + len(drafters), dtype=torch.long, device=device)
        self.packets = [packet[: 2 * k + 3 + len(drafters)] for k in range(self._k + 1)]

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
        for standing in self._standings:
            for group in standing.groups:
                group.first.fill_(-torch.inf)
                self._read_prompt(group, places)
        for base, group in zip(self._base, self._evaluating.groups, strict=True):
            base.copy_(group.first)

    def _read_prompt(self, group: Members, places: torch.Tensor) -> None:
        """A group reads the prompt's tokens, which are at `places` (n)."""
        start, count = group.group.first_token, len(places)
        if count <= start or group.from_states or self._left_out.issuperset(group.arms):
            return
        with group.failing():
            features = group.read(self._text, places[start : start + 1], count - start)
            logits = self._logits(group, features[:, -1:])
        group.settle(features[:, -1:], logits[:, 0])

    def rewind(self, length: int) -> None:
        """Back to the text's first `length` tokens, all of them read by everybody."""
        for scalar in (self._text.length, self._done):
            scalar.fill_(length)
        self._goal.fill_(length + self._k + 1)

    def leave_out(self, arm: int) -> None:
        """From now on the drafter proposes nothing."""
        self._left_out.add(arm)
        self._broken[self._drafting.slots[arm]] = True
        if arm in self._drafting.on_host:
            return
        for standing in self._standings:
            standing.one(arm).first.fill_(-torch.inf)
        for base, group in zip(self._base, self._evaluating.groups, strict=True):
            if arm in group.arms:
                base[group.arms.index(arm)] = -torch.inf

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

    def draft(self, arm: int, length: int) -> None:
        """Draft `length` tokens, and keep the distributions they are from."""
        one = self._drafting.one(arm)
        with one.failing():
            (feature, logits), token = self.draft_begin(arm), self._draft[:1]
            rows = []
            for step in range(length):
                if step:
                    feature = one.step(self._text, step, token, feature)
                    logits = self._logits(one, feature)[0]
                rows.append(self._law(logits, self._plan.sampling))
                token = draw_draft(
                    self._plan.rule,
                    rows[-1],
                    self.uniforms[step : step + 1],
                    one.known,
                    self._q.shape[1],
                )
                self._draft[step : step + 1].copy_(token)
            self._note(one, torch.cat(rows))

    def _note(self, one: Members, rows: torch.Tensor) -> None:
        """Keep the distributions (k, v) that a draft is from."""
        q, known = self._q[: len(rows)], one.known
        if known is None:
            q.copy_(rows)
        else:
            q.zero_().scatter_(1, known.expand(len(rows), -1), rows)

    def is_from_states(self, arm: int) -> bool:
        """Whether the target's states are all that a drafter's logits are made of."""
        return self._drafting.one(arm).from_states

    def draft_begin(self, arm: int) -> tuple[torch.Tensor, torch.Tensor]:
        """The feature (1, 1, H) that a draft goes on from, and its first logits (1, v)."""
        one = self._drafting.one(arm)
        if not one.from_states:
            return one.features, one.first
        feature = one.read(self._text, self._text.length - 1, 1)
        return feature, self._logits(one, feature)[0]

    def draft_nothing(self) -> None:
        """Propose no token."""
        self._q.zero_()

    def receive(self, purpose: str, listed: Packed) -> tuple[str, tuple[int, ...]]:
        """Copy here what the host made for a purpose; the name that it is found by.

        Not part of a graph: what it copies from is another tensor each time.
        """
        name = purpose, listed.shape
        if name not in self._listed:
            self._listed[name] = Packed.room(listed.shape, self._q.device)
        self._listed[name].fill(listed)
        return name

    def draft_listed(self, name: Hashable) -> None:
        """Draft what the host drafted."""
        tokens, known, q = self._listed[name].parts()
        self._draft[: len(tokens)].copy_(tokens)
        self._q[: len(tokens)].copy_(spread(q, known, self._q.shape[1])[:, 0])

    def evaluate_listed(self, name: Hashable) -> None:
        """Put the columns of the drafters on the host into the table that `evaluate` made."""
        self._statistics.put(self._on_host, len(self._broken), self._reduced(name))

    def read_listed(self, name: Hashable) -> None:
        """As `read_on` with statistics, of a drafter on the host."""
        begin = self._listed[name].parts()[0]
        self._statistics.tabulate(begin, self._reduced(name))

    def _reduced(self, name: Hashable) -> torch.Tensor:
        """Statistics (S, M, n) of what was listed from a first token on."""
        begin, known, q = self._listed[name].parts()
        return self._statistics.reduce_listed(begin, q, known)

    def verify(self, length: int) -> None:
        """The target reads the draft of `length` tokens (k), accepts part of it and adds a token;
        the text grows."""
        text, steps, draft = self._text, self._steps[: length + 1], self._draft[:length]
        if length < self._k:  # no proposal stands behind the draft
            self._q[length].zero_()
        last = text.length - 1
        final, states = self._model.read(
            torch.cat([text.tokens.index_select(0, last), draft]), last + steps, self._layers
        )
        for layer, state in states.items():
            text.states[layer].index_copy_(0, last + steps, state)
        p, faults = self._target_law(
            self._target.logits(final),
            self._plan.sampling,
            (length + 1, self._target.vocabulary_size),
        )
        accepted, following = self._plan.rule.verify(
            p[None], self._q[None, : length + 1], draft[None], self.uniforms[None, : length + 1]
        )
        emitted = torch.cat([draft, following]).scatter(0, accepted, following)
        places = text.length + steps
        text.tokens.index_copy_(0, places, emitted)
        self._statistics.note(places, p)
        text.length.add_(accepted + 1)
        broken = self._broken.index_select(0, self._drafting.order).long()
        self.packets[length].copy_(torch.cat([accepted, emitted, faults, broken]))

    def read_on(self, arm: int, count: int, statistics: bool) -> None:
        """One drafter reads the next tokens, at most `count` and none beyond the end.

        With `statistics`, of these tokens under it.
        """
        one, begin = self._drafting.one(arm), self._begin
        if one.from_states:
            if statistics:
                self._statistics.tabulate(begin, self._of_states(one, begin, count))
            return
        kept = (self._end - begin).clamp(1, count) - 1
        with one.failing():
            features = one.read(self._text, begin, count)
            if statistics:
                logits = self._logits(one, features)
                self._statistics.tabulate(
                    begin, self._statistics.reduce(begin, one.first, logits, one.known)
                )
            features = features.index_select(1, kept)
            logits = self._logits(one, features)
        one.settle(features, logits[:, 0])

    def nothing(self, count: int) -> torch.Tensor:
        """The table (1+S, n, 1) of `count` tokens that nobody read, from where `read_on` would."""
        return self._statistics.nothing(self._begin, count)

    def evaluate(self, count: int) -> None:
        """All drafters read the next `count` tokens, of which those up to the goal are kept.

        Where drafting goes on from the same keys and values, it does so from there. Those on the
        host have columns in the table, which `evaluate_listed` fills.
        """
        standing, begin = self._evaluating, self._done
        found = (self._goal - begin).clamp(1, count)
        tables = [
            self._evaluate_group(group, base, count, found)
            for group, base in zip(standing.groups, self._base, strict=True)
        ]
        tables.append(self._statistics.without(len(standing.on_host), count))
        self._statistics.tabulate(begin, torch.cat(tables, dim=1).index_select(1, standing.order))
        begin.add_(found)

    def _evaluate_group(
        self, group: Members, base: torch.Tensor, count: int, found: torch.Tensor
    ) -> torch.Tensor:
        """Statistics (S, M, n) of a group on the next tokens, the first of which has the logits
        `base` (M, v); it goes on behind `found` (1)."""
        if group.from_states:
            return self._of_states(group, self._done, count)
        if self._left_out.issuperset(group.arms):
            logits = base[:, None].expand(-1, count, -1)
        else:
            with group.failing():
                features = group.read(self._text, self._done, count)
                logits = self._logits(group, features)
            group.settle(
                features.index_select(1, found - 1), logits.index_select(1, found - 1)[:, 0]
            )
        table = self._statistics.reduce(self._done, base, logits, group.known)
        base.copy_(logits.index_select(1, found - 1)[:, 0])
        return table

    def _of_states(self, members: Members, begin: torch.Tensor, count: int) -> torch.Tensor:
        """Statistics (S, M, n) of n tokens from `begin` on, each from the state before it."""
        with members.failing():
            features = members.of_states(self._text, begin - 1 + self._all[:count])
            logits = self._logits(members, features)
        return self._statistics.reduce_own(begin, logits, members.known)

    def _logits(self, members: Members, features: torch.Tensor) -> torch.Tensor:
        """Logits (M, n, v) of features; -inf of who breaks their contract, and from then on."""
        logits = members.logits(features)
        check_shape(logits, (*features.shape[:2], members.first.shape[-1]))
        broken = self._broken[members.rows]
        contain = self._without_broken if features.shape[1] <= self._k + 1 else _without_broken
        logits, now_broken = contain(logits, broken)
        broken.copy_(now_broken)
        return logits


def _law_of_target(
    logits: torch.Tensor, sampling: Sampling, shape: tuple[int, int]
) -> tuple[torch.Tensor, torch.Tensor]:
    """p (n, V) of the target's logits, and the faults (n) of its rows; see `contained`."""
    rows, faults = contained(logits, shape)
    return probabilities(rows, sampling), faults


def _without_broken(
    logits: torch.Tensor, broken: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits (M, n, v), -inf of who is `broken` (M) or breaks their contract here, and who is now."""
    broken = broken | are_faulty(logits).flatten(1).any(dim=1)
    return logits.masked_fill(broken[:, None, None], -torch.inf), broken
