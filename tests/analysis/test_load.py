"""Results under several costs and batches: the figure of load, and whose seconds are shown."""

from dataclasses import replace

import polars as pl
import pytest

from hedgespec.analysis.figures import load
from hedgespec.analysis.results import ResultSet
from hedgespec.analysis.study import Study
from hedgespec.api import report
from hedgespec.cli import main
from hedgespec.costs.file import save_costs
from hedgespec.results.store import read_results
from hedgespec.simulator import SweepSettings, run_sweep
from hedgespec.traces import Costs, DrafterCosts, Spread, TargetCosts
from tests.helpers.made_results import make_results
from tests.helpers.synthetic import write_trace

ONE = Costs(
    "a GPU",
    "float32",
    9,
    5,
    TargetCosts(1.0, 1.1),
    {f"drafter-{number}": DrafterCosts(0.1, 0.5, 0.1) for number in range(3)},
    spread={"target 6": Spread(9, 1.0, 1.3, 0)},
)


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> ResultSet:
    """Evaluating all is cheap for one text, and dear for many."""
    folder = tmp_path_factory.mktemp("load")
    write_trace(folder / "trace")
    drafters = {name: DrafterCosts(0.5, 2.5, 9.0) for name in ONE.drafters}
    drafters["drafter-2"] = DrafterCosts(0.5, 2.5, 0.1)
    save_costs(
        folder / "many.json",
        replace(
            ONE, conditions=[replace(ONE, batch=8, target=TargetCosts(2.0, 3.0), drafters=drafters)]
        ),
    )
    save_costs(folder / "other.json", ONE)
    found = run_sweep(
        [folder / "trace"],
        [
            SweepSettings(
                selectors=("hedge", "fixed:drafter-2"),
                batches=(8, 1),
                costs=(folder / "many.json",),
            ),
            SweepSettings(selectors=("hedge", "fixed:drafter-2"), costs=(folder / "other.json",)),
        ],
    )
    found.save(folder / "out")
    return ResultSet(folder / "out")


def test_the_figure_of_load_has_each_batch_and_its_fastest(run):
    study = Study.of(run, [], ["hedge", "fixed:drafter-2"], None)
    [drawing] = load.draw(study)
    data = drawing.data
    assert set(data["costs"]) == {"many"}
    assert sorted(set(data["batch"])) == [1, 8]
    each, whole = (data.filter(measure=name) for name in (load.EACH, load.ALL))
    assert whole["value"].to_list() == pytest.approx((each["value"] * each["batch"]).to_list())
    assert each["best"].sum() == 2
    for row in each.iter_rows(named=True):
        assert row["costs_low"] <= row["value"] * (1 + 1e-9)
        assert row["value"] <= row["costs_high"] * (1 + 1e-9)
        rows = run.under(("many", row["batch"])).settings.filter(selector=row["selector"])
        assert row["value"] == pytest.approx(rows["tokens_per_second"][0])
    winner = each.filter(batch=8, best=True)["selector"][0]
    assert f"B = 8: {winner}" in drawing.caption
    assert winner == "fixed:drafter-2"


def test_one_batch_makes_no_figure_of_load(run):
    alone = run.under(("other", 1))
    assert list(load.draw(Study.of(alone, [], ["hedge"], None))) == []


def test_a_report_shows_the_costs_that_are_asked_for(run, tmp_path, capsys):
    assert main(["report", str(run.folder), "--out", str(tmp_path), "--costs", "other"]) == 0
    page = (tmp_path / "report.html").read_text()
    assert "batch 1 (other)" in page
    assert "(many)" not in page
    assert main(["report", str(run.folder), "--out", str(tmp_path), "--batch", "3"]) == 1
    assert "has no results under batch 3; there are costs many, batch 8; many, batch 1; other" in (
        capsys.readouterr().err
    )


def test_the_table_of_settings_has_both_bands(run, tmp_path):
    report(run.folder, tmp_path, learners=["hedge"])
    table = (tmp_path / "tables" / "settings.md").read_text()
    assert "costs " in table
    assert "batch 8 (many)" in (tmp_path / "report.html").read_text()


def test_results_under_the_costs_that_they_show_are_the_same(tmp_path):
    """Whichever trace has them: nothing is joined anew."""
    found = read_results(make_results(tmp_path, traces=("mix", "other")))
    for name in ("summary", "per_query", "curves", "answer"):
        table = getattr(found, name)
        setattr(
            found,
            name,
            table.with_columns(
                costs=pl.when(pl.col("trace") == "mix").then(pl.lit("elsewhere")).otherwise("costs")
            ),
        )
    run = ResultSet(found)
    assert run.basis("mix") != run.basis("other")
    assert run.under(run.basis("mix")) is run
    assert run.under(run.basis("other")) is run
