"""The commands that a page of docs tells, to be run."""

import re
import shlex
from collections.abc import Mapping
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def commands_of(page: str, places: Mapping[str, str]) -> list[list[str]]:
    """The words behind `hedgespec` of each command in a page's blocks of shell, in order; what
    `places` names stands elsewhere."""
    found = []
    for block in re.findall(r"^```sh\n(.*?)^```", (DOCS / page).read_text(), re.DOTALL | re.M):
        for line in block.replace("\\\n", " ").splitlines():
            words = [_moved(word, places) for word in shlex.split(line)]
            assert words[0] == "hedgespec", line
            found.append(words[1:])
    return found


def _moved(word: str, places: Mapping[str, str]) -> str:
    for place, other in places.items():
        word = word.replace(place, other)
    return word
