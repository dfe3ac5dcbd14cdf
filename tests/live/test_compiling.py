"""What torch.compile is asked for, with a backend that makes no kernels: how often, and that
nothing else changes. tests/live/test_static.py has the kernels' turn, on a GPU."""

import os
from functools import partial

import pytest

torch = pytest.importorskip("torch")

from torch._dynamo.utils import counters  # noqa: E402

from hedgespec.live import DecoderSettings, LiveDecoder  # noqa: E402
from hedgespec.models import compiling, fixed_tensors, grouped_attention  # noqa: E402
from hedgespec.models.cached import CachedModel, first_layers  # noqa: E402
from hedgespec.models.distributions import Sampling  # noqa: E402
from hedgespec.models.drafters.eagle import Eagle  # noqa: E402
from hedgespec.models.target import load_model  # noqa: E402
from tests.helpers.heads import random_head  # noqa: E402
from tests.helpers.live_text import PROMPT  # noqa: E402
from tests.helpers.tiny import PLAIN_LAYERS, save_plain_layers  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def tracing(monkeypatch):
    """torch.compile traces and guards, and runs what it traced as it is."""
    torch._dynamo.reset()
    counters.clear()
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    yield
    torch._dynamo.reset()


@pytest.mark.slow
@pytest.mark.parametrize("chunks", [True, False])
def test_a_longer_text_compiles_nothing_again(target, tracing, monkeypatch, chunks):
    """Also where keys are cut in chunks. And the text is that of the plain engine."""
    if chunks:
        monkeypatch.setattr(
            grouped_attention,
            "chunk_of",
            lambda keys: (
                grouped_attention.chunk_for(keys.shape[2]) if torch.compiler.is_compiling() else 0
            ),
        )
    monkeypatch.setattr("hedgespec.live.static_round._ROOM", 64)
    drafters = [Eagle.of(f"head-{seed}", "random", random_head(seed), target) for seed in range(2)]
    compiled, plain = (
        LiveDecoder(
            target,
            drafters,
            "normalhedge",
            DecoderSettings(sampling=Sampling(0.8), draft_length=3, static=one, compiled=one),
        )
        for one in (True, False)
    )
    graphs = []
    for prompt in (PROMPT, PROMPT * 12, PROMPT):
        assert compiled.generate(prompt, 24, 3).tokens == plain.generate(prompt, 24, 3).tokens
        graphs.append((compiled.engine._room, counters["stats"]["unique_graphs"]))
    assert graphs[0][1] > 4  # target, head alone, heads together, their logits, laws
    assert [room for room, _ in graphs] == [128, 192, 192]
    assert {count for _, count in graphs} == {graphs[0][1]}
    assert not counters["graph_break"]


def test_kernels_are_kept_with_hedgespecs_own(tmp_path, monkeypatch):
    """In a folder of the user's own; a folder that was named before stays."""
    monkeypatch.setenv("HEDGESPEC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "elsewhere"))
    compiling._keep_kernels()
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == str(tmp_path / "elsewhere")
    os.environ.pop("TORCHINDUCTOR_CACHE_DIR")
    compiling.compile_shapes(torch.sin)
    assert os.environ.pop("TORCHINDUCTOR_CACHE_DIR") == str(tmp_path / "cache" / "torch")
    (tmp_path / "cache" / "torch").chmod(0o777)
    compiling._keep_kernels()
    assert "TORCHINDUCTOR_CACHE_DIR" not in os.environ


@pytest.mark.parametrize("kind", PLAIN_LAYERS)
def test_one_layer_is_compiled_for_all_and_for_early_exits(tracing, tmp_path, kind):
    target = load_model(save_plain_layers(kind, tmp_path / "model"), "cpu", "float32")
    text = torch.arange(40) % target.vocabulary_size
    compiled, plain = (fixed_tensors.StaticModel(target, 64, compiled=most) for most in (5, 0))
    with torch.inference_mode():
        for start, end in ((0, 20), (20, 25), (25, 30), (30, 31), (31, 36)):
            places = torch.arange(start, end)
            (found, states), (expected, others) = (
                model.read(text[start:end], places, (0, 2, 6)) for model in (compiled, plain)
            )
            torch.testing.assert_close(found, expected)
            torch.testing.assert_close(states, others)
        # Of five tokens and of one: embedding, positions, a layer, the final norm.
        assert counters["stats"]["unique_graphs"] == 8
        exit_ = compiled.beside(first_layers(target, 3))
        exit_.read(text[36:37], torch.tensor([36]))
        assert counters["stats"]["unique_graphs"] == 8
    assert not counters["graph_break"]
    # The network is as it was.
    ids = text[None, :9]
    torch.testing.assert_close(
        target.network(input_ids=ids, use_cache=False).last_hidden_state,
        CachedModel(target).read(text[:9])[0][None],
    )


@pytest.mark.parametrize("kind", PLAIN_LAYERS)
def test_kernels_of_any_shape_are_made_once_for_two_tokens_and_more(tracing, tmp_path, kind):
    target = load_model(save_plain_layers(kind, tmp_path / "model"), "cpu", "float32")
    text = torch.arange(40) % target.vocabulary_size
    model = fixed_tensors.StaticModel(target, 64, compiled=9, any_shape=True)
    graphs = []
    with torch.inference_mode():
        for start, end in ((0, 20), (20, 22), (22, 27), (27, 36)):
            found = model.read(text[start:end], torch.arange(start, end))[0]
            graphs.append(counters["stats"]["unique_graphs"])
    torch.testing.assert_close(found, CachedModel(target).read(text[:36])[0][27:])
    assert graphs == [0, 4, 4, 4]
