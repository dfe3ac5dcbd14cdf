"""What a figure is: panels of marks over rows, drawn on the page and on paper alike."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import polars as pl

from hedgespec.analysis.results import arm_parts
from hedgespec.results.statistics import Estimate

Mark = Literal["line", "step", "points", "apart", "front", "dots", "forest", "heat", "strips"]
Scale = Literal["linear", "log2", "evaluations"]


@dataclass(frozen=True)
class Claim:
    """A sentence that a figure may support, with the difference it rests on.

    It reads `before`, the size of the difference, one of the two `directions` (for a positive and a
    negative one), `after`. `p` is two-sided, against no difference, and not corrected.
    """

    before: str
    directions: tuple[str, str]
    after: str
    value: float
    low: float
    high: float
    p: float
    digits: int = 1
    unit: str = ""

    @classmethod
    def of(
        cls,
        before: str,
        directions: tuple[str, str],
        after: str,
        estimate: Estimate,
        digits: int = 1,
        unit: str = "",
    ) -> "Claim":
        """A claim about the only value of an estimate."""
        [value], [low], [high], [p] = estimate.value, estimate.low, estimate.high, estimate.p
        return cls(
            before, directions, after, float(value), float(low), float(high), float(p), digits, unit
        )

    @property
    def sentence(self) -> str:
        """The claim in words, with its interval. Only for an interval that excludes zero."""
        low, high = sorted((abs(self.low), abs(self.high)))
        size, low_text, high_text = (
            f"{part:.{self.digits}f}" for part in (abs(self.value), low, high)
        )
        direction = self.directions[0 if self.value > 0 else 1]
        return (
            f"{self.before} {size}{self.unit} ({low_text} to {high_text}) {direction} {self.after}."
        )


@dataclass(frozen=True)
class Panel:
    """A pair of axes and a mark that is drawn on them for each of `rows`.

    | mark | columns of `rows` besides `name` | drawn |
    |---|---|---|
    | line, step | x, y, perhaps low, high | a line a name, a band around it |
    | points, apart | the same | points with their intervals, joined to a line or not |
    | front | x, y, low, high, front | the points of the front, joined; the others small |
    | dots | x, y, query | a small point a row |
    | forest | x, low, high, perhaps sign, beside | a row a name, with a bar `beside` it |
    | heat | column, y, perhaps framed, group | a row a name, with a gap between groups |
    | strips | x, end, fill | a row a name, in the colours of what fills it |

    NaN ends are no interval. Where a name is `faint` its line is grey and has no label; `label` is
    shown for the name, if there is one. `ticks` are places on x with their texts, none: the usual
    ones. `zero` draws a line at no difference. Panels that are `wide` do not stand side by side.
    """

    mark: Mark
    rows: pl.DataFrame
    x_label: str = ""
    y_label: str = ""
    title: str = ""
    scale: Scale = "linear"
    ticks: Sequence[tuple[float, str]] = ()
    y_range: tuple[float | None, float | None] = (None, None)
    zero: bool = False
    beside_label: str = ""
    digits: int = 2
    wide: bool = False


@dataclass(frozen=True)
class Drawing:
    """A figure of one trace: `name` for files and links, `data` the numbers drawn in it.

    Of figures of a kind and trace that show several measures `measure` says which this one shows.
    `view` is an answer shown below the figure token by token, if there is one.
    """

    name: str
    title: str
    caption: str
    panels: Sequence[Panel]
    data: pl.DataFrame
    trace: str = ""
    measure: str = ""
    claims: Sequence[Claim] = field(default=())
    view: "TokenView | None" = None


@dataclass(frozen=True)
class TokenView:
    """An answer's tokens: the rows of `answer.parquet` of one setting, in order; perhaps `piece`,
    their text. `caption` says what is shown."""

    tokens: pl.DataFrame
    caption: str


def claimed(drawings: Iterable[Drawing], claims: Iterable[Claim]) -> Iterator[Drawing]:
    """The drawings, the first of which supports the claims; none are made without a drawing."""
    for number, drawing in enumerate(drawings):
        yield drawing if number else replace(drawing, claims=list(claims))


def thinned(rows: pl.DataFrame, most: int) -> pl.DataFrame:
    """About `most` rows of each name at most, evenly spread, with the first and the last."""
    place, many = pl.int_range(pl.len()).over("name"), pl.len().over("name")
    step = (many + most - 1) // most
    return rows.filter((place % step == 0) | (place == many - 1))


def mark(difference: float, p_holm: float) -> str:
    """▲ for more and ▼ for less, where Holm's p is below 5%; NaN is a test not made."""
    if not p_holm < 0.05:
        return ""
    return "▲" if difference > 0 else "▼"


def marks(differences: Iterable[float], p_holm: Iterable[float]) -> list[str]:
    """The `mark` of each difference."""
    return [mark(*pair) for pair in zip(differences, p_holm, strict=True)]


def arm_label(name: str, most: int = 26) -> str:
    """The name of a selector or drafter for a label; an arm DRAFTER@RULE*3 is in words."""
    drafter, rest = arm_parts(name)
    return short(drafter, max(8, most - len(rest))) + rest


def short(name: str, most: int = 26) -> str:
    """A name for a label; the middle of a long one is left out."""
    if len(name) <= most:
        return name
    half = (most - 1) // 2
    return f"{name[: most - 1 - half]}…{name[-half:]}"
