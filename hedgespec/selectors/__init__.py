"""The learners: one algorithm per file, one implementation for simulator and live decoding."""

from hedgespec.selectors.contract import (
    CHOSEN,
    EMITTED,
    FULL,
    LOOKAHEAD,
    NONE,
    OUTCOMES,
    VERIFIED,
    Parameter,
    Selector,
    draw,
)
from hedgespec.selectors.registry import (
    BUILT_IN,
    ConfiguredSelector,
    built_in,
    parse_selector,
)

__all__ = [
    "BUILT_IN",
    "CHOSEN",
    "EMITTED",
    "FULL",
    "LOOKAHEAD",
    "NONE",
    "OUTCOMES",
    "VERIFIED",
    "ConfiguredSelector",
    "Parameter",
    "Selector",
    "built_in",
    "draw",
    "parse_selector",
]
