"""Learners of the user's own: a fault of any kind is told with its line, and gives no table."""

import os
import re
import sys
from dataclasses import replace

import numpy as np
import pytest

from hedgespec.cli import main
from hedgespec.errors import HedgespecError
from hedgespec.selectors import BUILT_IN, configure, limits, parse_selector
from hedgespec.selectors.functions import checked_functions
from hedgespec.selectors.guard import is_whole, new_states
from hedgespec.selectors.trial import try_out
from hedgespec.simulator import Replayer
from tests.helpers.faulty_learners import (
    FAULTY,
    GOOD,
    HANGS,
    LATE,
    LATE_FAULTS,
    Faulty,
    learner,
)
from tests.helpers.synthetic import write_trace


@pytest.fixture(scope="module")
def trace(tmp_path_factory):
    return write_trace(tmp_path_factory.mktemp("trace") / "trace", lengths=(60, 2 * LATE, 60))


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """One for all tests: another file would be compiled anew."""
    return tmp_path_factory.mktemp("learners") / "mine.py"


def refused(file, fault: Faulty, run, parameters: str = "") -> str:
    file.write_text(fault.text)
    with pytest.raises(HedgespecError) as raised:
        run(f"{file}:LEARNER{parameters}")
    message = str(raised.value)
    assert re.search(fault.message, message), message
    assert re.search(rf"{re.escape(str(file))}, line \d+, in {fault.function}", message), message
    assert "\n" not in message
    return message


@pytest.mark.parametrize("name", FAULTY)
def test_faults_are_told_before_anything_is_compiled(file, trace, name, monkeypatch):
    monkeypatch.setattr(
        "hedgespec.simulator.replayer.compile_or_load", lambda *_: pytest.fail("compiled")
    )
    refused(file, FAULTY[name], lambda label: Replayer(trace, 5).run(label, 0))


@pytest.mark.slow
@pytest.mark.parametrize("what", ["played", "loss", "params"])
def test_a_write_that_no_run_comes_to_is_refused_where_it_is_compiled(file, trace, what):
    file.write_text(learner(learn=f"state[1:] += loss\n    if position > 9999: {what}[0] = 0.0"))
    with pytest.raises(HedgespecError, match=r"mine\.py, line \d+: numba .* readonly") as told:
        Replayer(trace, 5).run(f"{file}:LEARNER", 0)
    assert str(told.value).count("\n") == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", LATE_FAULTS)
def test_faults_after_the_trial_are_told_by_the_compiled_run(file, trace, name, monkeypatch):
    monkeypatch.setattr(limits, "SECONDS", 0.5)
    fault = LATE_FAULTS[name]
    message = refused(
        file, fault, lambda label: Replayer(trace, 5).run(label, 0), f":rate={fault.rate}"
    )
    assert re.search("query 1, about position [34]", message)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["out of bounds", "weights vanish", "raises"])
def test_late_faults_are_told_by_exact_expectations_carried_learners_and_threads(file, trace, name):
    for run in (
        lambda label: Replayer(trace, 5).run_exact(label),
        lambda label: Replayer(trace, 5, carry=0).run(label, 0),
        lambda label: Replayer(trace, 5, threads=2).run(label, 0),
    ):
        refused(file, LATE_FAULTS[name], run, f":rate={LATE_FAULTS[name].rate}")


@pytest.mark.slow
@pytest.mark.parametrize("name", HANGS)
def test_a_learner_that_never_returns_is_told(file, trace, name, monkeypatch):
    monkeypatch.setattr(limits, "SECONDS", 0.4)
    refused(file, HANGS[name], lambda label: Replayer(trace, 5).run(label, 0))


@pytest.mark.slow
def test_a_learner_in_no_file_is_named_by_its_code(trace):
    fault, names = LATE_FAULTS["out of bounds"], {}
    exec(compile(fault.text.replace("0.1", "4"), "<cell 3>", "exec"), names)
    with pytest.raises(HedgespecError, match=r"mine: <cell 3>, line \d+, in learn: IndexError"):
        Replayer(trace, 5).run(names["LEARNER"], 0)


@pytest.mark.parametrize(
    "name", ["oracle", "fixed:drafter-0", "best-fixed", "all", "", "a:b=1", "two\nlines", 3]
)
def test_a_name_that_would_mean_another_selector_is_refused(name):
    names = {}
    exec(GOOD["leader"], names)
    with pytest.raises(HedgespecError, match="results would misread this name"):
        configure(replace(names["LEARNER"], name=name))


@pytest.mark.slow
def test_any_name_will_do_for_a_learner_in_a_file(file, trace):
    file.write_text(GOOD["leader"].replace('"mine"', '"../my own: learner"'))
    assert (Replayer(trace, 5).run(f"{file}:LEARNER", 0).choice >= 0).any()


@pytest.mark.parametrize("name", GOOD)
def test_good_learners_pass(file, name):
    file.write_text(GOOD[name])
    assert parse_selector(f"{file}:LEARNER").own


def test_an_edit_of_the_same_second_and_length_is_read(tmp_path, monkeypatch):
    """Python would run the bytecode that it kept of the text before."""
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    path = tmp_path / "mine.py"
    for rate in (0.1, 0.2):
        path.write_text(GOOD["leader"].replace("0.1", str(rate)))
        os.utime(path, (1e9, 1e9))
        [parameter] = parse_selector(f"{path}:LEARNER").selector.parameters
        assert parameter.default == rate


@pytest.mark.slow
@pytest.mark.matrix
@pytest.mark.parametrize("name", BUILT_IN)
def test_built_in_learners_pass_and_so_may_skip_the_checks(name):
    configured = parse_selector(name)
    assert not configured.own
    for arms in (1, 2, 5):
        try_out(configured.selector, tuple(configured.parameter_array().tolist()), arms, 4)


@pytest.mark.slow
def test_no_table_is_left(file, trace, tmp_path, capsys):
    fault = LATE_FAULTS["weights vanish"]
    file.write_text(fault.text)
    status = main(
        [
            "sim",
            "--traces",
            str(trace.folder),
            "--selectors",
            "hedge",
            f"{file}:LEARNER:rate={fault.rate}",
            "--out",
            str(tmp_path / "out"),
        ]
    )
    assert status == 1
    assert not (tmp_path / "out").exists()
    assert f"{file}, line" in capsys.readouterr().err


def test_words_behind_a_state_tell_of_a_write_past_its_end():
    states, guard = new_states(2, 3)
    states[:] = 1.0
    assert is_whole(guard)
    np.lib.stride_tricks.as_strided(states, (8,), (8,))[6] = 0.0
    assert not is_whole(guard)


@pytest.mark.slow
def test_checked_functions_check_the_bounds():
    learn = checked_functions(parse_selector("normalhedge").selector).learn
    with pytest.raises(IndexError):
        learn(np.zeros(2), np.zeros(1), 0, np.ones(4), np.ones(4))
