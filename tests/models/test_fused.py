"""q, k, v as one product and gate, up as one: nothing else of the model is another one."""

import copy

import pytest

from tests.helpers.tiny import save_plain_layers

torch = pytest.importorskip("torch")

from torch.nn import functional  # noqa: E402
from transformers import AutoModelForCausalLM  # noqa: E402

from hedgespec.live import DecoderSettings, LiveDecoder  # noqa: E402
from hedgespec.models.distributions import Sampling  # noqa: E402
from hedgespec.models.drafters import make_drafters  # noqa: E402
from hedgespec.models.fused import _Part, fuse_products  # noqa: E402
from hedgespec.models.heads.eagle.stack import first_heads, held, stack_heads  # noqa: E402
from hedgespec.models.target import LanguageModel, load_model  # noqa: E402
from tests.helpers.heads import random_head  # noqa: E402

KINDS = ["llama", "llama-biased", "qwen2", "qwen2-tied", "qwen3"]
IDS = torch.arange(3, 27).view(2, 12)
# Products of another width sum in another order, as the processor likes: logits of up to 6.3 were
# seen 1.2e-5 apart.
ROUNDING = {"atol": 3e-5, "rtol": 1e-5}


def plain_model(folder: str, dtype: str = "float32"):
    """As transformers itself loads and runs it."""
    return AutoModelForCausalLM.from_pretrained(
        folder, dtype=getattr(torch, dtype), attn_implementation="eager"
    ).eval()


@pytest.mark.parametrize("kind", KINDS)
def test_fused_products_give_the_models_own_logits(tmp_path, kind):
    target = load_model(save_plain_layers(kind, tmp_path), "cpu", "float32")
    plain = plain_model(str(tmp_path))
    with torch.inference_mode():
        torch.testing.assert_close(target.model(IDS).logits, plain(IDS).logits, **ROUNDING)
    expected = plain.state_dict()
    found = target.model.state_dict()
    assert list(found) == list(expected)
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_a_layer_takes_two_products_less_for_its_attention_and_one_less_for_its_mlp(
    tmp_path, monkeypatch
):
    target = load_model(save_plain_layers("qwen2", tmp_path), "cpu", "float32")
    widths = []

    def counting(inputs, weight, bias=None):
        widths.append(len(weight))
        return product(inputs, weight, bias)

    product = functional.linear
    monkeypatch.setattr("hedgespec.models.fused.linear", counting)
    monkeypatch.setattr(functional, "linear", counting)
    with torch.inference_mode():
        target.network(IDS, use_cache=False)
    assert widths == [32 + 16 + 16, 32, 64 + 64, 32] * target.layers


def test_weights_stand_in_memory_once(tmp_path):
    target = load_model(save_plain_layers("qwen3", tmp_path), "cpu", "float32")
    layer = target.network.layers[0]
    for parts in (
        [layer.self_attn.q_proj, layer.self_attn.k_proj, layer.self_attn.v_proj],
        [layer.mlp.gate_proj, layer.mlp.up_proj],
    ):
        assert len({part.weight.untyped_storage().data_ptr() for part in parts}) == 1
        assert parts[0].weight.untyped_storage().nbytes() == sum(
            part.weight.nbytes for part in parts
        )
    with torch.inference_mode():
        before = target.model(IDS).logits
        layer.mlp.up_proj.weight.fill_(0)
        assert not torch.allclose(target.model(IDS).logits, before)


def test_copies_and_converted_models_multiply_one_by_one(tmp_path):
    target = load_model(save_plain_layers("qwen2", tmp_path / "model"), "cpu", "float32")
    copied = copy.deepcopy(target.model)
    with torch.inference_mode():
        expected = target.model(IDS).logits
        torch.testing.assert_close(copied(IDS).logits, expected, **ROUNDING)
        double = copied.double()
        torch.testing.assert_close(double(IDS).logits.float(), expected, atol=1e-4, rtol=1e-4)
        projection = double.model.layers[0].self_attn.q_proj
        projection.weight.zero_()
        assert not bool(target.model.model.layers[0].self_attn.q_proj.weight.eq(0).all())
        target.model.double()
        torch.testing.assert_close(target.model(IDS).logits.float(), expected, atol=1e-4, rtol=1e-4)
    load_model(str(tmp_path / "model"), "cpu", "float32").model.save_pretrained(tmp_path / "saved")
    torch.testing.assert_close(
        plain_model(str(tmp_path / "saved"))(IDS).logits, expected, **ROUNDING
    )


