"""What `make fidelity` runs, with tiny models instead of SmolLM2."""

import pytest

pytest.importorskip("torch")

from benchmarks.fidelity import SELECTORS, TEMPERATURES, main

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize(
    "rule", [[], ["--rule", "tree", "--trees", "dynamic:12,3,3"]], ids=["auto", "tree"]
)
def test_every_decision_is_replayed(tiny_models, tmp_path, monkeypatch, capsys, rule):
    monkeypatch.setattr(
        "sys.argv",
        [
            "fidelity",
            "--target",
            tiny_models["target"],
            "--drafter",
            "early-exit:3",
            "--drafter",
            "ngram",
            "--max-new-tokens",
            "8",
            "--device",
            "cpu",
            "--out",
            str(tmp_path),
            *rule,
        ],
    )
    assert main() == 0
    assert capsys.readouterr().out.count("every decision replayed") == (
        len(SELECTORS) * len(TEMPERATURES)
    )
