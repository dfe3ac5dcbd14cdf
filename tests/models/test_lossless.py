"""A model that live decoding cannot read as generate does is refused, with the reason."""

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

import transformers  # noqa: E402
from transformers import AutoTokenizer  # noqa: E402

from hedgespec.costs.measure import costs_measurement  # noqa: E402
from hedgespec.errors import HedgespecError  # noqa: E402
from hedgespec.live import LiveDecoder, make_decoder  # noqa: E402
from hedgespec.models import lossless  # noqa: E402
from hedgespec.models.cached import CachedModel  # noqa: E402
from hedgespec.models.drafters import make_drafters  # noqa: E402
from hedgespec.models.fixed_tensors import FixedLayer, has_plain_attention  # noqa: E402
from hedgespec.models.lossless import check_lossless  # noqa: E402
from hedgespec.models.settings import Sampling  # noqa: E402
from hedgespec.models.target import LanguageModel, load_model, parameters_sha256  # noqa: E402
from hedgespec.tracegen.record import RecordSettings, record  # noqa: E402
from tests.helpers.tiny import save_questions  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")

COMMON = {
    "vocab_size": 63,
    "hidden_size": 32,
    "bos_token_id": None,
    "eos_token_id": 1,
    "pad_token_id": 0,
}
USUAL = {
    **COMMON,
    "intermediate_size": 64,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
}
PROMPT = [5, 6, 7, 8, 5, 6, 7, 9, 5, 6, 11, 12, 13, 14, 5, 6, 7]


def longrope(switch: int) -> dict[str, object]:
    return {
        "rope_type": "longrope",
        "rope_theta": 10000.0,
        "short_factor": [1.0] * 4,
        "long_factor": [4.0] * 4,
        "original_max_position_embeddings": switch,
        "partial_rotary_factor": 1.0,
    }


STATEFUL = {
    "Mamba": {**COMMON, "num_hidden_layers": 3, "state_size": 8},
    "Mamba2": {
        **COMMON,
        "num_hidden_layers": 3,
        "state_size": 8,
        "num_heads": 8,
        "head_dim": 8,
        "n_groups": 1,
        "chunk_size": 8,
    },
    "Lfm2": {**USUAL, "layer_types": ["conv", "full_attention"] * 2},
    "Jamba": {
        **USUAL,
        "num_experts": 2,
        "num_experts_per_tok": 1,
        "attn_layer_period": 2,
        "attn_layer_offset": 1,
        "mamba_d_state": 8,
    },
    "Qwen3Next": {
        **USUAL,
        "head_dim": 8,
        "num_experts": 4,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 16,
        "shared_expert_intermediate_size": 16,
        "linear_num_key_heads": 2,
        "linear_num_value_heads": 4,
        "linear_key_head_dim": 8,
        "linear_value_head_dim": 8,
        "layer_types": ["linear_attention"] * 3 + ["full_attention"],
    },
    "Rwkv": {
        **COMMON,
        "num_hidden_layers": 3,
        "attention_hidden_size": 32,
        "intermediate_size": 64,
    },
}
RIGHT = {
    "Mistral": {**USUAL, "sliding_window": 16},
    "Gemma2": {**USUAL, "head_dim": 8, "sliding_window": 16},
    "Llama4": {
        **USUAL,
        "head_dim": 8,
        "intermediate_size_mlp": 64,
        "num_local_experts": 2,
        "attention_chunk_size": 16,
    },
    "Phi3": {**USUAL, "original_max_position_embeddings": 24, "rope_parameters": longrope(24)},
}

_OF_TEXT = ("Llama4", "Gemma3n")  # whose configs are for other inputs too
ALTERNATING = {
    **USUAL,
    "head_dim": 8,
    "sliding_window": 16,
    "hidden_size_per_layer_input": 8,
    "vocab_size_per_layer_input": 63,
    "num_kv_shared_layers": 0,
}


