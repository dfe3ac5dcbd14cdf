"""The one command that makes a zoo and traces for a target, at toy size."""

import json

import pytest

from hedgespec.bundled import LONG_PROMPTS
from hedgespec.cli import main
from hedgespec.tracegen.prompts import read_questions
from hedgespec.traces import read_trace
from hedgespec.zoo.settings import ExperimentSettings, ZooSettings
from tests.helpers.tiny import save_plain_layers, save_tiny_gguf

torch = pytest.importorskip("torch")


@pytest.fixture
def few(monkeypatch, tmp_path):
    """Two of the long prompts; the prompts of a domain that needs no package."""
    from hedgespec.zoo import experiment

    lines = LONG_PROMPTS.read_text(encoding="utf-8").splitlines()
    (tmp_path / "long.jsonl").write_text("\n".join([lines[0], lines[-1]]), encoding="utf-8")
    monkeypatch.setattr(experiment, "LONG_PROMPTS", tmp_path / "long.jsonl")


def traces(tmp_path, target, *arguments):
    """`hedgespec traces` of a target, as `make traces TARGET=...` calls it."""
    return main(
        [
            "traces",
            "--target",
            target,
            "--zoo",
            str(tmp_path / "zoo"),
            "--out",
            str(tmp_path / "out"),
            "--mixed",
            "--long",
            "--answer-tokens",
            "12",
            "--long-answers",
            "0.5",
            "--device",
            "cpu",
            "--domains",
            "math",
            "--scale",
            "0.002",
            "--per-domain",
            "1",
            "--max-new-tokens",
            "8",
            "--long-tokens",
            "16",
            *arguments,
        ]
    )


def test_one_command_makes_zoo_and_traces_of_a_qwen2(tmp_path, few, capsys):
    target = save_plain_layers("qwen2", tmp_path / "target", context=1024)
    drafter = save_plain_layers("qwen2-tied", tmp_path / "small", context=1024)
    assert (
        traces(
            tmp_path,
            target,
            "--small",
            "--methods",
            "--mlp-width",
            "40",
            "--drafter",
            f"half=lm:{drafter}",
            "--drafter",
            "early-exit:3",
            "--temperatures",
            "0.7",
        )
        == 0
    )
    told = capsys.readouterr()
    assert "memory, estimated at its peak: 0.0 GiB to write" in told.err
    assert "by position" in " ".join(told.out.split())
    found = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert found == ["domain-mix-t0.7", "long-t0.7", "prompts", "rephrased-t0.7"]
    trace = read_trace(tmp_path / "out" / "long-t0.7")
    assert trace.manifest.drafter_names == [
        "generalist",
        "generalist-mixed",
        "expert-math",
        "prompt-lookup",
        "half",
        "early-exit-3",
    ]
    assert sorted(set(trace.queries["domain"])) == ["python", "translation"]
    summary = json.loads((tmp_path / "zoo" / "zoo.json").read_text())
    assert summary["settings"]["target"] == "target"
    assert summary["settings"]["max_new_tokens"] == 12
    assert list(summary["acceptance_by_position"]["generalist-mixed"]) == ["general", "math"]
    assert [point["step"] for point in summary["curves"]["expert-math"]] == [0, 2]
    assert [point["step"] for point in summary["curves"]["generalist-mixed"]] == [0, 2]


def test_a_quantised_file_is_a_target(tmp_path, few, capsys):
    target = save_tiny_gguf(tmp_path / "tiny.gguf")
    assert (
        traces(tmp_path, target, "--small", "math", "--methods", "parallel", "--temperatures", "0")
        == 0
    )
    trace = read_trace(tmp_path / "out" / "long-t0")
    assert trace.manifest.drafter_names == [
        "generalist",
        "generalist-mixed",
        "expert-math",
        "parallel",
        "small-math",
        "prompt-lookup",
    ]
    assert trace.manifest.target.id == "tiny.gguf"
    assert "error" not in capsys.readouterr().err


def test_all_is_recorded_at_three_temperatures(tmp_path, small_questions):
    from hedgespec.zoo.experiment import plan_recordings

    plans = plan_recordings(
        ZooSettings("m", tmp_path / "zoo", domains=("math",)),
        ExperimentSettings(tmp_path / "out", long=True),
    )
    assert [(plan.name, plan.max_new_tokens) for plan in plans] == [
        *((f"domain-mix-t{at}", 512) for at in ("0.7", "0", "1")),
        ("rephrased-t0.7", 512),
        *((f"long-t{at}", 3072) for at in ("0.7", "0", "1")),
    ]
    assert plans[-1].prompts == LONG_PROMPTS


def test_long_prompts_are_many_and_short_enough():
    questions = read_questions(LONG_PROMPTS)
    assert len(questions) >= 24
    assert len({question.domain for question in questions}) >= 5
    assert max(len(question.turns[0]) for question in questions) < 1200
