"""Options are written once, in the fields of a settings dataclass:

    seeds: Annotated[int, Option("replays per selector", "N", low=1)] = 5

is `--seeds N` at the shell, `seeds = 5` in a TOML file, and at least 1 wherever it comes from. All
of that is made here from the field's type, its default and its `Option`; a field without one can be
set in Python only. Types are str, int, float, Path and bool, tuples of one of these, or None.
"""

import argparse
import json
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from numbers import Integral
from pathlib import Path
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

from hedgespec.errors import HedgespecError, arg, did_you_mean
from hedgespec.files import as_unicode, check_path

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Settings = TypeVar("Settings", bound="DataclassInstance")
HIGHEST_SEED = 2**63 - 1


@dataclass(frozen=True)
class Option:
    """What a user is told about a field, and may give.

    The default is added to `help` unless that says "default:" itself. `name` is that of the key,
    and with dashes of the option, where it is not the field's. Numbers lie in `low` to `high`;
    `choices` are the texts that may be given. Of a field of several values, `repeated` has the
    option once for each, as in --drafter A --drafter B, and `empty` allows it without any. A path
    that is `made` is relative to a TOML file whether it exists or not. `read` makes the value of
    its text (see `read_texts`); such a value has a `label` that it is read from.
    """

    help: str
    metavar: str | None = None
    name: str | None = None
    low: int | None = None
    high: int | None = None
    choices: tuple[str, ...] | None = None
    repeated: bool = False
    empty: bool = False
    made: bool = False
    read: Callable[[str], Any] | None = None


@dataclass(frozen=True)
class OptionField:
    """A field with an option: its `key` in TOML, its `kind`, and whether it has `several` of it."""

    name: str
    key: str
    kind: type
    several: bool
    option: Option


def seed_option(help: str, metavar: str = "SEED") -> Option:
    """Of a seed: any number that random generators and tables of results can hold."""
    return Option(help, metavar, low=0, high=HIGHEST_SEED)


def option_fields(settings: "type[DataclassInstance]") -> Iterator[OptionField]:
    """The fields of a settings dataclass that have an option, in their order."""
    hints = get_type_hints(settings, include_extras=True)
    for item in fields(settings):
        if get_origin(hints[item.name]) is not Annotated:
            continue
        hint, option = get_args(hints[item.name])
        if isinstance(hint, UnionType):
            hint = next(part for part in get_args(hint) if part is not NoneType)
        several = get_origin(hint) is tuple
        kind = get_args(hint)[0] if several else hint
        yield OptionField(
            item.name,
            option.name or item.name,
            str if option.read or isinstance(kind, UnionType) else kind,
            several,
            option,
        )


def check_seed(name: str, seed: object) -> int:
    """A seed as Python has it. Raises HedgespecError, naming it, for one that is none."""
    _check_whole(name, seed)
    number = operator.index(seed)  # type: ignore[arg-type]
    if not 0 <= number <= HIGHEST_SEED:
        raise HedgespecError(f"{arg(name)} must lie in 0..{HIGHEST_SEED}, not {number}")
    return number


def _check_whole(name: str, number: object) -> None:
    if isinstance(number, bool) or not isinstance(number, Integral):
        raise HedgespecError(f"{arg(name)} must be a whole number, not {number!r}")


def check_ranges(settings: "DataclassInstance") -> None:
    """Raise HedgespecError, naming it, for a number outside the range of its option."""
    for item in option_fields(type(settings)):
        value = getattr(settings, item.name)
        for number in value if item.several else [value]:
            if item.kind is int and number is not None:
                _check_whole(item.name, number)
            for bound, words, outside in (
                (item.option.low, "least", operator.lt),
                (item.option.high, "most", operator.gt),
            ):
                if bound is not None and number is not None and outside(number, bound):
                    raise HedgespecError(
                        f"{arg(item.name)} must be at {words} {bound}, not {number}"
                    )


def read_texts(settings: "DataclassInstance") -> None:
    """Have what texts stand for in fields that are `read`, whoever gave them: for `__post_init__`.

    Raises HedgespecError for a text that cannot be read.
    """
    for item in option_fields(type(settings)):
        read, value = item.option.read, getattr(settings, item.name)
        if read is not None:
            made = [
                read(one) if isinstance(one, str) else one
                for one in (value if item.several else [value])
            ]
            object.__setattr__(settings, item.name, tuple(made) if item.several else made[0])


def add_options(parser: argparse.ArgumentParser, defaults: "DataclassInstance") -> None:
    """Give `parser` the options of a settings object, whose values are their defaults."""
    for item in option_fields(type(defaults)):
        default = getattr(defaults, item.name)
        negated = "no-" if item.kind is bool and default else ""
        parser.add_argument(
            f"--{negated}{item.key.replace('_', '-')}",
            dest=_dest(type(defaults), item),
            default=argparse.SUPPRESS,
            help=_help(item.option.help, default),
            **_words(item, default),
        )