def made(kind: str, settings: dict[str, object], tokenizer_of: str) -> LanguageModel:
    """A random model whose logits depend on what it reads."""
    config = getattr(transformers, f"{kind}TextConfig" if kind in _OF_TEXT else f"{kind}Config")
    torch.manual_seed(0)
    model = getattr(transformers, f"{kind}ForCausalLM")(config(**settings)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0, 0.3)
    model.generation_config.eos_token_id = 1
    return LanguageModel.of(model, AutoTokenizer.from_pretrained(tokenizer_of))


def own_text(target: LanguageModel, prompt: list[int], count: int) -> list[int]:
    ids = torch.tensor([prompt])
    found = target.model.generate(
        ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=count
    )
    return found[0, len(prompt) :].tolist()


@pytest.mark.parametrize("kind", STATEFUL)
def test_a_state_that_cannot_be_cut_is_refused(tiny_models, kind):
    target = made(kind, STATEFUL[kind], tiny_models["target"])
    with pytest.raises(HedgespecError, match=f"the state of {kind}ForCausalLM cannot be cut back"):
        make_decoder(target.model, target.tokenizer, ["ngram"])
    with pytest.raises(HedgespecError, match=r"cannot be cut back.*; record with costs=False"):
        costs_measurement(target, make_drafters(["ngram"], target), 3)


def test_a_drafter_that_cannot_be_cut_is_refused_too(tiny_models):
    target = load_model(tiny_models["target"], "cpu", "float32")
    mamba = made("Mamba", STATEFUL["Mamba"], tiny_models["target"])
    with pytest.raises(HedgespecError, match="the state of MambaForCausalLM"):
        LiveDecoder(target, make_drafters({"mamba": mamba}, target))


@pytest.mark.parametrize("kind", RIGHT)
def test_windows_chunks_and_a_switch_of_rope_are_passed(tiny_models, kind):
    target = made(kind, RIGHT[kind], tiny_models["target"])
    assert check_lossless(target).length is None
    assert not has_plain_attention(target)
    for drafter in ("ngram", "early-exit:2"):
        decoder = LiveDecoder(
            target,
            make_drafters([drafter], target),
            f"fixed:{drafter}".replace("exit:", "exit-"),
            sampling=Sampling(0.0),
            draft_length=4,
        )
        for prompt in (PROMPT, 2 * PROMPT):
            assert decoder.generate(prompt, 24).tokens == own_text(target, prompt, 24)


@torch.inference_mode()
def test_a_longrope_text_is_read_anew_on_both_sides_of_the_switch(tiny_models):
    target = made("Phi3", RIGHT["Phi3"], tiny_models["target"])
    text = torch.randint(3, 63, (40,), generator=torch.Generator().manual_seed(1))
    model = CachedModel(target)

    def last(length: int) -> torch.Tensor:
        ids = text[None, :length]
        return target.hidden_states(ids, torch.ones_like(ids), ())[target.layers][0, -1]

    for begin, end in ((0, 20), (20, 28), (28, 40), (22, 24), (24, 25), (10, 30)):
        model.cut(begin)
        final, states = model.read(text[begin:end], (1,))
        assert len(final) == len(states[1]) == end - begin
        for row, state in enumerate(final, begin + 1):
            if begin or row == end:  # a text that is read first is read whole
                torch.testing.assert_close(state, last(row), rtol=1e-4, atol=1e-4)


def test_where_generate_itself_does_not_read_anew_longer_texts_are_refused(tiny_models):
    target = made("Llama", {**USUAL, "rope_parameters": longrope(40)}, tiny_models["target"])
    decoder = LiveDecoder(target, make_drafters(["ngram"], target), sampling=Sampling(0.0))
    assert decoder.generate(PROMPT, 23).tokens == own_text(target, PROMPT, 23)
    with pytest.raises(HedgespecError, match=r"more than 40 tokens .*longrope.* switches at 40"):
        decoder.generate(PROMPT, 24)


