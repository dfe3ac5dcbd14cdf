"""What an export is: a name, what it is for, and a text made of a policy's drafting."""

from collections.abc import Callable
from dataclasses import dataclass

from hedgespec.bridges.policy import Drafting


@dataclass(frozen=True)
class Export:
    """`write` makes the text; `loses` says what it cannot hold."""

    name: str
    help: str
    loses: str
    write: Callable[[Drafting], str]


def rounded(values: "list[float]") -> list[float]:
    """Rates as they are written, to six places."""
    return [round(float(value), 6) for value in values]
