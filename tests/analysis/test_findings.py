"""The default grid and the document made from it."""

import json
import re

import numpy as np
import pytest

from benchmarks.claims import CHECKS
from benchmarks.findings import (
    COSTS,
    DOCUMENT,
    METHODS_HOT,
    REPLAYED,
    SECTIONS,
    TEMPLATE,
    Sweep,
    read_tables,
)
from benchmarks.pages import ROOT, Said, marked
from benchmarks.prose import Cells, loose_digits, written
from hedgespec.bundled import grid_file, trace_names
from hedgespec.results.statistics import mean_estimate
from hedgespec.selectors import parse_selector
from hedgespec.simulator.grid import read_grid
from hedgespec.simulator.references import is_reference


def test_default_grid_names_only_what_exists():
    for run in read_grid(grid_file("default")).runs:
        assert set(map(str, run.traces)) <= set(trace_names())
        for text in set(run.selectors) - {"default", "all"}:
            assert is_reference(text) or parse_selector(text)


def test_every_table_of_the_findings_is_filled():
    text = DOCUMENT.read_text()
    for name in SECTIONS:
        table = re.search(rf"<!-- {name} -->\n(.*?)<!-- end -->", text, re.DOTALL)
        assert table, name
        assert len(table[1].splitlines()) > 3, name


def tables_of_the_page() -> dict[str, str]:
    text = DOCUMENT.read_text(encoding="utf-8")
    return {name: marked(text, name) for name in SECTIONS}


def test_the_page_is_its_template_filled_from_its_own_tables():
    """So each number of the text is a cell's, and each claim holds of the tables shown."""
    assert written(TEMPLATE.read_text(encoding="utf-8"), tables_of_the_page(), CHECKS) == (
        DOCUMENT.read_text(encoding="utf-8")
    )


def test_no_number_of_the_template_is_loose():
    assert loose_digits(TEMPLATE.read_text(encoding="utf-8")) == []
    assert loose_digits("It has 3 rounds, `at 5` and {t: a 1 / b 2 =}, {=0.7}.") == [
        "It has 3 rounds,  and , ."
    ]


def test_every_claim_is_made_and_every_table_shown():
    text = TEMPLATE.read_text(encoding="utf-8")
    assert set(re.findall(r"\{\?(\w+)\}", text)) == set(CHECKS)
    assert set(re.findall(r"\{table (\w+)\}", text)) == set(SECTIONS)


TABLE = "| learner | t0 |\n| --- | ---: |\n| hedge | +1.5 (-0.5 to +2.5) |\n| squint | +3.0 |\n"


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{t: hedge / t0} {t: hedge / t0 =}", "+1.5 (-0.5 to +2.5) +1.5"),
        ("{?hedge_first}first{:}{t: squint / t0}{/}", "first"),
        ("{?squint_first}first{:}{t: squint / t0}{/}", "+3.0"),
        ("{table t}\n", f"<!-- t -->\n{TABLE}<!-- end -->\n"),
    ],
)
def test_prose_is_filled_from_cells(template, text):
    checks = {
        "hedge_first": lambda tables: tables["t"].value("hedge", "t0") < 2,
        "squint_first": lambda tables: tables["t"].value("squint", "t0") < 2,
    }
    assert written(template, {"t": TABLE}, checks) == text
    with pytest.raises(KeyError, match="names no cell"):
        written("{t: boa / t0}", {"t": TABLE}, checks)
    with pytest.raises(ValueError, match="squint_first claims: first"):
        written("{?squint_first}first{/}", {"t": TABLE}, checks)
    assert Cells.read(TABLE).numbers("hedge", "t0") == [1.5, -0.5, 2.5]


def test_make_findings_runs_what_the_page_reads():
    names = re.search(r"^COSTS := (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)[1]
    assert names.split() == list(COSTS)
    for file in ("findings", "losses"):
        assert read_grid(ROOT / "benchmarks" / f"{file}.toml").runs


def interval(values: np.ndarray) -> list[float]:
    """Mean and ends as a page shows them."""
    shown = Said().cell("a quantity", mean_estimate(values[:, None]), "{:+.3f}")
    return [float(number) for number in re.findall(r"[+-][\d.]+", shown)]


def test_intervals_hold_the_mean_and_shrink_with_the_number_of_answers():
    values = np.random.default_rng(1).normal(3.0, 2.0, 4000)
    widths = []
    for count in (40, 4000):
        mean, low, high = interval(values[:count])
        assert low < mean < high
        assert abs(mean - 3.0) < 4 * 2.0 / np.sqrt(count)
        widths.append(high - low)
    assert 7 < widths[0] / widths[1] < 14


def test_a_tree_saves_rounds_against_chains_at_temperature_one():
    sweep = Sweep(read_tables(REPLAYED))
    heads = [
        name
        for name in sweep.selectors(METHODS_HOT)
        if name.startswith("fixed:") and name != "fixed:prompt-lookup"
    ]
    assert len(heads) == 7
    for name in heads:
        tree, sampled, likeliest = (
            sweep.run(METHODS_HOT, name, draft_length=8, rule=rule).values("rounds")
            for rule in ("tree", "sampling", "onehot")
        )
        for chain in (sampled, likeliest):
            assert interval(chain - tree)[1] > 5


def test_block_is_never_below_sampling_nor_gumbel_above_it():
    sweep = Sweep(read_tables(REPLAYED))
    for name in sweep.selectors(METHODS_HOT):
        if name.startswith("fixed:"):
            block, sampling, gumbel = (
                sweep.run(METHODS_HOT, name, draft_length=8, rule=rule).mat
                for rule in ("block", "sampling", "gumbel")
            )
            assert block >= sampling - 1e-9
            assert gumbel <= sampling + 1e-9


def test_committed_results_say_what_made_them():
    run = json.loads((REPLAYED / "run.json").read_text(encoding="utf-8"))
    assert run["complete"]
    assert run["command"][0] == "hedgespec"
    assert [trace["name"] for trace in run["traces"]] == [METHODS_HOT]
    assert not any(word.startswith("/") for word in run["command"])
