"""The colours of a report, and which of them a name has: the same in every report."""

from dataclasses import dataclass
from zlib import crc32

from hedgespec.analysis.results import arm_parts
from hedgespec.results.labels import (
    BEST_FIXED,
    BEST_SINGLE,
    FASTEST_FIXED,
    FASTEST_SINGLE,
    FIXED,
    NONE,
    ORACLE,
    ROUTER,
    SelectorLabel,
)

# Every colour but those of the heat maps, light and dark. The first eight tell names apart, also
# for readers with any of the three kinds of colour blindness, which a test measures, and can be
# read as text on the paper.
COLOURS = {
    "blue": ("#093878", "#99befb"),
    "orange": ("#8f1a00", "#e17237"),
    "green": ("#00643f", "#2db183"),
    "pink": ("#bf3777", "#cc88ad"),
    "ochre": ("#926f17", "#f1c448"),
    "violet": ("#7055bf", "#8e86e2"),
    "teal": ("#26818d", "#8ff7ff"),
    "plum": ("#592a40", "#f2e6bc"),
    "ink": ("#1b1d21", "#e8eaed"),
    "muted": ("#5e6369", "#a3a9b1"),
    "line": ("#d4d7db", "#3a3f46"),
    "paper": ("#fefefe", "#15171a"),
}
SERIES = tuple(COLOURS)[:8]
# Dashes and gaps in widths of the line; the names of markers are matplotlib's.
DASHES: tuple[tuple[float, ...], ...] = ((), (4, 1.5), (1, 1.2), (5, 1.2, 1, 1.2))
MARKERS = "osD^vPX*"

# Names that have a look of their own, so that no two of eight neighbours are alike; those of users
# get theirs by a hash. Append only: a place is a look.
_LEARNERS = (
    "normalhedge",
    "ucbspec",
    "hedge",
    "exp3spec",
    ROUTER,
    "uniform",
    BEST_SINGLE,
    BEST_FIXED,
    "squint",
    "fixed-share",
    "ftl",
    "metasd-ucb",
    "ftpl",
    "thompson",
    "ml-prod",
    ORACLE,
    "adahedge",
    "tsallis-inf",
    "boa",
    "exp3-ix",
    "adanormalhedge",
    "ucb1",
    "dorm-plus",
    "epsilon-greedy",
    "hedge-doubling",
    "discounted-ucb",
    "adahedged",
    "sequential-halving",
    "sliding-window-ucb",
    "thompson-gaussian",
    "ucbspec-released",
    FASTEST_FIXED,
    "acceptance-cutoff",
    "adaptive-length",
    FASTEST_SINGLE,
    "ridge",
)
_DRAFTERS = (
    "generalist",
    "expert-python",
    "expert-math",
    "expert-biology",
    "expert-medicine",
    "expert-law",
    "expert-sql",
    "expert-translation",
    "prompt-lookup",
    "small-math",
    "small-python",
)
# A drafter alone stands among learners: the first has the colour that these need last, and all have
# other dashes than the learners of their colour and marker.
_PLACE = {name: place for place, name in enumerate(_LEARNERS)} | {
    name: place for place, name in enumerate(_DRAFTERS, 7)
}


@dataclass(frozen=True)
class Look:
    """How one name is drawn, in every figure of every report: a key of COLOURS, one of DASHES, a
    marker."""

    colour: str
    dashes: tuple[float, ...]
    marker: str


def look(name: str) -> Look:
    """The look of a selector, a drafter or an arm.

    Those of one drafter have one colour, whatever their rule and draft length, and so have those of
    one learner, whatever its parameters, and the setting in brackets behind it.
    """
    name, _, setting = name.partition(" (")
    if name == NONE:
        return Look("muted", (), "v")
    base, rest = arm_parts(name.removeprefix(FIXED))
    if not rest and not name.startswith(FIXED):
        label = SelectorLabel.parse(name)
        base, rest = label.name, label.argument or ""
    rest += setting
    # What is not listed never looks like the first eight, which are in most figures.
    place = _PLACE.get(base, 8 + crc32(base.encode()) % 56)
    turn = place // 8 + (crc32(rest.encode()) if rest else 0)
    dashes = DASHES[(turn + 2 * (base in _DRAFTERS)) % 4]
    return Look(SERIES[place % 8], dashes, MARKERS[(place + turn) % 8])
