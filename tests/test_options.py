"""Options written once: the same settings from Python, the shell and TOML."""

import argparse
import json
import subprocess
import sys
import tempfile
import tomllib
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hedgespec.cli import live, main, profile, record, traces, zoo
from hedgespec.errors import HedgespecError
from hedgespec.options import (
    Option,
    add_options,
    as_table,
    check_ranges,
    given_options,
    option_fields,
    plain,
    read_settings,
)
from hedgespec.selectors.feedback import parse_feedback
from hedgespec.simulator.settings import MODES, OutputSettings, SweepSettings
from hedgespec.traces.synthetic import SyntheticSettings

SIM = [OutputSettings(), SweepSettings()]
LIVE, _, DECODER = live._defaults()
DEFAULTS = [
    *SIM,
    record._defaults(),
    zoo._defaults(),
    traces._defaults(),
    profile._defaults(),
    LIVE,
    DECODER,
    SyntheticSettings(),
]
TEXT = st.text("abcXYZ089 .,:=@*'\"\\%é", min_size=1)
VALUES = {
    str: TEXT,
    bool: st.booleans(),
    Path: TEXT.map(lambda text: Path(f"absent-{text}")),
    float: st.floats(0, allow_infinity=False),
}  # argparse reads -1e9 as an option
# Of options whose text is read at once.
READ = {
    "feedback": [parse_feedback(label) for label in ("queued", "bold", "every:4+round")],
    "loss": ["length", "accept", "hybrid:0.5"],
    "estimator": ["gamma", "realised", "rb"],
}


def values_of(item):
    """Values that a field may have."""
    if item.name == "mode":
        return st.sampled_from(MODES)
    if item.name == "context":  # of a profile: longer than any draft
        return st.integers(256)
    if item.name == "contexts":
        return st.lists(st.integers(256, 9_999_999), min_size=1, max_size=3).map(tuple)
    if item.option.choices is not None:
        one = st.sampled_from(item.option.choices)
    elif item.key in READ:
        one = st.sampled_from(READ[item.key])
    elif item.kind is int:
        one = st.integers(item.option.low, item.option.high or 255)
    else:
        one = VALUES[item.kind]
    return st.lists(one, min_size=1, max_size=3).map(tuple) if item.several else one


@st.composite
def changed(draw):
    """Some defaults, and what differs from them."""
    defaults = draw(st.sampled_from(DEFAULTS))
    names = draw(st.sets(st.sampled_from([item.name for item in option_fields(type(defaults))])))
    values = {
        item.name: draw(values_of(item))
        for item in option_fields(type(defaults))
        if item.name in names
    }
    if set(values.get("losses", ())) == {"accept"}:  # then these are refused as idle
        values = {
            name: value for name, value in values.items() if name not in ("estimators", "prefill")
        }
    return defaults, values


def toml(table: dict) -> str:
    """JSON's values are TOML's, but for characters that both may escape."""
    return "".join(f"{key} = {json.dumps(value)}\n" for key, value in table.items())


def command(defaults, values: dict) -> list[str]:
    """The options that make `values` of the defaults."""
    words = []
    for item in option_fields(type(defaults)):
        if item.name not in values or values[item.name] == getattr(defaults, item.name):
            continue
        flag, value = "--" + item.key.replace("_", "-"), values[item.name]
        if item.kind is bool:
            words.append(flag if value else flag.replace("--", "--no-", 1))
        elif item.several and item.option.repeated:
            words += [word for one in value for word in (flag, str(plain(one)))]
        elif item.several:
            words += [flag, *map(str, plain(value))]
        else:
            words.append(f"{flag}={plain(value)}")
    return words


@given(changed())
def test_settings_written_as_toml_and_read_are_the_same(change):
    defaults, values = change
    text = toml(as_table(type(defaults), values))
    with tempfile.TemporaryDirectory() as folder:
        made = {item.name for item in option_fields(type(defaults)) if item.option.made}
        file = Path(folder) / "settings.toml"
        expected = {
            name: Path(folder) / value if name in made else value for name, value in values.items()
        }
        assert read_settings(defaults, tomllib.loads(text), file) == replace(defaults, **expected)


