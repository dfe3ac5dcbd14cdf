"""The fuzzers of `make fuzz`: a trial of each runs, and findings are told."""

import sys
import types

import numpy as np
import pytest

from tests.fuzz import learners as fuzzed_learners
from tests.fuzz import run, trace_files


def test_traces_are_refused_or_read_as_before(tmp_path):
    outcomes = set()
    for seed in range(12):
        (tmp_path / str(seed)).mkdir()
        outcomes.add(trace_files.trial(np.random.default_rng(seed), tmp_path / str(seed)))
    assert "refused" in outcomes


@pytest.mark.slow
def test_learners_are_refused_or_right(tmp_path):
    for seed in range(5):
        (tmp_path / str(seed)).mkdir()
        assert fuzzed_learners.trial(np.random.default_rng(seed), tmp_path / str(seed))


def test_every_fuzzer_has_its_trial():
    for name in run.FUZZERS:
        assert callable(__import__(name, fromlist=["trial"]).trial)


def test_a_finding_is_told_with_its_seed(monkeypatch, capsys):
    lines = ["trial 7", "done refused", "trial 8"]
    monkeypatch.setattr(run, "_in_process", lambda *_: (lines, "status -6: aborted"))
    name = next(iter(run.FUZZERS))
    assert run.main(["--only", name, "--seed", "7", "--seconds", "0.0001"]) == 1
    shown = capsys.readouterr().out
    assert f"FINDING {name} --seed 8: status -6: aborted" in shown
    assert " refused | " in shown


def test_a_trial_that_raises_ends_its_process_not_the_run():
    assert run._in_process("tests.fuzz.nothing", 0, 1.0)[1].startswith("status 1")


def test_trials_have_seeds_of_their_own(monkeypatch, capsys):
    seen = []
    module = types.SimpleNamespace(trial=lambda rng, folder: seen.append(rng.random()) or "right")
    monkeypatch.setitem(sys.modules, "made_up_fuzzer", module)
    assert run._batch("made_up_fuzzer", 3, 2, np.inf) == 0
    assert capsys.readouterr().out.splitlines() == [
        "trial 3",
        "done right",
        "trial 4",
        "done right",
    ]
    assert len(set(seen)) == 2
