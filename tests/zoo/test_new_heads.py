"""Heads that start from targets of every kind of plain layer, and the layout they are saved in."""

from dataclasses import replace

import numpy as np
import pytest

from hedgespec.errors import HedgespecError
from tests.helpers.tiny import PLAIN_LAYERS, save_other_architecture, save_plain_layers

torch = pytest.importorskip("torch")

from hedgespec.models.heads.eagle import load_head, save_head  # noqa: E402
from hedgespec.models.target import load_model  # noqa: E402
from hedgespec.zoo.build import make_zoo  # noqa: E402
from hedgespec.zoo.new_heads import new_head  # noqa: E402
from hedgespec.zoo.settings import ZooSettings  # noqa: E402


@pytest.fixture(scope="module")
def plain_layers(tmp_path_factory):
    """Loads the tiny model of a kind."""

    def load(kind):
        folder = tmp_path_factory.mktemp(kind)
        return load_model(save_plain_layers(kind, folder), "cpu", "float32")

    return load


def layer_alone(head, states):
    """The head's layer over features (1, n, H) beside embeddings that are 0."""
    positions = torch.arange(states.shape[1])[None]
    nothing = torch.zeros_like(states)
    residual, (queries, keys, values) = head.project(nothing, states, positions)
    attended = torch.nn.functional.scaled_dot_product_attention(
        queries, keys, values, is_causal=True
    )
    return head.layer.finish(residual, attended)


@pytest.mark.parametrize("kind", PLAIN_LAYERS)
def test_a_new_head_computes_what_the_targets_last_layer_does(plain_layers, tmp_path, kind):
    """With biases, norms of queries and keys, heads of any width; also when saved and read back."""
    target = plain_layers(kind)
    head = new_head(target, np.arange(2, 40), None, seed=0)
    ids = torch.arange(3, 23)[None]
    with torch.no_grad():
        states = target.hidden_states(ids, torch.ones_like(ids), (target.layers - 1,))
        before, after = states[target.layers - 1], states[target.layers]
        found = target.final_norm(layer_alone(head, before))
        torch.testing.assert_close(found, after, atol=1e-4, rtol=1e-4)
        save_head(head, tmp_path)
        again = load_head(tmp_path)
        assert replace(again.config, layer=head.config.layer, windows=()) == head.config
        torch.testing.assert_close(layer_alone(again, before), layer_alone(head, before))
    table = target.model.get_output_embeddings().weight
    assert torch.equal(head.lm_head.weight, table[2:40])


@pytest.mark.parametrize("kind", ["qwen2", "llama-biased"])
def test_a_narrower_mlp_keeps_the_units_that_can_put_out_most(plain_layers, kind):
    target = plain_layers(kind)
    mlp = target.network.layers[-1].mlp
    wide, narrow = (
        new_head(target, np.arange(30), width, seed=0).layer.mlp for width in (None, 24)
    )
    strength = (
        mlp.gate_proj.weight.norm(dim=1)
        * mlp.up_proj.weight.norm(dim=1)
        * mlp.down_proj.weight.norm(dim=0)
    )
    kept = strength.argsort(descending=True)[:24].sort().values
    assert torch.equal(narrow.up_proj.weight, mlp.up_proj.weight[kept])
    assert torch.equal(narrow.down_proj.weight, mlp.down_proj.weight[:, kept])
    inputs = torch.randn(50, 32)
    with torch.no_grad():
        for unit in set(range(64)) - set(kept.tolist()):
            wide.down_proj.weight[:, unit] = 0
        torch.testing.assert_close(narrow(inputs), wide(inputs))


@pytest.mark.parametrize("kind", ["gpt2", "opt"])
def test_other_layers_are_refused_in_one_line(tiny_models, tmp_path, kind):
    target = load_model(
        save_other_architecture(kind, tmp_path, tiny_models["target"]), "cpu", "float32"
    )
    with pytest.raises(HedgespecError, match="no head can be started from this architecture"):
        new_head(target, np.arange(30), None, seed=0)


def test_a_layer_with_other_tensors_is_named(plain_layers):
    target = plain_layers("qwen2")
    target.network.layers[-1].pre_feedforward_layernorm = torch.nn.LayerNorm(32)
    with pytest.raises(HedgespecError, match="its layer has 'pre_feedforward_layernorm"):
        new_head(target, np.arange(30), None, seed=0)


@pytest.mark.parametrize("kind", ["qwen2-tied", "qwen3"])
def test_a_zoo_of_any_plain_layers(plain_layers, tmp_path, monkeypatch, small_questions, kind):
    target = plain_layers(kind)
    summary = make_zoo(
        ZooSettings(
            target.id,
            tmp_path / "zoo",
            "cpu",
            "float32",
            domains=("math",),
            small=(),
            methods=(),
            questions=6,
            answers=8,
            general_questions=6,
            general_answers=8,
            held_out=2,
            max_new_tokens=16,
            draft_vocabulary=40,
            depths=3,
            positions=512,
            mlp_width=48,
            generalist_steps=6,
            expert_steps=4,
        )
    )
    assert set(summary["tokens_per_round"]) == {"generalist", "expert-math"}
    assert load_head(tmp_path / "zoo" / "expert-math").config.layer.intermediate_size == 48


def test_a_prompt_without_tokens_is_one_line(plain_layers, tmp_path, small_questions):
    target = plain_layers("llama")
    target.tokenizer.chat_template = "{{ '' }}"
    target.tokenizer.save_pretrained(target.id)
    with pytest.raises(HedgespecError, match=r"^question general-0: its prompt has no tokens"):
        make_zoo(ZooSettings(target.id, tmp_path / "zoo", "cpu", "float32", domains=(), small=()))
