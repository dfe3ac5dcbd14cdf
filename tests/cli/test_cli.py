"""The command line: results, help, errors, Ctrl-C."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from benchmarks.experiment import TRACE, answers_of, report
from benchmarks.readme import bundled_results, table
from hedgespec import __version__
from hedgespec.analysis.figures import paper, regret_figure
from hedgespec.cli import COMMANDS, main, make_parser
from hedgespec.errors import HedgespecError
from hedgespec.results.store import read_table
from hedgespec.simulator import Chooser, Replayer
from hedgespec.traces.schema import is_trace_name, name_of_folder
from tests.helpers.synthetic import write_trace

ROOT = Path(__file__).parents[2]
SUMMARY = {
    "trace",
    "selector",
    "feedback",
    "loss",
    "draft_length",
    "seed",
    "tokens",
    "rounds",
    "mat",
    "regret_rounds",
    "rounds_per_second",
}
PER_QUERY = {"trace", "selector", "feedback", "loss", "draft_length", "seed", "query", "domain"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_trace(tmp_path / "trace")
    return tmp_path / "trace"


def sim(folder: Path, *arguments: str) -> int:
    return main(["sim", "--traces", str(folder), "--out", str(folder.parent / "out"), *arguments])


def test_results_have_the_promised_columns_and_agree_with_each_other(folder, capsys):
    assert sim(folder, "--seeds", "3", "--draft-length", "4", "--mode", "replayed") == 0
    summary = read_table(folder.parent / "out", "summary")
    per_query = read_table(folder.parent / "out", "per_query")
    assert set(summary.columns) >= SUMMARY
    assert set(per_query.columns) >= PER_QUERY
    selectors = [
        "fixed:drafter-0",
        "fixed:drafter-1",
        "fixed:drafter-2",
        "best-fixed",
        "oracle",
        "uniform",
        "hedge",
        "normalhedge",
        "ucbspec",
        "exp3spec",
    ]
    assert summary["selector"].unique(maintain_order=True).to_list() == selectors
    assert len(summary) == 30
    assert len(per_query) == 30 * 4
    keys = ["trace", "selector", "seed"]
    sums = per_query.group_by(keys, maintain_order=True).agg(
        pl.col("rounds", "tokens", "regret_rounds").sum()
    )
    columns = [*keys, "rounds", "tokens", "regret_rounds"]
    assert_frame_equal(sums.select(columns), summary.select(columns), check_dtypes=False)
    assert (summary["mat"] == summary["tokens"] / summary["rounds"]).all()
    best = summary.filter(pl.col("selector") == "best-fixed")
    assert best["regret_rounds"].to_list() == [0, 0, 0]
    printed = capsys.readouterr().out
    for name in selectors:
        assert name in printed
    feedback = dict(zip(summary["selector"], summary["feedback"], strict=True))
    assert feedback["hedge"] == feedback["normalhedge"] == "queued"
    assert feedback["ucbspec"] == feedback["exp3spec"] == "chosen"


def test_regret_curve_ends_at_the_summarys_regret(folder):
    sim(folder, "--seeds", "2")
    summary, curves = (read_table(folder.parent / "out", name) for name in ("summary", "curves"))
    expected = summary.group_by("selector").agg(
        (pl.col("regret_rounds") / pl.col("queries")).mean()
    )
    last = curves.group_by("selector", maintain_order=True).last()
    joined = expected.join(last, on="selector", suffix="_curve")
    assert len(joined) == 10
    assert (joined["regret_rounds"] - joined["regret_rounds_curve"]).abs().max() < 1e-9


def test_run_json_says_what_made_the_results(folder):
    sim(folder, "--seeds", "2", "--selectors", "hedge:eta=0.5")
    run = json.loads((folder.parent / "out" / "run.json").read_text())
    assert run["versions"]["hedgespec"] == __version__
    assert run["traces"][0]["name"] == "synthetic"
    assert len(run["traces"][0]["manifest_sha256"]) == 64
    assert run["settings"][0]["seeds"] == "0 to 1"
    assert run["settings"][0]["selectors"] == ["hedge:eta=0.5"]


def test_seeds_are_reproducible_and_threads_change_nothing(folder):
    tables = []
    for threads in ("1", "3"):
        sim(folder, "--seeds", "2", "--threads", threads)
        tables.append(read_table(folder.parent / "out", "per_query"))
    assert tables[0].equals(tables[1])


def test_figure_is_drawn_when_asked_for(folder):
    picture = folder.parent / "out" / "regret.png"
    sim(folder, "--seeds", "1", "--selectors", "uniform")
    assert not picture.exists()
    sim(folder, "--seeds", "1", "--selectors", "uniform", "--figure")
    assert picture.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert picture.stat().st_size > 10_000
    sim(folder, "--seeds", "1", "--selectors", "uniform")
    assert not picture.exists(), "of the run before"
    with pytest.raises(HedgespecError, match="results are empty"):
        regret_figure(pl.DataFrame(), folder.parent / "empty.png")


def test_one_query_of_one_token_is_enough(tmp_path):
    write_trace(tmp_path / "trace", lengths=(1,))
    assert sim(tmp_path / "trace", "--seeds", "1") == 0
    summary = read_table(tmp_path / "out", "summary")
    assert summary["rounds"].to_list() == [1] * 10


def interrupt_at(monkeypatch: pytest.MonkeyPatch, selector: str) -> None:
    """Ctrl-C when this selector comes to its second seed."""
    real = Replayer.run

    def stop(self: Replayer, chooser: Chooser, seed: int, *rest: object, **named: object) -> object:
        if chooser.label == selector and seed == 1:
            raise KeyboardInterrupt
        return real(self, chooser, seed, *rest, **named)

    monkeypatch.setattr(Replayer, "run", stop)


def test_interrupted_sweep_keeps_what_it_has(folder, monkeypatch, capsys):
    interrupt_at(monkeypatch, "hedge")
    assert sim(folder, "--seeds", "2", "--mode", "replayed") == 130
    assert "INTERRUPTED: these are the results so far" in capsys.readouterr().out
    names = read_table(folder.parent / "out", "summary")["selector"]
    assert "uniform" in names
    assert "normalhedge" not in names
    assert json.loads((folder.parent / "out" / "run.json").read_text())["complete"] is False


def test_selectors_named_twice_run_once(folder):
    sim(
        folder,
        "--seeds",
        "1",
        "--selectors",
        "hedge",
        "hedge:eta=-1",
        "hedge:eta=0.1",
        "hedge:eta=0.10",
        "hedge:eta=0.1000001",
    )
    names = read_table(folder.parent / "out", "summary")["selector"].to_list()
    assert names == ["hedge", "hedge:eta=0.1", "hedge:eta=0.1000001"]


def test_interrupted_before_the_first_result_writes_nothing(folder, monkeypatch, capsys):
    def stop(*_: object) -> object:
        raise KeyboardInterrupt

    monkeypatch.setattr(Replayer, "run_exact", stop)
    assert sim(folder) == 130
    assert not (folder.parent / "out").exists()
    assert "nothing written" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--selectors", "magic"], "unknown selector 'magic'"),
        (["--selectors", "fixed:nobody"], "has no drafter 'nobody'"),
        (["--selectors", "hedge", "fixed"], "fixed: names no drafter; write fixed:DRAFTER"),
        (["--seeds", "0"], "--seeds must be at least 1"),
        (["--threads", "0"], "--threads must be at least 1"),
        (["--draft-length", "0"], "draft length must be at least 1"),
        (["--rule", "greedy"], "needs text written at temperature 0"),
    ],
)
def test_bad_options_are_one_line_and_write_nothing(folder, capsys, arguments, message):
    assert sim(folder, *arguments) == 1
    error = capsys.readouterr().err.strip()
    assert message in error
    assert len(error.splitlines()) == 1
    assert not (folder.parent / "out").exists()


def test_missing_and_doubled_traces(folder, tmp_path, capsys):
    assert sim(tmp_path / "nowhere") == 1
    assert "no such trace directory" in capsys.readouterr().err
    assert main(["sim", "--traces", str(folder), str(folder), "--out", str(tmp_path / "o")]) == 1
    told = capsys.readouterr().err
    assert "two traces are called 'synthetic'" in told
    assert told.endswith("give it once\n")


def test_a_clash_of_names_says_how_to_end_it(folder, tmp_path, capsys):
    write_trace(tmp_path / "other", 1, (3, 4))
    command = [
        "sim",
        "--traces",
        str(folder),
        str(tmp_path / "other"),
        "--seeds",
        "1",
        "--selectors",
        "hedge",
        "--out",
        str(tmp_path / "o"),
    ]
    assert main(command) == 1
    remedy = shlex.split(capsys.readouterr().err.partition("copy one under another name: ")[2])
    assert main(remedy[1:]) == 0
    command[3] = f"{tmp_path / 'other'}-2"
    assert main(command) == 0


@pytest.mark.parametrize(
    ("options", "name"),
    [
        (["--out", "my traces/first one"], "first-one"),
        (["--out", "x", "--name", "y"], "y"),
        (["--out", "."], None),
        ([], "prompts-t1"),
        (["--temperature", "0"], "prompts-t0"),
    ],
)
def test_a_recording_is_called_by_its_folder(tmp_path, monkeypatch, options, name):
    from hedgespec.cli.record import _settings

    monkeypatch.chdir(tmp_path)
    parsed = make_parser(["record"])[0].parse_args(["record", "--device", "cpu", *options])
    settings = _settings(parsed)
    assert settings.name == (name or name_of_folder(tmp_path))
    assert is_trace_name(settings.name)


def test_out_that_cannot_be_written_is_said_before_any_work(folder, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        assert main(["sim", "--traces", str(folder), "--out", str(out)]) == 1
        error = capsys.readouterr().err.strip()
        assert "is a file, not a folder" in error
        assert len(error.splitlines()) == 1


def test_missing_results_say_how_to_make_them(tmp_path):
    with pytest.raises(HedgespecError, match="make them with `hedgespec sim"):
        read_table(tmp_path, "summary")


@pytest.mark.parametrize("command", COMMANDS)
def test_help_teaches(command, capsys):
    with pytest.raises(SystemExit) as caught:
        main([command, "--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    assert len(text.splitlines()) >= 5
    assert "default" in text or command in ("selectors", "fidelity")


def test_selectors_are_listed(capsys):
    assert main(["selectors"]) == 0
    text = capsys.readouterr().out
    for name in (
        "hedge",
        "normalhedge",
        "ucbspec",
        "exp3spec",
        "uniform",
        "best-fixed",
        "oracle",
        "fixed:<drafter>",
        "delta",
        "eta",
    ):
        assert name in text


def test_drafter_families_in_the_help_are_the_real_ones(capsys):
    pytest.importorskip("torch")
    from hedgespec.models.drafters import FAMILIES

    with pytest.raises(SystemExit):
        main(["record", "--help"])
    text = capsys.readouterr().out
    for family in FAMILIES.values():
        assert family.usage in text


def test_readme_commands_exist_and_its_files_too():
    """The two commands are run for real by CI (make test) and by hand (make sim)."""
    readme = (ROOT / "README.md").read_text()
    targets = set(re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"^make ([a-z-]+)", readme, re.MULTILINE)) >= {"sim", "test"}
    assert set(re.findall(r"`make ([a-z-]+)", readme)) <= targets
    for link in re.findall(r"\]\(([^)#]+)\)", readme):
        assert link.startswith("http") or (ROOT / link).exists(), link


def test_readme_table_is_what_the_bundled_traces_give():
    shown = table(bundled_results().summary)
    assert shown in (ROOT / "README.md").read_text(), "run `make readme`"


def test_zoo_tables_are_what_the_bundled_trace_gives():
    shown = report(answers_of(TRACE))
    assert shown in (ROOT / "docs" / "zoo.md").read_text(), "run `make readme`"


def test_regret_figure_draws_each_setting_of_a_selector(tmp_path, monkeypatch):
    write_trace(tmp_path / "trace")
    sim(tmp_path / "trace", "--selectors", "hedge", "uniform", "--feedback", "queued", "bold")
    drawn = []
    plot_panels = paper.plot_panels
    monkeypatch.setattr(
        paper,
        "plot_panels",
        lambda panels, **options: (
            drawn.extend(panels[0].rows["name"].unique(maintain_order=True)),
            plot_panels(panels, **options),
        )[1],
    )
    regret_figure(pl.read_parquet(tmp_path / "out" / "curves.parquet"), tmp_path / "figure.png")
    assert drawn == ["hedge queued", "hedge bold", "uniform"]


def test_help_lists_every_command_without_importing_what_they_need():
    code = (
        "import sys; from hedgespec.cli import main\n"
        "try: main(['--help'])\n"
        "finally: print({'numpy', 'numba', 'polars'} & set(sys.modules))"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout
    assert all(f"\n    {name}" in output for name in COMMANDS)
    assert output.endswith("set()\n")


@pytest.mark.parametrize("command", ["sim", "report"])
def test_matrix_products_use_one_core_unless_the_user_says_otherwise(command):
    """Said before NumPy is there, which reads it once."""
    code = (
        "import os, sys; from hedgespec.cli import make_parser; there = 'numpy' in sys.modules; "
        f"make_parser(['{command}']); print(there, os.environ['OPENBLAS_NUM_THREADS'])"
    )
    for given, expected in (({}, "False 1"), ({"OPENBLAS_NUM_THREADS": "3"}, "False 3")):
        others = {name: text for name, text in os.environ.items() if "NUM_THREADS" not in name}
        output = subprocess.run(
            [sys.executable, "-c", code], env=others | given, capture_output=True, text=True
        ).stdout
        assert output.strip() == expected
