"""A model whose layers lie on several devices says what it says on one."""

import sys

import pytest

torch = pytest.importorskip("torch")

from hedgespec.cli import main  # noqa: E402
from hedgespec.errors import HedgespecError  # noqa: E402
from hedgespec.live import DecoderSettings, LiveDecoder  # noqa: E402
from hedgespec.models.cached import CachedModel  # noqa: E402
from hedgespec.models.drafters import make_drafters  # noqa: E402
from hedgespec.models.lossless import check_lossless  # noqa: E402
from hedgespec.models.split import shares, spread  # noqa: E402
from hedgespec.models.target import LanguageModel, load_model  # noqa: E402
from hedgespec.zoo.build import make_zoo  # noqa: E402
from hedgespec.zoo.settings import ZooSettings  # noqa: E402
from tests.helpers.made_up_devices import FIRST, HOST, SECOND, MadeUpDevices  # noqa: E402
from tests.helpers.tiny import (  # noqa: E402
    PLAIN_LAYERS,
    save_other_architecture,
    save_plain_layers,
    save_tiny_gguf,
)

TEXT = [5, 6, 7, 8, 9, 10, 11, 12]


@pytest.mark.parametrize(
    ("sizes", "rooms", "holders"),
    [
        ([1] * 4, [2, 2], [0, 0, 1, 1]),
        ([1] * 6, [1, 2, 3], [0, 1, 1, 2, 2, 2]),
        ([1] * 3, [0, 5], [1, 1, 1]),
        ([3, 1, 1, 1], [10, 10], [0, 1, 1, 1]),
        ([1] * 2, [1] * 8, [1, 5]),
    ],
)
def test_layers_go_to_devices_in_order_and_fill_them_alike(sizes, rooms, holders):
    assert shares(sizes, rooms) == holders


def test_tensors_of_two_made_up_devices_do_not_mix():
    with MadeUpDevices() as devices:
        host, first = torch.arange(3), torch.arange(3, device=FIRST)
        second = first.to(SECOND)
        assert (host.device, first.device, second.device) == (HOST, FIRST, SECOND)
        assert (first + 1).device == first[None].device == FIRST
        assert (second * torch.tensor(2)).tolist() == [0, 2, 4]
        assert second[torch.tensor([1, 2])].device == SECOND
        for mixed in (
            lambda: first + second,
            lambda: first + host,
            lambda: second[first],
            lambda: torch.cat([first, second]),
        ):
            with pytest.raises(RuntimeError, match="tensors on"):
                mixed()
        with pytest.raises(TypeError, match="numpy"):
            first.numpy()
        assert first.cpu().numpy().tolist() == [0, 1, 2]
    assert devices.moves == {(FIRST, SECOND): 1}


def saved(kind: str, folder, tiny_models) -> str:
    if kind == "gguf":
        return save_tiny_gguf(folder / "tiny.gguf")
    if kind in PLAIN_LAYERS:
        return save_plain_layers(kind, folder / kind)
    return save_other_architecture(kind, folder / kind, tiny_models["target"])


