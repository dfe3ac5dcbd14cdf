"""What torch.compile is asked for, with a backend that makes no kernels: how often, and that
nothing else changes. tests/live/test_static.py has the kernels' turn, on a GPU."""

import os
from functools import partial

import pytest

torch = pytest.importorskip("torch")

from torch._dynamo.utils import counters  # noqa: E402

from hedgespec.live import DecoderSettings, LiveDecoder  # noqa: E402
from hedgespec.models import fixed_tensors, grouped_attention  # noqa: E402
from hedgespec.models.distributions import Sampling  # noqa: E402
from hedgespec.models.drafters.eagle import Eagle  # noqa: E402
from tests.helpers.heads import random_head  # noqa: E402
from tests.helpers.live_text import PROMPT  # noqa: E402

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
        monkeypatch.setattr(grouped_attention, "chunk_of", lambda keys: (
            grouped_attention.chunk_for(keys.shape[2]) if torch.compiler.is_compiling() else 0))
    monkeypatch.setattr("hedgespec.live.static_round._ROOM", 64)
    drafters = [Eagle.of(f"head-{seed}", "random", random_head(seed), target) for seed in range(2)]
    compiled, plain = (LiveDecoder(target, drafters, "normalhedge", DecoderSettings(
        sampling=Sampling(0.8), draft_length=3, static=one, compiled=one))
        for one in (True, False))
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
    fixed_tensors._keep_kernels()
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == str(tmp_path / "elsewhere")
    os.environ.pop("TORCHINDUCTOR_CACHE_DIR")
    fixed_tensors.compile_shapes(torch.sin)
    assert os.environ.pop("TORCHINDUCTOR_CACHE_DIR") == str(tmp_path / "cache" / "torch")
    (tmp_path / "cache" / "torch").chmod(0o777)
    fixed_tensors._keep_kernels()
    assert "TORCHINDUCTOR_CACHE_DIR" not in os.environ
