"""The table of the paper's claims says of differences what they are."""

from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import paper
from benchmarks.paper import ABSENT, CLAIMS, HOLDS, OPEN, TARGETS, WRONG, Claim, verdict
from hedgespec.bundled import trace_names
from hedgespec.results.statistics import mean_estimate

ANSWERS = 24


class MadeUp:
    """A target whose runs are made up: rounds of each answer by selector."""

    name, mix, rephrased, long = "made up", "mix", "other", "long"
    router = "router:mix"

    def __init__(self, rounds):
        self._rounds = rounds
        self._answers = SimpleNamespace(
            domain=np.repeat(["math", "sql", "general"], ANSWERS // 3), question=np.arange(ANSWERS)
        )

    def drafters(self, start=""):
        names = [name.removeprefix("fixed:") for name in self._rounds if name.startswith("fixed:")]
        return [name for name in names if name.startswith(start)]

    def run(self, selector, feedback=None, trace=None):
        rounds = np.asarray(
            self._rounds[selector if trace != "long" else f"{selector}, long"], dtype=float
        ) * np.ones(ANSWERS)
        return SimpleNamespace(answers=self._answers, values=lambda measure="regret": rounds)


def of_domains(math, sql, general):
    return np.repeat([math, sql, general], ANSWERS // 3)


@pytest.fixture
def target():
    return MadeUp(
        {
            "fixed:generalist": 10,
            "fixed:expert-math": of_domains(5, 20, 20),
            "fixed:expert-sql": of_domains(20, 8, 20),
            "normalhedge": 8,
            "ucbspec": 10,
            "normalhedge, long": 4,
            "ucbspec, long": 10,
        }
    )


def test_a_claim_holds_where_its_interval_lies_on_its_side():
    def found(values):
        return mean_estimate(np.array(values)[:, None])

    above = np.linspace(1, 2, 20)
    assert [verdict(found(above), sign) for sign in (1, -1)] == [HOLDS, WRONG]
    assert [verdict(found(above - 1.5), sign) for sign in (1, -1)] == [OPEN, OPEN]


def test_experts_are_compared_on_their_own_domains_only(target):
    found = paper.at_home("generalist", target)  # 5 and 8 rounds for 10 and 10
    assert found.value == pytest.approx(100 * (20 / 13 - 1))
    assert found.queries == 2 * ANSWERS // 3
    found = paper.everywhere("generalist", target)  # 12.5, 14 and 20 rounds in the mean
    assert found.value == pytest.approx(100 * (30 / 46.5 - 1))


def test_what_was_not_recorded_is_said(target):
    claim = Claim("", "", 1, lambda one: paper.over("fixed:generalist-mixed", "rounds", one))
    assert claim.cell(target) == ABSENT
    assert paper.at_home("generalist-mixed", target) is None


def test_gains_on_long_answers_are_compared_with_those_on_the_mix(target):
    assert paper.over("ucbspec", "rounds", target).value == pytest.approx(25)
    assert paper.over("ucbspec", "rounds", target, long=True).value == pytest.approx(150)
    assert paper.longer("ucbspec", target).value == pytest.approx(125)


def test_the_traces_of_every_target_are_bundled():
    for target in TARGETS:
        for trace in (target.mix, target.rephrased, target.long):
            assert trace is None or trace in trace_names()
    assert len({claim.words for claim in CLAIMS}) == len(CLAIMS)
