"""The command that is suggested to record a rule can be run: it parses, and writes elsewhere."""

import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from hedgespec.cli import make_parser
from hedgespec.errors import HedgespecError
from hedgespec.options import given_options
from hedgespec.rules import parse_rule
from hedgespec.tracegen.settings import RecordSettings
from hedgespec.traces import Trace
from tests.helpers.synthetic import write_trace


@pytest.fixture(scope="module")
def trace(tmp_path_factory) -> Trace:
    return write_trace(tmp_path_factory.mktemp("trace"), name="mine")


def suggested(trace: Trace, rule: str, command: object) -> list[str]:
    manifest = replace(trace.manifest, recording={"command": command})
    with pytest.raises(HedgespecError) as told:
        parse_rule(rule).check(replace(trace, manifest=manifest))
    words = shlex.split(str(told.value).partition("to record them: ")[2])
    assert words[0] == "hedgespec"
    return words[1:]


@pytest.mark.parametrize(
    ("command", "out", "name"),
    [
        (None, "recordings/mine-tree", None),
        (["hedgespec", "record"], "recordings/mine-tree", None),
        (["hedgespec", "record", "--out", "a b", "--seed", "3"], "a b-tree", None),
        (
            ["hedgespec", "record", "--trees", "static", "--out=x", "--name", "n"],
            "x-tree",
            "n-tree",
        ),
    ],
)
def test_a_recording(trace, command, out, name):
    words = suggested(trace, "tree", command)
    found = given_options(make_parser(words)[0].parse_args(words), RecordSettings)
    assert found["out"] == Path(out)
    assert found.get("name") == name
    assert found["trees"][-1] == "dynamic"
    assert ("static" in found["trees"]) == (command is not None and "static" in command)
    assert (found.get("seed") == 3) == (command is not None and "--seed" in command)


def test_rules_are_added_to_those_there_were(trace):
    words = suggested(trace, "multi:3", ["hedgespec", "record", "--rules", "gumbel", "multi:2"])
    found = given_options(make_parser(words)[0].parse_args(words), RecordSettings)
    assert found["rules"] == ("gumbel", "multi:2", "multi:3")
    assert found["out"] == Path("recordings/mine-multi-3")


def test_the_experiment_of_many_traces(trace):
    words = suggested(trace, "gumbel", ["hedgespec", "traces", "--spec-bench", "q.jsonl"])
    assert words == [
        "traces",
        "--spec-bench",
        "q.jsonl",
        "--out",
        "recordings-gumbel",
        "--rules",
        "gumbel",
    ]
    make_parser(words)[0].parse_args(words)
