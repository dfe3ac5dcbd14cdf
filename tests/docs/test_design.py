"""The feedback policy of docs/design.md: its diff is put into a copy of the project and tested."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from tests.helpers.synthetic import write_trace

ROOT = Path(__file__).parents[2]
COPIED = ("hedgespec", "tests", "docs", "pyproject.toml")


@pytest.fixture(scope="module")
def changed(tmp_path_factory):
    """A copy of the project with the page's diff."""
    copy = tmp_path_factory.mktemp("project")
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(
                source, copy / name, ignore=shutil.ignore_patterns("__pycache__", "data", "images")
            )
        else:
            shutil.copy(source, copy / name)
    (copy / "hedgespec" / "data").symlink_to(ROOT / "hedgespec" / "data")
    [diff] = re.findall(r"```diff\n(.*?)```", (ROOT / "docs" / "design.md").read_text(), re.DOTALL)
    assert len(re.findall(r"^diff --git", diff, re.MULTILINE)) <= 3
    subprocess.run(
        ["git", "apply", "-"],
        input=diff,
        text=True,
        check=True,
        cwd=copy,
        env={**os.environ, "GIT_CEILING_DIRECTORIES": str(copy.parent)},
    )
    return copy


def run(copy, *command):
    return subprocess.run(
        [sys.executable, "-m", *command],
        cwd=copy,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(copy)},
    )


@pytest.mark.slow
def test_the_contract_tests_pick_the_policy_up(changed):
    done = run(
        changed,
        "pytest",
        "-k",
        "jitter",
        "-p",
        "no:cacheprovider",
        "tests/selectors/test_feedback_policies.py",
    )
    assert done.returncode == 0, done.stdout[-2000:]
    assert int(re.search(r"(\d+) passed", done.stdout)[1]) > 3, done.stdout[-500:]


@pytest.mark.slow
def test_it_is_replayed_and_named_in_the_tables(changed, tmp_path):
    write_trace(tmp_path / "trace", lengths=(2500,), closeness=(0.5, 0.5, 0.5))
    done = run(
        changed,
        "hedgespec",
        "sim",
        "--traces",
        str(tmp_path / "trace"),
        "--selectors",
        "normalhedge",
        "--feedback",
        "jitter:3",
        "queued",
        "--seeds",
        "1",
        "--mode",
        "replayed",
        "--out",
        str(tmp_path / "out"),
    )
    assert done.returncode == 0, done.stderr
    table = pl.read_parquet(tmp_path / "out" / "summary.parquet")
    assert set(table["feedback"]) == {"jitter:3", "queued"}
    assert table["rounds"].n_unique() == 2
