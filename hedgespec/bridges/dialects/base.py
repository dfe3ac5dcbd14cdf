"""What every engine's dialect says: how to write, to score, and to read and make text."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hedgespec.bridges.client import Client
from hedgespec.models.settings import Sampling

NEUTRAL = Sampling()  # the model's own law


@dataclass(frozen=True)
class Listed:
    """The most probable tokens at T positions, log-softmax at temperature 1.

    `ids` and `logs` have shape (T, k), the most probable first; where fewer were listed, ids are
    -1 and logs -inf. `own` (T) are the logs of the text's tokens. `whole` says that no token of the
    vocabulary is missing.
    """

    ids: np.ndarray
    logs: np.ndarray
    own: np.ndarray
    whole: bool = False

    @classmethod
    def of(
        cls,
        rows: Sequence[Mapping[int, float]],
        tokens: Sequence[int],
        own: Sequence[float],
        top: int,
    ) -> "Listed":
        """From each position's logs by token, of which `top` were asked for, and those of the
        text's `tokens`."""
        ranked = [sorted(row.items(), key=lambda item: (-item[1], item[0]))[:top] for row in rows]
        width = max(map(len, ranked), default=0)
        ids = np.full((len(ranked), width), -1, dtype=np.int64)
        logs = np.full((len(ranked), width), -np.inf)
        for row, items in enumerate(ranked):
            ids[row, : len(items)] = [token for token, _ in items]
            logs[row, : len(items)] = [log for _, log in items]
        lowest = np.log(np.finfo(np.float32).tiny)  # never -inf: the token was emitted
        floored = np.maximum(np.array(own, dtype=np.float64), lowest)
        return cls(ids, logs, floored, whole=width < top)

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Written:
    """An answer: its tokens (the end token included), why it ended ("eos" or "length"), and, of
    each position, what the writing pass listed."""

    tokens: list[int]
    finish_reason: str
    listed: Listed


@dataclass(frozen=True)
class ServerInfo:
    """What a server says of itself; None where it does not."""

    model: str
    context: int | None = None
    vocabulary_size: int | None = None
    version: str | None = None


class Dialect(ABC):
    """One engine's way to be asked. Every method raises ServerError for a reply that does not say
    what it should, naming the field."""

    name: str
    # What a server may have been started with that makes its logs of written tokens others.
    processed_by: str
    # Whether logs of written tokens are divided by the temperature, so that they say nothing of
    # the model's own at others than 0 and 1.
    divides = False
    cap_option: str  # what raises the cap of listed tokens

    def __init__(self, client: Client):
        self.client = client

    @staticmethod
    @abstractmethod
    def speaks(client: Client) -> bool:
        """Whether the server is of this engine."""

    @abstractmethod
    def info(self) -> ServerInfo:
        """What the server says of itself."""

    @abstractmethod
    def write(
        self, prompt: list[int], limit: int, sampling: Sampling, seed: int, top: int
    ) -> Written:
        """Let the server write at most `limit` tokens, listing `top` at each."""

    @abstractmethod
    def score(self, prompt: list[int], answer: list[int], top: int) -> Listed:
        """The server's own law at each token of `answer` (T), listing `top` of each."""

    @abstractmethod
    def tokenize(self, text: str) -> list[int]:
        """Token ids; special tokens that stand in the text are read as such, none are added."""

    @abstractmethod
    def detokenize(self, tokens: list[int]) -> str:
        """The text of token ids."""

    @abstractmethod
    def render(self, messages: Sequence[Mapping[str, str]]) -> str:
        """The prompt text of a conversation, by the server's chat template."""

    def check_sampling(self, sampling: Sampling) -> None:  # noqa: B027 - most sample as asked
        """Raise HedgespecError for a law that the engine samples otherwise."""


class Reply:
    """A reply or a part of one; names the first field that is not there or not of its kind."""

    def __init__(self, client: Client, path: str, value: Any, where: str = ""):
        self._client, self._path, self._where = client, path, where
        self.value = value

    def __getitem__(self, key: str | int) -> "Reply":
        where = (
            f"{self._where}[{key}]"
            if isinstance(key, int)
            else (f"{self._where}.{key}" if self._where else key)
        )
        try:
            return Reply(self._client, self._path, self.value[key], where)
        except (KeyError, IndexError, TypeError) as error:
            raise self._client.fault(self._path, where, "is missing") from error

    def get(self, key: str) -> Any:
        """A value that may be missing."""
        return self.value.get(key) if isinstance(self.value, dict) else None

    def whole(self) -> int:
        """A whole number."""
        if isinstance(self.value, bool) or not isinstance(self.value, int):
            raise self.wrong(f"{self.value!r} is no whole number")
        return self.value

    def log(self) -> float:
        """A log-probability."""
        if (
            isinstance(self.value, bool)
            or not isinstance(self.value, int | float)
            or not self.value <= 1e-3
        ):
            raise self.wrong(f"{self.value!r} is no log-probability")
        return min(float(self.value), 0.0)

    def text(self) -> str:
        """A text."""
        if not isinstance(self.value, str):
            raise self.wrong(f"{self.value!r} is no text")
        return self.value

    def items(self) -> "Iterable[Reply]":
        """The readers of a list."""
        if not isinstance(self.value, list):
            raise self.wrong("is no list")
        return (self[number] for number in range(len(self.value)))

    def tokens(self) -> list[int]:
        """A list of token ids."""
        return [item.whole() for item in self.items()]

    def wrong(self, problem: str) -> Exception:
        """An error about this field."""
        return self._client.fault(self._path, self._where or "(reply)", problem)

    def of_tokens(self, expected: int) -> None:
        """Raise ServerError unless this list has an entry for each of `expected` tokens."""
        if not isinstance(self.value, list) or len(self.value) != expected:
            found = len(self.value) if isinstance(self.value, list) else self.value
            raise self.wrong(f"has {found!r} entries for {expected} tokens")
