"""The selectors by name, and the reading of `name:key=value,...` and `FILE.py:NAME`."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path

import numpy as np

from hedgespec.errors import HedgespecError, did_you_mean
from hedgespec.results.labels import (
    BEST_FIXED,
    BEST_SINGLE,
    BEST_SWITCHING,
    FASTEST_FIXED,
    FASTEST_SINGLE,
    LOOKUP_FIRST,
    NONE,
    ORACLE,
    ROUTER,
    SelectorLabel,
    fixed,
    join_parameters,
    shortest,
    split_parameters,
)
from hedgespec.selectors.contract import Parameter, Selector
from hedgespec.selectors.user import check_contract, check_on, load_user_selector

# Each name is the module hedgespec.selectors.<name>, "-" read as "_", which defines SELECTOR.
BUILT_IN = (
    "uniform",
    "hedge",
    "normalhedge",
    "ucbspec",
    "exp3spec",
    "hedge-doubling",
    "adanormalhedge",
    "squint",
    "adahedge",
    "fixed-share",
    "ftl",
    "ftpl",
    "ml-prod",
    "boa",
    "adahedged",
    "dorm-plus",
    "ucbspec-released",
    "metasd-ucb",
    "ucb1",
    "epsilon-greedy",
    "thompson",
    "thompson-gaussian",
    "exp3-ix",
    "tsallis-inf",
    "discounted-ucb",
    "sliding-window-ucb",
    "sequential-halving",
)
# What engines do: they choose whether to draft and how much, not who drafts.
BASELINES = ("acceptance-cutoff", "adaptive-length")
# Learners that read what traces hold only if it was recorded on request.
CONTEXTUAL = ("ridge",)
NAMES = (*BUILT_IN, *BASELINES, *CONTEXTUAL)
# What is run where none is named.
DEFAULT = ("uniform", "hedge", "normalhedge", "ucbspec", "exp3spec")

_ROOM = "hedgespec.selectors."
# What a selector's name means where none of the user's own is called so.
_MEANING = (
    "fixed",
    BEST_FIXED,
    BEST_SINGLE,
    FASTEST_FIXED,
    FASTEST_SINGLE,
    BEST_SWITCHING,
    ORACLE,
    ROUTER,
    NONE,
    LOOKUP_FIRST,
    "default",
    "all",
)


@dataclass(frozen=True)
class ConfiguredSelector:
    """A selector with its parameter values.

    It is called `attribute` in `module`, "" if it stands in no file; `name` is what the user calls
    it. `parse_selector` and `configure` make one.
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
    def own(self) -> bool:
        """Whether it is the user's own: tried out, and checked wherever it runs."""
        return not self.module.startswith(_ROOM)

    @property
    def label(self) -> str:
        """The name, with the parameters that differ from their defaults."""
        defaults = self.selector.default_parameters()
        changed = join_parameters(
            (key, shortest(value)) for key, value in self.values.items() if value != defaults[key]
        )
        return str(self._label(changed or None))

    def _label(self, parameters: str | None) -> SelectorLabel:
        name = self.attribute if self.file else self.selector.name
        return SelectorLabel(name, parameters, self.file)

    def parameter_array(
        self, lengths: Sequence[int] | np.ndarray = (), window: int | None = None
    ) -> np.ndarray:
        """Parameter values in declared order, float64, as the contract has them.

        Behind them stands what `behind_parameters` of the arms' draft `lengths` (N) gives;
        `window` are the positions of a loss, None: as many as the learner's draft length.
        """
        values = dict(self.values)
        for item in self.selector.parameters:
            if item.of_window and values[item.name] == item.default and window is not None:
                values[item.name] = window - 1
        return np.array(
            [*values.values(), *self.selector.behind_parameters(lengths)], dtype=np.float64
        )

    def check_on(self, arms: int, draft_length: int) -> None:
        """Try a learner of the user's own out with N = `arms` drafters and draft length K.

        Called before it is compiled for them. Raises HedgespecError for a fault, at its line.
        """
        if self.own:
            check_on(
                self.selector, tuple(self.parameter_array().tolist()), arms, draft_length, self.name
            )


