"""Published shapes of EAGLE heads: as a plain forward, in every way that hedgespec runs a head."""

import json

import pytest

torch = pytest.importorskip("torch")

from hedgespec.errors import HedgespecError  # noqa: E402
from hedgespec.live import DecoderSettings, LiveDecoder  # noqa: E402
from hedgespec.models.distributions import Sampling  # noqa: E402
from hedgespec.models.drafters import make_drafters  # noqa: E402
from hedgespec.models.heads.eagle import load_head, save_head  # noqa: E402
from hedgespec.models.trees import StaticTree  # noqa: E402
from tests.helpers.drafting import LENGTH, check_draft, extend, scored  # noqa: E402
from tests.helpers.head_zoo import ROPES, eagle3, flat, shapes  # noqa: E402
from tests.helpers.plain_head import PlainHead  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")
SHAPES = shapes()
ALL = SHAPES | {f"rope-{name}": flat(rope_scaling=rope) for name, rope in ROPES.items()}


@pytest.fixture(scope="module")
def text():
    return torch.randint(3, 63, (LENGTH,), generator=torch.Generator().manual_seed(3))


@pytest.fixture(scope="module")
def states(target, text):
    layers = tuple(range(target.layers + 1))
    with torch.inference_mode():
        found = target.hidden_states(text[None], torch.ones(1, LENGTH).long(), layers)
    return {layer: state[0] for layer, state in found.items()}


@pytest.fixture(scope="module")
def drafters(target, tmp_path_factory):
    folder = tmp_path_factory.mktemp("zoo")
    return {
        name: make_drafters([f"{name}=eagle:{shape.save(folder / name)}"], target)[0]
        for name, shape in ALL.items()
    }


@pytest.mark.parametrize("name", SHAPES)
def test_a_head_drafts_as_the_plain_forward(target, drafters, text, states, name):
    """Verified places and a chain of three drafted tokens."""
    drafter, model = drafters[name], target.model
    plain = PlainHead(
        SHAPES[name],
        model.get_input_embeddings().weight.detach(),
        model.get_output_embeddings().weight.detach(),
    )
    layers = plain.options["layers"] or ((2, 2, 1) if plain.third else (4,))
    assert drafter.target_layers == layers
    with torch.inference_mode():
        for place in range(LENGTH - 1):
            feature = plain.feature([states[layer][place] for layer in layers])
            output, expected = plain.place(int(text[place + 1]), feature)
        session = drafter.session()
        found = extend(session, text, states, 0, LENGTH)
        for _ in range(3):
            torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-4)
            token = int(expected.argmax())
            output, expected = plain.place(token, output)
            found = session.step(token)


@pytest.mark.matrix
@pytest.mark.parametrize("name", ALL)
def test_scoring_a_text_is_drafting_from_each_place(drafters, text, states, name):
    drafter = drafters[name]
    with torch.inference_mode():
        expected = scored(drafter, text, states)
        session = drafter.session()
        for start in range(2, LENGTH):
            first = extend(session, text, states, start - 1 if start > 2 else 0, start)
            check_draft(session, first, expected, text, start)


@pytest.mark.parametrize("name", ALL)
def test_a_tree_without_branches_is_the_chain(drafters, text, states, name):
    tree = StaticTree([[0] * level for level in range(1, 6)])
    session = drafters[name].session()
    with torch.inference_mode():
        logits = extend(session, text, states, 0, LENGTH)
        trees = tree.build(session.growth(), torch.tensor([[LENGTH - 1]]))
        for token in trees.tokens[0]:
            assert int(token) == int(logits.argmax())
            logits = session.step(int(token))


@pytest.mark.matrix
@pytest.mark.parametrize("name", ALL)
def test_live_on_fixed_tensors_as_without(target, drafters, name):
    pair = [drafters[name], *make_drafters({"other": drafters[name]}, target)]
    found, expected = (
        LiveDecoder(
            target,
            pair,
            "ucbspec",
            DecoderSettings(sampling=Sampling(0.8), draft_length=4, static=static),
        ).generate([5, 9, 7, 5, 9], 20)
        for static in (True, False)
    )
    assert found.tokens == expected.tokens
    assert [one.tokens for one in found.rounds] == [one.tokens for one in expected.rounds]


