"""Warnings of other packages: once, on a line of their own, above a bar and behind an answer."""

import sys
import warnings

import pytest

pytest.importorskip("torch")

from hedgespec.cli import main
from hedgespec.cli.common import StepBar, held_warnings, one_line_warnings
from hedgespec.models import target as targets

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("default::FutureWarning"),
]
SAID = "this\nwill go away"


def join_streams(monkeypatch) -> None:
    """Both are one terminal. (Between a fixture and its test pytest sets them anew.)"""
    monkeypatch.setattr(sys, "stderr", sys.stdout)


def warning_lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if "FutureWarning" in line]


def test_an_answer_is_not_broken_by_a_warning_of_a_model(tiny_models, monkeypatch, capsys):
    load, calls = targets.load_model, []

    def loaded(*named):
        found = load(*named)

        def warn(*_):
            calls.append(1)
            with warnings.catch_warnings():
                warnings.simplefilter("always")
                warnings.warn(SAID, FutureWarning, stacklevel=1)

        found.model.model.norm.register_forward_hook(warn)
        return found

    monkeypatch.setattr(targets, "load_model", loaded)
    join_streams(monkeypatch)
    assert (
        main(
            [
                "live",
                "--target",
                tiny_models["target"],
                "--device",
                "cpu",
                "--prompt",
                "w2 w6 w4",
                "--temperature",
                "0",
                "--drafter",
                "early-exit:2",
                "--max-new-tokens",
                "24",
            ]
        )
        == 0
    )
    [line] = warning_lines(capsys.readouterr().out)
    assert len(calls) > 2
    assert line.startswith("test_foreign_warnings.py:")
    assert line.endswith(": FutureWarning: this will go away")


def test_a_warning_in_the_middle_of_a_line_comes_behind_it(monkeypatch, capsys):
    join_streams(monkeypatch)
    with one_line_warnings(), held_warnings():
        print("an answer ", end="")
        for _ in range(2):
            warnings.warn(SAID, FutureWarning, stacklevel=1)
        print("goes on")
    first, second = capsys.readouterr().out.splitlines()
    assert first == "an answer goes on"
    assert second.endswith("FutureWarning: this will go away")


def test_a_warning_stands_above_the_bar(monkeypatch, capsys):
    join_streams(monkeypatch)
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")
    with one_line_warnings(), StepBar() as bar:
        bar.update("scoring", 10, 1, "")
        bar._bar.refresh()
        for _ in range(2):
            warnings.warn(SAID, FutureWarning, stacklevel=1)
        bar._bar.refresh()
    out = capsys.readouterr().out
    [line] = warning_lines(out)
    assert "scoring" in out
    # What was on the line, the bar, was erased, and it is drawn anew below.
    assert line.rpartition("\x1b[2K")[2].startswith("test_foreign_warnings.py:")
    assert "scoring" not in line
    assert "scoring" in out.partition(line)[2]
