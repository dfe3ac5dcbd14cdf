"""What is wrong with a target or a drafter is told before any weights are loaded."""

from contextlib import nullcontext

import pytest

torch = pytest.importorskip("torch")

from tqdm.auto import tqdm  # noqa: E402

from hedgespec.cli import main  # noqa: E402
from hedgespec.errors import HedgespecError  # noqa: E402
from hedgespec.gguf_header import read_gguf_header  # noqa: E402
from hedgespec.models.drafters import check_before_loading  # noqa: E402
from hedgespec.models.places import loading, read_layers  # noqa: E402
from tests.helpers.gguf import gguf_tokenizer, save_gguf_header  # noqa: E402

COMMANDS = (
    ["record", "--device", "cpu"],
    ["live", "--device", "cpu", "--prompt", "w1"],
    ["live", "--device", "cpu", "--chat"],
)
WORDS = ["<end>", "a", "b", "c"]


@pytest.fixture(autouse=True)
def _no_weights(monkeypatch):
    def never(*_: object, **__: object) -> None:
        raise AssertionError("weights were loaded")

    monkeypatch.setattr("hedgespec.models.target.AutoModelForCausalLM.from_pretrained", never)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


@pytest.fixture
def gguf(tmp_path):
    """Header of a target of 24 layers."""
    return save_gguf_header(
        tmp_path / "target.gguf",
        {"general.architecture": "qwen2", "qwen2.block_count": 24, **gguf_tokenizer(WORDS, 1)},
    )


@pytest.mark.parametrize(
    ("drafter", "message"),
    [
        ("early-exit:99", "the layer must be a number from 1 to 3"),
        ("early-exit", "the layer must be a number from 1 to less than the target has"),
        ("prompt-lookup:0", "the n-gram length must lie in 1..99"),
        ("promptlookup", "did you mean 'prompt-lookup'?"),
        ("lm:missing.gguf", "missing.gguf: no such GGUF file"),
        ("lm", "name a model, as in lm:MODEL"),
        ("lm:./missing", "no such folder"),
        ("eagle:./missing", "missing: no such folder"),
        ("parallel", "name the head's folder, as in parallel:FOLDER"),
        ("redrafter:./missing,2", "missing: no such folder"),
    ],
)
def test_a_drafter_that_cannot_be(tiny_models, tmp_path, monkeypatch, capsys, drafter, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(HedgespecError) as told:
        check_before_loading(tiny_models["target"], [drafter])
    assert message in str(told.value)
    for command in COMMANDS:
        assert main([*command, "--target", tiny_models["target"], "--drafter", drafter]) == 1
        assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("command", [*COMMANDS, ["zoo", "--device", "cpu"], ["head", "."]])
@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("./missing-folder", "no such folder"),
        ("some/other/folder", "no such folder"),
        ("missing.gguf", "no such GGUF file"),
    ],
)
def test_a_target_that_is_not_there(tmp_path, monkeypatch, capsys, command, target, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    assert main([*command, "--target", target]) == 1
    said = capsys.readouterr().err
    assert message in said
    assert "huggingface" not in said


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--prompts missing.jsonl", "missing.jsonl: cannot read prompts"),
        ("--prompt w1 --selector normalhegde", "did you mean 'normalhedge'?"),
        ("--prompt w1 --feedback foresight", "foresight"),
        ("--prompt w1 --loss seconds", "seconds"),
        ("--prompt w1 --rule tree:wide", "there is no tree of that name"),
        ("--chat --rule nothing", "nothing"),
        ("--chat --selector normalhegde", "did you mean 'normalhedge'?"),
        ("--prompt w1 --out full", "full: not empty; choose another --out"),
    ],
)
def test_what_live_cannot_do_is_told_before_it_loads(
    tiny_models, tmp_path, monkeypatch, capsys, options, message
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes").write_text("mine")
    assert (
        main(["live", "--device", "cpu", "--target", tiny_models["target"], *options.split()]) == 1
    )
    assert message in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["full"]


def test_a_head_that_is_not_there(tmp_path, capsys):
    assert main(["head", str(tmp_path / "none"), "--device", "cpu"]) == 1
    assert "none: no such folder; a head is a folder with config.json" in capsys.readouterr().err


def test_another_tokenizer_is_found_in_its_files(tiny_models):
    for drafter, other in (("drafter", False), ("other", True)):
        specification = f"lm:{tiny_models[drafter]}"
        if not other:
            check_before_loading(tiny_models["target"], [specification])
            continue
        with pytest.raises(HedgespecError, match="its tokenizer differs from the target's"):
            check_before_loading(tiny_models["target"], [specification])


def test_another_tokenizer_is_found_in_gguf_files(gguf, tmp_path):
    added = {**gguf_tokenizer(["<stop>", *WORDS[1:]], 1)}
    check_before_loading(str(gguf), [f"lm:{save_gguf_header(tmp_path / 'same.gguf', added)}"])
    other = save_gguf_header(tmp_path / "other.gguf", gguf_tokenizer(["<end>", "a", "c", "b"], 1))
    with pytest.raises(HedgespecError, match=r"tokens 2 \('c', the target's 'b'\), 3"):
        check_before_loading(str(gguf), [f"lm:{other}"])


def test_bars_of_other_packages_are_not_shown(capsys):
    for shown in (False, True):
        with nullcontext() if shown else loading("model"):
            assert list(tqdm(range(3), desc="theirs")) == [0, 1, 2]
        assert ("theirs" in capsys.readouterr().err) == shown


def test_layers_are_read_from_a_gguf_file(gguf):
    assert read_layers(str(gguf)) == 24
    check_before_loading(str(gguf), ["early-exit:23"])
    with pytest.raises(HedgespecError, match="a number from 1 to 23"):
        check_before_loading(str(gguf), ["early-exit:24"])


def test_a_damaged_header_is_a_value_error_wherever_it_ends(gguf):
    whole = gguf.read_bytes()
    for length in range(len(whole)):
        gguf.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"GGUF|early"):
            read_gguf_header(gguf)
    gguf.write_bytes(whole)
    assert read_gguf_header(gguf)["tokenizer.ggml.tokens"] == WORDS
