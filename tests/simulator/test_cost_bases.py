"""Several costs and batches in one sweep: rounds are replayed once, seconds are under each."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from hedgespec.analysis.results import ResultSet
from hedgespec.costs.file import save_costs
from hedgespec.errors import HedgespecError
from hedgespec.files import sha256_file
from hedgespec.results.store import read_results
from hedgespec.simulator import SweepSettings, run_sweep
from hedgespec.simulator.replayer import Replayer
from hedgespec.traces import Costs, DrafterCosts, Spread, TargetCosts
from tests.helpers.synthetic import write_trace

NAMES = [f"drafter-{number}" for number in range(3)]
ONE = Costs(
    "d",
    "float32",
    9,
    5,
    TargetCosts(1.0, 2.0),
    {name: DrafterCosts(0.1 + 2 * number, 0.5, 0.1) for number, name in enumerate(NAMES)},
    spread={"target 1": Spread(9, 0.5, 2.0, 0), "target 6": Spread(9, 1.0, 3.0, 0)},
)
MANY = replace(
    ONE, conditions=[replace(ONE, batch=4, target=TargetCosts(2.0, 6.0), evaluate_all=0.2)]
)
BACKWARDS = replace(ONE, drafters=dict(zip(NAMES, reversed(ONE.drafters.values()), strict=True)))


@pytest.fixture
def files(tmp_path) -> dict[str, Path]:
    write_trace(tmp_path / "trace")
    for name, costs in (("many", MANY), ("backwards", BACKWARDS)):
        save_costs(tmp_path / f"{name}.json", costs)
    return {name: tmp_path / f"{name}.json" for name in ("many", "backwards")}


def sweep(files: dict[str, Path], *names: str, batches: tuple[int, ...] = (), **settings):
    folder = files["many"].parent / "trace"
    return run_sweep(
        [folder],
        SweepSettings(
            costs=tuple(files.get(name, Path(name)) for name in names),
            batches=batches,
            seeds=2,
            **settings,
        ),
    )


def test_rounds_are_replayed_once_whatever_the_number_of_costs(files, monkeypatch):
    ran = []
    real = Replayer.run
    monkeypatch.setattr(
        Replayer,
        "run",
        lambda self, *given, **named: (ran.append(given[0].label), real(self, *given, **named))[1],
    )
    found = sweep(files, "many", "backwards", selectors=("ucbspec",))
    assert ran.count("ucbspec") == 2  # seeds
    assert len(found.summary) == 4
    keys = found.summary.select("costs", "batch", "seed").rows()
    assert keys == [("many", 1, 0), ("many", 1, 1), ("backwards", 1, 0), ("backwards", 1, 1)]


@pytest.mark.parametrize(
    ("selector", "settings"),
    [
        ("ucbspec", {}),
        ("normalhedge", {}),
        ("normalhedge", {"feedbacks": ("every:2",)}),
        ("normalhedge", {"losses": ("seconds",)}),
        ("fastest-fixed", {}),
        ("fixed:drafter-1", {}),
    ],
)
def test_each_basis_has_the_rows_that_it_has_alone(files, selector, settings):
    settings = {"selectors": (selector,), **settings}
    together = sweep(files, "many", "backwards", batches=(1,), **settings)
    for name in ("many", "backwards"):
        alone = sweep(files, name, **settings)
        for (table, rows), (_, every) in zip(alone.tables(), together.tables(), strict=True):
            mine = every.filter(pl.col("costs") == name)
            assert mine.drop(table.timed).equals(rows.drop(table.timed)), table.name


def test_seconds_decide_under_their_own_costs(files):
    found = sweep(files, "many", "backwards", selectors=("fastest-single",))
    usage = {
        row["costs"]: [row[f"rounds/{name}"] for name in NAMES]
        for row in found.per_query.group_by("costs").agg(pl.col("^rounds/.*$").sum()).to_dicts()
    }
    assert np.argmax(usage["many"]) == 0
    assert usage["many"] != usage["backwards"]


def test_a_batch_takes_the_costs_measured_there(files):
    found = sweep(files, "many", batches=(1, 2, 4), selectors=("fixed:drafter-0",))
    rounds = found.summary["rounds"][0]
    each = {
        row["batch"]: row["tokens"] / row["tokens_per_second"] / rounds
        for row in found.summary.to_dicts()
    }
    rest = 0.1 + 4 * 0.1  # evaluation gives the first token's logits, four steps the others'
    targets = {1: 2.0, 2: 2 + (6 - 2) / 3, 4: 6.0}
    assert each == pytest.approx({batch: value + rest for batch, value in targets.items()})
    [trace] = found.provenance["traces"]
    assert [
        (one["name"], one["batch"], one["evaluation"], one["sha256"]) for one in trace["costs"]
    ] == [
        ("many", batch, how, sha256_file(files["many"]))
        for batch, how in ((1, "one by one"), (2, "one by one"), (4, "in one batch"))
    ]


def test_the_spread_of_the_costs_is_one_of_tokens_per_second(files):
    [row] = sweep(files, "many", selectors=("fixed:drafter-0",)).summary.to_dicts()
    per_round = row["tokens"] / row["rounds"]
    assert row["tokens_per_second"] == pytest.approx(per_round / (2 + 0.5))
    assert row["tokens_per_second_low"] == pytest.approx(per_round / (3 + 0.5))
    assert row["tokens_per_second_high"] == pytest.approx(per_round / (1 + 0.5))


@pytest.mark.parametrize(
    ("names", "batches", "message"),
    [
        (("many",), (8,), r"batch=8: the costs .*many\.json were measured at batch 1, 4 only"),
        (
            ("backwards",),
            (2,),
            r"batch=2: the costs .*backwards\.json were measured at batch 1 only",
        ),
        ((), (2,), "batch=2: trace synthetic has no costs; give some with costs"),
        (("own",), (2,), "batch=2: trace synthetic has no costs; give some with costs"),
        (("nothing",), (), "not readable as JSON"),
    ],
)
def test_costs_that_cannot_be_had_are_told(files, names, batches, message):
    with pytest.raises(HedgespecError, match=message):
        sweep(files, *names, batches=batches, selectors=("hedge",))


def test_files_of_one_name_are_refused(files, tmp_path):
    (tmp_path / "other").mkdir()
    save_costs(tmp_path / "other" / "many.json", ONE)
    files["other"] = tmp_path / "other" / "many.json"
    with pytest.raises(
        HedgespecError, match=r"results name costs by file name, and .* is called many"
    ):
        sweep(files, "many", "other", selectors=("hedge",))


def test_readers_take_the_first_basis_or_ask_for_one(files, tmp_path):
    found = sweep(files, "many", "own", batches=(1,), selectors=("hedge", "ucbspec"))
    run = ResultSet(found)
    assert run.bases == [("many", 1), ("", 1)]
    assert run.settings["costs"].to_list() == ["many", "many"]
    assert run.whose_seconds(run.traces).endswith("batch 1 (many)")
    other = run.under(("", 1))
    assert other.settings["tokens_per_second"].null_count() == 2
    assert other.settings["mat"].to_list() == run.settings["mat"].to_list()
    assert other.whose_seconds(run.traces) == ""
    with pytest.raises(HedgespecError, match="many, batch 2; there are costs many, batch 1; none"):
        run.under(("many", 2))


def test_results_of_before_there_were_several_costs_are_read(files, tmp_path):
    found = sweep(files, "many", selectors=("hedge",))
    found.save(tmp_path / "out")
    run_file = tmp_path / "out" / "run.json"
    before = json.loads(run_file.read_text())
    [trace] = before["traces"]
    trace["costs"] = {key: trace["costs"][0][key] for key in ("device", "dtype", "evaluation")}
    del before["tables"]
    run_file.write_text(json.dumps(before))
    for table, rows in found.tables():
        since = [column.name for column in table.columns if column.earlier]
        rows.drop(since, strict=False).write_parquet(tmp_path / "out" / table.file)
    run = ResultSet(read_results(tmp_path / "out"))
    assert run.bases == [("own", 1)]
    assert run.whose_seconds(run.traces) == (
        "costs of d, float32, all drafters evaluated one by one, batch 1"
    )
