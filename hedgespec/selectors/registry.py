"""The selectors by name, and the reading of `name:key=value,...` and `FILE.py:NAME`."""

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import numpy as np

from hedgespec.errors import HedgespecError, did_you_mean
from hedgespec.results.labels import (
    BEST_FIXED,
    BEST_SINGLE,
    ORACLE,
    ROUTER,
    SelectorLabel,
    fixed,
    join_parameters,
    shortest,
    split_parameters,
)
from hedgespec.selectors.contract import Selector
from hedgespec.selectors.user import load_user_selector

# Each name is the module hedgespec.selectors.<name>, "-" read as "_", which defines SELECTOR.
BUILT_IN = (
    "uniform", "hedge", "normalhedge", "ucbspec", "exp3spec",
    "hedge-doubling", "adanormalhedge", "squint", "adahedge", "fixed-share", "ftl", "ftpl",
    "ml-prod", "boa", "adahedged", "dorm-plus",
    "ucbspec-released", "metasd-ucb", "ucb1", "epsilon-greedy", "thompson", "thompson-gaussian",
    "exp3-ix", "tsallis-inf", "discounted-ucb", "sliding-window-ucb", "sequential-halving",
)
# What is run where none is named.
DEFAULT = ("uniform", "hedge", "normalhedge", "ucbspec", "exp3spec")


@dataclass(frozen=True)
class ConfiguredSelector:
    """A selector with its parameter values.

    It is called `attribute` in `module`; `name` is what the user calls it.
    """

    selector: Selector
    module: str
    values: dict[str, float]
    attribute: str = "SELECTOR"
    file: str = ""

    @property
    def name(self) -> str:
        """Its own name, or FILE.py:NAME."""
        return str(self._label(None))

    @property
    def label(self) -> str:
        """The name, with the parameters that differ from their defaults."""
        defaults = self.selector.default_parameters()
        changed = join_parameters((key, shortest(value)) for key, value in self.values.items()
                                  if value != defaults[key])
        return str(self._label(changed or None))

    def _label(self, parameters: str | None) -> SelectorLabel:
        name = self.attribute if self.file else self.selector.name
        return SelectorLabel(name, parameters, self.file)

    def parameter_array(self) -> np.ndarray:
        """Parameter values in declared order, float64."""
        return np.array(list(self.values.values()), dtype=np.float64)


def _module(name: str) -> str:
    return "hedgespec.selectors." + name.replace("-", "_")


def built_in(name: str) -> Selector:
    """The built-in selector called `name`."""
    selector: Selector = import_module(_module(name)).SELECTOR
    return selector


def parse_selector(text: str) -> ConfiguredSelector:
    """Read `name` or `FILE.py:NAME`, and parameters after it as `:key=value,key=value`.

    Raises HedgespecError for an unknown selector or parameter, a value out of range, or a file
    that cannot be used (see `load_user_selector`).
    """
    label = SelectorLabel.parse(text)
    settings = label.argument or ""
    if label.file:
        selector, module = load_user_selector(Path(label.file), label.name)
        return ConfiguredSelector(selector, module, _values(selector, text, settings), label.name,
                                  label.file)
    if label.name not in BUILT_IN:
        references = (fixed("<drafter>"), BEST_FIXED, BEST_SINGLE, ORACLE, ROUTER)
        raise HedgespecError(
            f"unknown selector {label.name!r}; choose from {', '.join((*BUILT_IN, *references))} "
            "(see `hedgespec selectors`), or FILE.py:NAME"
            + did_you_mean(label.name, [*BUILT_IN, *references[1:]]))
    selector = built_in(label.name)
    return ConfiguredSelector(selector, _module(label.name),
                              _values(selector, label.name, settings))


def _values(selector: Selector, name: str, settings: str) -> dict[str, float]:
    """Parameter values, the defaults where not set."""
    values = selector.default_parameters()
    for key, text in split_parameters(settings):
        if key not in values:
            known = ", ".join(values) or "none"
            raise HedgespecError(f"selector {name}: unknown parameter {key!r}; it has: {known}")
        values[key] = _number(selector, key, text)
    return values


def _number(selector: Selector, key: str, text: str) -> float:
    parameter = next(item for item in selector.parameters if item.name == key)
    try:
        value = float(text)
    except ValueError:
        raise HedgespecError(
            f"selector {selector.name}: {key}={text!r} is not a number") from None
    if value != parameter.default and not parameter.low <= value <= parameter.high:
        raise HedgespecError(
            f"selector {selector.name}: {key}={text} is outside "
            f"[{parameter.low:g}, {parameter.high:g}]"
        )
    if parameter.whole and value != int(value):
        raise HedgespecError(f"selector {selector.name}: {key}={text} is not a whole number")
    return value
