"""Tokens shown as text while they come, words whole."""

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

_SPACE = re.compile(r"(\s+)")


class Shown:
    """Prints the tokens of an answer as soon as they make whole words.

    A word that would cross the edge of a terminal begins the next line.
    """

    def __init__(self, console: "Console", tokenizer: Any):
        from rich.text import Text

        self._console, self._tokenizer = console, tokenizer
        self._tokens: list[int] = []
        self._known = ""  # the text of the tokens so far
        self._word: Text = Text()  # begun, not printed
        self._column = 0

    def add(self, tokens: list[int], colour: str) -> None:
        """A round's tokens: all but the last were drafted, the last is the target's own."""
        for number, token in enumerate(tokens, 1):
            self._tokens.append(token)
            text: str = self._tokenizer.decode(self._tokens, skip_special_tokens=True)
            if text.endswith("\ufffd"):  # a character of several tokens
                continue
            self._show(text[len(self._known) :], colour if number < len(tokens) else "")
            self._known = text

    def end(self) -> None:
        """Print what is left, and end the line."""
        self._print_word()
        self._console.print()

    def _show(self, text: str, colour: str) -> None:
        for part in _SPACE.split(text):
            if part.isspace():
                self._print_word()
                self._print_space(part)
            elif part:
                self._word.append(part, colour)

    def _print_word(self) -> None:
        if not self._word:
            return
        width = self._word.cell_len
        if self._wraps and self._column and self._column + width > self._console.width:
            self._print("\n")
            self._column = 0
        self._print(self._word)
        self._column = (self._column + width - 1) % self._console.width + 1  # that many are full
        self._word = self._word.blank_copy()

    def _print_space(self, space: str) -> None:
        """Space at the edge is left out, as its line ends there."""
        for line in re.findall(r"\n|[^\n]+", space):
            if line == "\n":
                self._column = 0
            elif self._wraps and self._column + len(line) >= self._console.width:
                line, self._column = "\n", 0
            else:
                self._column += len(line)
            self._print(line)

    @property
    def _wraps(self) -> bool:
        return self._console.is_terminal

    def _print(self, text: "str | Text") -> None:
        self._console.print(text, end="", soft_wrap=True, markup=False)