@given(changed())
def test_settings_written_as_options_and_parsed_are_the_same(change):
    defaults, values = change
    parser = argparse.ArgumentParser()
    add_options(parser, defaults)
    options = parser.parse_args(command(defaults, values))
    assert replace(defaults, **given_options(options, type(defaults))) == replace(
        defaults, **values
    )


@dataclass(frozen=True)
class Other:
    """One field of each kind that those above lack."""

    names: Annotated[tuple[str, ...], Option("help", "NAME", "name", repeated=True)] = ()
    small: Annotated[tuple[str, ...], Option("help", empty=True, choices=("a", "b"))] = ("a",)
    rate: Annotated[float, Option("100 % of it", "X")] = 0.5
    measured: Annotated[bool, Option("do not measure")] = True
    unseen: int = 3


def test_every_kind_of_field(capsys):
    parser = argparse.ArgumentParser()
    add_options(parser, Other(rate=1.0))
    words = ["--name", "x", "--name", "y", "--small", "--rate", "1e-3", "--no-measured"]
    given = given_options(parser.parse_args(words), Other)
    assert given == {"names": ("x", "y"), "small": (), "rate": 1e-3, "measured": False}
    assert given_options(parser.parse_args([]), Other) == {}
    table = {"name": ["x", "y"], "small": [], "rate": 1e-3, "measured": False}
    assert as_table(Other, given) == table
    assert read_settings(Other(), table, Path("t.toml")) == Other(**given)
    assert read_settings(Other(), {"rate": 2}, Path("t.toml")).rate == 2.0
    with pytest.raises(HedgespecError, match="small must be one of a, b, not 'c'"):
        read_settings(Other(), {"small": "c"}, Path("t.toml"))
    with pytest.raises(HedgespecError, match="unknown key 'unseen'"):
        read_settings(Other(), {"unseen": 1}, Path("t.toml"))
    help_text = parser.format_help()
    assert "100 % of it (default: 1.0)" in help_text
    assert "--name NAME" in help_text


def test_ranges_hold_for_every_value():
    @dataclass(frozen=True)
    class Bounded:
        counts: Annotated[tuple[int, ...], Option("help", low=1, high=9)] = ()
        seed: Annotated[int | None, Option("help", low=0)] = None

    check_ranges(Bounded((1, 9), 0))
    for wrong, message in (
        (Bounded((3, 0)), "counts must be at least 1, not 0"),
        (Bounded((10,)), "counts must be at most 9, not 10"),
        (Bounded(seed=-1), "seed must be at least 0, not -1"),
    ):
        with pytest.raises(HedgespecError, match=message):
            check_ranges(wrong)


def test_options_are_defined_without_torch():
    code = (
        "import sys; from hedgespec.cli import COMMANDS, main\n"
        "for command in COMMANDS:\n"
        "    try: main([command, '--help'])\n"
        "    except SystemExit: pass\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_every_option_of_sim_is_a_key_of_grids_and_the_reverse(capsys):
    with pytest.raises(SystemExit):
        main(["sim", "--help"])
    shown = {
        line.split()[0] for line in capsys.readouterr().out.splitlines() if line.startswith("  --")
    }
    keys = {item.key for settings in SIM for item in option_fields(type(settings))}
    named = {option.removeprefix("--").replace("-", "_") for option in shown}
    assert named == keys | {"grid", "ray", "dry_run", "json", "quiet"}
    assert keys == {item.name for settings in SIM for item in fields(settings)} - {
        "rules",
        "feedbacks",
        "losses",
        "estimators",
        "draft_lengths",
        "pools",
        "pool_seeds",
        "batches",
    } | {"rule", "feedback", "loss", "estimator", "draft_length", "pool", "pool_seed", "batch"}
