"""The one exception that users see as a message instead of a traceback.

A message names arguments with `arg`, and is then right in Python and at the shell:
HedgespecError(f"{arg('seeds')} must be at least 1, use {arg('mode', 'auto')}") reads "seeds must be
at least 1, use mode='auto'"; the command line makes "--seeds" and "--mode auto" of it.
"""

import json
import re
from collections.abc import Callable, Iterable
from difflib import get_close_matches

_MARK = "\x1f"  # around an argument in a message; between two stands JSON, [name] or [name, value]
_MARKED = re.compile(f"{_MARK}([^{_MARK}]*){_MARK}")
_ENDLESS = re.compile(r"\S{1000,}")
_LONGEST = 2000  # letters of a message, which may hold what another package says: a whole file
_CONTROL = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029\ud800-\udfff]")


def arg(name: str, *value: object) -> str:
    """An argument in an error's message, as Python calls it, perhaps with the value that it has or
    should have: text, a path, a number, a bool, or several of them."""
    return _MARK + json.dumps([name, *value], default=str) + _MARK


def in_python(name: str, *value: object) -> str:
    """`name` or `name=value`."""
    shown = [tuple(one) if isinstance(one, list) else one for one in value]
    return "=".join([name, *map(repr, shown)])


def at_shell(name: str, *value: object) -> str:
    """`--name` or `--name value`; of a bool `--name` or `--no-name`."""
    option = "--" + name.replace("_", "-")
    if not value:
        return option
    if isinstance(value[0], bool):
        return option if value[0] else option.replace("--", "--no-", 1)
    several = value[0] if isinstance(value[0], list) else value
    return " ".join([option, *map(str, several)])


class HedgespecError(Exception):
    """Something the user can mend: the message says what is wrong, where, and what to do."""

    def __init__(self, message: str):
        """`message` may name arguments with `arg`; `str` of the error has them as Python does."""
        self._message = message
        super().__init__(self.worded(in_python))

    def worded(self, argument: Callable[..., str]) -> str:
        """The message, each argument being named by `argument(name)` or `argument(name, value)`.

        It is one line to be read, whatever names and values of the user's stand in it.
        """
        text = _MARKED.sub(lambda found: argument(*json.loads(found[1])), self._message)
        text = _CONTROL.sub(lambda found: ascii(found[0])[1:-1], text)
        text = _ENDLESS.sub(lambda found: f"{found[0][:100]}...{found[0][-20:]}", text)
        return shortened(text)


def shortened(text: str, longest: int = _LONGEST) -> str:
    """A text of at most `longest` letters: of a longer one the middle is left out."""
    end = longest // 4
    return text if len(text) <= longest else f"{text[: longest - end - 5]} ... {text[-end:]}"


class TraceError(HedgespecError):
    """A trace directory that is damaged, incomplete or of another version."""


class NothingComparedError(HedgespecError):
    """Two runs that have nothing in common: that nothing became worse would be no news."""


def did_you_mean(text: str, known: Iterable[str]) -> str:
    """What to add to an error about the unknown name `text`; "" where no known one is near."""
    names = {name.casefold(): name for name in known}
    near = get_close_matches(text.casefold(), names, 1)
    return f"; did you mean {names[near[0]]!r}?" if near else ""