def given_options(
    options: argparse.Namespace, settings: "type[DataclassInstance]"
) -> dict[str, Any]:
    """The fields of a settings dataclass that options were given for, and what was given."""
    given = vars(options)
    return {
        item.name: tuple(given[dest]) if item.several else given[dest]
        for item in option_fields(settings)
        if (dest := _dest(settings, item)) in given
    }


def with_given(defaults: Settings, options: argparse.Namespace) -> Settings:
    """`defaults` with what options were given for."""
    return replace(defaults, **given_options(options, type(defaults)))


def refuse_idle(given: Mapping[str, Any], rules: Iterable[tuple[str, bool, str]]) -> None:
    """Raise HedgespecError for an option that was given and would change nothing.

    `given` are values by name; a rule is a name, whether it does anything beside the other options,
    and why it does not.
    """
    for name, used, why in rules:
        if name in given and not used:
            raise HedgespecError(f"{arg(name, plain(given[name]))} would change nothing: {why}")


def changed_settings(defaults: Settings, changed: Mapping[str, Any]) -> Settings:
    """`defaults` with other values for some fields. Raises HedgespecError for an unknown name."""
    known = [item.name for item in fields(defaults)]
    for name in changed:
        if name not in known:
            raise HedgespecError(
                f"unknown setting {name!r}; known are {', '.join(known)}"
                + did_you_mean(name, known)
            )
    return replace(defaults, **changed)


def read_settings(defaults: Settings, table: Mapping[str, Any], file: Path) -> Settings:
    """`defaults` with what a table of a TOML file says.

    One value may stand for a list of one. A path is relative to the file if it exists there.
    Raises HedgespecError naming the key that is unknown, of the wrong type or out of range.
    """
    known = {item.key: item for item in option_fields(type(defaults))}
    for key in table:
        if key not in known:
            raise HedgespecError(
                f"{file}: unknown key {key!r}; known are {', '.join(known)}"
                + did_you_mean(key, known)
            )
    values = {known[key].name: _value(known[key], value, file) for key, value in table.items()}
    keys = {item.name: item.key for item in known.values()}
    try:
        return replace(defaults, **values)
    except HedgespecError as error:
        message = error.worded(
            lambda name, *value: " = ".join([keys.get(name, name), *map(json.dumps, value)])
        )
        raise HedgespecError(f"{file}: {message}") from error


def as_table(settings: "type[DataclassInstance]", values: Mapping[str, Any]) -> dict[str, Any]:
    """Values of some fields of a settings dataclass by their keys, as TOML and JSON have them."""
    return {
        item.key: plain(values[item.name])
        for item in option_fields(settings)
        if item.name in values
    }


def _dest(settings: "type[DataclassInstance]", item: OptionField) -> str:
    """Where argparse keeps it: two settings of one command may have fields of one name."""
    return f"{settings.__name__}.{item.name}"


def _words(item: OptionField, default: object) -> dict[str, Any]:
    """Which words argparse reads after the option."""
    option = item.option
    if item.kind is bool:
        return {"action": "store_false" if default else "store_true"}
    words: dict[str, Any] = {"type": item.kind, "choices": option.choices}
    if option.choices is None or option.metavar:
        words["metavar"] = option.metavar or item.name.upper()
    if item.several and option.repeated:
        words["action"] = "append"
    elif item.several:
        words["nargs"] = "*" if option.empty else "+"
    return words


def _help(text: str, default: object) -> str:
    if "default:" not in text and not isinstance(default, bool) and default not in (None, ()):
        shown = " ".join(map(str, default)) if isinstance(default, tuple) else default
        text = f"{text} (default: {shown})"
    return text.replace("%", "%%")


def _value(item: OptionField, value: Any, file: Path) -> Any:
    several = item.several and isinstance(value, list)
    if several and not value and not item.option.empty:
        raise HedgespecError(
            f"{file}: {item.key} is an empty list; leave the key out for the default"
        )
    found = []
    for one in value if several else [value]:
        accepted = {Path: (str,), float: (float, int)}.get(item.kind, (item.kind,))
        if type(one) not in accepted:
            raise HedgespecError(f"{file}: {item.key} = {value!r} has the wrong type")
        if item.option.choices and one not in item.option.choices:
            raise HedgespecError(
                f"{file}: {item.key} must be one of "
                f"{', '.join(item.option.choices)}, not {one!r}"
                + did_you_mean(one, item.option.choices)
            )
        found.append(_path(one, file, item.option.made) if item.kind is Path else item.kind(one))
    return tuple(found) if item.several else found[0]


def _path(text: str, file: Path, made: bool) -> Path:
    check_path(Path(text), f"{file}: ")
    beside = file.parent / text
    return beside if made or beside.exists() else Path(text)


def plain(value: Any) -> Any:
    """A value of a settings dataclass as TOML and JSON have it."""
    if isinstance(value, tuple):
        return [plain(one) for one in value]
    if isinstance(value, Path | str):
        return as_unicode(str(value))
    return value if value is None or isinstance(value, int | float) else value.label