@pytest.mark.parametrize("name", SHAPES)
def test_a_saved_head_is_the_head(drafters, tmp_path, name):
    """In the dialect of the trainers; in the other one where it has a word for it."""
    head = drafters[name].head
    for dialect in ("eagle", "speculators")[: 1 + (head.config.generation == 3)]:
        save_head(head, tmp_path / dialect, dialect)
        again = load_head(tmp_path / dialect, torch.float64)
        assert again.config.fused_layers(4) == head.config.fused_layers(4)
        for key, tensor in head.state_dict().items():
            assert torch.equal(again.state_dict()[key], tensor)
        assert (again.config.windows, again.config.norm_output) == (
            head.config.windows,
            head.config.norm_output,
        )


@pytest.mark.parametrize("suffix", ["bin", "safetensors"])
def test_a_sharded_checkpoint_is_the_whole(tmp_path, suffix):
    from safetensors.torch import save_file

    tensors = eagle3()
    flat(tensors).save(tmp_path / "whole")
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "config.json").write_text(json.dumps(flat().config))
    stem = "pytorch_model" if suffix == "bin" else "model"
    places = {}
    for number, part in enumerate((list(tensors)[:7], list(tensors)[7:]), 1):
        file = f"{stem}-0000{number}-of-00002.{suffix}"
        some = {name: tensors[name].contiguous() for name in part}
        (torch.save if suffix == "bin" else save_file)(some, tmp_path / "parts" / file)
        places |= dict.fromkeys(part, file)
    whole, by_pattern = load_head(tmp_path / "whole"), load_head(tmp_path / "parts")
    index = tmp_path / "parts" / f"{stem}.{suffix}.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": places}))
    for again in (by_pattern, load_head(tmp_path / "parts")):
        for name, tensor in whole.state_dict().items():
            assert torch.equal(again.state_dict()[name], tensor)
    index.write_text(json.dumps({"weight_map": {"fc.weight": "gone.safetensors"}}))
    with pytest.raises(HedgespecError, match=r"gone.safetensors: weights cannot be read"):
        load_head(tmp_path / "parts")


IDS = "eagle_aux_hidden_state_layer_ids"


@pytest.mark.parametrize(
    ("layers", "ids", "found"),
    [
        (48, [1, 23, 44], (2, 24, 45)),
        (61, [2, 30, 58], (2, 30, 58)),
        (6, [4, 5, 6], (4, 5, 6)),
        (6, [0, 2, 4], (1, 3, 5)),
        (6, [], (2, 3, 3)),
    ],
)
def test_the_count_of_layers_is_told_by_the_default_ones(tmp_path, layers, ids, found):
    shape = flat(eagle_config={IDS: ids, "use_aux_hidden_state": True})
    assert load_head(shape.save(tmp_path)).config.fused_layers(layers) == found


