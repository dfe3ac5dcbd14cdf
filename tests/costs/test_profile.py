"""Costs of random weights, and replays under them."""

import hashlib
import json
from dataclasses import replace
from itertools import count
from pathlib import Path

import numpy as np
import polars as pl
import pytest

torch = pytest.importorskip("torch")

from hedgespec.bundled import trace_folder  # noqa: E402
from hedgespec.cli import main  # noqa: E402
from hedgespec.costs import timing  # noqa: E402
from hedgespec.costs.estimate import target_seconds, together_seconds  # noqa: E402
from hedgespec.costs.file import load_costs, save_costs, save_measured  # noqa: E402
from hedgespec.costs.profile import random_heads, random_target  # noqa: E402
from hedgespec.errors import HedgespecError  # noqa: E402
from hedgespec.traces import (  # noqa: E402
    Costs,
    DrafterCosts,
    Spread,
    TargetCosts,
    load_manifest,
)

CONFIG = {
    "model_type": "llama",
    "vocab_size": 90,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 6,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}


@pytest.fixture
def even_clock(monkeypatch):
    """Everything takes a millisecond: whatever else runs here must not fail a test."""
    monkeypatch.setattr(timing, "perf_counter", count(0.0, 1e-3).__next__)


@pytest.fixture
def costs(tmp_path, capsys, even_clock):
    """Measured by the command line."""
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    path = tmp_path / "costs.json"
    assert (
        main(
            [
                "profile",
                "--target-config",
                str(tmp_path / "config.json"),
                "--heads",
                "3",
                "--draft-length",
                "3",
                "--draft-vocabulary",
                "40",
                "--context",
                "20",
                "--device",
                "cpu",
                "--out",
                str(path),
            ]
        )
        == 0
    )
    said = capsys.readouterr().out
    assert "evaluation of 3 heads" in said
    assert "normalhedge, 3 drafters" in said
    return path


def test_a_profile_is_measured_and_traces_are_replayed_under_it(costs, tmp_path, capsys):
    found = load_costs(costs)
    assert (found.draft_length, found.context, len(found.drafters)) == (3, 20, 3)
    assert found.evaluate_all is not None
    assert found.reads.keys() == found.drafters["head-1"].reads.keys() == {"5", "32"}
    found = replace(
        found,
        reads={},
        drafters={  # then every reading is that of a round's tokens
            name: replace(one, reads={}) for name, one in found.drafters.items()
        },
    )
    save_costs(costs, found)
    heads = [
        drafter.name
        for drafter in load_manifest(trace_folder(Path("domain-mix-t0.7"))).drafters
        if drafter.kind == "eagle"
    ]
    assert (
        main(
            [
                "sim",
                "--traces",
                "domain-mix-t0.7",
                "--selectors",
                "normalhedge",
                "ucbspec",
                "--arms",
                *heads,
                "--seeds",
                "1",
                "--costs",
                str(costs),
                "--out",
                str(tmp_path / "sim"),
            ]
        )
        == 0
    )
    whose = f"tokens/s: costs of {found.device}, {found.dtype}, all drafters evaluated in one batch"
    assert whose in " ".join(capsys.readouterr().out.split())
    rows = {
        row["selector"]: row
        for row in pl.read_parquet(tmp_path / "sim" / "summary.parquet").to_dicts()
    }
    head = next(iter(found.drafters.values()))
    # The trace has eleven drafters, and a draft length of 5.
    target = target_seconds(found, np.array([6]))[0] + found.overhead
    others = {name: found.drafters.get(name, head) for name in found.drafters}
    assert all(one.step > 0 for one in others.values())
    alone = target + 4 * head.step + head.evaluate
    together = (
        target
        + 4 * head.step
        + together_seconds(found, np.array(len(heads)))
        + found.evaluation_overhead
    )
    queries = pl.read_parquet(tmp_path / "sim" / "per_query.parquet")
    for selector, seconds in (("ucbspec", alone), ("normalhedge", together)):
        mine = queries.filter(pl.col("selector") == selector)
        further = mine["evaluations"] * (seconds - alone)
        np.testing.assert_allclose(mine["seconds"], mine["rounds"] * alone + further)
        np.testing.assert_allclose(mine["evaluation_seconds"], further)
        row = rows[selector]
        assert row["tokens_per_second"] == pytest.approx(row["tokens"] / mine["seconds"].sum())
        assert row["evaluations"] == pytest.approx(mine["evaluations"].sum())
    [trace] = json.loads((tmp_path / "sim" / "run.json").read_text())["traces"]
    digest = hashlib.sha256(costs.read_bytes()).hexdigest()
    assert trace["costs"] == [
        {
            "name": "costs",
            "batch": 1,
            "device": found.device,
            "dtype": found.dtype,
            "evaluation": "in one batch",
            "drafters": {
                name: {"step": head.step, "begin": None, "evaluate": head.evaluate}
                for name in heads
            },
            "evaluate_all": pytest.approx(together_seconds(found, np.array(len(heads)))),
            "reads": False,
            "engine": "fixed tensors",
            "context": 20,
            "sha256": digest,
        }
    ]