def test_gradients_reach_each_layers_own_weight(tmp_path):
    target = load_model(save_plain_layers("llama-biased", tmp_path), "cpu", "float32")
    plain = plain_model(str(tmp_path))
    for model in (target.model, plain):
        model(IDS).logits.square().mean().backward()
    for (name, found), expected in zip(
        target.model.named_parameters(), plain.parameters(), strict=True
    ):
        torch.testing.assert_close(found.grad, expected.grad, atol=1e-3, rtol=1e-3, msg=name)


def test_layers_that_are_not_alike_stay_as_they_are(tmp_path):
    folder = save_plain_layers("qwen2", tmp_path)
    model = plain_model(folder)
    attention, mlp = model.model.layers[0].self_attn, model.model.layers[0].mlp
    attention.k_proj = torch.nn.Linear(32, 16, bias=False)
    mlp.up_proj = torch.nn.Sequential(mlp.up_proj)
    fuse_products(model)
    assert not any(
        isinstance(part, _Part)
        for part in (attention.q_proj, attention.k_proj, attention.v_proj, mlp.gate_proj)
    )
    assert isinstance(model.model.layers[1].self_attn.q_proj, _Part)


@pytest.mark.parametrize(("kind", "temperature"), [("qwen2", 0.0), ("qwen3", 0.8)])
def test_fixed_tensors_write_the_text_of_the_plain_model(tmp_path, kind, temperature):
    """Under the same random numbers; the plain one runs on a growing cache, as transformers does."""
    loaded = load_model(save_plain_layers(kind, tmp_path), "cpu", "float32")
    plain = LanguageModel.of(plain_model(str(tmp_path)), loaded.tokenizer)
    found = []
    for target, static in ((loaded, True), (plain, False)):
        decoder = LiveDecoder(
            target,
            make_drafters(["early-exit:2", "early-exit:4"], target),
            "ucbspec",
            DecoderSettings(sampling=Sampling(temperature), draft_length=4, static=static),
        )
        found.append(
            [
                decoder.generate(prompt, 24, number).tokens
                for number, prompt in enumerate(([5, 9, 7, 5, 9], [40, 41, 42]))
            ]
        )
    assert found[0] == found[1]


@pytest.mark.parametrize("changes", [{}, {"qkv_bias": True, "qk_norm": True}, {"generation": 1}])
@pytest.mark.parametrize("count", [1, 3])
def test_heads_on_fixed_tensors_multiply_at_once_and_give_the_same(changes, count):
    """Alone, as one network, and the first of them; their weights stand in memory once."""
    heads = [random_head(seed, **changes) for seed in range(count)]
    embedding, output = torch.nn.Embedding(63, 32), torch.nn.Linear(32, 63, bias=False)
    for head in heads:
        head.attach(embedding, output)
    apart = copy.deepcopy(heads)
    states = torch.randn(1, 5, 32)
    embedded, places = embedding(torch.tensor([[4, 9, 2, 7, 1]])), torch.arange(5)[None]

    def outputs(network, batch):
        with torch.inference_mode():
            return network.read(
                embedded.expand(batch, -1, -1),
                states.expand(batch, -1, -1),
                places,
                lambda layer, queries, keys, values: queries + values,
            )

    with torch.inference_mode():
        expected = torch.cat([outputs(head, 1) for head in apart])
        stacked = stack_heads(heads)
        alone = [held(head) for head in heads]
    torch.testing.assert_close(outputs(stacked, count), expected)
    torch.testing.assert_close(torch.cat([outputs(head, 1) for head in alone]), expected)
    torch.testing.assert_close(torch.cat([outputs(head, 1) for head in heads]), expected)
    if count > 1:
        torch.testing.assert_close(outputs(first_heads(stacked, 2), 2), expected[:2])
    for head in (stacked, *alone):
        assert "joined" in head.layer.self_attn._modules
        assert "joined" in head.layer.mlp._modules
    for head in heads:
        storages = {
            part.weight.untyped_storage().data_ptr()
            for part in (
                head.layer.self_attn.q_proj,
                head.layer.self_attn.k_proj,
                head.layer.self_attn.v_proj,
                stacked.layer.self_attn.joined,
            )
        }
        assert len(storages) == 1
    again = stack_heads(heads[:1])
    torch.testing.assert_close(outputs(again, 1), expected[:1])
    torch.testing.assert_close(outputs(stacked, count), expected)
