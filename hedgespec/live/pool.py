"""The drafters of one text being decoded: drafting, evaluation, and the loss of one of them."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import torch

from hedgespec.live.failures import reason_of, warn_dropped
from hedgespec.live.time_limit import TooLongError, limited
from hedgespec.models.cached import CachedModel
from hedgespec.models.drafters import Drafter
from hedgespec.models.drafters.session import DraftSession
from hedgespec.models.logits import check_logits
from hedgespec.models.trees import BLOCK, DraftTrees, Growth, TreeShape

# From logits (n, V) to the distributions (n, V) that tokens are drawn from; row r follows the
# first len(tokens) - n + 1 + r of the tokens (L).
Distribute = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
Result = TypeVar("Result")


@dataclass(frozen=True)
class Laws:
    """What drafters draft from (`draft`) and what the target's own tokens follow (`target`).

    With `ended`, the target's is asked for row by row and along the text alone: once for each of
    its positions, in their order, up to where `ended(tokens)` says of tokens (L) that they are all.
    A rule that is not `in_order` needs all rows of a round before.
    """

    draft: Distribute
    target: Distribute
    ended: Callable[[torch.Tensor], bool] | None = None


class Text:
    """Verified tokens (L), prompt included, and the target's hidden states of all but the last.

    Of one token alone there are no states.
    """

    def __init__(self, tokens: torch.Tensor, states: dict[int, torch.Tensor]):
        self.tokens, self.states = tokens, states

    def __len__(self) -> int:
        return len(self.tokens)

    def append(self, tokens: torch.Tensor, states: dict[int, torch.Tensor]) -> None:
        """Add tokens (m), and states (m, H) of the tokens from the one before them on."""
        self.tokens = torch.cat([self.tokens, tokens])
        self.states = {
            layer: torch.cat([self.states[layer], states[layer]])
            if layer in self.states
            else states[layer]
            for layer in states
        }

    def cut(self, count: int) -> None:
        """Drop the last `count` tokens: those beyond the answer's end."""
        if count:
            self.tokens = self.tokens[:-count]
            self.states = {layer: state[:-count] for layer, state in self.states.items()}

    def new_states(self, known: int, layers: tuple[int, ...]) -> dict[int, torch.Tensor]:
        """What a session that knows the first `known` tokens has not seen; see DraftSession."""
        return {
            layer: self.states[layer][max(known - 1, 0) :]
            for layer in layers
            if layer in self.states
        }


