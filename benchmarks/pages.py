"""What the pages of docs that are made from code share: marked places, and what they say.

<!-- NAME -->
the table that a function makes
<!-- end -->
"""

import re
from dataclasses import dataclass
from math import isclose
from pathlib import Path

from hedgespec.results.keys import RunKey
from hedgespec.results.statistics import Estimate

ROOT = Path(__file__).parent.parent


def marked(text: str, name: str) -> str:
    """What stands at the place marked NAME. Raises KeyError if there is none."""
    found = _place(name).search(text)
    if found is None:
        raise KeyError(f"no place marked {name}")
    return found[0]


def fill(path: Path, tables: dict[str, str]) -> None:
    """Put each table at its marked place of a page. Raises KeyError if there is none."""
    text = path.read_text(encoding="utf-8")
    for name, table in tables.items():
        marked(text, name)
        text = _place(name).sub(lambda _: table, text, count=1)  # noqa: B023
    path.write_text(text, encoding="utf-8")


def _place(name: str) -> re.Pattern[str]:
    return re.compile(rf"(?<=<!-- {name} -->\n).*?(?=<!-- end -->)", re.DOTALL)


@dataclass(frozen=True)
class Quantity:
    """What an interval is of: a measure of a selector's run, or how it differs from another's.

    `queries` says on which queries of the trace, if not on all.
    """

    measure: str
    run: RunKey
    minus: RunKey | None = None
    queries: str = ""


class Said(dict[Quantity, tuple[float, float, float]]):
    """What a page says of each quantity: its value and the ends of its interval."""

    def cell(self, quantity: Quantity, estimate: Estimate, form: str) -> str:
        """The text of an estimate of one value, written with `form`, and note that it is said."""
        [value], [low], [high] = estimate.value, estimate.low, estimate.high
        self[quantity] = float(value), float(low), float(high)
        return f"{form.format(value)} ({form.format(low)} to {form.format(high)})"


def contradictions(one: Said, other: Said) -> list[Quantity]:
    """The quantities that two pages say different things of, to nine digits."""
    return [
        quantity
        for quantity in one.keys() & other.keys()
        if not all(
            isclose(mine, theirs, rel_tol=1e-9, abs_tol=1e-9)
            for mine, theirs in zip(one[quantity], other[quantity], strict=True)
        )
    ]
