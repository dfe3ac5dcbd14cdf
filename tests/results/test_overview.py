"""What is said below the overview: losses that mislead, and what evaluation takes."""

import re

import numpy as np
import polars as pl
import pytest

from hedgespec.analysis.overview import over_none_text
from hedgespec.cli import main
from hedgespec.costs.file import save_costs, with_costs
from hedgespec.results.overview import costly_evaluations, disagreements, overview, rate_text
from hedgespec.simulator import Replayer, SweepSettings, run_sweep
from hedgespec.traces import Costs, DrafterCosts, TargetCosts, read_trace
from tests.helpers.synthetic import write_trace

COSTS = Costs(
    "test",
    "float32",
    256,
    5,
    TargetCosts(0.02, 0.03),
    {
        f"drafter-{arm}": DrafterCosts(step, 5 * step, 0.002)
        for arm, step in enumerate((0.001, 0.010, 0.002))
    },
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trace") / "trace"
    write_trace(folder)
    save_costs(folder.parent / "costs.json", COSTS)
    return folder


def sweep(folder, *selectors, **settings):
    """A sweep of the trace under its costs."""
    return run_sweep(
        [folder],
        SweepSettings(selectors, costs=(folder.parent / "costs.json",), seeds=1, **settings),
    )


def test_tokens_per_second_and_their_ends_are_over_mean_seconds(folder):
    summary = run_sweep(
        [folder], SweepSettings(("ucbspec",), costs=(folder.parent / "costs.json",), seeds=4)
    ).summary.with_columns(
        pl.Series("tokens_per_second_low", [100.0, 200.0, 300.0, 400.0]),
        pl.Series("tokens_per_second_high", [200.0, 200.0, 200.0, 800.0]),
    )
    [shown] = overview(summary).iter_rows(named=True)
    rates = summary["tokens_per_second"].to_numpy()
    assert rates.std() > 0
    assert shown["tokens_per_second"] == pytest.approx(1 / (1 / rates).mean())
    assert shown["tokens_per_second_low"] == pytest.approx(192)
    assert shown["tokens_per_second_high"] == pytest.approx(800 / 3.25)
    assert shown["regret_per_query"] == pytest.approx(
        (summary["regret_rounds"] / summary["queries"]).mean()
    )


def test_drafters_have_what_losses_compare(folder):
    """EAL by its formula, at all positions whose draft lies in the answer; seconds over it."""
    trace = with_costs(read_trace(folder), COSTS)
    summary = sweep(folder, "fixed:drafter-1", "hedge", "best-single", draft_lengths=(2,)).summary
    gamma = trace.gamma[:, 0, 1].astype(float)
    starts = [
        at
        for begin, end in zip(trace.offsets[:-1], trace.offsets[1:], strict=True)
        for at in range(begin, end - 1)
    ]
    emitted = np.array([1 + gamma[at] + gamma[at] * gamma[at + 1] for at in starts])
    [found] = summary.filter(pl.col("selector") == "fixed:drafter-1").iter_rows(named=True)
    assert found["eal"] == pytest.approx(emitted.mean(), rel=1e-6)
    seconds = Replayer(trace, 2).own_seconds()[1]
    assert found["seconds_per_token"] == pytest.approx((seconds / emitted).mean(), rel=1e-6)
    others = summary.filter(pl.col("selector") != "fixed:drafter-1")
    assert others["eal"].null_count() == others["seconds_per_token"].null_count() == 2


def test_an_answer_shorter_than_a_draft_compares_nothing(tmp_path):
    folder = tmp_path / "trace"
    write_trace(folder, lengths=(1, 2))
    summary = run_sweep([folder], SweepSettings(("fixed:drafter-1",))).summary
    assert summary["eal"].to_list() == summary["seconds_per_token"].to_list() == [None]
    assert disagreements(summary) == []


def test_tables_stand_in_the_order_asked_for(folder, capsys):
    """Not in that of their MAT, which grows with the draft length."""
    command = [
        "sim",
        "--traces",
        str(folder),
        "--selectors",
        "uniform",
        "--seeds",
        "1",
        "--out",
        str(folder.parent / "order"),
        "--force",
        "--draft-length",
    ]
    for lengths in ([1, 5, 2], [2, 1, 5]):
        assert main([*command, *map(str, lengths)]) == 0
        found = re.findall(r"K = (\d+)", capsys.readouterr().out)
        assert [int(one) for one in dict.fromkeys(found)] == lengths


def made_summary(folder, **columns):
    """Two drafters' summary with other numbers."""
    summary = sweep(folder, "fixed:drafter-0", "fixed:drafter-1").summary
    return summary.with_columns(pl.Series(name, values) for name, values in columns.items())


def test_a_loss_that_names_another_drafter_is_warned_of(folder):
    same = {
        "mat": [2.0, 1.5],
        "eal": [2.5, 1.9],
        "tokens_per_second": [20.0, 10.0],
        "seconds_per_token": [0.1, 0.2],
    }
    assert disagreements(made_summary(folder, **same)) == []
    [rounds] = disagreements(made_summary(folder, **same | {"eal": [1.9, 2.5]}))
    assert rounds.endswith(
        "fixed:drafter-1 has the least mean loss `length`, and 25.0 % fewer "
        "tokens per round than fixed:drafter-0 (1.500, 2.000)"
    )
    slight = same | {"mat": [2.0, 1.99], "eal": [2.4, 2.5]}
    assert disagreements(made_summary(folder, **slight)) == [], "half a percent is no loss"
    [speed] = disagreements(made_summary(folder, **same | {"seconds_per_token": [0.2, 0.1]}))
    assert "least mean loss `seconds`, and 50.0 % fewer tokens/s" in speed
    assert len(overview(made_summary(folder, **same))) == 2


def test_costly_evaluation_is_said_of_learners_that_evaluate_every_round(folder):
    def note(feedback, evaluation):
        rows = pl.concat(
            [
                sweep(folder, "exp3spec", "fixed:drafter-0").per_query,
                sweep(folder, "hedge", feedbacks=(feedback,)).per_query,
            ]
        )
        return costly_evaluations(
            rows.with_columns(
                evaluation_seconds=pl.col("seconds") * evaluation * (pl.col("evaluations") > 0)
            )
        )

    assert note("queued", 0.25).startswith(
        "hedge: evaluating all drafters in every round takes up to 2"
    )
    assert note("queued", 0.05) == ""
    assert note("batch:8", 0.25) == ""


@pytest.mark.parametrize(
    ("rate", "text"),
    [
        ((4.18, 3.62, 4.7), "4.18 (3.62-4.70)"),
        ((9.96, 9.4, 10.3), "9.96 (9.40-10.30)"),
        ((41.84, 36.2, 47.1), "41.8 (36.2-47.1)"),
        ((645.31, 630.2, 660.4), "645.3 (630-660)"),
        ((4.18, None, None), "4.18"),
        ((645.31,), "645.3"),
    ],
)
def test_a_small_machines_tokens_per_second_tell_apart_what_their_interval_does(rate, text):
    assert rate_text(*rate) == text


@pytest.mark.parametrize(("gain", "text"), [(-0.04, "+0.0 %"), (-0.06, "-0.1 %"), (None, "")])
def test_nothing_gained_has_no_minus(gain, text):
    assert over_none_text({"over_none": gain}) == text