def test_what_is_too_long_to_be_checked_is_told(tiny_models, monkeypatch):
    target = made("Mistral", {**USUAL, "sliding_window": 64}, tiny_models["target"])
    monkeypatch.setattr(lossless, "_PATIENCE", 0.0)
    decoder = LiveDecoder(target, make_drafters(["ngram"], target))
    with pytest.warns(RuntimeWarning, match=r"more than 12 tokens .* sliding_window = 64"):
        decoder.generate(PROMPT, 4)


def test_reading_on_fixed_tensors_is_looked_at_too(tiny_models, monkeypatch):
    target = load_model(tiny_models["target"], "cpu", "float32")
    update = FixedLayer.update

    def shifted(self, keys, values, *more, **named):
        return update(self, keys, values + 0.5 * (keys.shape[2] > 1), *more, **named)

    monkeypatch.setattr(FixedLayer, "update", shifted)
    assert check_lossless(target).length is None
    with pytest.raises(HedgespecError, match="does not read a text in pieces as it reads it whole"):
        LiveDecoder(target, make_drafters(["early-exit:2"], target), static=True)


def test_reading_trees_is_looked_at_too(tiny_models, monkeypatch):
    target = load_model(tiny_models["target"], "cpu", "float32")
    monkeypatch.setattr(
        CachedModel, "keep", lambda self, rows: setattr(self, "length", self.length + len(rows))
    )
    drafters = make_drafters(["early-exit:2"], target)
    LiveDecoder(target, drafters)
    with pytest.raises(HedgespecError, match="cannot be decoded live"):
        LiveDecoder(target, drafters, rule="multi:2")


def test_weights_that_are_single_numbers_are_hashed_too():
    assert parameters_sha256({"a": torch.tensor(1.5)}) != parameters_sha256(
        {"a": torch.tensor(2.5)}
    )


def test_several_states_of_a_token_are_refused_where_a_drafter_would_read_them(tiny_models):
    target = made("Gemma3n", ALTERNATING, tiny_models["target"])
    assert make_drafters(["ngram"], target)
    with pytest.raises(HedgespecError, match=r"layer 2 have the shape .*keeps several of each"):
        make_drafters(["early-exit:2"], target)


def test_an_architecture_whose_hidden_states_are_elsewhere_is_one_line(tiny_models):
    target = load_model(tiny_models["target"], "cpu", "float32")
    target.model.model.forward = lambda *given, **named: {}
    with pytest.raises(HedgespecError, match="in a way that hedgespec does not know") as told:
        LanguageModel.of(target.model, target.tokenizer)
    assert "\n" not in str(told.value)


def recording_of(target: LanguageModel, tmp_path: Path, **changes: object) -> RecordSettings:
    folder = tmp_path / "model"
    target.model.save_pretrained(folder)
    target.tokenizer.save_pretrained(folder)
    return RecordSettings(
        target=str(folder),
        prompts=save_questions(tmp_path / "q.jsonl", 3),
        out=tmp_path / "out",
        name="tiny",
        drafters=("ngram",),
        max_new_tokens=20,
        costs=False,
        **changes,
    )


def test_a_state_does_not_hinder_a_recording_without_costs(tiny_models, tmp_path):
    settings = recording_of(made("Lfm2", STATEFUL["Lfm2"], tiny_models["target"]), tmp_path)
    assert record(settings).recording["log_softmax_gap"]["max"] < 1e-3


def test_a_recording_stays_below_the_switch_of_rope(tiny_models, tmp_path):
    settings = recording_of(made("Phi3", RIGHT["Phi3"], tiny_models["target"]), tmp_path)
    manifest = record(settings)
    assert manifest.recording["log_softmax_gap"]["max"] < 1e-3


def test_passes_of_different_models_are_not_recorded(tiny_models, tmp_path, monkeypatch):
    settings = recording_of(made("Phi3", RIGHT["Phi3"], tiny_models["target"]), tmp_path)
    # As if nobody knew of the switch: the texts run past it.
    monkeypatch.setattr(LanguageModel, "rope_switch", None)
    with pytest.raises(HedgespecError, match=r"question .*are different models.* cannot be recor"):
        record(settings)
    assert not (settings.out / "manifest.json").exists()
