"""Costs moved on the page: in a real browser, against replays under such costs."""

import json

import numpy as np
import pytest

from hedgespec.analysis.moved_costs import moved_costs
from hedgespec.analysis.overview import speed_text
from hedgespec.analysis.report import Request, write_report
from hedgespec.analysis.results import ResultSet
from hedgespec.analysis.study import Study
from hedgespec.cli import main
from hedgespec.costs.file import save_costs
from hedgespec.costs.parts import scaled
from hedgespec.results import statistics
from hedgespec.results.overview import by_speed, overview
from hedgespec.results.statistics import draw_states, times_drawn
from hedgespec.results.store import read_results
from hedgespec.simulator import SweepSettings, run_sweep
from hedgespec.traces import Costs, DrafterCosts, TargetCosts
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
    overhead=0.0004,
)
MOVES = [{}, {"draft": 1.5, "target": -1, "reading": 2.5}, {"reading": -3.5}]
LENGTHS = (40, 90, 33, 61, 25, 70, 52, 38, 66, 47, 29, 83)
FEEDBACK = ("queued", "batch:4")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("moved")
    write_trace(folder / "trace", lengths=LENGTHS)
    save_costs(folder / "costs.json", COSTS)
    return folder


def swept(folder, costs):
    """The command's results under costs."""
    save_costs(folder / "costs.json", costs)
    assert (
        main(
            [
                "sim",
                "--traces",
                str(folder / "trace"),
                "--costs",
                str(folder / "costs.json"),
                "--selectors",
                "default",
                "none",
                "--loss",
                "accept",
                "--seeds",
                "3",
                "--feedback",
                *FEEDBACK,
                "--out",
                str(folder / "sim"),
                "--force",
            ]
        )
        == 0
    )
    return folder / "sim"


@pytest.fixture(scope="module")
def page(folder):
    return write_report(
        Request([swept(folder, COSTS)]), folder / "report", ["hedgespec"], "1", processes=1
    ).page


def shown(browser):
    rows = browser.run(
        "[...document.querySelectorAll('#costs-table tbody tr')]"
        ".map(row => [...row.cells].map(cell => cell.textContent))"
    )
    return {row[0]: tuple(row[1:3]) for row in rows}


def simulated(folder):
    """What `sim` prints of the settings that can be run, by their label on the page."""
    results = read_results(folder)
    labels = {
        tuple(row[:2]): row[2]
        for row in ResultSet(folder).settings.select("selector", "feedback", "label").rows()
    }
    rows = by_speed(overview(results.summary), results.per_query).iter_rows(named=True)
    return {
        labels[row["selector"], row["feedback"]]: (speed_text(row), f"{row['over_none']:+.1f} %")
        for row in rows
    }


@pytest.mark.parametrize("move", MOVES)
def test_moved_costs_agree_with_sim_to_the_last_digit_shown(browser, page, folder, move):
    browser.open(page.as_uri())
    browser.run("document.getElementById('costs').scrollIntoView()")
    browser.run("drawCosts()")
    for part, power in move.items():
        browser.run(f"""(() => {{ const slider = document.getElementById('costs-{part}');
            slider.value = {power}; slider.dispatchEvent(new Event('change')); }})()""")
    times = {part: 2.0 ** move.get(part, 0) for part in ("draft", "target", "reading")}
    found, want = shown(browser), simulated(swept(folder, scaled(COSTS, times)))
    assert len(found) > 10
    assert {name: cells for name, cells in want.items() if name in found} == found
    assert (
        next(iter(found))
        == browser.run("document.querySelector('#costs-best strong').textContent").partition(": ")[
            2
        ]
    )
    assert browser.said == []


def test_an_evaluation_policy_is_chosen_by_keyboard(browser, page):
    browser.open(page.as_uri())
    browser.run("drawCosts()")
    assert "hedge (batch:4, accept)" in shown(browser)
    browser.run("""(() => { const chosen = document.getElementById('costs-feedback');
        chosen.value = 'queued'; chosen.focus(); chosen.dispatchEvent(new Event('change')); })()""")
    assert "hedge (accept)" in shown(browser)
    assert "hedge (batch:4, accept)" not in shown(browser)
    assert browser.run("document.activeElement.id") == "costs-feedback"
    browser.run("document.getElementById('costs-reset').click()")
    assert "hedge (batch:4, accept)" in shown(browser)


def test_the_map_compares_the_fastest_that_evaluates_with_the_fastest_that_does_not(
    browser, page, folder
):
    """Its middle is at the costs chosen, here with everything moved."""
    browser.open(page.as_uri())
    times = {"draft": 2.0, "target": 4.0, "reading": 0.25}
    browser.run("drawCosts()")
    texts = browser.run(
        f"payMap(DATA.costs[state.trace], {json.dumps(times)}, 500).places.map(place => place.text)"
    )
    answers = ResultSet(swept(folder, scaled(COSTS, times))).answers("synthetic")
    able = answers.settings["runnable"].to_numpy()
    spent, full = answers.seconds.sum(axis=0), answers.evaluations.sum(axis=0) > 0
    gain = 100 * (spent[able & ~full].min() / spent[able & full].min() - 1)
    assert len(texts) == 49
    assert float(texts[24].rpartition(": ")[2]) == pytest.approx(gain, rel=1e-3)


@pytest.mark.parametrize("questions", [1, 2, 12, 75])
def test_the_page_draws_the_questions_that_statistics_draws(browser, page, questions, monkeypatch):
    monkeypatch.setattr(statistics, "DRAWS", 300)
    monkeypatch.setattr(statistics, "_CHUNK", 100 * questions)
    browser.open(page.as_uri())
    states = draw_states(questions)
    assert len(states) == 3
    rows = browser.run(f"timesDrawn({questions}, {json.dumps(states)}).map(row => Array.from(row))")
    assert np.array_equal(
        rows, np.concatenate([times_drawn(questions, 100, (0, start)) for start in (0, 100, 200)])
    )


def test_results_without_costs_leave_it_out(folder, tmp_path):
    results = run_sweep([folder / "trace"], SweepSettings(("hedge", "fixed:drafter-0"), seeds=1))
    assert moved_costs(Study.of(ResultSet(results), [], [], None)) == {}
