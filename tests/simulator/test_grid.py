"""Sweeps from a TOML file: what is read, kept and resumed."""

import json
from pathlib import Path

import polars as pl
import pytest

from hedgespec.analysis.tables import read_results
from hedgespec.cli import main
from hedgespec.errors import HedgespecError
from hedgespec.simulator.grid import read_grid
from hedgespec.simulator.replayer import Replayer
from tests.helpers.synthetic import write_trace

GRID = """
traces = ["trace"]
seeds = 2

[[run]]
selectors = ["hedge", "normalhedge"]
feedback = ["queued", "rounds:2"]
loss = ["length", "accept"]
draft_length = [2, 3]

[[run]]
selectors = "ucbspec"
seeds = 3
"""


@pytest.fixture
def grid(tmp_path) -> Path:
    write_trace(tmp_path / "trace")
    (tmp_path / "sweep.toml").write_text(GRID)
    return tmp_path / "sweep.toml"


def sim(grid: Path) -> int:
    return main(["sim", "--grid", str(grid), "--out", str(grid.parent / "out")])


def test_every_combination_is_run(grid):
    assert sim(grid) == 0
    summary = read_results(grid.parent / "out", "summary")
    learners = summary.filter(pl.col("selector") != "ucbspec")
    settings = learners.select("selector", "feedback", "loss", "draft_length").unique()
    assert len(settings) == 2 * 2 * 2 * 2
    exact = learners.filter(pl.col("feedback") == "queued")
    assert exact["mode"].to_list() == ["exact"] * 8
    assert exact["seed"].null_count() == 8
    assert learners.filter(pl.col("feedback") == "rounds:2")["seed"].to_list() == [0, 1] * 8
    assert summary.filter(pl.col("selector") == "ucbspec")["seed"].to_list() == [0, 1, 2]
    settings = json.loads((grid.parent / "out" / "run.json").read_text())["settings"]
    assert [one["seeds"] for one in settings] == [[0, 1], [0, 1, 2]]


@pytest.mark.slow
def test_an_interrupted_grid_goes_on_and_gives_the_same(grid, monkeypatch):
    sim(grid)
    whole = {name: read_results(grid.parent / "out", name) for name in ("per_query", "curves")}
    for path in (grid.parent / "out" / "parts").iterdir():
        path.unlink()
    real, calls = Replayer.run, []

    def stop(self, text, *rest):
        calls.append(text)
        if len(calls) == 20:
            raise KeyboardInterrupt
        return real(self, text, *rest)

    monkeypatch.setattr(Replayer, "run", stop)
    assert sim(grid) == 130
    kept = len(list((grid.parent / "out" / "parts").glob("*.curves.parquet")))
    assert 0 < kept < 17
    assert sim(grid) == 0
    for name, table in whole.items():
        assert read_results(grid.parent / "out", name).equals(table)
    before = len(calls)
    assert sim(grid) == 0
    assert len(calls) == before, "nothing is run again"


def test_an_edited_trace_is_run_again(grid):
    sim(grid)
    first = read_results(grid.parent / "out", "per_query")
    for path in (grid.parent / "trace").iterdir():
        path.unlink()
    write_trace(grid.parent / "trace", seed=1)
    sim(grid)
    assert not read_results(grid.parent / "out", "per_query").equals(first)


@pytest.mark.parametrize(("text", "message"), [
    ("speed = 3", "unknown key 'speed'; known are traces, selectors"),
    ("seeds = 'many'", "seeds = 'many' has the wrong type"),
    ("draft_length = [true]", r"draft_length = \[True\] has the wrong type"),
    ("run = 3", r"runs are written as \[\[run\]\]"),
    ("seeds =", "cannot be read as TOML"),
])
def test_bad_grids_are_told(tmp_path, text, message):
    (tmp_path / "sweep.toml").write_text(text)
    with pytest.raises(HedgespecError, match=message):
        read_grid(tmp_path / "sweep.toml", 1)


def test_settings_that_make_no_sense_are_refused_before_anything_runs(grid, capsys):
    grid.write_text(GRID.replace('selectors = "ucbspec"', 'selectors = "ucbspec"\nloss = "accept"'))
    assert sim(grid) == 1
    assert "ucbspec learns from the tokens of its own rounds" in capsys.readouterr().err
    assert not (grid.parent / "out").exists()
