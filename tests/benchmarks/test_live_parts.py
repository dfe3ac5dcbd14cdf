"""The parts of a live round: what is switched off, and what the target's pass is set against."""

from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch")

from benchmarks import live_parts  # noqa: E402
from benchmarks.live_parts import (  # noqa: E402
    OFF,
    VARIANTS,
    Row,
    _target,
    switched,
    table,
    weight_bytes,
)
from hedgespec.costs import profile  # noqa: E402
from hedgespec.models import grouped_attention  # noqa: E402


def test_a_variant_is_off_within_and_on_again_after():
    def parts():
        return (profile.fuse_products, grouped_attention.chunk_of, torch._dynamo.maybe_mark_dynamic)

    before = parts()
    assert set(VARIANTS) == {"all", "none", *OFF}
    for variant in VARIANTS:
        with switched(variant):
            now = parts()
        assert (now == before) == (variant in ("all", "whole-vocabulary"))
    assert parts() == before


def test_a_pass_reads_all_weights_and_an_embedding_only_as_the_head():
    target = _target(SimpleNamespace(target="toy", device="cpu", dtype="float32"))
    whole = sum(4 * parameter.numel() for parameter in target.model.parameters())
    assert weight_bytes(target) == whole
    embedding = target.model.get_input_embeddings().weight
    target.model.set_output_embeddings(torch.nn.Linear(32, 500, bias=False))
    assert (
        weight_bytes(target)
        == whole
        == (
            sum(4 * parameter.numel() for parameter in target.model.parameters())
            - 4 * embedding.numel()
        )
    )


def test_the_rest_of_a_round_is_what_pass_and_draft_leave():
    parts = {"pass 1": 1.0, "pass K+1": 2.0, "draft": 0.5, "round": 4.0}
    *_, line = table([Row("all", parts, reading=0.8, preparing=60.0)]).splitlines()
    assert line.split(" | ")[5:] == ["2.50", "1500.000", "38", "60 |"]


def test_a_row_for_each_variant_and_the_first_again(monkeypatch, capsys):
    monkeypatch.setattr(
        "sys.argv",
        [
            "live_parts",
            "--device",
            "cpu",
            "--dtype",
            "float32",
            "--target",
            "toy",
            "--context",
            "64",
            "--heads",
            "2",
            "--draft-vocabulary",
            "50",
            "--draft-length",
            "2",
            "--repeats",
            "2",
            "--variants",
            "none",
        ],
    )
    monkeypatch.setattr(live_parts, "_WALL_ROUNDS", 6)
    monkeypatch.setattr(live_parts, "copy_bandwidth", lambda device: 1e9)
    live_parts.main()
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| none")]
    assert len(rows) == 1 + 2  # the table is printed after each
