"""Costs of several batches and contexts: between and beyond them, in files, and what sets take."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest

from hedgespec.costs.estimate import (
    evaluate_seconds,
    evaluating_seconds,
    reading_seconds,
    reading_together_seconds,
    round_seconds,
)
from hedgespec.costs.file import (
    costs_for,
    load_costs,
    save_costs,
    save_measured,
    save_unfinished,
    unfinished,
)
from hedgespec.errors import HedgespecError, TraceError
from hedgespec.traces import Costs, DrafterCosts, DrafterInfo, Spread, TargetCosts

NAMES = ["a", "b", "c", "d"]
ONE = Costs(
    "a GPU",
    "bfloat16",
    256,
    5,
    TargetCosts(1.0, 1.2),
    {name: DrafterCosts(0.1, 0.5, 0.1 * (number + 1)) for number, name in enumerate(NAMES)},
    evaluate_all=0.4,
    evaluate_together={"1": 0.2, "2": 0.3},
    widths={"1": 1.0, "6": 1.2, "64": 2.0},
    engine="compiled",
    spread={"target 1": Spread(20, 0.9, 1.1, 0.02)},
)


def at(batch: int, context: int, scale: float) -> Costs:
    return replace(
        ONE,
        batch=batch,
        context=context,
        target=TargetCosts(scale, 2 * scale),
        drafters={
            name: DrafterCosts(scale * costs.step, scale * costs.draft, scale * costs.evaluate)
            for name, costs in ONE.drafters.items()
        },
        evaluate_all=scale,
        widths={"1": scale, "6": 2 * scale},
        evaluate_together={"1": scale},
    )


COSTS = replace(
    ONE, conditions=[at(16, 256, 9.0), at(4, 256, 3.0), at(1, 2048, 2.0), at(4, 2048, 5.0)]
)


def test_costs_are_linear_between_measured_batches():
    assert COSTS.at() == ONE
    assert COSTS.at(4) == at(4, 256, 3.0)
    middle = COSTS.at(10)
    assert (middle.batch, middle.context, middle.conditions) == (10, 256, [])
    assert middle.target == TargetCosts(6.0, 12.0)
    assert middle.drafters["d"].evaluate == pytest.approx(0.4 * 6)
    assert middle.evaluate_all == pytest.approx(6)
    assert middle.widths == {"1": 6.0, "6": 12.0}
    assert COSTS.at(2).widths == pytest.approx({"1": 1 + 2 / 3, "6": 1.2 + 4.8 / 3})


def test_costs_are_linear_between_measured_contexts():
    assert COSTS.at(1, 2048) == at(1, 2048, 2.0)
    half = COSTS.at(4, (256 + 2048) // 2)
    assert half.target == TargetCosts(4.0, 8.0)
    assert half.context == 1152


@pytest.mark.parametrize(
    ("batch", "context", "message"),
    [
        (17, None, "batch=17: the costs were measured at batch 1, 4, 16 only"),
        (16, 2048, "batch=16: the costs were measured at batch 1, 4 only"),
        (4, 4000, "context=4000: the costs were measured at context 256, 2048 only"),
        (1, 100, "context=100: the costs were measured at context 256, 2048 only"),
    ],
)
def test_nothing_is_said_beyond_what_was_measured(batch, context, message):
    costs = replace(COSTS, conditions=COSTS.conditions[1:]) if context == 4000 else COSTS
    with pytest.raises(HedgespecError, match=message):
        costs.at(batch, context)


def test_conditions_are_written_and_read(tmp_path):
    save_costs(tmp_path / "costs.json", COSTS)
    assert load_costs(tmp_path / "costs.json") == COSTS


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch": 0}, r'"costs.conditions\[0\].batch" must be at least 1'),
        ({"batch": 1}, "two are of one batch and context"),
        ({"draft_length": 3}, r'"costs.conditions\[0\].draft_length" must be 5'),
        ({"drafters": {}}, r'"costs.conditions\[0\].drafters" must name'),
        (
            {"target": {"one": -1, "round": 1}},
            r'"costs.conditions\[0\].target.one" must be positive',
        ),
        (
            {"conditions": [{}]},
            r'"costs.conditions\[0\].conditions": conditions have none of their',
        ),
        ({"evaluate_together": {"0": 1.0}}, "keys are numbers of drafters"),
    ],
)
def test_bad_conditions_are_named(tmp_path, change, message):
    document = asdict(replace(COSTS, conditions=[at(4, 256, 3.0)]))
    document["conditions"][0].update(change)
    (tmp_path / "costs.json").write_text(json.dumps(document))
    with pytest.raises(TraceError, match=message):
        load_costs(tmp_path / "costs.json")


def test_a_set_of_drafters_is_evaluated_one_by_one_or_together_whichever_is_less():
    assert evaluate_seconds(ONE, ["a"]) == pytest.approx(0.1)
    assert evaluate_seconds(ONE, ["d"]) == pytest.approx(0.2)  # a batch of one
    assert evaluate_seconds(ONE, ["a", "b"]) == pytest.approx(0.3)
    assert evaluate_seconds(ONE, ["b", "c", "d", "b"]) == pytest.approx(0.35)
    assert evaluate_seconds(ONE, NAMES) == pytest.approx(0.4)
    assert evaluate_seconds(ONE, []) == 0
    np.testing.assert_allclose(
        evaluate_seconds(ONE, NAMES, np.array([[0, 0.5], [2, 4]])), [[0, 0.125], [0.3, 0.4]]
    )
    alone = replace(ONE, evaluate_all=None, evaluate_together={})
    assert evaluate_seconds(alone, NAMES) == pytest.approx(1.0)
    np.testing.assert_allclose(evaluating_seconds(ONE, NAMES), [0.3, 0.2, 0.1, 0])


def infos(*names: str, kind: str = "eagle") -> list[DrafterInfo]:
    return [DrafterInfo(name, kind, "", None) for name in names]


HEADS = replace(
    ONE, drafters={name: replace(one, kind="eagle") for name, one in ONE.drafters.items()}
)


def test_more_drafters_than_were_measured_take_as_much_more():
    eight = infos(*"stuvwxyz")
    assert costs_for(HEADS, eight).evaluate_all == pytest.approx(0.8)
    assert costs_for(HEADS, eight).drafters["s"] == HEADS.drafters["a"]
    three = infos(*NAMES[:3])
    assert costs_for(HEADS, three).evaluate_all == pytest.approx(0.35)
    assert costs_for(replace(HEADS, evaluate_together={}), three).evaluate_all == pytest.approx(0.3)


def test_the_same_drafters_in_another_order_take_as_long():
    """Nothing is estimated then: a drafter that copies takes less in a batch than alone."""
    drafters = {
        "a": DrafterCosts(0.1, 0.5, 0.1, kind="eagle"),
        "looks": DrafterCosts(0.1, 0.2, 0.9, kind="prompt-lookup"),
    }
    measured = replace(HEADS, drafters=drafters, evaluate_all=0.7)
    found = costs_for(measured, [*infos("looks", kind="prompt-lookup"), *infos("a")])
    assert list(found.drafters) == ["looks", "a"]
    assert found == measured


def test_costs_are_of_the_kinds_of_drafters_that_were_measured():
    """Under costs of heads an exit at nearly the last layer was the fastest drafter of all."""
    lookup = infos("looks", kind="prompt-lookup")
    found = costs_for(HEADS, [*infos(*NAMES[:3]), *lookup])
    assert found.drafters["looks"] == DrafterCosts(0, 0, 0, kind="prompt-lookup")
    assert found.evaluate_all == costs_for(HEADS, infos(*NAMES[:3])).evaluate_all
    for kind in ("early-exit", "lm", "parallel"):
        with pytest.raises(TraceError, match=f"of kind eagle; a is of kind {kind}: measure one"):
            costs_for(HEADS, infos("a", "b", kind=kind))
    measured = replace(
        HEADS,
        drafters={**HEADS.drafters, "l": DrafterCosts(0.2, 0.3, 0.4, kind="prompt-lookup")},
        evaluate_together={"1": 0.2, "4": 0.4},
        evaluate_all=0.8,
    )
    found = costs_for(measured, [*infos(*NAMES), *lookup])
    assert found.drafters["looks"] == measured.drafters["l"]
    assert found.evaluate_all == pytest.approx(0.4 + 0.4)
    assert found.evaluate_together == {"1": 0.2, "4": 0.4}


def test_an_early_exit_that_was_not_measured_takes_its_share_of_the_target():
    early = DrafterInfo("early", "early-exit", "early-exit:6", None)
    found = costs_for(HEADS, [*infos(*NAMES[:3]), early], layers=8)
    step = 0.75 * HEADS.target.one
    assert found.drafters["early"] == DrafterCosts(
        step, HEADS.draft_length * step, 0, begin=step, kind="early-exit"
    )
    heads = costs_for(HEADS, infos(*NAMES[:3]))
    assert (found.evaluate_all, found.evaluate_together) == (
        heads.evaluate_all,
        heads.evaluate_together,
    )
    assert found.engine == "compiled; early: estimated from its share of the target's layers"
    later = DrafterInfo("later", "early-exit", "early-exit:7", None)
    assert costs_for(HEADS, [early, later], layers=8).engine == (
        "compiled; early, later: estimated from their share of the target's layers"
    )
    # A draft of three tokens: as many passes of its layers, then the target's.
    plain = round_seconds(found, [None], np.array([3]), np.array([3]))
    assert round_seconds(found, ["early"], np.array([3]), np.array([3])) == plain + 3 * step
    measured = replace(
        HEADS, drafters={**HEADS.drafters, "e": DrafterCosts(0.2, 0.3, 0.4, kind="early-exit")}
    )
    assert costs_for(measured, [early], layers=8).drafters["early"] == measured.drafters["e"]


@pytest.mark.parametrize(
    ("identity", "layers"),
    [("early-exit:6", None), ("early-exit:8", 8), ("early-exit:0", 8), ("early-exit", 8), ("", 8)],
)
def test_an_early_exit_whose_share_is_not_told_is_refused(identity, layers):
    with pytest.raises(TraceError, match="early is of kind early-exit: measure one"):
        costs_for(HEADS, [DrafterInfo("early", "early-exit", identity, None)], layers)


def test_costs_that_do_not_say_their_kinds_are_of_the_drafters_they_name():
    assert costs_for(ONE, infos(*NAMES, kind="lm")) == ONE
    with pytest.raises(TraceError, match="of kind unknown; x is of kind eagle"):
        costs_for(ONE, infos("a", "x"))


def test_kinds_are_kept_at_every_condition_and_end():
    conditions = [replace(HEADS, batch=4, target=TargetCosts(3.0, 4.0))]
    costs = replace(HEADS, conditions=conditions)
    for one in (costs.at(2), HEADS.end("low")):
        assert {drafter.kind for drafter in one.drafters.values()} == {"eagle"}


def test_each_part_is_taken_at_an_end_of_its_spread():
    spread = {
        "target 1": Spread(9, 0.9, 1.1, 0),
        "target 6": Spread(9, 1.1, 1.5, 0),
        "draft a": Spread(9, 0.4, 0.6, 0),
        "evaluate a": Spread(9, 0.05, 0.3, 0),
        "together 2": Spread(9, 0.2, 0.5, 0),
        "evaluate": Spread(9, 0.1, 0.2, 0),
    }
    low, high = (replace(ONE, spread=spread).end(end) for end in ("low", "high"))
    assert (low.target, high.target) == (TargetCosts(0.9, 1.1), TargetCosts(1.1, 1.5))
    assert low.widths == {"1": 0.9, "6": 1.1, "64": 2.0}
    assert low.drafters["a"] == DrafterCosts(pytest.approx(0.08), 0.4, 0.05)
    assert high.drafters["b"] == ONE.drafters["b"]
    assert (low.evaluate_together["2"], high.evaluate_together["2"]) == (0.2, 0.5)
    assert low.evaluate_all == 0.4  # more than what was timed


def test_what_is_refused_is_kept_beside(tmp_path):
    path = tmp_path / "costs.json"
    drifted = replace(
        COSTS, conditions=[replace(at(4, 256, 3.0), spread={"target 1": Spread(20, 1, 2, 0.3)})]
    )
    save_unfinished(path, ONE)
    assert load_costs(tmp_path / "costs.json.unfinished") == ONE
    with pytest.raises(
        HedgespecError,
        match=r"batch 4, context 256: .*1\.30 times the first.*"
        r"what was measured is in .*costs\.json\.refused",
    ):
        save_measured(path, drifted)
    assert not path.exists()
    assert replace(load_costs(tmp_path / "costs.json.refused"), made="") == drifted
    short = {"draft lookup": Spread(20, 0.01, 0.02, 0.3)}  # nothing to a pass of a second
    save_measured(path, replace(COSTS, spread=short))
    save_measured(path, COSTS)
    assert not (tmp_path / "costs.json.unfinished").exists()
    assert replace(load_costs(path), made="") == COSTS


READ = replace(
    ONE,
    reads={"7": 0.8, "32": 1.2},
    drafters={
        name: replace(one, kind="eagle", reads={"32": 3 * one.evaluate})
        for name, one in ONE.drafters.items()
    },
)


def test_more_tokens_than_the_most_are_read_in_passes():
    """A round's 6 tokens take .1, 32 take .3; all of them .4, 7 to 32 tokens .8 to 1.2."""
    tokens = np.array([0, 1, 6, 19, 32, 33, 64, 70])
    np.testing.assert_allclose(
        reading_seconds(READ, ["a", None], tokens)[:, 0], [0.1, 0.1, 0.1, 0.2, 0.3, 0.4, 0.6, 0.7]
    )
    assert not reading_seconds(READ, ["a", None], tokens)[:, 1].any()
    np.testing.assert_allclose(reading_seconds(ONE, ["a"], tokens), 0.1)
    found = reading_together_seconds(READ, 4, tokens)
    np.testing.assert_allclose(found, [0.4, 0.4, 0.4, 0.8 + 0.4 * 12 / 25, 1.2, 1.6, 2.4, 2.8])
    of_two = reading_together_seconds(READ, 2, tokens)  # .3 for a round's tokens
    np.testing.assert_allclose(of_two, 0.75 * found)


def test_other_drafters_read_in_proportion_and_conditions_mix():
    pair = costs_for(READ, infos("a", "new"))
    assert pair.drafters["new"].reads == READ.drafters["a"].reads
    assert pair.reads["32"] / READ.reads["32"] == pytest.approx(
        pair.evaluate_all / READ.evaluate_all
    )
    twice = replace(READ, batch=3, reads={"32": 2.4})
    assert replace(READ, conditions=[twice]).at(2).reads == {"32": pytest.approx(1.8)}


def test_reads_are_written_and_what_is_unfinished_is_found(tmp_path):
    assert unfinished(tmp_path / "costs.json") is None
    save_unfinished(tmp_path / "costs.json", READ)
    assert unfinished(tmp_path / "costs.json") == READ
    save_costs(tmp_path / "wrong.json", replace(READ, reads={"x": 1.0}))
    with pytest.raises(TraceError, match=r'"costs\.reads": keys are numbers of tokens'):
        load_costs(tmp_path / "wrong.json")


def test_evaluation_that_takes_no_time_takes_none_on_more_tokens():
    free = replace(READ, evaluate_all=0.0, evaluate_together={}, reads={"32": 0.0})
    assert not reading_together_seconds(free, 4, np.array([6, 32, 70])).any()
