"""The feedback policies by name. A new one is a file here and its name in one of these lines."""

from importlib import import_module

from hedgespec.selectors.feedback.contract import ArrivalPolicy, Modifier

# Each name is the module of this folder that defines POLICY; the first arrival is the default.
_ARRIVALS = ("queued", "bold", "censored", "foresight")
_MODIFIERS = (
    "rounds",
    "batch",
    "every",
    "first",
    "round",
    "actual",
    "eliminate",
    "limited",
    "binned",
    "budget",
)

ARRIVALS: dict[str, ArrivalPolicy] = {
    name: import_module(f"{__package__}.{name}").POLICY for name in _ARRIVALS
}
MODIFIERS: dict[str, Modifier] = {
    name: import_module(f"{__package__}.{name}").POLICY for name in _MODIFIERS
}
DEFAULT = _ARRIVALS[0]
