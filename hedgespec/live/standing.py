"""Where drafters on fixed tensors stand in a text, and what drafting goes on from."""

from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch

from hedgespec.live.static_drafters import Group, StaticText, make_groups
from hedgespec.live.static_lookup import copies
from hedgespec.live.watch import Watch
from hedgespec.models.drafters.base import Drafter
from hedgespec.models.fixed_tensors import StaticModel
from hedgespec.models.target import LanguageModel


@dataclass(frozen=True)
class Members:
    """Drafters that work in one pass: a group (`member` None), or one of it; M in all.

    `first` (M, v) are the logits of the draft token that follows what they have read, of the tokens
    that they know or of all, and drafting goes on from `features` (M, 1, H). They are `rows` of
    their standing.
    """

    group: Group
    member: int | None
    arms: list[int]
    rows: slice
    first: torch.Tensor
    features: torch.Tensor
    watch: Watch

    def read(self, text: StaticText, start: torch.Tensor, count: int) -> torch.Tensor:
        """Features (M, n, H) of `count` tokens from place `start` (1) on."""
        return self.group.read(text, start, count, self.member)

    def of_states(self, text: StaticText, places: torch.Tensor) -> torch.Tensor:
        """Features (M, n, H) of what follows the tokens at `places` (n)."""
        return self.group.of_states(text, places, self.member)

    @property
    def known(self) -> torch.Tensor | None:
        """The tokens (M, v), or (1, v), that their logits are of; None if of all."""
        known = self.group.known
        if known is None or self.member is None or len(known) == 1:
            return known
        return known[self.member : self.member + 1]

    @property
    def from_states(self) -> bool:
        """As the group."""
        return self.group.from_states

    def step(
        self, text: StaticText, number: int, token: torch.Tensor, feature: torch.Tensor
    ) -> torch.Tensor:
        """The feature (1, 1, H) of the `number`-th drafted token (1), going on from `feature`."""
        assert self.member is not None
        return self.group.step(self.member, text, number, token, feature)

    def logits(self, features: torch.Tensor) -> torch.Tensor:
        """Logits (M, n, v), float32, of features (M, n, H)."""
        return self.group.logits(features, self.member)

    def settle(self, features: torch.Tensor, logits: torch.Tensor) -> None:
        """Drafting goes on from features (M, 1, H) and logits (M, v)."""
        self.features.copy_(features)
        self.first.copy_(logits)

    def failing(self) -> AbstractContextManager[None]:
        """What goes wrong within is these drafters' failure; see `Watch`."""
        return self.watch.call(self.arms)


class Standing:
    """All N drafters, which have read a text up to some token.

    Groups are rows side by side, behind them those of drafters `on_host` (see static_lookup.py),
    which have no group; `slots[arm]` is a drafter's row. `order` are the slots on the device.
    """

    def __init__(
        self,
        drafters: list[Drafter],
        room: int,
        target: LanguageModel,
        reading: StaticModel,
        watch: Watch,
        compiled: int = 0,
    ):
        """Nothing read yet; the target reads the text in `reading`; `compiled` as there."""
        self.on_host = [arm for arm, drafter in enumerate(drafters) if copies(drafter)]
        groups = make_groups(
            [drafter for drafter in drafters if not copies(drafter)], room, reading, compiled
        )
        arms = [drafters.index(drafter) for group in groups for drafter in group.drafters]
        arms += self.on_host
        self.slots = [arms.index(arm) for arm in range(len(arms))]
        self.order = torch.tensor(self.slots, device=target.device, dtype=torch.long)
        self.groups: list[Members] = []
        begin = 0
        for group in groups:
            count = len(group.drafters)
            rows = slice(begin, begin + count)
            size = target.vocabulary_size if group.known is None else group.known.shape[-1]
            first = torch.full((count, size), -torch.inf, device=target.device)
            features = torch.zeros(count, 1, group.width, dtype=group.dtype, device=target.device)
            self.groups.append(Members(group, None, arms[rows], rows, first, features, watch))
            begin = rows.stop

    def one(self, arm: int) -> Members:
        """A drafter alone."""
        slot = self.slots[arm]
        [whole] = [one for one in self.groups if one.rows.start <= slot < one.rows.stop]
        member = slot - whole.rows.start
        own = slice(member, member + 1)
        return Members(
            whole.group,
            member,
            [arm],
            slice(slot, slot + 1),
            whole.first[own],
            whole.features[own],
            whole.watch,
        )
