"""The learners: one algorithm per file, one implementation for simulator and live decoding."""

from hedgespec.selectors.contract import CHOSEN, FULL, NONE, Parameter, Selector, draw
from hedgespec.selectors.registry import (
    BUILT_IN,
    ConfiguredSelector,
    built_in,
    parse_selector,
)

__all__ = [
    "BUILT_IN",
    "CHOSEN",
    "FULL",
    "NONE",
    "ConfiguredSelector",
    "Parameter",
    "Selector",
    "built_in",
    "draw",
    "parse_selector",
]
