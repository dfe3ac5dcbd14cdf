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
    compiled,
    draw,
)
from hedgespec.selectors.registry import (
    BASELINES,
    BUILT_IN,
    CONTEXTUAL,
    DEFAULT,
    NAMES,
    ConfiguredSelector,
    built_in,
    configure,
    parse_selector,
)

__all__ = [
    "BASELINES",
    "BUILT_IN",
    "CHOSEN",
    "CONTEXTUAL",
    "DEFAULT",
    "EMITTED",
    "FULL",
    "LOOKAHEAD",
    "NAMES",
    "NONE",
    "OUTCOMES",
    "VERIFIED",
    "ConfiguredSelector",
    "Parameter",
    "Selector",
    "built_in",
    "compiled",
    "configure",
    "draw",
    "parse_selector",
]
