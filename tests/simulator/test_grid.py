"""Sweeps from a TOML file: what is read, kept and resumed."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from hedgespec.api import replay
from hedgespec.bundled import DATA
from hedgespec.cli import main
from hedgespec.costs.file import save_costs
from hedgespec.errors import HedgespecError
from hedgespec.results.store import read_table
from hedgespec.selectors.arms import arm_labels
from hedgespec.selectors.feedback import parse_feedback
from hedgespec.simulator import SweepSettings, run_sweep
from hedgespec.simulator.grid import read_grid
from hedgespec.simulator.replayer import Replayer
from hedgespec.traces import Costs, DrafterCosts, TargetCosts
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

SLOW = Costs("d", "float32", 9, 5, TargetCosts(10.0, 20.0), {"drafter-0": DrafterCosts(1, 5, 2)})


@pytest.fixture
def grid(tmp_path) -> Path:
    write_trace(tmp_path / "trace")
    (tmp_path / "sweep.toml").write_text(GRID)
    return tmp_path / "sweep.toml"


def sim(grid: Path, *options: str) -> int:
    return main(["sim", "--grid", str(grid), "--out", str(grid.parent / "out"), *options])


def provenance(grid: Path) -> dict:
    return json.loads((grid.parent / "out" / "run.json").read_text())


def test_every_combination_is_run(grid):
    assert sim(grid) == 0
    summary = read_table(grid.parent / "out", "summary")
    learners = summary.filter(pl.col("selector") != "ucbspec")
    settings = learners.select("selector", "feedback", "loss", "draft_length").unique()
    assert len(settings) == 2 * 2 * 2 * 2
    exact = learners.filter(pl.col("feedback") == "queued")
    assert exact["mode"].to_list() == ["exact"] * 8
    assert exact["seed"].null_count() == 8
    assert learners.filter(pl.col("feedback") == "rounds:2")["seed"].to_list() == [0, 1] * 8
    assert summary.filter(pl.col("selector") == "ucbspec")["seed"].to_list() == [0, 1, 2]
    run = provenance(grid)
    assert [one["seeds"] for one in run["settings"]] == ["0 to 1", "0 to 2"]
    assert run["grid"] == {"file": str(grid), "overridden": {}}


@pytest.mark.slow
def test_an_interrupted_grid_goes_on_and_gives_the_same(grid, monkeypatch):
    sim(grid)
    whole = {name: read_table(grid.parent / "out", name) for name in ("per_query", "curves")}
    for path in (grid.parent / "out" / "parts").iterdir():
        path.unlink()
    real, calls = Replayer.run, []

    def stop(self, text, *rest, **named):
        calls.append(text)
        if len(calls) == 20:
            raise KeyboardInterrupt
        return real(self, text, *rest, **named)

    monkeypatch.setattr(Replayer, "run", stop)
    assert sim(grid) == 130
    kept = len(list((grid.parent / "out" / "parts").glob("*.curves.parquet")))
    assert 0 < kept < 17
    assert sim(grid) == 0
    for name, table in whole.items():
        assert read_table(grid.parent / "out", name).equals(table)
    before = len(calls)
    assert sim(grid) == 0
    assert len(calls) == before, "nothing is run again"


@pytest.mark.slow
@pytest.mark.parametrize("harm", ["bytes", "rows", "counts", "older"])
def test_jobs_kept_with_a_damaged_file_are_run_again_and_the_others_are_not(
    grid, harm, monkeypatch
):
    sim(grid)
    whole = read_table(grid.parent / "out", "per_query")
    parts, calls, real = grid.parent / "out" / "parts", [], Replayer.run
    said = [path for path in sorted(parts.glob("*.json")) if path.name != "run.json"]
    told = json.loads(said[0].read_text())
    if harm == "bytes":
        (parts / f"{said[0].stem}.curves.parquet").write_bytes(b"PAR1 and no more")
    elif harm == "rows":
        said[0].write_text(json.dumps(told | {"rows": [1, 2]}))
    elif harm == "counts":
        said[0].write_text(
            json.dumps(
                told
                | {
                    "rows": {
                        key: [counts[0] + 1, *counts[1:]] for key, counts in told["rows"].items()
                    }
                }
            )
        )
    else:
        said[0].write_text(json.dumps(told["tables"]))  # what an earlier version wrote

    def counted(self, text, *rest, **named):
        calls.append(text)
        return real(self, text, *rest, **named)

    monkeypatch.setattr(Replayer, "run", counted)
    assert sim(grid) == 0
    assert read_table(grid.parent / "out", "per_query").equals(whole)
    assert calls
    calls.clear()
    assert sim(grid) == 0
    assert not calls, "all of it is kept again"


@pytest.mark.slow
def test_an_edited_trace_is_run_again(grid):
    sim(grid)
    first = read_table(grid.parent / "out", "per_query")
    for path in (grid.parent / "trace").iterdir():
        path.unlink()
    write_trace(grid.parent / "trace", seed=1)
    sim(grid)
    assert not read_table(grid.parent / "out", "per_query").equals(first)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("speed = 3", "unknown key 'speed'; known are traces, selectors"),
        ("seeds = 'many'", "seeds = 'many' has the wrong type"),
        ("draft_length = [true]", r"draft_length = \[True\] has the wrong type"),
        ("run = 3", r"runs are written as \[\[run\]\]"),
        ("seeds =", "cannot be read as TOML"),
        ("x = " + "[" * 3000, r"sweep.toml: cannot be read as TOML \(maximum recursion depth"),
        ('out = "a\\u0000b"', r"sweep.toml: a\\x00b: is no path: it holds a NUL"),
        ("run = []", "there is no run"),
        ("feedbak = 'bold'", "unknown key 'feedbak'.*; did you mean 'feedback'"),
        ("costs = 3", "costs = 3 has the wrong type"),
        ("out = 3", "out = 3 has the wrong type"),
        ("seeds = -7", r"sweep.toml: seeds must be at least 1, not -7"),
        ("carry = -1", r"sweep.toml: carry must be at least 0, not -1"),
        ("pool = [2, 0]", r"sweep.toml: pool must be at least 1, not 0"),
        ("mode = 'bogus'", "sweep.toml: mode must be one of auto, exact, replayed, not 'bogus'"),
        ("feedback = 'evry:4'", "sweep.toml: unknown feedback 'evry:4'"),
    ],
)
def test_bad_grids_are_told(tmp_path, text, message):
    (tmp_path / "sweep.toml").write_text(text)
    with pytest.raises(HedgespecError, match=message):
        read_grid(tmp_path / "sweep.toml")


def test_the_name_of_the_bundled_grid_is_suggested():
    with pytest.raises(HedgespecError, match=r"defalt: cannot be read .*did you mean 'default'"):
        read_grid(Path("defalt"))


def test_settings_that_make_no_sense_are_refused_before_anything_runs(grid, capsys):
    grid.write_text(GRID.replace('selectors = "ucbspec"', 'selectors = "ucbspec"\nloss = "accept"'))
    assert sim(grid) == 1
    assert "ucbspec learns from the tokens of its own rounds" in capsys.readouterr().err
    assert not (grid.parent / "out").exists()


def test_options_beside_a_grid_are_set_in_every_run(grid, tmp_path, capsys):
    write_trace(tmp_path / "other", name="other")
    save_costs(tmp_path / "costs.json", SLOW)
    assert (
        sim(
            grid,
            "--traces",
            str(tmp_path / "other"),
            "--seeds",
            "1",
            "--threads",
            "2",
            "--carry",
            "7",
            "--mode",
            "replayed",
            "--costs",
            str(tmp_path / "costs.json"),
        )
        == 0
    )
    summary = read_table(tmp_path / "out", "summary")
    assert set(summary["trace"]) == {"other"}
    assert set(summary["seed"]) == {0}
    assert set(summary["carry"]) == {7}
    assert set(summary["mode"]) == {"replayed"}
    assert summary["tokens_per_second"].max() < 1
    assert len(summary) == 2 * 2 * 2 * 2 + 1
    given = {
        "traces": [str(tmp_path / "other")],
        "seeds": 1,
        "threads": 2,
        "carry": 7,
        "costs": [str(tmp_path / "costs.json")],
        "mode": "replayed",
    }
    assert provenance(grid)["grid"] == {"file": str(grid), "overridden": given}
    assert f"--seeds 1 --threads 2 --carry 7 --costs {tmp_path / 'costs.json'} --mode replayed" in (
        capsys.readouterr().out
    )


VALUES = {"feedback": "bold", "loss": "accept", "estimator": "rb"}


@pytest.mark.parametrize(
    "option",
    [
        "selectors",
        "draft-length",
        "rule",
        "feedback",
        "loss",
        "estimator",
        "arm-lengths",
        "arms",
        "pool",
    ],
)
def test_options_that_a_grid_is_there_to_vary_are_refused(grid, capsys, option):
    assert sim(grid, f"--{option}", VALUES.get(option, "3")) == 1
    key = option.replace("-", "_")
    assert (
        f"--{option} beside --grid would override what the runs of {grid} vary: set {key} in "
        "the file, or leave --grid out"
    ) in capsys.readouterr().err
    assert not (grid.parent / "out").exists()


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("seeds", "-7", "--seeds must be at least 1, not -7"),
        ("carry", "-1", "--carry must be at least 0, not -1"),
        ("mode", "bogus", "--mode must be one of auto, exact, replayed, not 'bogus'"),
        ("costs", "smolm2-135m-zoo-h100", "did you mean 'smollm2-135m-zoo-h100'?"),
        ("traces", "domain-mix-t0.8", "did you mean 'domain-mix-t0.7'?"),
        ("answer", "nobody", "--answer: no trace has a query 'nobody'"),
    ],
)
def test_options_beside_a_grid_are_checked_before_anything_runs(
    grid, capsys, option, value, message
):
    assert sim(grid, f"--{option}", value) == 1
    assert message in capsys.readouterr().err
    assert not (grid.parent / "out").exists()


def test_a_misspelt_selector_of_any_run_is_told_before_anything_runs(grid, capsys):
    grid.write_text(GRID.replace("ucbspec", "ucbspek"))
    assert sim(grid) == 1
    assert "unknown selector 'ucbspek'" in (told := capsys.readouterr().err)
    assert "did you mean 'ucbspec'?" in told
    assert not (grid.parent / "out").exists()


def test_a_grid_says_its_costs_and_where_results_go(grid, tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    save_costs(tmp_path / "slow.json", SLOW)
    speed = {}
    for name in ("slow.json", "smollm2-135m-zoo-h100"):
        grid.write_text(
            f'out = "made"\ncosts = "{name}"\nseeds = 1\ntraces = ["trace"]\n'
            'selectors = ["uniform"]'
        )
        assert main(["sim", "--grid", str(grid)]) == 0
        speed[name] = read_table(tmp_path / "made", "summary")["tokens_per_second"][0]
    assert speed["slow.json"] < 1 < speed["smollm2-135m-zoo-h100"]


def test_costs_that_differ_between_runs_are_told_apart_by_name(grid):
    grid.write_text(GRID + 'costs = "smollm2-135m-zoo-h100"')
    assert sim(grid) == 0
    found = read_table(grid.parent / "out", "summary").select("selector", "costs").unique().rows()
    assert set(found) == {("hedge", ""), ("normalhedge", ""), ("ucbspec", "smollm2-135m-zoo-h100")}


def test_two_numbers_of_seeds_for_one_setting_are_refused(grid, capsys):
    """Curves are means over seeds: a report could not tell which is which."""
    grid.write_text(
        GRID.replace('selectors = "ucbspec"', 'selectors = "hedge"\nmode = "replayed"')
        .replace("seeds = 2", 'seeds = 2\nmode = "replayed"')
        .replace("draft_length = [2, 3]", "draft_length = [2, 5]")
    )
    assert sim(grid) == 1
    assert (
        "trace synthetic: hedge with draft length 5 is in two runs, with 2 and with 3 seeds; "
        "give both runs the same --seeds"
    ) in capsys.readouterr().err
    assert not (grid.parent / "out").exists()


def test_nothing_to_run_is_told():
    for folders, settings in (([], SweepSettings()), ([DATA], [])):
        with pytest.raises(HedgespecError, match="there is nothing to run"):
            run_sweep(folders, settings)


def test_bundled_traces_and_costs_have_names(tmp_path):
    results = run_sweep(
        ["domain-mix-t0"],
        SweepSettings(selectors=("best-fixed",), costs=(Path("smollm2-135m-zoo-h100"),)),
    )
    assert results.provenance["traces"][0]["folder"] == str(DATA / "traces" / "domain-mix-t0")
    assert results.provenance["traces"][0]["costs"][0]["device"] == "NVIDIA H100 80GB HBM3"


@pytest.mark.parametrize("seed", [-1, 2**80, 10**23, 1.5, "1", True])
def test_a_seed_is_one_type_everywhere(tmp_path, seed):
    replayer = Replayer(write_trace(tmp_path / "trace"))
    for ask in (
        lambda: replayer.run("uniform", seed),
        lambda: replay(replayer.trace, "hedge", seed=seed),
        lambda: Replayer(replayer.trace, carry=seed),
        lambda: SweepSettings(carry=seed),
    ):
        with pytest.raises(HedgespecError, match=r"^(seed|carry) must (lie|be)"):
            ask()


def test_the_highest_seed_is_one(tmp_path):
    replayer = Replayer(write_trace(tmp_path / "trace"))
    assert replayer.run("uniform", 2**63 - 1).choice is not None
    assert replayer.run("uniform", np.int64(3)).choice is not None


def test_an_empty_list_is_told_and_a_byte_order_mark_is_read(tmp_path):
    for key in ("selectors", "draft_length", "traces"):
        (tmp_path / "sweep.toml").write_text(f"{key} = []\n", encoding="utf-8-sig")
        with pytest.raises(HedgespecError, match=f"sweep.toml: {key} is an empty list"):
            read_grid(tmp_path / "sweep.toml")


def test_more_arms_than_can_be_told_apart_are_refused():
    names = [f"drafter-{i}" for i in range(32_767)]
    assert len(arm_labels(names)) == 32_767
    with pytest.raises(HedgespecError, match="make 65534 arms; at most 32767"):
        arm_labels(names, (1, 2))
    with pytest.raises(HedgespecError, match="has a drafter called all; name each"):
        arm_labels(["all", "other"], named=("all@block",))
    assert len(arm_labels(["all", "other"])) == 2


def test_a_pool_and_a_trace_of_one_name_are_refused(tmp_path):
    for name in ("one", "one.n2"):
        write_trace(tmp_path / name, name=name)
    with pytest.raises(HedgespecError, match=r"are both called 'one\.n2'"):
        run_sweep([tmp_path / "one", tmp_path / "one.n2"], SweepSettings(("uniform",), pools=(2,)))


def test_feedbacks_are_objects_or_labels():
    named = SweepSettings(("hedge",), feedbacks=("every:4", parse_feedback("batch:2")))
    assert [one.label for one in named.feedbacks] == ["every:4", "batch:2"]
    with pytest.raises(HedgespecError, match="unknown feedback"):
        SweepSettings(("hedge",), feedbacks=("evry:4",))
