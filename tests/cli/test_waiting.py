"""Who waits is told for what, also in a file or a pipe, where no bar is drawn."""

import pytest

pytest.importorskip("torch")

from hedgespec.cli import common, main
from hedgespec.cli.common import StepBar
from hedgespec.cli.record import Bar
from hedgespec.tracegen.settings import RecordingProgress
from tests.helpers.synthetic import write_trace

pytestmark = pytest.mark.usefixtures("one_thread")


def test_recording_says_what_it_does_where_there_is_no_terminal(monkeypatch, capsys):
    progress = RecordingProgress(12)
    with Bar() as bar:
        bar.update(progress)
        assert capsys.readouterr().err == "", "not before some seconds are over"
        monkeypatch.setattr(common, "_PAUSE", 0.0)
        progress.phase = "measuring costs"
        bar.update(progress)
    assert capsys.readouterr().err.startswith("0 of 12 answers after 0 s: measuring costs\n")


def test_other_bars_do_too(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(common, "_PAUSE", 0.0)
    with StepBar() as bar:
        bar.update("training", 10, 3, "loss 2.1")
    assert "training: 3 of 10 loss 2.1\n" in capsys.readouterr().err
    write_trace(tmp_path / "trace")
    assert (
        main(
            [
                "sim",
                "--traces",
                str(tmp_path / "trace"),
                "--selectors",
                "uniform",
                "--out",
                str(tmp_path / "out"),
            ]
        )
        == 0
    )
    assert "0 of 1: synthetic" in capsys.readouterr().err


def test_no_line_is_printed_where_a_bar_is_drawn(monkeypatch, capsys):
    monkeypatch.setattr(common, "_PAUSE", 0.0)
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("TERM", "xterm")
    with Bar() as bar:
        bar.update(RecordingProgress(12, phase="measuring costs"))
    assert "of 12 answers after" not in capsys.readouterr().err


def test_live_says_that_it_loads_and_measures(tiny_models, tmp_path, capsys):
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
                "--drafter",
                "ngram",
                "--max-new-tokens",
                "4",
                "--out",
                str(tmp_path / "log"),
            ]
        )
        == 0
    )
    told = capsys.readouterr().err.splitlines()
    assert told[:2] == [
        f"loading {tiny_models['target']} and its drafters ...",
        "measuring what target and drafters cost ...",
    ]
