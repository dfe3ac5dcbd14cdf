"""An option that would change nothing beside the others is refused by name, before any work."""

import pytest

from hedgespec.cli import main

IDLE = {
    "live --prompt x --per-domain 2": "--per-domain 2 would change nothing",
    "live --chat --per-domain 2": "--per-domain 2 would change nothing",
    "live --prompt x --no-costs": "--no-costs would change nothing: they are measured for the log",
    "live --temperature 0 --top-p 0.9": "--top-p 0.9 would change nothing: at --temperature 0",
    "live --temperature 0 --top-k 5": "--top-k 5 would change nothing: at --temperature 0",
    "record --temperature 0 --top-p 0.9": "--top-p 0.9 would change nothing: at --temperature 0",
    "record --temperature 0 --top-k 5": "--top-k 5 would change nothing: at --temperature 0",
    "record --device cpu --compile": "--compile would change nothing: costs of compiled kernels",
    "record --device split --compile": "--compile would change nothing: costs of compiled kernels",
    "traces list --out x": "--out x would change nothing: `list` takes no options",
    "traces list --scale 2": "--scale 2.0 would change nothing",
    "traces list --zoo x": "--zoo x would change nothing",
    "traces --long-tokens 9": "--long-tokens 9 would change nothing: give --long too",
    "report nowhere --formats pdf --dpi 90": "--dpi 90 would change nothing",
    "report nowhere --formats --width 5": "--width 5.0 would change nothing: it is for pictures",
    "report nowhere --formats --font serif": "--font serif would change nothing",
    "profile --target-config qwen3-8b --resume": "--resume would change nothing: it reads",
    "head nowhere --top-p 0.9": "--top-p 0.9 would change nothing: at --temperature 0",
    "head nowhere --seed 3": "--seed 3 would change nothing: at --temperature 0",
    "live --prompt x --selector none --loss length": "--loss length would change nothing: none",
    "live --prompt x --selector fixed:ngram --feedback bold": "--feedback bold would change",
    "live --prompt x --selector uniform --estimator rb": "--estimator rb would change nothing",
    "live --prompt x --loss accept --estimator rb": "--estimator rb would change nothing",
    "sim --traces spec-bench-t1 --loss accept --estimator rb": "--estimator rb would change",
    "sim --traces spec-bench-t1 --loss accept --prefill": "--prefill would change nothing: loss",
    "sim --traces spec-bench-t1 --selectors best-fixed uniform --loss accept": "--loss accept would change nothing: no selector here learns from losses of all drafters",  # noqa: E501
    "sim --traces spec-bench-t1 --selectors best-fixed --feedback bold --prefill": "--feedback bold would change nothing",  # noqa: E501
}


@pytest.mark.parametrize("command", IDLE)
def test_an_option_that_would_change_nothing_is_refused(command, capsys, tmp_path, monkeypatch):
    pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    assert main(command.split()) == 1
    assert IDLE[command] in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_compiling_what_runs_eagerly_is_refused(tiny_models, capsys):
    pytest.importorskip("torch")
    assert (
        main(
            [
                "live",
                "--target",
                tiny_models["target"],
                "--device",
                "cpu",
                "--prompt",
                "w2",
                "--drafter",
                "early-exit:2",
                "--compile",
            ]
        )
        == 1
    )
    assert "--compile would change nothing: models are compiled on fixed" in capsys.readouterr().err
