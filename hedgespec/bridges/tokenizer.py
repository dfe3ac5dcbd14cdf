"""The target's tokenizer: that of its server, or one from a folder or Hugging Face."""

from collections.abc import Mapping, Sequence
from typing import Any

from hedgespec.bridges.dialects.base import Dialect
from hedgespec.errors import HedgespecError, arg


class ServerTokenizer:
    """What prompts are rendered and read with (see tracegen/prompts.py), asked of a server."""

    chat_template = "the server's"

    def __init__(self, dialect: Dialect):
        self._dialect = dialect

    def apply_chat_template(self, messages: Sequence[Mapping[str, str]], **_: bool) -> str:
        """The prompt's text."""
        return self._dialect.render(messages)

    def __call__(self, text: str, **_: bool) -> dict[str, list[int]]:
        """Token ids of a text."""
        return {"input_ids": self._dialect.tokenize(text)}

    def decode(self, tokens: list[int], **_: bool) -> str:
        """The text of tokens."""
        return self._dialect.detokenize(tokens)


def tokenizer_of(dialect: Dialect, model: str | None) -> Any:
    """The tokenizer of `model`, None: of the server. Raises HedgespecError if it cannot be
    loaded."""
    if model is None:
        return ServerTokenizer(dialect)
    try:
        from transformers import AutoTokenizer

        return AutoTokenizer.from_pretrained(model)
    except Exception as error:  # the hub, a file, a missing package: each raises its own
        raise HedgespecError(f"{arg('tokenizer', model)}: cannot be loaded ({error})") from error
