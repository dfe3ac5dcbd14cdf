"""EAGLE heads: dialects, and depth statistics equal to drafting step by step."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import load_file, save_file  # noqa: E402

from hedgespec.errors import HedgespecError  # noqa: E402
from hedgespec.models.drafters.eagle import DEPTHS  # noqa: E402
from hedgespec.models.heads.eagle import (  # noqa: E402
    EagleHead,
    load_head,
    save_head,
    unroll,
)
from hedgespec.models.target import load_model  # noqa: E402
from hedgespec.tracegen.record import RecordSettings, record  # noqa: E402
from hedgespec.traces import read_trace  # noqa: E402
from tests.helpers.heads import WIDTH, inputs, random_head  # noqa: E402
from tests.helpers.tiny import save_questions  # noqa: E402


def step_by_step(head: EagleHead, embedded, features, start: int, depths: int) -> list:
    """Draft from one start position with a growing key-value cache, as live decoding does.

    `start` is the place of the round's first step; target features are known up to there.
    """
    keys = values = None
    outputs, feature = [], None
    for place in range(start + depths):
        own = feature is not None
        residual, (q, k, v) = head.project(
            embedded[:, place : place + 1],
            feature if own else features[:, place : place + 1],
            torch.tensor([[place]]),
        )
        keys = k if keys is None else torch.cat([keys, k], dim=2)
        values = v if values is None else torch.cat([values, v], dim=2)
        weights = (q @ keys.transpose(-1, -2) / q.shape[-1] ** 0.5).softmax(-1)
        output = head.finish(residual, weights @ values)
        if place >= start:
            outputs.append(output[:, 0])
            feature = output
    return outputs


@pytest.mark.parametrize(
    "head",
    [
        random_head(generation=3),
        random_head(generation=1),
        random_head(generation=3, norm_before_residual=True),
    ],
    ids=["3", "1", "norm-before"],
)
def test_unrolling_all_starts_equals_drafting_from_each(head):
    depths = 5
    with torch.no_grad():
        embedded, features = (tensor.double() for tensor in inputs(head))
        head = head.double()
        outputs = unroll(head, embedded, features, depths)
        for start in range(embedded.shape[1] - depths):
            for number, expected in enumerate(
                step_by_step(head, embedded, features, start, depths)
            ):
                torch.testing.assert_close(
                    outputs[number][:, start + number], expected, rtol=1e-5, atol=1e-5
                )


def test_depths_differ():
    head = random_head()
    with torch.no_grad():
        outputs = unroll(head, *inputs(head), 3)
    assert (outputs[0] - outputs[1])[:, 3:].abs().min() > 0
    assert (outputs[1] - outputs[2])[:, 3:].abs().min() > 0


@pytest.mark.parametrize("reduced", [True, False])
def test_both_dialects_give_the_same_logits_bit_for_bit(tmp_path, reduced):
    head = random_head(reduced=reduced)
    with torch.no_grad():
        embedded, features = inputs(head)
        before = head.logits(unroll(head, embedded, features, 3)[-1])
        for dialect in ("eagle", "speculators"):
            save_head(head, tmp_path / dialect, dialect)
            again = load_head(tmp_path / dialect)
            assert again.config.target_layers == (1, 2, 3)
            after = again.logits(unroll(again, embedded, features, 3)[-1])
            assert torch.equal(before, after)
    names = {
        dialect: set(load_file(tmp_path / dialect / "model.safetensors"))
        for dialect in ("eagle", "speculators")
    }
    assert "midlayer.hidden_norm.weight" in names["eagle"]
    assert "layers.0.hidden_norm.weight" in names["speculators"]
    configs = {
        dialect: json.loads((tmp_path / dialect / "config.json").read_text()) for dialect in names
    }
    ids = "eagle_aux_hidden_state_layer_ids"
    assert configs["speculators"][ids] == [1, 2, 3]
    assert configs["eagle"]["eagle_config"][ids] == [0, 1, 2], "SpecForge counts outputs"


def test_unknown_tokens_of_a_reduced_vocabulary_have_no_probability():
    head = random_head()
    logits = head.logits(torch.randn(3, WIDTH))
    assert torch.equal(logits.isneginf(), ~head.t2d.expand(3, -1))


def test_eagle_1_head_round_trip(tmp_path):
    head = random_head(generation=1)
    save_head(head, tmp_path / "head")
    names = load_file(tmp_path / "head" / "model.safetensors")
    assert {"fc.weight", "fc.bias", "layers.0.self_attn.q_proj.weight"} <= set(names)
    assert names["fc.weight"].shape == (WIDTH, 2 * WIDTH)
    again = load_head(tmp_path / "head")
    assert again.lm_head is None
    assert again.config.generation == 1
    with torch.no_grad():
        embedded, features = inputs(head)
        assert torch.equal(
            unroll(head, embedded, features, 3)[-1], unroll(again, embedded, features, 3)[-1]
        )


PUBLIC = {  # keys and ratios of a public EAGLE-3 config for Llama-3.1-8B, a sixteenth as wide
    "architectures": ["LlamaForCausalLMEagle3"],
    "bos_token_id": 128000,
    "eos_token_id": 128001,
    "hidden_act": "silu",
    "hidden_size": 256,
    "initializer_range": 0.02,
    "intermediate_size": 896,
    "max_position_embeddings": 2048,
    "model_type": "llama",
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "num_hidden_layers": 1,
    "pad_token_id": 0,
    "rms_norm_eps": 1e-05,
    "tie_word_embeddings": False,
    "torch_dtype": "float16",
    "transformers_version": "4.28.1",
    "use_cache": True,
    "vocab_size": 8016,
    "draft_vocab_size": 2000,
}


def public_tensors() -> dict[str, "torch.Tensor"]:
    size, middle, kv = 256, 896, 64
    shapes = {
        "fc": (size, 3 * size),
        "lm_head": (2000, size),
        "norm": (size,),
        "midlayer.self_attn.q_proj": (size, 2 * size),
        "midlayer.self_attn.k_proj": (kv, 2 * size),
        "midlayer.self_attn.v_proj": (kv, 2 * size),
        "midlayer.self_attn.o_proj": (size, size),
        "midlayer.mlp.gate_proj": (middle, size),
        "midlayer.mlp.up_proj": (middle, size),
        "midlayer.mlp.down_proj": (size, middle),
        "midlayer.hidden_norm": (size,),
        "midlayer.input_layernorm": (size,),
        "midlayer.post_attention_layernorm": (size,),
    }
    tensors = {f"{name}.weight": torch.randn(shape).half() for name, shape in shapes.items()}
    return tensors | {"d2t": torch.zeros(2000, dtype=torch.long), "t2d": torch.arange(8016) < 2000}


@pytest.mark.parametrize("pickled", [False, True])
def test_a_head_with_a_public_config_loads(tmp_path, pickled):
    (tmp_path / "config.json").write_text(json.dumps(PUBLIC))
    if pickled:
        torch.save(public_tensors(), tmp_path / "pytorch_model.bin")
    else:
        save_file(public_tensors(), tmp_path / "model.safetensors")
    head = load_head(tmp_path)
    assert head.config.fused_layers(32) == (2, 16, 29)
    assert head.embed_tokens is None
    assert head.logits(torch.randn(2, 256)).shape == (2, 8016)


class Evil:
    def __reduce__(self):
        return (Path.touch, (Path("evil"),))


def test_a_pickle_with_code_is_refused_and_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(PUBLIC))
    torch.save({"fc.weight": Evil()}, tmp_path / "pytorch_model.bin")
    with pytest.raises(HedgespecError, match="weights cannot be read"):
        load_head(tmp_path)
    assert not (tmp_path / "evil").exists()


def without(name: str):
    return lambda tensors: tensors.pop(name)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (without("fc.weight"), "tensor 'fc.weight' is missing"),
        (lambda t: t.update({"fc.weight": torch.zeros(256, 512)}), r"has shape \(256, 512\)"),
        (lambda t: t.update({"extra.weight": torch.zeros(1)}), "unknown tensor 'extra.weight'"),
        (lambda t: t.update({"d2t": torch.full((2000,), 8000)}), "points outside"),
    ],
)
def test_damaged_heads_name_the_tensor(tmp_path, damage, message):
    tensors = public_tensors()
    damage(tensors)
    (tmp_path / "config.json").write_text(json.dumps(PUBLIC))
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(HedgespecError, match=message):
        load_head(tmp_path)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("{", "cannot be read"),
        ("{}", "no hidden_size; is this the config.json of an EAGLE head?"),
        (json.dumps({"speculators_model_type": "mlp"}), "'mlp' is not supported"),
        (
            json.dumps({"speculators_model_type": "eagle3", "use_mtp_layernorm": True}),
            "the head needs use_mtp_layernorm",
        ),
        (json.dumps({"speculators_model_type": "eagle3", "fc_norm": True}), "no hidden_size"),
    ],
)
def test_bad_configs_are_named(tmp_path, document, message):
    (tmp_path / "config.json").write_text(document)
    with pytest.raises(HedgespecError, match=message):
        load_head(tmp_path)


@pytest.fixture
def settings(tiny_models: dict[str, str], tmp_path: Path) -> RecordSettings:
    save_head(random_head(), tmp_path / "head")
    return RecordSettings(
        target=tiny_models["target"],
        prompts=save_questions(tmp_path / "questions.jsonl", 6),
        out=tmp_path / "trace",
        name="tiny",
        max_new_tokens=30,
        precision="full",
        batch_size=4,
        drafters=(f"eagle:{tmp_path / 'head'}", "early-exit:2"),
    )


def softmax(logits: "torch.Tensor") -> np.ndarray:
    return logits.double().softmax(-1).numpy()


def test_recorded_depth_statistics_equal_drafting_from_every_position(settings, tmp_path):
    """From full distributions of one sequence, each round drafted step by step."""
    record(replace(settings, max_new_tokens=14))
    trace = read_trace(settings.out)
    assert trace.gamma.shape[1:] == (DEPTHS, 2)
    target = load_model(settings.target, "cpu", "float32")
    head = load_head(tmp_path / "head")
    head.attach(target.model.get_input_embeddings(), target.model.get_output_embeddings())
    question = json.loads(settings.prompts.read_text().splitlines()[1])["turns"][0]
    prompt = target.tokenizer(question + "\n\n")["input_ids"]
    row = trace.queries.filter(trace.queries["query_id"] == "1").row(0, named=True)
    begin, end = trace.offsets[row["query"]], trace.offsets[row["query"] + 1]
    answer = trace.tokens[begin:end].tolist()
    ids = torch.tensor([prompt + answer])
    with torch.no_grad():
        output = target.model(ids, output_hidden_states=True)
        p = softmax(output.logits[0])
        features = head.fuse([output.hidden_states[layer] for layer in (1, 2, 3)])
        embedded = head.embed(ids[:, 1:])
        for start in range(len(answer)):  # the round's first drafted token is answer[start]
            place = len(prompt) + start - 2
            depths = min(DEPTHS, len(answer) - start)
            drafted = step_by_step(head, embedded, features, place, depths)
            for number, output_features in enumerate(drafted):
                q = softmax(head.logits(output_features)[0])
                position = start + number
                target_p = p[len(prompt) + position - 1]
                index = (begin + position, number, 0)
                assert trace.gamma[index] == pytest.approx(np.minimum(target_p, q).sum(), abs=1e-4)
                token = answer[position]
                if q[token] > 0:
                    assert trace.log_q[index] == pytest.approx(np.log(q[token]), abs=1e-3)
                else:
                    assert np.isneginf(trace.log_q[index])
                assert trace.match[index] == (q.argmax() == token)
                assert trace.p_top[index] == pytest.approx(target_p[q.argmax()], abs=1e-4)


def test_manifest_names_the_depths(settings):
    manifest = record(settings)
    assert [drafter.depths for drafter in manifest.drafters] == [DEPTHS, 1]
    assert manifest.drafters[0].weights_sha256 is not None


def test_a_head_for_another_target_is_refused(settings, tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "config.json").write_text(json.dumps(PUBLIC))
    save_file(public_tensors(), tmp_path / "other" / "model.safetensors")
    with pytest.raises(HedgespecError, match="made for a target of"):
        record(replace(settings, drafters=(f"eagle:{tmp_path / 'other'}",)))


def test_layers_that_the_target_lacks_are_refused():
    with pytest.raises(HedgespecError, match="it was made for another target"):
        random_head(target_layers=(2, 9, 40)).config.fused_layers(30)
