"""A copy of a trace with some of its drafters has the costs that a replay charges these."""

import json

import pytest

from hedgespec.bundled import trace_folder
from hedgespec.cli import main
from hedgespec.costs.estimate import of_drafters
from hedgespec.simulator import SweepSettings, run_sweep
from hedgespec.traces import read_trace

KEPT = ("generalist-mixed", "expert-python", "prompt-lookup")


def summary(trace, arms=()):
    found = run_sweep(
        [trace],
        SweepSettings(
            selectors=("best-fixed", "uniform", "ucbspec", "normalhedge", "none"),
            feedbacks=("queued", "batch:4", "eliminate:0.5,0.125"),
            seeds=2,
            arms=arms,
        ),
    ).summary
    return found.drop("trace", "rounds_per_second")  # its name, and the simulator's own speed


@pytest.mark.slow
def test_replays_of_the_copy_are_those_of_the_arms(tmp_path, capsys):
    whole, part = trace_folder("coder-rephrased-t0.7"), tmp_path / "part"
    assert main(["subset", str(whole), "--drafters", *reversed(KEPT), "--out", str(part)]) == 0
    assert main(["validate", str(part)]) == 0
    assert [drafter.name for drafter in read_trace(part).manifest.drafters] == list(KEPT)
    copied, arms = summary(part), summary(whole, KEPT)
    assert copied.height == arms.height > 8
    for column in arms.columns:
        if arms[column].dtype.is_float():
            assert (copied[column].is_null() == arms[column].is_null()).all()
            assert copied[column].fill_null(0).to_list() == pytest.approx(
                arms[column].fill_null(0).to_list(), rel=1e-9, nan_ok=True
            ), column
    manifest = json.loads((part / "manifest.json").read_text(encoding="utf-8"))
    assert len(manifest["recording"]["subset_of"]["drafters"]) == 11


def test_all_drafters_keep_their_costs():
    costs = read_trace(trace_folder("coder-rephrased-t0.7")).manifest.costs
    assert of_drafters(costs, list(costs.drafters)) == costs


def test_an_unknown_drafter_is_named(tmp_path, capsys):
    command = ["subset", "spec-bench-t1", "--out", str(tmp_path / "part"), "--drafters"]
    assert main([*command, "generalits"]) == 1
    assert "did you mean 'generalist'?" in capsys.readouterr().err
    assert not (tmp_path / "part").exists()
