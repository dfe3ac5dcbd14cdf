"""Costs of a pool that runs in several engines, and of parts of it."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

pytest.importorskip("torch")

from benchmarks.pool_costs import _of
from hedgespec.errors import HedgespecError
from hedgespec.live import pool_costs as module
from hedgespec.live.pool_costs import RecordedCosts, joined, pool_costs
from hedgespec.models.drafters import make_drafters
from hedgespec.models.heads.eagle import save_head
from hedgespec.models.target import load_model
from hedgespec.tracegen.record import record
from hedgespec.tracegen.settings import RecordSettings
from hedgespec.traces import Costs, DrafterCosts, Spread, TargetCosts, load_manifest
from tests.helpers.heads import random_head
from tests.helpers.tiny import save_questions

HEAD = DrafterCosts(0.1, 0.5, 0.2)
LOOKUP = Costs(
    "a GPU",
    "bfloat16",
    9,
    5,
    TargetCosts(7.0, 8.0),
    {"lookup": DrafterCosts(0.01, 0.02, 0.1)},
    engine="eager",
    spread={"evaluate lookup": Spread(9, 0.08, 0.2, 0)},
)


def heads(batch: int, together: float, conditions: list[Costs]) -> Costs:
    return Costs(
        "a GPU",
        "bfloat16",
        9,
        5,
        TargetCosts(1.0, 1.2),
        {"a": HEAD, "b": HEAD},
        evaluate_all=together,
        evaluate_together={"1": 0.2},
        batch=batch,
        engine="compiled",
        conditions=conditions,
        spread={"evaluate": Spread(9, 0.2, 0.4, 0)},
    )


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
    mine = [
        SimpleNamespace(name="a", kind="eagle"),
        SimpleNamespace(name="lookup", kind="prompt-lookup"),
    ]
    costs = _of(COSTS, mine)
    assert list(costs.drafters) == ["a", "lookup"]
    assert costs.evaluate_together == {"1": 0.2}
    assert costs.evaluate_all == pytest.approx(0.2 + 0.1)
    with pytest.raises(HedgespecError, match="the costs have no drafter other"):
        _of(COSTS, [SimpleNamespace(name="other", kind="eagle")])


@pytest.mark.parametrize(
    ("eager", "engine"), [(False, "fixed tensors; masks: eager"), (True, "eager")]
)
def test_each_drafter_is_timed_in_the_engine_that_runs_it(tiny_models, tmp_path, eager, engine):
    target = load_model(tiny_models["target"], "cpu", "float32")
    save_head(random_head(masks=2), tmp_path / "masks")
    names = ["ngram", "masks", "early-exit-2"]
    drafters = make_drafters(
        ["ngram", f"masks=parallel:{tmp_path / 'masks'}", "early-exit:2"], target
    )
    told = []
    costs = pool_costs(
        target, drafters, 3, eager=eager, context=40, repeats=2, widths=(8,), kept=told.append
    )
    assert costs.engine == engine
    assert list(costs.drafters) == names
    assert set(costs.widths) >= {"1", "4", "8"}
    assert [list(one.drafters) for one in told] == [names if eager else names[::2]]
    assert list(costs.evaluate_together) == ([] if eager else ["1"]), "only the exit is in a batch"


def test_of_several_texts_some_drafters_are_one_engine_and_others_come_one_by_one(tiny_models):
    target = load_model(tiny_models["target"], "cpu", "float32")
    drafters = make_drafters(["ngram", "early-exit:2"], target)
    costs = pool_costs(target, drafters, 3, eager=True, context=40, repeats=2, batches=(2,))
    assert costs.engine == "eager"
    assert [(one.batch, list(one.drafters)) for one in costs.measured] == [
        (1, ["ngram", "early-exit-2"]),
        (2, ["ngram", "early-exit-2"]),
    ]
    one, two = (found.drafters["ngram"] for found in costs.measured)
    assert (two.draft, two.evaluate) == pytest.approx((2 * one.draft, 2 * one.evaluate))


@pytest.fixture
def setups():
    """What recordings on a GPU hand over."""
    settings = RecordSettings(
        "model", "questions", "out", "name", ("ngram",), device="cuda", draft_length=4
    )
    target = SimpleNamespace(device=SimpleNamespace(type="cuda"), dtype="float32")
    first = SimpleNamespace(settings=settings, target=target, drafters=["own"])
    return [
        first,
        SimpleNamespace(
            settings=replace(settings, out="other", temperature=0.0),
            target=target,
            drafters=["own"],
        ),
        SimpleNamespace(
            settings=replace(settings, drafters=("ngram", "ngram:2")),
            target=target,
            drafters=["own", "two"],
        ),
    ]


def test_recordings_of_one_pool_measure_once_in_the_type_of_decoding(setups, monkeypatch):
    asked = []
    monkeypatch.setattr(module, "check_measurable", lambda target, drafters: None)
    monkeypatch.setattr(module, "load_model", lambda *names: names)
    monkeypatch.setattr(module, "make_drafters", lambda names, target: list(names))

    def measured(target, drafters, draft_length, compiled):
        asked.append((target, drafters, draft_length, compiled))
        return len(asked)

    monkeypatch.setattr(module, "pool_costs", measured)
    measure = RecordedCosts(True, "bfloat16")
    assert [measure(setup) for setup in setups] == [1, 1, 2]
    loaded = ("model", "cuda", "bfloat16")
    assert asked == [(loaded, ["ngram"], 4, True), (loaded, ["ngram", "ngram:2"], 4, True)]
    asked.clear()
    assert RecordedCosts(dtype="float32")(setups[0]) == 1
    assert asked == [(setups[0].target, ["own"], 4, False)]


def test_a_split_target_is_measured_as_it_is_recorded(setups, monkeypatch):
    monkeypatch.setattr(module, "costs_as_read", lambda setup: setup.settings.device)
    setups[0].settings = replace(setups[0].settings, device="split")
    assert RecordedCosts(dtype="bfloat16")(setups[0]) == "split"


@pytest.mark.gpu
@pytest.mark.skipif("not __import__('torch').cuda.is_available()", reason="needs a CUDA device")
def test_recordings_on_a_gpu_keep_the_costs_of_fixed_tensors(tiny_models, tmp_path):
    settings = RecordSettings(
        tiny_models["target"],
        save_questions(tmp_path / "questions.jsonl"),
        tmp_path / "trace",
        "tiny",
        ("early-exit:2", "ngram"),
        max_new_tokens=20,
        device="cuda",
        dtype="float32",
    )
    record(settings, measure=RecordedCosts(dtype="bfloat16"))
    costs = load_manifest(tmp_path / "trace").costs
    assert (costs.engine, costs.dtype) == ("fixed tensors", "bfloat16")
    assert costs.overhead > 0