def same(found: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(found.cpu(), expected, rtol=0, atol=0)


@pytest.mark.parametrize("kind", ["llama", "qwen2-tied", "gpt2", "opt", "sliding", "gguf"])
def test_states_and_logits_are_those_of_one_device(kind, tmp_path, tiny_models, made_up_devices):
    folder = saved(kind, tmp_path, tiny_models)
    one = load_model(folder, "cpu", "float32")
    ids, layers = torch.tensor([TEXT]), tuple(range(one.layers))
    with torch.inference_mode():
        expected = one.hidden_states(ids, torch.ones_like(ids), layers)
        logits = one.logits(expected[one.layers])
        with made_up_devices as devices:
            two = load_model(folder, "split", "float32")
            assert two.devices == [FIRST, SECOND]
            assert two.weights_sha256 == one.weights_sha256
            devices.moves.clear()
            own = ids.to(FIRST)
            states = two.hidden_states(own, torch.ones_like(own), layers)
            assert devices.moves[SECOND, FIRST] == sum(
                next(layer.parameters()).device == SECOND for layer in layers_of(two)
            )
            assert {state.device for state in states.values()} == {FIRST}
            for layer in (*layers, one.layers):
                same(states[layer], expected[layer])
            same(two.logits(states[two.layers]), logits)


def layers_of(model: LanguageModel) -> list[torch.nn.Module]:
    return next(list(one) for one in model.model.modules() if isinstance(one, torch.nn.ModuleList))


def test_reading_in_pieces_and_trees(tiny_models, made_up_devices):
    tokens, parents = torch.tensor(TEXT), [-1, 0, 0]

    def read(model: LanguageModel) -> list[torch.Tensor]:
        cached = CachedModel(model)
        text = tokens.to(model.device)
        first, _ = cached.read(text[:4])
        tree, _ = cached.read_tree(text[4:7], parents)
        cached.keep([0, 2])
        last, _ = cached.read(text[7:])
        return [part.cpu() for part in (first, tree, last)]

    with torch.inference_mode():
        expected = read(load_model(tiny_models["target"], "cpu", "float32"))
        with made_up_devices:
            two = load_model(tiny_models["target"], "split", "float32")
            assert check_lossless(two, branches=True).length is None
            for found, wanted in zip(read(two), expected, strict=True):
                same(found, wanted)


@pytest.mark.slow
def test_live_decoding_is_without_fixed_tensors(tiny_models, made_up_devices):
    pool, prompt = ["early-exit:3", "prompt-lookup"], TEXT
    one = load_model(tiny_models["target"], "cpu", "float32")
    expected = LiveDecoder(one, make_drafters(pool, one), "hedge").generate(prompt, 20, 0)
    with made_up_devices:
        two = load_model(tiny_models["target"], "split", "float32")
        drafters = make_drafters(pool, two)
        assert LiveDecoder(two, drafters, "hedge").generate(prompt, 20, 0).tokens == expected.tokens
        with pytest.raises(HedgespecError, match="plain attention on one device"):
            LiveDecoder(two, drafters, "hedge", DecoderSettings(static=True))


def test_a_model_that_does_not_fit_is_refused(tiny_models):
    model = load_model(tiny_models["target"], "cpu", "float32").model
    with pytest.raises(
        HedgespecError,
        match=r"^device='split': the weights take 0\.0 GiB, the 2 "
        r"devices hold .*use more GPUs",
    ):
        spread(model, [(HOST, 1000), (HOST, 1000)])


def test_layers_that_are_not_found_are_told(tiny_models):
    model = load_model(tiny_models["target"], "cpu", "float32").model
    model.config.num_hidden_layers = 7
    with pytest.raises(HedgespecError, match=r"architecture .LlamaForCausalLM. does not"):
        spread(model, [(HOST, 1 << 30), (HOST, 1 << 30)])


def told(capsys, *words: str) -> str:
    assert main([*words, "--device", "split"]) == 1
    return capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize("command", ["live", "profile"])
def test_commands_that_do_not_split_say_so(capsys, command):
    with pytest.raises(SystemExit):
        main([command, "--device", "split"])
    assert "argument --device: invalid choice: 'split'" in capsys.readouterr().err


@pytest.mark.parametrize("command", [("record",), ("head", "."), ("zoo",), ("traces",)])
def test_too_few_gpus_or_a_training_are_told_in_a_line(capsys, monkeypatch, command):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    line = told(capsys, *command)
    assert (
        "--device split: torch sees 1 CUDA device, and" in line
        if command[0] in ("record", "head")
        else "--device split: drafters are trained on one GPU" in line
    )


def test_a_zoo_that_is_whole_is_recorded_split(monkeypatch, tmp_path):
    (tmp_path / "zoo").mkdir()
    (tmp_path / "zoo" / "zoo.json").write_text("{}")
    recorded = []
    monkeypatch.setattr("hedgespec.zoo.experiment.plan_recordings", lambda *_: [])
    monkeypatch.setattr(
        "hedgespec.zoo.experiment.record_experiment",
        lambda zoo, *_: recorded.append(zoo.device) or [],
    )
    assert (
        main(
            [
                "traces",
                "--zoo",
                str(tmp_path / "zoo"),
                "--device",
                "split",
                "--out",
                str(tmp_path / "traces"),
            ]
        )
        == 0
    )
    assert recorded == ["split"]


def test_a_missing_accelerate_is_told_with_what_to_install(capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setitem(sys.modules, "accelerate", None)
    assert "pip install 'hedgespec[models]'" in told(capsys, "record")


def test_torchrun_beside_split_is_refused(capsys, monkeypatch):
    for name, value in (("RANK", "1"), ("LOCAL_RANK", "1"), ("WORLD_SIZE", "2")):
        monkeypatch.setenv(name, value)
    assert "start each with --part I/N and its own CUDA_VISIBLE_DEVICES" in told(capsys, "record")


def test_no_zoo_is_trained_so(tiny_models, tmp_path):
    with pytest.raises(HedgespecError, match=r"^device='split': drafters are trained"):
        make_zoo(ZooSettings(tiny_models["target"], tmp_path / "zoo", device="split"))
