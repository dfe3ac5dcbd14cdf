"""Costs of a pool that runs in several engines, and of parts of it."""

from types import SimpleNamespace

import pytest

pytest.importorskip("torch")

from benchmarks.pool_costs import _of, joined
from hedgespec.errors import HedgespecError
from hedgespec.traces import Costs, DrafterCosts, Spread, TargetCosts

HEAD = DrafterCosts(0.1, 0.5, 0.2)
LOOKUP = Costs("a GPU", "bfloat16", 9, 5, TargetCosts(7.0, 8.0),
               {"lookup": DrafterCosts(0.01, 0.02, 0.1)}, engine="eager",
               spread={"evaluate lookup": Spread(9, 0.08, 0.2, 0)})


def heads(batch: int, together: float, conditions: list[Costs]) -> Costs:
    return Costs("a GPU", "bfloat16", 9, 5, TargetCosts(1.0, 1.2), {"a": HEAD, "b": HEAD},
                 evaluate_all=together, evaluate_together={"1": 0.2}, batch=batch,
                 engine="compiled", conditions=conditions,
                 spread={"evaluate": Spread(9, 0.2, 0.4, 0)})


COSTS = joined([heads(1, 0.3, [heads(4, 0.9, [])]), LOOKUP], ["lookup", "a", "b"])


def test_who_has_no_batch_is_evaluated_beside_it_and_for_one_text_after_another():
    assert list(COSTS.drafters) == ["lookup", "a", "b"]
    assert COSTS.engine == "compiled; lookup: eager"
    assert COSTS.target == TargetCosts(1.0, 1.2)
    assert COSTS.evaluate_together == {"1": 0.2, "2": 0.3}
    assert COSTS.evaluate_all == pytest.approx(0.4)
    assert COSTS.spread["evaluate"] == Spread(9, pytest.approx(0.28), pytest.approx(0.6), 0)
    [four] = COSTS.conditions
    assert four.drafters["lookup"] == DrafterCosts(0.04, 0.08, 0.4)
    assert four.drafters["a"] == HEAD
    assert four.evaluate_all == pytest.approx(0.9 + 0.4)


def test_a_trace_takes_the_costs_of_its_own_drafters():
    mine = [SimpleNamespace(name="a", kind="eagle"),
            SimpleNamespace(name="lookup", kind="prompt-lookup")]
    costs = _of(COSTS, mine)
    assert list(costs.drafters) == ["a", "lookup"]
    assert costs.evaluate_together == {"1": 0.2}
    assert costs.evaluate_all == pytest.approx(0.2 + 0.1)
    with pytest.raises(HedgespecError, match="the costs have no drafter other"):
        _of(COSTS, [SimpleNamespace(name="other", kind="eagle")])
