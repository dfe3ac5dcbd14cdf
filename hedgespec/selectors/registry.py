"""The built-in selectors by name, and the reading of `name:key=value,...`."""

from dataclasses import dataclass
from importlib import import_module

import numpy as np

from hedgespec.errors import HedgespecError
from hedgespec.selectors.contract import Selector

# Each name is the module hedgespec.selectors.<name>, which defines SELECTOR.
BUILT_IN = ("uniform", "hedge", "normalhedge", "ucbspec", "exp3spec")


@dataclass(frozen=True)
class ConfiguredSelector:
    """A selector with its parameter values. `module` is where SELECTOR and its functions live."""

    selector: Selector
    module: str
    values: dict[str, float]

    @property
    def label(self) -> str:
        """The name, with the parameters that differ from their defaults."""
        defaults = self.selector.default_parameters()
        changed = [f"{key}={_shortest(value)}" for key, value in self.values.items()
                   if value != defaults[key]]
        return self.selector.name + (":" + ",".join(changed) if changed else "")

    def parameter_array(self) -> np.ndarray:
        """Parameter values in declared order, float64."""
        return np.array(list(self.values.values()), dtype=np.float64)


def _shortest(value: float) -> str:
    """The shortest text that gives this very number back."""
    return f"{value:g}" if float(f"{value:g}") == value else repr(value)


def built_in(name: str) -> Selector:
    """The built-in selector called `name`."""
    selector: Selector = import_module(f"hedgespec.selectors.{name}").SELECTOR
    return selector


def parse_selector(text: str) -> ConfiguredSelector:
    """Read `name` or `name:key=value,key=value`.

    Raises HedgespecError for an unknown selector or parameter, or a value out of range.
    """
    name, _, settings = text.partition(":")
    if name not in BUILT_IN:
        raise HedgespecError(
            f"unknown selector {name!r}; choose from {', '.join(BUILT_IN)}, fixed:<drafter>, "
            "best-fixed, oracle (see `hedgespec selectors`)"
        )
    selector = built_in(name)
    values = selector.default_parameters()
    for setting in filter(None, settings.split(",")):
        key, _, number = setting.partition("=")
        if key not in values:
            known = ", ".join(values) or "none"
            raise HedgespecError(f"selector {name}: unknown parameter {key!r}; it has: {known}")
        values[key] = _number(selector, key, number)
    return ConfiguredSelector(selector, f"hedgespec.selectors.{name}", values)


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
    return value