def test_bad_profiles_are_told(costs, tmp_path, capsys):
    document = json.loads(costs.read_text())
    for changed, message in (
        ({"overhead": -1.0}, '"costs.overhead" must be finite seconds >= 0'),
        ({"evaluation_overhead": -1.0}, '"costs.evaluation_overhead" must be finite seconds'),
        ({"evaluate_all": 0}, '"costs.evaluate_all" must be positive'),
        ({"target": None}, '"costs.target." is not an object'),
    ):
        costs.write_text(json.dumps({**document, **changed}))
        with pytest.raises(HedgespecError, match=message):
            load_costs(costs)
    costs.write_text("no JSON")
    assert main(["sim", "--costs", str(costs), "--out", str(tmp_path / "sim")]) == 1
    assert "not readable as JSON" in capsys.readouterr().err
    for option in (
        ["--target-config", "nothing"],
        ["--target-config", str(costs)],
        ["--target-config", "smollm2-135m", "--heads", "0"],
    ):
        assert main(["profile", "--device", "cpu", *option]) == 1
    assert "must be at least 1" in capsys.readouterr().err


MEASURED = Costs(
    "a GPU",
    "bfloat16",
    256,
    5,
    TargetCosts(1.0, 1.2),
    {"head": DrafterCosts(0.1, 0.5, 0.1)},
    widths={"1": 1.0, "6": 1.2, "64": 2.0},
    spread={"target 1": Spread(20, 0.9, 1.1, 0.02)},
    engine="eager",
)


def test_the_targets_seconds_are_linear_between_the_measured_widths():
    tokens = np.array([1, 3, 6, 35, 64, 122])
    np.testing.assert_allclose(target_seconds(MEASURED, tokens), [1, 1.08, 1.2, 1.6, 2, 2.8])
    few = replace(MEASURED, widths={})
    np.testing.assert_allclose(target_seconds(few, tokens[:4]), [1, 1.08, 1.2, 2.36])
    falling = replace(MEASURED, widths={"1": 1.0, "2": 1.3, "6": 1.2})
    np.testing.assert_allclose(target_seconds(falling, tokens[1:4]), [1.275, 1.2, 1.2])


def test_measured_costs_say_how_they_were_made_and_are_read_back(tmp_path):
    save_measured(tmp_path / "costs.json", MEASURED)
    found = load_costs(tmp_path / "costs.json")
    assert replace(found, made="") == MEASURED
    assert found.made.startswith("20")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            {"spread": {"target 1": Spread(20, 0.9, 1.1, 0.3)}},
            "'target 1' took 1.30 times the first",
        ),
        ({"spread": {"draft head": Spread(20, 0.9, 1.1, -0.2)}}, "'draft head' took 0.80 times"),
        ({"widths": {"1": 1.0, "16": 0.7}}, "took 1 s for 1 tokens and 0.7 s for 16"),
        ({"widths": {"16": 0.7, "2": 1.0, "128": 3.0}}, "took 1 s for 2 tokens and 0.7 s for 16"),
    ],
)
def test_costs_that_cannot_be_true_are_not_written(tmp_path, wrong, message):
    with pytest.raises(HedgespecError, match=message):
        save_measured(tmp_path / "costs.json", replace(MEASURED, **wrong))
    assert not (tmp_path / "costs.json").exists()


def test_parts_are_timed_in_turn_and_their_drift_is_seen(monkeypatch):
    ran, clock = [], count()
    monkeypatch.setattr(
        timing, "_seconds", lambda work, device: (work(), 1.0 + next(clock) / 10)[1]
    )
    parts = [timing.Timed(name, lambda: None, lambda name=name: ran.append(name)) for name in "ab"]
    found = timing.time_in_turn(parts, torch.device("cpu"), 4)
    assert ran == ["a", "b"] * 6
    assert found.medians == pytest.approx({"a": 1.7, "b": 1.8})
    assert found.spread["a"].n == 4
    assert found.spread["a"].low == pytest.approx(1.46)
    assert found.spread["a"].drift == pytest.approx(1.9 / 1.5 - 1)


def test_random_heads_have_one_layer():
    target = random_target("smollm2-135m", "cpu", "float32")
    for head in random_heads(target, 2, 500):
        assert len(head.head.layers) == 1