class Pool:
    """Sessions of N drafters on one text after the other.

    A drafter that raises, runs out of memory, breaks the contract of models/logits.py or takes more
    than `seconds` for one call is dropped with a warning: from then on it proposes nothing and its
    acceptance probability is 0, in this text and in later ones. It gets copies of the text, and
    what it gives is copied where it is kept: it may change either.
    """

    def __init__(
        self,
        drafters: list[Drafter],
        vocabulary_size: int,
        device: torch.device,
        seconds: float = math.inf,
    ):
        self.drafters, self._seconds = drafters, seconds
        self.dropped: dict[str, str] = {}
        self._nothing = torch.full((vocabulary_size,), -torch.inf, device=device)

    @contextmanager
    def unlimited(self) -> Iterator[None]:
        """No call takes too long within."""
        before, self._seconds = self._seconds, math.inf
        try:
            yield
        finally:
            self._seconds = before

    def begin(self, reading: CachedModel) -> None:
        """A new text, which the target reads in `reading`."""
        self._sessions: list[DraftSession | None] = [None] * len(self.drafters)
        self._first: list[torch.Tensor | None] = [None] * len(self.drafters)
        # Place of a last verified token, and the tree of the round behind it.
        self._last_trees: list[tuple[int, DraftTrees] | None] = [None] * len(self.drafters)
        for arm, drafter in enumerate(self.drafters):
            if drafter.name not in self.dropped:
                self._sessions[arm] = self._guarded(arm, partial(drafter.session_beside, reading))

    def first(self, arm: int, text: Text) -> torch.Tensor:
        """Logits (V) of the first draft token after the text."""
        known = self._first[arm]
        session = self._sessions[arm]
        if known is None or session is None or session.verified < len(text):
            return self._extend(arm, text, 1)[-1]
        return known

    def step(self, arm: int, token: torch.Tensor) -> torch.Tensor:
        """Logits (V) after one more drafted token."""
        session = self._sessions[arm]
        if session is None:
            return self._nothing
        return self._logits(arm, lambda: session.step(token.clone())[None], 1)[0]

    def branch(
        self, arm: int, session: DraftSession | None, token: torch.Tensor
    ) -> tuple[DraftSession | None, torch.Tensor]:
        """One more drafted token after a branch of the draft, which stays as it is.

        Returns the new branch and the logits (V) there; `session` None is the text's end.
        """
        before = session or self._sessions[arm]
        if before is None or self._sessions[arm] is None:
            return None, self._nothing
        branches: list[DraftSession] = []

        def work() -> torch.Tensor:
            branches.append(before.fork())
            return branches[0].step(token.clone())[None]

        logits = self._logits(arm, work, 1)[0]
        return branches[0] if branches else None, logits

    def trees(self, arm: int, text: Text, shape: TreeShape, count: int) -> DraftTrees:
        """Trees (count+1) of rounds that start behind each of the text's last count+1 tokens.

        The last tree is kept: it is the next round's, and the first one of the next evaluation.
        """
        self.first(arm, text)  # the drafter has read them all
        last, known = len(text) - 1, self._last_trees[arm]
        missing = range(last - count, last + 1)
        parts = []
        if known is not None and known[0] == missing.start:
            parts, missing = [known[1]], missing[1:]
        if missing:
            parts.append(self._new_trees(arm, shape, missing))
        trees = DraftTrees.join(parts)
        self._last_trees[arm] = last, trees.part(slice(count, None))
        return trees

    def _new_trees(self, arm: int, shape: TreeShape, places: range) -> DraftTrees:
        """Of the rounds whose last verified tokens are at these places."""
        session, device = self._sessions[arm], self._nothing.device
        none = DraftTrees.none(len(places), device)
        if session is None:
            return none

        def work() -> DraftTrees:
            growth = session.growth()
            return none if growth is None else _grown(growth, shape, places, device)

        return self._guarded(arm, work) or none

    def evaluate(self, arm: int, text: Text, count: int) -> torch.Tensor:
        """Logits (count, V) for the last `count` tokens of the text, each given those before it."""
        session, first = self._sessions[arm], self._first[arm]
        if self.drafters[arm].from_states and session is not None:
            return self._logits(arm, partial(self._of_states, arm, text, count), count)
        if session is not None and first is not None and session.verified == len(text) - count:
            return torch.cat([first[None], self._extend(arm, text, count)[:-1]])
        return self._extend(arm, text, count + 1)[:-1]

    def _of_states(self, arm: int, text: Text, count: int) -> torch.Tensor:
        """`evaluate` where the target's states are enough."""
        drafter = self.drafters[arm]
        return drafter.logits_of_states(
            {layer: text.states[layer][-count:].clone() for layer in drafter.target_layers}
        )

    def _extend(self, arm: int, text: Text, rows: int) -> torch.Tensor:
        """Bring a session up to the text's end; logits (rows, V) after its last tokens."""
        session = self._sessions[arm]
        if session is None:
            return self._nothing.expand(rows, -1)

        def work() -> torch.Tensor:
            if session.verified > len(text) - rows:  # rows it has given before: read them again
                session.rewind(len(text) - rows)
            new = text.tokens[session.verified :].clone()
            states = text.new_states(session.verified, self.drafters[arm].target_layers)
            return session.extend(
                new, {layer: state.clone() for layer, state in states.items()}, rows
            )

        logits = self._logits(arm, work, rows)
        self._first[arm] = logits[-1].clone()
        return logits

    def _logits(self, arm: int, work: Callable[[], torch.Tensor], rows: int) -> torch.Tensor:
        """Logits (rows, V) that `work` gives; nothing where it fails."""
        shape, device = (rows, len(self._nothing)), self._nothing.device
        logits = self._guarded(arm, lambda: check_logits(work(), shape, device))
        return self._nothing.expand(rows, -1) if logits is None else logits

    def _guarded(self, arm: int, work: Callable[[], Result]) -> Result | None:
        """What a drafter's work gives; None if it fails, and then the drafter is dropped."""
        try:
            return limited(work, self._seconds)
        except (Exception, SystemExit, TooLongError) as error:  # the text goes on whatever it does
            self._drop(arm, reason_of(error))
        return None

    def _drop(self, arm: int, reason: str) -> None:
        name = self.drafters[arm].name
        self.dropped[name] = reason
        self._sessions[arm] = self._last_trees[arm] = None
        warn_dropped(name, reason)


def _grown(growth: Growth, shape: TreeShape, places: range, device: torch.device) -> DraftTrees:
    """Trees at some places of one text, a block at a time; none before the growth's first."""
    missing = min(len(places), max(0, growth.first_place - places.start))
    width = min(BLOCK[device.type], growth.widest or len(places))
    return DraftTrees.join(
        [
            DraftTrees.none(missing, device),
            *(
                shape.build(
                    growth, torch.tensor([list(places[start : start + width])], device=device)
                )
                for start in range(missing, len(places), width)
            ),
        ]
    )