def _module(name: str) -> str:
    return _ROOM + name.replace("-", "_")


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
        return ConfiguredSelector(
            selector, module, _values(selector, text, settings), label.name, label.file
        )
    if label.name not in NAMES:
        references = (
            fixed("<drafter>"),
            BEST_FIXED,
            BEST_SINGLE,
            FASTEST_FIXED,
            FASTEST_SINGLE,
            BEST_SWITCHING,
            ORACLE,
            ROUTER,
            NONE,
            f"{LOOKUP_FIRST}:<drafter>",
        )
        raise HedgespecError(
            f"unknown selector {label.name!r}; choose from "
            f"{', '.join((*NAMES, *references))} "
            "(see `hedgespec selectors`), or FILE.py:NAME"
            + did_you_mean(label.name, [*NAMES, *references[1:]])
        )
    selector = built_in(label.name)
    return ConfiguredSelector(
        selector, _module(label.name), _values(selector, label.name, settings)
    )


def configure(selector: str | Selector | ConfiguredSelector, **values: float) -> ConfiguredSelector:
    """A selector by its label, or one of your own, with these parameter values.

    Raises HedgespecError as `parse_selector` does, and if a selector of your own breaks the
    contract or has the name of a built-in one.
    """
    if isinstance(selector, ConfiguredSelector):
        configured = selector
    elif isinstance(selector, str):
        configured = parse_selector(selector)
    elif selector.name not in NAMES:
        _check_name(selector.name)
        check_contract(selector, f"selector {selector.name}")
        configured = ConfiguredSelector(selector, "", selector.default_parameters())
    elif selector is built_in(selector.name):
        configured = parse_selector(selector.name)
    else:
        raise HedgespecError(
            f"selector {selector.name}: a built-in one has that name, and results "
            "could not be told apart; choose another"
        )
    return replace(
        configured,
        values={
            **configured.values,
            **_checked(configured.selector, configured.name, values.items()),
        },
    )


def _check_name(name: str) -> None:
    """Raise HedgespecError where results would read the name of a selector in no file otherwise."""
    if (
        not isinstance(name, str)
        or not name.isprintable()
        or name.strip() != name
        or not name
        or SelectorLabel.parse(name) != SelectorLabel(name)
        or name in _MEANING
    ):
        raise HedgespecError(
            f"selector {name!r}: results would misread this name; choose one "
            "without a colon, and no reference's or group's name"
        )


def _values(selector: Selector, name: str, settings: str) -> dict[str, float]:
    """Parameter values, the defaults where not set."""
    return {**selector.default_parameters(), **_checked(selector, name, split_parameters(settings))}


def _checked(
    selector: Selector, name: str, given: Iterable[tuple[str, str | float]]
) -> dict[str, float]:
    """The values that are given. Raises HedgespecError for an unknown or wrong one."""
    known = {parameter.name: parameter for parameter in selector.parameters}
    found = {}
    for key, value in given:
        if key not in known:
            raise HedgespecError(
                f"selector {name}: unknown parameter {key!r}; it has: "
                f"{', '.join(known) or 'none'}" + did_you_mean(key, known)
            )
        if key in found:
            raise HedgespecError(f"selector {name}: parameter {key!r} is given twice")
        found[key] = _number(selector, known[key], value)
    return found


def _number(selector: Selector, parameter: Parameter, given: str | float) -> float:
    key = parameter.name
    try:
        value = float(given)
    except (ValueError, TypeError):
        raise HedgespecError(f"selector {selector.name}: {key}={given!r} is not a number") from None
    if value != parameter.default and not parameter.low <= value <= parameter.high:
        raise HedgespecError(
            f"selector {selector.name}: {key}={given} is outside "
            f"[{parameter.low:g}, {parameter.high:g}]"
        )
    if parameter.whole and value != int(value):
        raise HedgespecError(f"selector {selector.name}: {key}={given} is not a whole number")
    return value
