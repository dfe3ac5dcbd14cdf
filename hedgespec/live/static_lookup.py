"""Drafters that copy from the text, beside those on fixed tensors: they look it up on the host.

The host knows the text when a round's packet has come, and finds there in microseconds what a
device would search for step by step. What they propose is a few tokens with their probabilities;
it goes to the device in one copy, into the tensors that `verify` reads. A round has as many draft
tokens as were proposed: each number has its graph.

Their statistics need p at these few tokens, which the device keeps. The tokens of a round are not
known here before its packet, so the device evaluates the other drafters first, as without these,
and a second, small launch behind the packet adds their columns to the same table, which is fetched
with them: the host waits no more often.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from hedgespec.costs.examples import example_texts
from hedgespec.live.plan import RoundPlan
from hedgespec.live.watch import Watch
from hedgespec.models.distributions import probabilities
from hedgespec.models.drafters.base import Drafter
from hedgespec.models.drafters.context import ContextDrafter, PromptLookup, Proposals
from hedgespec.models.known_tokens import draw_draft
from hedgespec.models.lookup import continued

# Rows have room for 1 token, or for a power of this: each room has graphs of its own.
_WIDER = 16
# Texts that looking up is timed on, of those that are looked at for whole drafts.
_EXAMPLES, _LOOKED_AT = 8, 64
_NO_TOKEN = -1  # stands in no text
_NOTHING = Proposals(0, *(np.empty(0, dtype) for dtype in (np.int64, np.int64, np.float32)))


def copies(drafter: Drafter) -> bool:
    """Whether a drafter looks the text up, and is so run on the host."""
    return isinstance(drafter, ContextDrafter)


@dataclass(frozen=True)
class Packed:
    """Some numbers (h), and tokens (M, n, v) with their probabilities, on their way to a device.

    Behind a row's tokens stand zeros of probability 0. All is one tensor of float64, which holds
    token ids exactly, so that it is copied at once.
    """

    numbers: torch.Tensor
    shape: tuple[int, int, int, int]

    @classmethod
    def of(cls, head: Sequence[int], tokens: np.ndarray, q: torch.Tensor) -> "Packed":
        """Of numbers (h), and tokens and probabilities (M, n, v)."""
        members, count, width = tokens.shape
        parts = (np.array(head), tokens.ravel(), q.numpy().ravel())
        return cls(
            torch.from_numpy(np.concatenate(parts, dtype=np.float64)),
            (len(head), members, count, width),
        )

    @classmethod
    def room(cls, shape: tuple[int, int, int, int], device: torch.device) -> "Packed":
        """A place on a device for one of the same shape."""
        head, *rows = shape
        size = head + 2 * int(np.prod(rows))
        return cls(torch.zeros(size, dtype=torch.float64, device=device), shape)

    def fill(self, other: "Packed") -> None:
        """Take another's numbers, which are on the host; waits for nothing."""
        found = other.numbers
        if self.numbers.is_cuda:
            found = found.pin_memory()
        self.numbers.copy_(found, non_blocking=True)

    def parts(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The numbers (h) and tokens (M, n, v), int64, and the probabilities (M, n, v), float32."""
        head, *rows = self.shape
        tokens, q = self.numbers[head:].view(2, *rows)
        return self.numbers[:head].long(), tokens.long(), q.float()


class Copying:
    """The drafters of a pool that copy, and the text on the host, which they copy from."""

    def __init__(self, drafters: list[Drafter], plan: RoundPlan, vocabulary: int, watch: Watch):
        """`drafters` are the whole pool, V the target's `vocabulary`; `watch` looks at calls."""
        self._drafters = {
            arm: drafter
            for arm, drafter in enumerate(drafters)
            if isinstance(drafter, ContextDrafter)
        }
        self._plan, self._vocabulary, self._watch = plan, vocabulary, watch
        self._text = np.empty(0, dtype=np.int64)
        self._left_out: set[int] = set()

    def __contains__(self, arm: int) -> bool:
        return arm in self._drafters

    @property
    def arms(self) -> list[int]:
        """Their numbers in the pool."""
        return list(self._drafters)

    def begin(self, prompt: list[int], left_out: list[int]) -> None:
        """A new text."""
        self._text = np.array(prompt, dtype=np.int64)
        self._left_out.update(left_out)

    def leave_out(self, arm: int) -> None:
        """From now on the drafter proposes nothing."""
        self._left_out.add(arm)

    def go_on(self, length: int, tokens: list[int]) -> None:
        """The text is its first `length` tokens and those that follow."""
        self._text = _joined(self._text[:length], tokens)

    def examples(
        self, arm: int, tokens: int, count: int
    ) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Texts of so many `tokens` in which a drafter finds a whole draft of `count`, and the same
        with an end that stands nowhere before, in which it finds nothing."""
        texts = list(example_texts(_LOOKED_AT, tokens, self._vocabulary))
        longest = self._drafters[arm].longest
        whole = [text for text in texts if len(continued(text, count, longest)) == count]
        found = whole[:_EXAMPLES] or [np.resize(texts[0][: -(-tokens // 2)], tokens)]
        return found, [np.append(text[:-1], _NO_TOKEN) for text in found]

    def on_each(self, texts: list[np.ndarray], work: Callable[[], object]) -> None:
        """Do something with each of some texts."""
        before = self._text
        for self._text in texts:
            work()
        self._text = before

    def draft(self, arm: int, noise: torch.Tensor) -> Packed | None:
        """Draft at most as many tokens as `noise` (k, W) has rows: their numbers, and what each was
        drawn from, (k, 1, v).

        None where nothing is proposed. Raises DrafterFailureError.
        """
        drafter = self._drafters[arm]
        with self._watch.call([arm], on_host=True):
            if arm in self._left_out:
                return None
            if isinstance(drafter, PromptLookup):  # nothing is drawn: one look for all
                tokens = drafter.drafted(self._text, len(noise))
                drafted, found = tokens.tolist(), Proposals.certain(tokens)
            else:
                drafted, found = self._drawn(arm, noise)
        return self._listed(drafted, found, 1) if drafted else None

    def _drawn(self, arm: int, noise: torch.Tensor) -> tuple[list[int], Proposals]:
        """Tokens drawn one after another, and what each was drawn from."""
        drafted: list[int] = []
        found: list[Proposals] = []
        for own in noise:
            text = _joined(self._text, [*drafted, 0])  # the last one is what is looked for
            proposals = self._proposals(arm, text, len(text) - 1)
            if not proposals.widest:
                break
            found.append(proposals)
            drafted.append(self._draw(proposals, own))
        return drafted, Proposals.joined(found, 1) if found else _NOTHING

    def propose(self, arms: Sequence[int], begin: int, end: int, rows: int) -> Packed:
        """What some drafters propose for the text's tokens from number `begin` up to `end`.

        (M, n, v) of n = `rows` positions, behind the end nothing; `begin` goes with it. Raises
        DrafterFailureError.
        """
        found = []
        for arm in arms:
            with self._watch.call([arm], on_host=True):
                found.append(self._proposals(arm, self._text[: min(end, begin + rows)], begin))
        return self._listed([begin], Proposals.joined(found, rows), rows)

    def _proposals(self, arm: int, text: np.ndarray, first: int) -> Proposals:
        """For each of a text's tokens from number `first` on."""
        if arm in self._left_out:
            return _NOTHING
        return self._drafters[arm].proposals([(text, first)])

    def _draw(self, proposals: Proposals, noise: torch.Tensor) -> int:
        """A token of one row of proposals, by the rule's noise (W)."""
        if len(proposals.token) == 1:
            return int(proposals.token[0])
        known, weights = proposals.listed(proposals.widest)
        token = draw_draft(
            self._plan.rule,
            self._law(weights),
            noise[None],
            torch.from_numpy(known),
            self._vocabulary,
        )
        return int(token.numpy()[0])

    def _listed(self, head: list[int], found: Proposals, rows: int) -> Packed:
        """Of proposals for `rows` positions each."""
        width = 1
        while width < found.widest:
            width *= _WIDER
        tokens, weights = found.listed(width)
        return Packed.of(head, tokens.reshape(-1, rows, width), self._law(weights))

    def _law(self, weights: np.ndarray) -> torch.Tensor:
        """Probabilities (n, v) of log weights.

        Row by row: for several rows torch's softmax wakes its threads, and waits for them for
        milliseconds where other work has the cores.
        """
        if weights.shape[1] == 1:  # that of the only token, whatever the temperature
            return torch.from_numpy(np.isfinite(weights).astype(np.float32))
        return torch.cat(
            [probabilities(row, self._plan.sampling) for row in torch.from_numpy(weights).split(1)]
        )


def _joined(text: np.ndarray, tokens: list[int]) -> np.ndarray:
    return np.concatenate([text, np.array(tokens, dtype=text.dtype)])
