"""docs/write-a-rule.md: its rule is a rule; docs/rules.md: its table is what its command gives."""

import re
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from hedgespec.bundled import trace_folder  # noqa: E402
from hedgespec.rules import RULES, parse_rule  # noqa: E402
from hedgespec.simulator import Replayer, SweepSettings, run_sweep  # noqa: E402
from tests.helpers.laws import chi_square_p  # noqa: E402
from tests.helpers.real_decoding import TinyPair  # noqa: E402
from tests.helpers.rule_decoding import all_texts, decode, law_of_starts  # noqa: E402

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "rules.md").read_text()
CODE = re.search(r"```python\n(.*?)```", (DOCS / "write-a-rule.md").read_text(), re.DOTALL)[1]


@pytest.fixture
def top(monkeypatch) -> None:
    module = ModuleType("hedgespec.rules.top")
    exec(CODE, module.__dict__)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(RULES, "top", module.RULE)


@pytest.mark.usefixtures("top")
def test_the_pages_rule_is_lossless_and_replays_as_it_decodes():
    pair, rule = TinyPair.random(1, 5, 3, 2), parse_rule("top:2")
    trace, texts = all_texts(pair, 2, (rule,))
    rule.check(trace)
    tokens, starts = decode(pair, rule, 2, 200_000, seed=5)
    cell = (tokens @ 5 ** np.arange(2, -1, -1)) * 8 + starts @ 2 ** np.arange(3)
    law = texts[:, None] * law_of_starts(rule.realised(trace, 2), 3, 2)
    assert chi_square_p(np.bincount(cell, minlength=law.size), law) > 1e-3


@pytest.mark.usefixtures("top")
def test_with_one_candidate_the_pages_rule_is_onehot():
    pair, rule = TinyPair.random(1, 5, 3, 2), parse_rule("top:1")
    trace, _ = all_texts(pair, 2, (rule,))
    np.testing.assert_array_equal(
        Replayer(trace, 2, "top:1").expected_rounds, Replayer(trace, 2, "onehot").expected_rounds
    )


@pytest.mark.slow
def test_the_pages_table_is_what_its_command_gives():
    found = re.search(
        r"hedgespec sim --traces (.*?) --rule (.*?) \\\n +--selectors (.*) --out", PAGE
    )
    traces, rules, selectors = (part.split() for part in found.groups())
    results = run_sweep(
        [trace_folder(Path(name)) for name in traces],
        SweepSettings(selectors=tuple(selectors), rules=tuple(rules)),
    )
    mat = {
        (row["trace"], row["rule"], row["selector"]): row["mat"]
        for row in results.summary.iter_rows(named=True)
    }
    lines = [
        f"| {trace} | `{rule}` | "
        + " | ".join(f"{mat[trace, rule, selector]:.3f}" for selector in selectors)
        + " |"
        for trace in traces
        for rule in rules
    ]
    for line in lines:
        assert line in PAGE
