"""The default grid and the document made from it."""

import re

import numpy as np

from benchmarks.findings import DOCUMENT, SECTIONS, interval
from hedgespec.bundled import bundled_traces, grid_file
from hedgespec.selectors import parse_selector
from hedgespec.simulator.grid import read_grid
from hedgespec.simulator.references import is_reference


def test_default_grid_names_only_what_exists():
    bundled = set(bundled_traces())
    for run in read_grid(grid_file("default"), threads=1):
        assert set(run.traces) <= bundled
        for text in set(run.selectors) - {"default", "all"}:
            assert is_reference(text) or parse_selector(text)


def test_every_table_of_the_findings_is_filled():
    text = DOCUMENT.read_text()
    for name in SECTIONS:
        table = re.search(rf"<!-- {name} -->\n(.*?)<!-- end -->", text, re.DOTALL)
        assert table, name
        assert len(table[1].splitlines()) > 3, name


def test_intervals_hold_the_mean_and_shrink_with_the_number_of_answers():
    values = np.random.default_rng(1).normal(3.0, 2.0, 4000)
    widths = []
    for count in (40, 4000):
        mean, low, high = map(float, re.findall(r"[+-][\d.]+", interval(values[:count], 3)))
        assert low < mean < high
        assert abs(mean - 3.0) < 4 * 2.0 / np.sqrt(count)
        widths.append(high - low)
    assert 7 < widths[0] / widths[1] < 14