def test_layers_that_may_be_counted_either_way_are_refused(tmp_path):
    both = flat(eagle_config={IDS: [1, 2, 4]})
    with pytest.raises(HedgespecError, match=r"\[1, 2, 4\] or \[2, 3, 5\]"):
        load_head(both.save(tmp_path / "unsure")).config.fused_layers(6)
    both.config[IDS] = [2, 3, 5]
    assert load_head(both.save(tmp_path / "sure")).config.fused_layers(6) == (2, 3, 5)
    both.config[IDS] = [2, 3, 6]
    with pytest.raises(HedgespecError, match=rf"eagle_config.{IDS} is \[1, 2, 4\], not"):
        load_head(both.save(tmp_path / "contradiction"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_experts": 8}, r"config.json: unknown key num_experts = 8"),
        ({"norm_befor_residual": True}, "did you mean 'norm_before_residual'"),
        ({"eagle_config": {"scale": 2}}, "unknown key eagle_config.scale = 2"),
        ({"eagle_config": {"use_last_layernorm": False}}, "needs eagle_config.use_last_layernorm"),
        ({"eagle_config": {"norm_output": False}, "norm_output": True}, "eagle_config.norm_output"),
        ({"model_type": "gemma2"}, "the head needs model_type = 'gemma2'"),
        ({"hidden_act": "relu_squared_x"}, "hidden_act is 'relu_squared_x', not one of"),
        ({"rope_scaling": {"type": "ntk"}}, "rope_scaling.type is 'ntk'"),
        ({"rope_scaling": {"type": "linear"}}, "rope type 'linear' needs factor"),
        ({"rope_scaling": {"type": "default", "factor": 2.0}}, "unknown key rope_scaling.factor"),
        ({"sliding_window": 6}, "say use_sliding_window or layer_types"),
        ({"layer_types": ["chunked_attention"]}, "layer_types is"),
        ({"hidden_size": "32"}, "hidden_size is '32', not a whole number"),
        ({"hidden_size": True}, "hidden_size is True, not a whole number"),
        ({"vocab_size": 10**30}, "vocab_size is 10+, not a whole number"),
        ({"rms_norm_eps": float("nan")}, "rms_norm_eps is nan, not a number"),
        ({"num_hidden_layers": 10**9}, "num_hidden_layers is 1000000000, not"),
        ({"num_hidden_layers": 2}, "tensor 'layers.1.self_attn.q_proj.weight' is missing"),
        ({"fc_norm": True}, "tensor 'fc_norm.0.weight' is missing"),
        ({"attention_bias": True}, "tensor 'midlayer.self_attn.q_proj.bias' is missing"),
        ({"num_attention_heads": 1 << 20}, "num_attention_heads is 1048576, not"),
        (
            {
                "hidden_size": 1 << 20,
                "intermediate_size": 1 << 20,
                "num_attention_heads": 1 << 12,
                "head_dim": 1 << 14,
                "vocab_size": 1 << 20,
            },
            "has shape",
        ),
        ({"eagle_config": {"use_aux_hidden_state": False}}, "but there is fc.weight"),
        ({"num_key_value_heads": 3}, "num_key_value_heads is 3, not a divisor"),
    ],
)
def test_keys_that_cannot_be_used_are_refused_by_name(tmp_path, changes, message):
    with pytest.raises(HedgespecError, match=message):
        load_head(flat(**changes).save(tmp_path))


def test_a_flag_against_its_tensor_is_refused(tmp_path):
    shape = SHAPES["gpt-oss"]
    with pytest.raises(HedgespecError, match="norm_before_fc is False, but there is a tensor"):
        load_head(
            type(shape)(shape.config | {"norm_before_fc": False}, shape.tensors).save(tmp_path)
        )


@pytest.mark.parametrize("document", ["[]", "null", '"x"', '{"a": 1, "a": 2}', "[" * 100000])
def test_a_config_that_is_no_object_is_refused(tmp_path, document):
    (tmp_path / "config.json").write_text(document)
    with pytest.raises(HedgespecError, match=r"config.json: (it is|cannot be read)"):
        load_head(tmp_path)


def test_a_longrope_head_reads_no_text_beyond_its_switch(target, tmp_path):
    """Behind it all frequencies would be others, also of what was read before."""
    rope = ROPES["su"] | {"original_max_position_embeddings": 20}
    [drafter] = make_drafters([f"eagle:{flat(rope_scaling=rope).save(tmp_path)}"], target)
    decoder = LiveDecoder(target, [drafter], "fixed:" + drafter.name)
    with pytest.raises(HedgespecError, match="exceed the shortest context"):
        decoder.generate([5] * 15, 10)


def test_a_head_that_would_borrow_from_a_wider_target_is_refused(target, tmp_path):
    shape = flat(target_hidden_size=64)
    shape.tensors["fc.weight"] = torch.zeros(32, 192)
    head = load_head(shape.save(tmp_path))
    assert head.fc.weight.shape == (32, 192)
    with pytest.raises(HedgespecError, match=r"made for a target of \(vocabulary, width\)"):
        make_drafters([f"eagle:{tmp_path}"], target)
