"""Costs moved on the page: in a real browser, against replays under such costs."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from hedgespec.analysis.moved_costs import LEADING, MOST, moved_costs
from hedgespec.analysis.overview import over_none_text, speed_text
from hedgespec.analysis.report import Request, write_report
from hedgespec.analysis.results import ResultSet
from hedgespec.analysis.study import Study
from hedgespec.cli import main
from hedgespec.costs.file import save_costs
from hedgespec.costs.parts import PARTS, scaled, with_drafter
from hedgespec.results import statistics
from hedgespec.results.overview import by_speed, overview
from hedgespec.results.statistics import draw_states, times_drawn
from hedgespec.results.store import read_results
from hedgespec.simulator import SweepSettings, run_sweep
from hedgespec.traces import Costs, DrafterCosts, TargetCosts
from tests.helpers.synthetic import write_trace

ROOT = Path(__file__).parents[2]
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
TOGETHER = replace(
    COSTS,
    evaluate_all=0.004,
    drafters={
        name: replace(one, begin=None if name == "drafter-0" else 0.003)
        for name, one in COSTS.drafters.items()
    },
)
READS = replace(
    TOGETHER,
    reads={"12": 0.0065},
    drafters={name: replace(one, reads={"12": 0.003}) for name, one in TOGETHER.drafters.items()},
)
OWN_MOVES = {
    "drafting": (COSTS, {"drafter-1": {"draft": -4}}, 0),
    "both, of two": (
        COSTS,
        {"drafter-0": {"draft": 1, "reading": -2}, "drafter-2": {"draft": 2.5, "reading": 3}},
        0,
    ),
    "beside a batch": (
        TOGETHER,
        {"drafter-0": {"draft": 1.5, "reading": 2}, "drafter-1": {"draft": -2}},
        -1,
    ),
    "one by one instead": (TOGETHER, {name: {"reading": -2} for name in COSTS.drafters}, 0.5),
    "of long texts": (READS, {"drafter-0": {"draft": 2, "reading": 4}}, 0),
}
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


def report_page(folder, costs, out):
    return write_report(
        Request([swept(folder, costs)]), out / "report", ["hedgespec"], "1", processes=1
    ).page


@pytest.fixture(scope="module")
def page(folder):
    return report_page(folder, COSTS, folder)


def move(browser, slider, power):
    browser.run(f"""(() => {{ const slider = document.getElementById('costs-{slider}');
        slider.value = {power}; slider.dispatchEvent(new Event('change')); }})()""")


def move_alone(browser, drafter, powers):
    browser.run(f"""(() => {{ const choice = document.getElementById('costs-drafter');
        choice.value = '{drafter}'; choice.dispatchEvent(new Event('change')); }})()""")
    for part, power in powers.items():
        move(browser, f"own-{part}", power)


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
        labels[row["selector"], row["feedback"]]: (speed_text(row), over_none_text(row))
        for row in rows
    }


@pytest.mark.parametrize("moves", MOVES)
def test_moved_costs_agree_with_sim_to_the_last_digit_shown(browser, page, folder, moves):
    browser.open(page.as_uri())
    browser.run("document.getElementById('costs').scrollIntoView()")
    browser.run("drawCosts()")
    for part, power in moves.items():
        move(browser, part, power)
    times = {part: 2.0 ** moves.get(part, 0) for part in PARTS}
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


@pytest.mark.parametrize("case", OWN_MOVES)
def test_costs_of_one_drafter_agree_with_sim_to_the_last_digit_shown(
    browser, folder, tmp_path, case
):
    """Except, marked, where all drafters may be evaluated in another way than was measured: a
    replay is then as fast or faster."""
    costs, moves, reading = OWN_MOVES[case]
    browser.open(report_page(folder, costs, tmp_path).as_uri())
    browser.run("drawCosts()")
    move(browser, "reading", reading)
    for drafter, powers in moves.items():
        move_alone(browser, drafter, powers)
        costs = with_drafter(costs, drafter, {part: 2.0 ** powers.get(part, 0) for part in PARTS})
    costs = scaled(costs, {part: 2.0 ** (reading * (part == "reading")) for part in PARTS})
    found, want = shown(browser), simulated(swept(folder, costs))
    marked = {name.removesuffix(" †"): cells for name, cells in found.items() if "†" in name}
    same = {name: cells for name, cells in found.items() if "†" not in name}
    assert len(same) > 4 + 4 * (case != "of long texts")
    assert {name: want[name] for name in same} == same
    assert bool(marked) == (case == "of long texts")
    for name, cells in marked.items():
        assert float(cells[0].split()[0]) <= float(want[name][0].split()[0]), name
    assert set(moves) == {
        name
        for name in COSTS.drafters
        if f"{name}, drafting" in browser.run("document.getElementById('costs-own').textContent")
    }
    assert browser.said == []


def test_costs_of_one_drafter_are_moved_by_keyboard(browser, page):
    browser.open(page.as_uri())
    browser.run("drawCosts()")
    before = shown(browser)
    browser.run("document.getElementById('costs-own-draft').focus()")
    browser.press("ArrowRight")
    assert browser.run("document.activeElement.id") == "costs-own-draft"
    assert browser.run("document.activeElement.nextSibling.textContent") == "× 1.414"
    after = shown(browser)
    assert after["fixed:drafter-0"] != before["fixed:drafter-0"]
    assert after["fixed:drafter-1"] == before["fixed:drafter-1"]
    assert after["none"] == before["none"]
    assert (
        browser.run("document.getElementById('costs-drafter').selectedOptions[0].textContent")
        == "drafter-0 (moved)"
    )
    browser.run("document.getElementById('costs-reset').click()")
    assert shown(browser) == before
    assert not browser.run("document.getElementById('costs-own')")


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


def test_the_documentation_says_how_many_settings_the_page_has():
    text = " ".join((ROOT / "docs" / "report.md").read_text(encoding="utf-8").split())
    assert f"for each question of up to {MOST} settings a trace" in text
    assert f"of drafters alone, and of the {LEADING} fastest other settings of a trace" in text


def test_older_results_move_the_costs_of_all_drafters_alone(browser, folder, tmp_path):
    """Those that do not say what each drafter takes."""
    results = read_results(swept(folder, COSTS))
    parts = pl.selectors.starts_with("draft_seconds/", "reading_seconds/")
    results.per_query = results.per_query.drop(parts)
    for cost in results.provenance["traces"][0]["costs"]:
        for key in ("drafters", "evaluate_all", "reads"):
            del cost[key]
    page = write_report(
        Request([results]), tmp_path / "report", ["hedgespec"], "1", processes=1
    ).page
    browser.open(page.as_uri())
    browser.run("drawCosts()")
    assert not browser.run("document.getElementById('costs-drafter')")
    move(browser, "draft", 2)
    assert len(shown(browser)) > 10
    assert browser.said == []
