"""The prompt of `hedgespec live --chat`: questions, and commands that begin with a slash."""

import re
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import current_thread, main_thread
from types import FrameType
from typing import Protocol

from hedgespec.errors import HedgespecError, at_shell, did_you_mean

COMMANDS = {
    "/help": "these commands",
    "/selector NAME": "go on with another selector (see `hedgespec selectors`)",
    "/reset": "forget the conversation",
    "/quit": "leave; Ctrl-D and Ctrl-C do it too. In an answer Ctrl-C stops the answer",
}
_NAMES = [usage.split()[0] for usage in COMMANDS]
_COMMAND = re.compile(r"/\w+(\s|$)")


class Talk(Protocol):
    """What the chat talks to."""

    def say(self, line: str) -> None:
        """Show a line."""

    def answer(self, turns: list[str], answers: list[str], stopped: Callable[[], bool]) -> str:
        """Answer the last of the turns, until `stopped()`."""

    def select(self, selector: str) -> None:
        """Go on with another selector. Raises HedgespecError."""


def chat(talk: Talk) -> None:
    """Read and answer, until /quit, the end of the input, or Ctrl-C at the prompt."""
    with suppress(ImportError):  # polars keeps Ctrl-C from ending input() where it is missing
        import readline  # noqa: F401
    turns: list[str] = []
    answers: list[str] = []
    while True:
        try:
            asked = _asked()
        except (EOFError, KeyboardInterrupt):
            talk.say("")
            return
        if asked == "/quit":
            return
        if asked == "/reset":
            turns, answers = [], []
            talk.say("The conversation begins anew.")
        elif _COMMAND.match(asked):
            _obey(talk, asked)
        elif asked:
            turns.append(asked)
            with interrupts() as stopped:
                answers.append(talk.answer(list(turns), list(answers), stopped))


def _asked() -> str:
    """A line; the prompt is bold where there is a terminal, whose editing must know its width."""
    bold = sys.stdin.isatty() and sys.stdout.isatty()
    return input("\n\001\033[1m\002> \001\033[0m\002" if bold else "\n> ").strip()


def _obey(talk: Talk, line: str) -> None:
    name, _, rest = line.partition(" ")
    if name == "/selector" and rest:
        try:
            talk.select(rest.strip())
        except HedgespecError as error:
            talk.say(error.worded(at_shell))
    elif name == "/help":
        for usage, meaning in COMMANDS.items():
            talk.say(f"{usage:16s} {meaning}")
    else:
        known = "/selector NAME" if name == "/selector" else ", ".join(COMMANDS)
        talk.say(
            f"unknown command {line!r}; it is {known}{did_you_mean(name, _NAMES)}"
            if name not in _NAMES
            else f"it is {known}"
        )


@contextmanager
def interrupts() -> Iterator[Callable[[], bool]]:
    """Whether Ctrl-C was pressed, to be asked between rounds: none is broken off in the middle.

    A second Ctrl-C raises KeyboardInterrupt.
    """
    pressed: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        if pressed:
            raise KeyboardInterrupt
        pressed.append(number)

    if current_thread() is not main_thread():
        yield lambda: False
        return
    before = signal.signal(signal.SIGINT, note)
    try:
        yield lambda: bool(pressed)
    finally:
        signal.signal(signal.SIGINT, before)
