"""`hedgespec head` says what a head is, and tries it under each count of its layers."""

import re

import pytest

pytest.importorskip("torch")

from hedgespec.cli import main
from tests.helpers.head_zoo import flat, shapes
from tests.helpers.tiny import save_questions

IDS = "eagle_aux_hidden_state_layer_ids"


@pytest.fixture
def command(tiny_models, tmp_path):
    questions = save_questions(tmp_path / "questions.jsonl", 6)
    return [
        "head",
        str(tmp_path / "head"),
        "--target",
        tiny_models["target"],
        "--prompts",
        str(questions),
        "--device",
        "cpu",
        "--temperature",
        "0.7",
    ]


def numbers(line: str) -> list[float]:
    return [float(text) for text in line.partition(": ")[2].split()]


def test_a_head_is_described_and_tried(command, tmp_path, capsys):
    shape = shapes()["eagle-3.1"]
    shape.save(tmp_path / "head")
    assert main(command) == 0
    out = capsys.readouterr().out
    assert "EAGLE-3 head in the dialect eagle\n" in out
    assert re.search(r"flags: .*fc_norm = True, norm_output = True", out)
    assert "layers [2, 2, 1] if config.json counts hidden states (used)" in out
    assert re.search(r"  fc_norm.0.weight +float32 \[32\]", out)
    assert len([line for line in out.splitlines() if "float32 [" in line]) == sum(
        tensor.is_floating_point() for tensor in shape.tensors.values()
    )
    tokens = int(re.search(r"on (\d+) tokens of", out)[1])
    assert 0 < tokens <= 204
    [acceptance] = [numbers(line) for line in out.splitlines() if line.startswith("  layers")]
    assert len(acceptance) == 8
    assert 0 < acceptance[0] < 1


def test_layers_that_may_be_counted_either_way_are_both_tried(command, tmp_path, capsys):
    shape = flat(eagle_config={IDS: [1, 2, 3]})
    shape.save(tmp_path / "head")
    assert main(command) == 0
    unsure = capsys.readouterr().out
    assert "layers [1, 2, 3] if config.json counts hidden states\n" in unsure
    assert "layers [2, 3, 4] if config.json counts layer outputs\n" in unsure
    assert "the config does not say which of these it means" in unsure
    shape.config[IDS] = [2, 3, 4]
    shape.save(tmp_path / "head")
    assert main(command) == 0
    sure = capsys.readouterr().out
    assert "layers [2, 3, 4] if config.json counts hidden states (used)" in sure
    lines = [
        [line for line in out.splitlines() if line.startswith("  layers [2, 3, 4]")]
        for out in (unsure, sure)
    ]
    assert lines[0] == lines[1]


def test_what_is_no_head_ends_in_one_line(command, tmp_path, capsys):
    assert main(command) == 1
    said = capsys.readouterr().err
    assert said.startswith("hedgespec head: ")
    assert said.count("\n") == 1
    flat(vocab_size=64, norm_magic=1).save(tmp_path / "head")
    assert main(command) == 1
    assert "unknown key norm_magic = 1" in capsys.readouterr().err
