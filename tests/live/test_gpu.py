"""The same recording on a CUDA device."""

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from hedgespec.models.distributions import Sampling  # noqa: E402
from hedgespec.models.drafters import make_drafters  # noqa: E402
from hedgespec.models.heads.eagle import save_head  # noqa: E402
from hedgespec.models.heads.recurrent import save_redrafter  # noqa: E402
from hedgespec.models.target import load_model  # noqa: E402
from hedgespec.models.trees import DynamicTree, score_trees  # noqa: E402
from hedgespec.tracegen.record import RecordSettings, record  # noqa: E402
from hedgespec.tracegen.score import score, teacher_force  # noqa: E402
from hedgespec.traces import read_trace  # noqa: E402
from tests.helpers.heads import random_head, random_recurrent  # noqa: E402
from tests.helpers.tiny import save_questions  # noqa: E402

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


def test_cuda_records_the_same_text_and_statistics_as_the_cpu(tiny_models, tmp_path):
    save_head(random_head(), tmp_path / "head")
    settings = RecordSettings(
        target=tiny_models["target"],
        prompts=save_questions(tmp_path / "questions.jsonl"),
        out=tmp_path / "cpu",
        name="tiny",
        drafters=("early-exit:2", "prompt-lookup", "ngram", f"eagle:{tmp_path / 'head'}"),
        max_new_tokens=40,
        precision="full",
    )
    record(settings)
    record(replace(settings, out=tmp_path / "cuda", device="cuda"))
    cpu, cuda = read_trace(tmp_path / "cpu"), read_trace(tmp_path / "cuda")
    np.testing.assert_array_equal(cpu.tokens, cuda.tokens)
    for name in ("log_p", "log_q", "gamma", "p_top"):
        np.testing.assert_allclose(getattr(cpu, name), getattr(cuda, name), rtol=0, atol=1e-4)


def test_other_methods_and_trees_are_the_same_on_cuda(tiny_models, tmp_path):
    save_head(random_head(), tmp_path / "head")
    save_head(random_head(masks=2), tmp_path / "parallel")
    save_redrafter(random_recurrent(list(range(3, 43))), tmp_path / "redrafter")
    names = (
        f"eagle:{tmp_path / 'head'}",
        f"parallel:{tmp_path / 'parallel'}",
        f"lm=lm:{tiny_models['drafter']}",
        f"redrafter:{tmp_path / 'redrafter'}",
    )
    prompts, answers = [[5, 9, 11, 4], [7, 3]], [[3, 8, 20, 5], [6, 5, 30, 31, 8]]
    found = []
    for device in ("cpu", "cuda"):
        target = load_model(tiny_models["target"], device, "float32")
        drafters = make_drafters(list(names), target)
        scores, _ = score(target, drafters, prompts, answers, Sampling(0), 64)
        with torch.inference_mode():
            batch = teacher_force(target, prompts, answers, (1, 2, 3))
        found.append(
            (
                scores.drafters,
                score_trees(target, drafters, batch, DynamicTree(20, 3, 5), Sampling(), 4),
            )
        )
    for one, other in zip(*(part[0].values() for part in found), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4, rtol=0)
    for name in ("head", "parallel", "lm"):
        for part in ("accepted", "mass", "drafted"):
            torch.testing.assert_close(
                *(getattr(trees[name], part) for _, trees in found), atol=1e-4, rtol=0
            )


def test_real_memory_shortage_shrinks_the_batch(tiny_models, tmp_path):
    """The device's memory is capped so that 512 answers at once cannot fit."""
    settings = RecordSettings(
        target=tiny_models["target"],
        prompts=save_questions(tmp_path / "questions.jsonl", 600),
        out=tmp_path / "capped",
        name="tiny",
        drafters=("early-exit:2",),
        max_new_tokens=200,
        batch_size=512,
        device="cuda",
        precision="full",
    )
    said = []
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + 6e7) / total)
    try:
        record(settings, lambda progress: said.append(progress.phase))
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert any(phase.startswith("out of memory: going on with") for phase in said)
    record(replace(settings, out=tmp_path / "free"))
    capped, free = read_trace(tmp_path / "capped"), read_trace(tmp_path / "free")
    np.testing.assert_array_equal(capped.tokens, free.tokens)
    np.testing.assert_allclose(capped.gamma, free.gamma, rtol=0, atol=1e-4)


def test_bfloat16_on_cuda_gives_a_valid_trace(tiny_models, tmp_path):
    settings = RecordSettings(
        target=tiny_models["target"],
        prompts=save_questions(tmp_path / "questions.jsonl"),
        out=tmp_path / "bf16",
        name="tiny",
        drafters=("early-exit:2", "ngram"),
        max_new_tokens=40,
        top_p=0.9,
        device="cuda",
        dtype="bfloat16",
    )
    record(settings)
    assert read_trace(settings.out).manifest.dtype == "bfloat16"
