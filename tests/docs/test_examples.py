"""The scripts and the notebook of examples/ run as they stand, and are short."""

import runpy
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "examples"
SCRIPTS = sorted(path.name for path in FOLDER.glob("*.py"))


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Runs a script with arguments; what it printed."""

    def run(name: str, *arguments: object) -> str:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", [str(FOLDER / name), *map(str, arguments)])
        runpy.run_path(str(FOLDER / name), run_name="__main__")
        return capsys.readouterr().out

    return run


def test_no_script_is_longer_than_sixty_lines():
    assert SCRIPTS
    for name in SCRIPTS:
        assert len((FOLDER / name).read_text().splitlines()) <= 60, name


def test_replay(run):
    printed = run("replay.py")
    assert "best-fixed" in printed
    assert "tokens_per_second" in printed


def test_a_learner_of_ones_own_without_forgetting_is_follow_the_leader(run):
    rows = {
        row.split("┆")[0].strip(" │"): row.split("┆")[1:]
        for row in run("own_learner.py").splitlines()
        if "┆" in row
    }
    assert rows["recent:keep=1"] == rows["ftl"]
    assert rows["recent"] != rows["ftl"]


def test_sweep(run):
    rows = [row for row in run("sweep.py").splitlines() if "spec-bench" in row]
    assert len(rows) == 4  # two traces, two draft lengths


@pytest.mark.slow
def test_report(run, tmp_path):
    assert "open" in run("report.py", "page")
    page = (tmp_path / "page" / "report.html").read_text(encoding="utf-8")
    assert "normalhedge" in page


@pytest.mark.slow
def test_live(run, tiny_models):
    lines = run("live.py", tiny_models["target"], 12).splitlines()
    assert [line.partition(":")[0] for line in lines[-3:]] == ["normalhedge", "ucbspec", "none"]
    assert lines[-1].startswith("none: 1.00")


@pytest.mark.slow
def test_the_notebook_runs_and_is_kept_without_output(tmp_path, monkeypatch):
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    monkeypatch.setenv("PYTHONPATH", str(FOLDER.parent))
    notebook = nbformat.read(FOLDER / "first_steps.ipynb", as_version=4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert not [cell for cell in cells if cell.outputs or cell.execution_count]
    nbclient.NotebookClient(
        notebook,
        timeout=300,
        kernel_name="python3",
        resources={"metadata": {"path": str(tmp_path)}},
    ).execute()
    shown = [output.get("data", {}) for cell in cells for output in cell.outputs]
    assert any("normalhedge" in one.get("text/plain", "") for one in shown)
    assert any("image/png" in one for one in shown)
