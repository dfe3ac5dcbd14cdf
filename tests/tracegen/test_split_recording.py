"""A recording of a target whose layers lie on several devices is that of the target on one."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

torch = pytest.importorskip("torch")

from benchmarks.two_gpus import STATISTICS, TOLERANCE, compared  # noqa: E402
from hedgespec.cli import main  # noqa: E402
from hedgespec.models.heads.eagle import save_head  # noqa: E402
from hedgespec.models.heads.recurrent import save_redrafter  # noqa: E402
from hedgespec.tracegen.record import RecordSettings, record  # noqa: E402
from hedgespec.traces import load_manifest, read_trace  # noqa: E402
from tests.helpers.heads import random_head, random_recurrent  # noqa: E402
from tests.helpers.made_up_devices import SECOND  # noqa: E402
from tests.helpers.tiny import save_other_architecture, save_questions  # noqa: E402

two_gpus = pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")


@pytest.fixture
def settings(tiny_models: dict[str, str], tmp_path: Path) -> RecordSettings:
    """Every family of drafters, and all that is recorded besides."""
    save_head(random_head(), tmp_path / "head")
    save_head(random_head(masks=3), tmp_path / "parallel")
    save_redrafter(random_recurrent([*range(3, 43)]), tmp_path / "recurrent")
    return RecordSettings(
        target=tiny_models["target"],
        prompts=save_questions(tmp_path / "questions.jsonl", 5),
        out=tmp_path / "one",
        name="tiny",
        drafters=(
            f"lm:{tiny_models['drafter']}",
            "early-exit:1",
            "early-exit:3",
            "prompt-lookup:2",
            "ngram:2",
            f"eagle:{tmp_path / 'head'}",
            f"parallel:{tmp_path / 'parallel'}",
        ),
        max_new_tokens=80,
        batch_size=4,
        precision="full",
        rules=("gumbel", "multi:2"),
        trees=("dynamic:6,2,2",),
        features=True,
    )


def same_tables(left: Path, right: Path) -> None:
    for name in ("queries.parquet", "tokens-00000.parquet"):
        assert_frame_equal(
            pl.read_parquet(left / name), pl.read_parquet(right / name), check_exact=True
        )


@pytest.mark.slow
@pytest.mark.parametrize("temperature", [0.7, 0.0])
def test_every_drafter_beside_a_split_target(settings, tmp_path, made_up_devices, temperature):
    settings = replace(settings, temperature=temperature)
    if temperature == 0:
        settings = replace(
            settings, rules=(), drafters=(*settings.drafters, f"redrafter:{tmp_path / 'recurrent'}")
        )
    record(settings)
    with made_up_devices as devices:
        found = record(replace(settings, device="split", out=tmp_path / "two"))
    assert any(SECOND in move for move in devices.moves)
    same_tables(tmp_path / "one", tmp_path / "two")
    assert found.target == load_manifest(tmp_path / "one").target
    assert found.costs is not None
    assert len(found.costs.drafters) == len(settings.drafters)


@pytest.mark.slow
def test_a_target_that_hugging_face_decodes(settings, tmp_path, made_up_devices):
    """Sliding windows: `generate` writes, with its own cache."""
    folder = save_other_architecture("sliding", tmp_path / "sliding", settings.target)
    settings = replace(
        settings, target=folder, drafters=("early-exit:1", "ngram"), trees=(), max_new_tokens=20
    )
    record(settings)
    with made_up_devices:
        record(replace(settings, device="split", out=tmp_path / "two"))
    same_tables(tmp_path / "one", tmp_path / "two")


@pytest.mark.gpu
@two_gpus
def test_two_gpus_record_what_one_does(settings, tmp_path):
    settings = replace(settings, device="cuda")
    record(settings)
    found = record(replace(settings, device="split", out=tmp_path / "two"))
    assert found.device.startswith(f"{torch.cuda.device_count()} x ")
    one, two = read_trace(tmp_path / "one"), read_trace(tmp_path / "two")
    np.testing.assert_array_equal(one.tokens, two.tokens)
    for name in STATISTICS:
        np.testing.assert_allclose(
            getattr(one, name), getattr(two, name), rtol=0, atol=TOLERANCE["float32"]
        )


@pytest.mark.gpu
@two_gpus
def test_the_command_splits(tiny_models, tmp_path):
    questions = save_questions(tmp_path / "questions.jsonl", 4)
    assert (
        main(
            [
                "record",
                "--target",
                tiny_models["target"],
                "--prompts",
                str(questions),
                "--drafter",
                "early-exit:2",
                "--max-new-tokens",
                "20",
                "--device",
                "split",
                "--out",
                str(tmp_path / "trace"),
            ]
        )
        == 0
    )
    assert load_manifest(tmp_path / "trace").dtype == "bfloat16"


@pytest.mark.gpu
@two_gpus
@pytest.mark.parametrize(
    "shape", ["toy", pytest.param("qwen2.5-coder-1.5b", marks=pytest.mark.slow)]
)
def test_a_split_target_differs_by_rounding_alone(shape):
    """As far as the target's own statistics change when its answers are read one by one."""
    found = compared(shape, "cuda", "bfloat16", answers=8, tokens=64)
    assert found.devices == torch.cuda.device_count()
    assert found.largest_split <= max(found.largest_alone, TOLERANCE["bfloat16"])
