"""What may draft in an engine that gives token ids alone: one class each, and one line below."""

from abc import ABC, abstractmethod

import numpy as np

from hedgespec.errors import HedgespecError, did_you_mean
from hedgespec.models.lookup import continued, matches


class Proposer(ABC):
    """Drafts after a text. `argument` is what stands behind its name, empty if nothing does."""

    @abstractmethod
    def __init__(self, argument: str): ...

    @abstractmethod
    def propose(self, tokens: np.ndarray, count: int) -> list[int]:
        """At most `count` tokens that may follow `tokens` (n)."""


class _Copying(Proposer):
    """Drafts what followed the same tokens before."""

    default: int

    def __init__(self, argument: str):
        if argument and not (argument.isdigit() and int(argument) > 0):
            raise HedgespecError(f"{argument!r}: expected a number of tokens, at least 1")
        self._longest = int(argument or self.default)


class Lookup(_Copying):
    """What followed the latest match of the last N (3) tokens."""

    default = 3

    def propose(self, tokens: np.ndarray, count: int) -> list[int]:
        drafted: list[int] = continued(tokens, count, self._longest).tolist()
        return drafted


class Suffix(_Copying):
    """What most often followed the longest match, of up to N (32) tokens."""

    default = 32

    def propose(self, tokens: np.ndarray, count: int) -> list[int]:
        text = np.concatenate([tokens, np.zeros(count + 1, dtype=np.int64)]).astype(np.int64)
        for place in range(len(tokens), len(tokens) + count):
            _, followers, _ = matches(text[: place + 1], place, self._longest, False)
            if not len(followers):
                return list(map(int, text[len(tokens) : place]))
            values, counts = np.unique(followers, return_counts=True)
            text[place] = values[counts.argmax()]
        return list(map(int, text[len(tokens) : len(tokens) + count]))


class SmallModel(Proposer):
    """A small language model, greedily. An example: it reads the text anew for each token."""

    def __init__(self, argument: str):
        if not argument:
            raise HedgespecError("lm: expected lm:MODEL, a folder or Hugging Face id")
        from transformers import AutoModelForCausalLM

        self._model = AutoModelForCausalLM.from_pretrained(argument).eval()

    def propose(self, tokens: np.ndarray, count: int) -> list[int]:
        import torch

        text = torch.tensor(tokens[None].astype(np.int64))
        with torch.inference_mode():
            for _ in range(count):
                following = self._model(text).logits[0, -1].argmax()
                text = torch.cat([text, following.reshape(1, 1)], dim=1)
        drafted: list[int] = text[0, len(tokens) :].tolist()
        return drafted


PROPOSERS: dict[str, type[Proposer]] = {"lookup": Lookup, "suffix": Suffix, "lm": SmallModel}


def make_proposers(text: str) -> dict[str, Proposer]:
    """Those of a list as "lookup:3,suffix,lm:FOLDER", by these words. Raises HedgespecError for an
    unknown one, one that stands twice, or none."""
    found: dict[str, Proposer] = {}
    for word in filter(None, map(str.strip, text.split(","))):
        name, _, argument = word.partition(":")
        if name not in PROPOSERS:
            raise HedgespecError(
                f"unknown proposer {name!r}; known are {', '.join(PROPOSERS)}"
                + did_you_mean(name, PROPOSERS)
            )
        if word in found:
            raise HedgespecError(f"proposer {word} is named twice")
        found[word] = PROPOSERS[name](argument)
    if not found:
        raise HedgespecError("no proposer is named")
    return found
