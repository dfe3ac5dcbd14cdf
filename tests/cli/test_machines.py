"""What programs ask of the command line: JSON, silence, a dry run, version, pages, completion."""

import json
import subprocess
import sys
from importlib.metadata import PathDistribution
from pathlib import Path

import pytest

from hedgespec import __version__, bundled, version
from hedgespec.cli import COMMANDS, main
from hedgespec.results.store import read_results
from hedgespec.simulator import SweepSettings
from hedgespec.simulator.forecast import forecast
from tests.helpers.synthetic import write_trace

SELECTORS = ["fixed:drafter-0", "hedge", "ucbspec"]


@pytest.fixture(scope="module")
def trace(tmp_path_factory):
    return write_trace(tmp_path_factory.mktemp("trace") / "trace").folder


@pytest.fixture(scope="module")
def results(trace):
    out = trace.parent / "out"
    assert (
        main(
            [
                "sim",
                "--traces",
                str(trace),
                "--selectors",
                *SELECTORS,
                "--seeds",
                "2",
                "--out",
                str(out),
                "--quiet",
            ]
        )
        == 0
    )
    return out


def document(capsys):
    """What was printed, which is JSON as every parser reads it."""

    def refuse(text):
        raise AssertionError(f"{text} is no JSON")

    return json.loads(capsys.readouterr().out, parse_constant=refuse)


def test_sim_says_what_its_tables_say(trace, tmp_path, capsys):
    out = tmp_path / "out"
    assert (
        main(
            [
                "sim",
                "--traces",
                str(trace),
                "--selectors",
                *SELECTORS,
                "--seeds",
                "2",
                "--out",
                str(out),
                "--json",
            ]
        )
        == 0
    )
    said = document(capsys)
    rows = read_results(out).overview().to_dicts()
    assert [(row["selector"], row["mat"]) for row in said["settings"]] == [
        (row["selector"], row["mat"]) for row in rows
    ]
    assert said["complete"] is True
    [judged] = said["verdicts"]
    assert judged["verdict"]["best"] in SELECTORS
    assert judged["verdict"]["rate"] > 1


def test_report_says_where_the_page_is_and_what_it_found(results, tmp_path, capsys):
    assert (
        main(["report", str(results), "--out", str(tmp_path / "page"), "--formats", "--json"]) == 0
    )
    said = document(capsys)
    assert said["page"] == str(tmp_path / "page" / "report.html")
    assert [one["trace"] for one in said["verdicts"]] == ["synthetic"]
    assert said["comparisons"] == []


def test_validate_says_which_trace_is_not_valid(trace, tmp_path, capsys):
    assert main(["validate", str(trace), str(tmp_path / "nowhere"), "--json"]) == 1
    good, bad = document(capsys)
    assert good["valid"] is True
    assert good["drafters"] == ["drafter-0", "drafter-1", "drafter-2"]
    assert bad["valid"] is False
    assert "no such trace directory" in bad["error"]


def test_selectors_say_what_can_be_set(capsys):
    assert main(["selectors", "--json"]) == 0
    said = document(capsys)
    [hedge] = [one for one in said["selectors"] if one["name"] == "hedge"]
    assert [item["name"] for item in hedge["parameters"]] == ["eta"]
    assert {"queued", "bold"} <= said["feedback"].keys()
    assert "sampling" in [rule["name"] for rule in said["rules"]]


@pytest.mark.parametrize("command", ["sim", "report", "validate"])
def test_quiet_prints_nothing(command, trace, results, tmp_path, capsys):
    assert (
        main(
            {
                "sim": [
                    "sim",
                    "--traces",
                    str(trace),
                    "--selectors",
                    "uniform",
                    "--seeds",
                    "1",
                    "--out",
                    str(tmp_path / "out"),
                ],
                "report": ["report", str(results), "--out", str(tmp_path / "page"), "--formats"],
                "validate": ["validate", str(trace)],
            }[command]
            + ["--quiet"]
        )
        == 0
    )
    assert capsys.readouterr() == ("", "")


def test_quiet_still_tells_errors(tmp_path, capsys):
    assert main(["sim", "--traces", str(tmp_path / "nowhere"), "--quiet"]) == 1
    assert "no such trace directory" in capsys.readouterr().err


