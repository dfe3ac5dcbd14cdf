"""Costs of random weights, and replays under them."""

import json

import numpy as np
import polars as pl
import pytest

pytest.importorskip("torch")

from hedgespec.cli import main
from hedgespec.costs.file import load_costs
from hedgespec.errors import HedgespecError

CONFIG = {"model_type": "llama", "vocab_size": 90, "hidden_size": 32, "intermediate_size": 64,
          "num_hidden_layers": 6, "num_attention_heads": 4, "num_key_value_heads": 2}


@pytest.fixture
def costs(tmp_path, capsys):
    """Measured by the command line."""
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    path = tmp_path / "costs.json"
    assert main(["profile", "--target-config", str(tmp_path / "config.json"), "--heads", "3",
                 "--draft-length", "3", "--draft-vocabulary", "40", "--context", "20",
                 "--device", "cpu", "--out", str(path)]) == 0
    said = capsys.readouterr().out
    assert "evaluation of 3 heads" in said
    assert "normalhedge, 3 drafters" in said
    return path


def test_a_profile_is_measured_and_traces_are_replayed_under_it(costs, tmp_path, capsys):
    found = load_costs(costs)
    assert (found.draft_length, found.context, len(found.drafters)) == (3, 20, 3)
    assert found.evaluate_all is not None
    assert main(["sim", "--traces", "domain-mix-t0.7", "--selectors", "normalhedge", "ucbspec",
                 "--seeds", "1", "--costs", str(costs), "--out", str(tmp_path / "sim")]) == 0
    whose = f"tokens/s: costs of {found.device}, {found.dtype}, all drafters evaluated in one batch"
    assert whose in " ".join(capsys.readouterr().out.split())
    rows = {row["selector"]: row
            for row in pl.read_parquet(tmp_path / "sim" / "summary.parquet").to_dicts()}
    head = next(iter(found.drafters.values()))
    # Eleven drafters and a draft length of 5: the target's pass is linear in the tokens.
    target = found.target.one + 5 * (found.target.round - found.target.one) / 3
    others = {name: found.drafters.get(name, head) for name in found.drafters}
    assert all(one.step > 0 for one in others.values())
    alone = target + 4 * head.step + head.evaluate
    together = target + 4 * head.step + found.evaluate_all * 11 / 3
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
    assert trace["costs"] == {"device": found.device, "dtype": found.dtype,
                              "evaluation": "in one batch"}


def test_bad_profiles_are_told(costs, tmp_path, capsys):
    document = json.loads(costs.read_text())
    for changed, message in (
            ({"overhead": -1.0}, '"costs.overhead" must be finite seconds >= 0'),
            ({"evaluate_all": 0}, '"costs.evaluate_all" must be positive'),
            ({"target": None}, '"costs.target." is not an object')):
        costs.write_text(json.dumps({**document, **changed}))
        with pytest.raises(HedgespecError, match=message):
            load_costs(costs)
    costs.write_text("no JSON")
    assert main(["sim", "--costs", str(costs), "--out", str(tmp_path / "sim")]) == 1
    assert "not readable as JSON" in capsys.readouterr().err
    for option in (["--target-config", "nothing"], ["--target-config", str(costs)],
                   ["--target-config", "smollm2-135m", "--heads", "0"]):
        assert main(["profile", "--device", "cpu", *option]) == 1
    assert "must be at least 1" in capsys.readouterr().err
