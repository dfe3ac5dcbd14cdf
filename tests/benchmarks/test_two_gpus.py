"""The benchmark of two GPUs, at toy size on a CPU: two processes, and layers spread over it."""

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from benchmarks import two_gpus  # noqa: E402
from benchmarks.two_gpus import _apart, compared  # noqa: E402
from hedgespec.models import split  # noqa: E402


def test_differences_are_of_numbers_and_not_of_equal_infinities():
    one, other = np.array([-np.inf, 1.0, 2.0, 0.0]), np.array([-np.inf, 1.5, 1.0, 0.0])
    assert _apart({"log_q": one}, {"log_q": other}) == {"log_q": (0.375, 1.0)}
    assert _apart({"log_q": one}, {"log_q": one[::-1]})["log_q"][1] == np.inf
    with pytest.raises(SystemExit, match=r"log_q: \(4,\) against \(3,\)"):
        _apart({"log_q": one}, {"log_q": one[:3]})


def test_a_layer_that_says_another_thing_is_seen(monkeypatch):
    found = compared("toy", "cpu", "float32", answers=3, tokens=6)
    assert found.same_tokens == 1.0
    assert found.largest_split <= 1e-5
    whole = split.spread

    def wrong(model, memory):
        whole(model, memory)
        layer = model.model.layers[-1]
        forward = layer.forward
        layer.forward = lambda *words, **named: -forward(*words, **named)

    monkeypatch.setattr(two_gpus, "spread", wrong)
    assert compared("toy", "cpu", "float32", answers=3, tokens=6).largest_split > 0.1


@pytest.mark.slow
def test_a_row_for_one_process_and_for_two(tiny_models, tmp_path, monkeypatch, capsys):
    out = tmp_path / "found.json"
    monkeypatch.setattr(
        "sys.argv",
        [
            "two_gpus",
            "--device",
            "cpu",
            "--dtype",
            "float32",
            "--shape",
            "toy",
            "--questions",
            "12",
            "--max-new-tokens",
            "8",
            "--batch-size",
            "4",
            "--heads",
            "1",
            "--draft-vocabulary",
            "20",
            "--answers",
            "2",
            "--tokens",
            "4",
            "--target",
            tiny_models["target"],
            "--out",
            str(out),
        ],
    )
    two_gpus.main()
    found, shown = json.loads(out.read_text()), capsys.readouterr().out
    one, two = found["recording"]["runs"]
    assert (one["parts"], two["parts"], one["tokens"]) == (1, 2, two["tokens"])
    assert found["recording"]["times"] == pytest.approx(one["seconds"] / two["seconds"]), (
        "as many tokens in less time or more"
    )
    assert found["recording"]["largest_difference"]["token"] == 0
    assert found["recording"]["largest_difference"]["log_p"] <= 1e-3
    assert "| 2 processes |" in shown
    assert "toy over 2 devices, 8 tokens; 100.0% of them written alike" in shown