def test_a_dry_run_counts_and_writes_nothing(trace, tmp_path, capsys):
    grid = tmp_path / "grid.toml"
    grid.write_text(
        f'traces = ["{trace}"]\nseeds = 3\nmode = "replayed"\n'
        '[[run]]\nselectors = ["uniform", "hedge"]\n'
        '[[run]]\nselectors = ["uniform", "hedge"]\nfeedback = ["bold"]\n'
    )
    command = ["sim", "--grid", str(grid), "--out", str(tmp_path / "out")]
    assert main([*command, "--dry-run", "--json"]) == 0
    said = document(capsys)
    # uniform is fed with nothing: in both runs it is one setting, and run once.
    assert (said["traces"], said["jobs"], said["finished"], said["runs"]) == (1, 3, 0, 9)
    assert not (tmp_path / "out").exists()
    assert main([*command, "--quiet"]) == 0
    capsys.readouterr()
    assert main([*command, "--dry-run"]) == 0
    assert "settings: 3, of which finished: 3; traces: 1" in capsys.readouterr().out


def test_a_dry_run_expects_more_of_more(trace):
    few, many = (
        forecast(
            [trace], SweepSettings(selectors=("uniform", "ucbspec"), seeds=seeds, mode="replayed")
        )
        for seeds in (2, 50)
    )
    assert (few.runs, many.runs) == (4, 100)
    assert many.tokens == 25 * few.tokens
    assert few.tried > 0
    assert few.seconds > 0


def test_the_version_has_the_commit_where_there_is_one(tmp_path, monkeypatch, capsys):
    def told():
        with pytest.raises(SystemExit) as ended:
            main(["--version"])
        assert ended.value.code == 0
        return capsys.readouterr().out.strip()

    monkeypatch.setattr(version, "_ROOT", tmp_path)
    monkeypatch.setattr(version, "_of_installation", lambda: "")
    assert told() == f"hedgespec {__version__}"
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "first"], check=True)
    commit = subprocess.run(
        [*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True
    ).stdout
    assert told() == f"hedgespec {__version__} ({commit[:12]})"
    (tmp_path / "file").write_text("")
    subprocess.run([*git, "add", "file"], check=True)
    assert told().endswith("-dirty)")


def test_the_documentation_is_found_in_a_clone_and_where_pip_put_it(tmp_path, monkeypatch, capsys):
    def told():
        with pytest.raises(SystemExit) as ended:
            main(["--docs"])
        printed = capsys.readouterr()
        return Path(printed.out.strip()) if ended.value.code == 0 else printed.err

    assert (told() / "index.md").is_file()
    monkeypatch.setattr(bundled, "DATA", tmp_path / "site-packages" / "hedgespec" / "data")
    info = tmp_path / "site-packages" / "hedgespec-0.1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Name: hedgespec\nVersion: 0.1.0\n")
    (info / "RECORD").write_text("hedgespec/__init__.py,,\n")
    monkeypatch.setattr(bundled, "files", lambda name: PathDistribution(info).files)
    assert "no documentation" in told()
    (info / "RECORD").write_text("../share/doc/hedgespec/docs/index.md,,\n")
    (tmp_path / "share" / "doc" / "hedgespec" / "docs").mkdir(parents=True)
    (tmp_path / "share" / "doc" / "hedgespec" / "docs" / "index.md").write_text("# Start here\n")
    assert told() == tmp_path / "share" / "doc" / "hedgespec" / "docs"


def test_completion_knows_every_command_and_option(capsys):
    pytest.importorskip("shtab")
    with pytest.raises(SystemExit):
        main(["--print-completion", "bash"])
    script = capsys.readouterr().out
    assert subprocess.run(["bash", "-n"], input=script, text=True, check=False).returncode == 0
    for command in COMMANDS:
        assert f"_shtab_hedgespec_{command}_option_strings=(" in script, command
    assert " --draft-length " in script


def test_a_reader_that_goes_away_is_no_error():
    done = subprocess.run(
        f"{sys.executable} -m hedgespec selectors | head -1",
        shell=True,
        executable="/bin/bash",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
