"""Results are swapped in whole: no mixture is read, and no other run is replaced unasked."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from hedgespec import simulator
from hedgespec.cli import main
from hedgespec.errors import HedgespecError
from hedgespec.results.store import PICTURE, Results, read_results, save_results
from hedgespec.simulator import SweepSettings, run_sweep
from tests.helpers.synthetic import write_trace


@pytest.fixture(scope="module")
def trace(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("trace") / "trace"
    write_trace(folder, lengths=(9, 5))
    return folder


@pytest.fixture(scope="module")
def results(trace) -> Results:
    return run_sweep([trace], SweepSettings(("uniform", "best-fixed"), seeds=2))


def sim(trace: Path, out: Path, *options: object) -> int:
    selectors = [] if "--grid" in options else ["--traces", str(trace), "--selectors", "uniform"]
    return main(["sim", *selectors, "--out", str(out), *map(str, options)])


def test_tables_of_two_runs_are_not_read_as_one(results, tmp_path):
    save_results(tmp_path / "one", results)
    other = replace(results, per_query=results.per_query.head(3))
    save_results(tmp_path / "other", other)
    (tmp_path / "other" / "per_query.parquet").rename(tmp_path / "one" / "per_query.parquet")
    with pytest.raises(HedgespecError, match=r"per_query.parquet: sha256 .* run.json says"):
        read_results(tmp_path / "one")


def test_a_run_that_is_killed_while_it_saves_leaves_the_one_before(results, tmp_path):
    save_results(tmp_path, results)

    def killed(path: Path) -> None:
        path.write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        save_results(
            tmp_path, replace(results, summary=results.summary.head(1)), {"regret.png": killed}
        )
    assert read_results(tmp_path).summary.equals(results.summary)
    assert len(list(tmp_path.iterdir())) == 5


def test_a_picture_of_the_run_before_goes_when_its_tables_have_gone(results, tmp_path, monkeypatch):
    save_results(tmp_path, results, {PICTURE: lambda path: path.write_text("a picture")})
    with monkeypatch.context() as patch:
        patch.setattr("hedgespec.results.store.move_up", killed)
        with pytest.raises(KeyboardInterrupt):
            save_results(tmp_path, results)
    assert (tmp_path / PICTURE).is_file()
    save_results(tmp_path, results)
    assert not (tmp_path / PICTURE).exists()


def killed(*_: object) -> None:
    raise KeyboardInterrupt


def test_another_run_is_replaced_only_when_forced(trace, tmp_path, capsys):
    out = tmp_path / "out"
    assert sim(trace, out) == 0
    assert sim(trace, out, "--threads", 2) == 0  # the same
    before = (out / "run.json").read_bytes()
    assert sim(trace, out, "--seeds", 3) == 1
    told = capsys.readouterr().err
    assert "holds results of another run: --seeds was 0 to 4 and is now 0 to 2" in told
    assert "or replace them with --force" in told
    assert len(told.strip().splitlines()) == 1
    assert (out / "run.json").read_bytes() == before
    (out / ".summary.parquet.1.tmp").write_text("half")  # of a killed process
    assert sim(trace, out, "--seeds", 3, "--force") == 0
    assert {path.name for path in out.iterdir()} == {
        "summary.parquet",
        "per_query.parquet",
        "curves.parquet",
        "answer.parquet",
        "run.json",
    }


def test_a_run_that_ended_meanwhile_is_not_replaced(trace, tmp_path, capsys, monkeypatch):
    """Two processes that began in one empty folder: both keep what they found."""
    out, first, run = tmp_path / "out", [True], simulator.run_sweep

    def and_another(*arguments, **options):
        found = run(*arguments, **options)
        if first and first.pop():
            assert sim(trace, out, "--seeds", 3) == 0
        return found

    monkeypatch.setattr(simulator, "run_sweep", and_another)
    assert sim(trace, out) == 0
    said = capsys.readouterr()
    assert f"{out}: results of another run were written there meanwhile" in said.err
    assert f"Tables and run.json are in {out}-2" in " ".join(said.out.split())
    seeds = [
        json.loads((folder / "run.json").read_text())["settings"][0]["seeds"]
        for folder in (out, tmp_path / "out-2")
    ]
    assert seeds == ["0 to 2", "0 to 4"]


def test_a_grid_goes_on_and_another_one_does_not_take_its_folder(trace, tmp_path, capsys):
    for name, selector in (("one", "uniform"), ("other", "best-fixed")):
        (tmp_path / f"{name}.toml").write_text(
            f'traces = ["{trace}"]\nselectors = ["{selector}"]\nseeds = 2\n', encoding="utf-8-sig"
        )
    out = tmp_path / "out"
    assert sim(trace, out, "--grid", tmp_path / "one.toml") == 0
    for path in out.glob("*.*"):  # killed before there were results: the parts are left
        path.unlink()
    assert sim(trace, out, "--grid", tmp_path / "other.toml") == 1
    assert "--grid was" in capsys.readouterr().err
    assert sim(trace, out) == 1
    capsys.readouterr()
    kept = set((out / "parts").glob("*.summary.parquet"))
    assert sim(trace, out, "--grid", tmp_path / "other.toml", "--force") == 0
    assert not kept & set((out / "parts").glob("*.summary.parquet")), "stale parts go"
    assert sim(trace, out, "--force") == 0
    assert not (out / "parts").exists()


def test_damaged_parts_are_made_anew(trace, tmp_path):
    (tmp_path / "grid.toml").write_text(f'traces = ["{trace}"]\nselectors = ["uniform"]\n')
    grid = "--grid", tmp_path / "grid.toml"
    assert sim(trace, tmp_path / "out", *grid) == 0
    first = read_results(tmp_path / "out")
    for part in (tmp_path / "out" / "parts").glob("*.parquet"):
        part.write_bytes(b"PAR1" + b"\xff" * 500 + b"PAR1")
    assert sim(trace, tmp_path / "out", *grid) == 0
    assert read_results(tmp_path / "out").per_query.equals(first.per_query)


@pytest.mark.parametrize(
    ("file", "text", "told"),
    [
        ("manifest.json", "{}", "holds a trace"),
        ("run.json", "{", "not readable as JSON"),
        ("run.json", '{"selector": "hedge"}', "no results of `hedgespec sim`"),
    ],
)
def test_a_folder_of_other_files_is_left_alone(results, tmp_path, file, text, told):
    (tmp_path / file).write_text(text)
    with pytest.raises(HedgespecError, match=told):
        results.save(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [file]


def test_save_in_python_asks_too(results, tmp_path):
    results.save(tmp_path)
    results.save(tmp_path)
    made = json.loads(json.dumps(results.provenance))
    made["settings"][0]["draft_lengths"] = [3]
    with pytest.raises(HedgespecError, match="draft_lengths was not given and is now 3"):
        replace(results, provenance=made).save(tmp_path)
    replace(results, provenance=made).save(tmp_path, force=True)


@pytest.mark.slow
def test_numba_told_not_to_compile_is_overruled_with_a_warning(trace, tmp_path):
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "hedgespec",
            "sim",
            "--traces",
            str(trace),
            "--selectors",
            "best-fixed",
            "--out",
            str(tmp_path / "out"),
        ],
        capture_output=True,
        text=True,
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
    )
    assert done.returncode == 0
    assert done.stderr.strip().splitlines() == [
        "hedgespec: warning: NUMBA_DISABLE_JIT is set, but hedgespec needs numba's compiler: it is "
        "used"
    ]
