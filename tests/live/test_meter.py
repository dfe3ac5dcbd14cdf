"""Costs that are measured between answers too."""

from itertools import count

import pytest

torch = pytest.importorskip("torch")

from hedgespec.costs import timing  # noqa: E402
from hedgespec.live import LiveDecoder, meter  # noqa: E402
from hedgespec.models.drafters import make_drafters  # noqa: E402


def test_of_several_calls_each_counts_alike_and_all_repeats_are_in_the_spread(monkeypatch):
    # Two to warm up, three; two, one; two, one: something else was in the way.
    clock = iter([*[9.0] * 2, 1.0, 1.0, 4.0, *[9.0] * 2, 3.0, *[9.0] * 2, 70.0])
    monkeypatch.setattr(timing, "_seconds", lambda work, device: next(clock))
    prepared = count()
    measurement = timing.Measurement(
        [timing.Timed("a", lambda: None, lambda: None)],
        torch.device("cpu"),
        lambda found: found,
        lambda: next(prepared),
    )
    assert measurement.take(3).medians == {"a": 1.0}
    again = measurement.take(1)
    assert again.medians == {"a": 2.0}, "between 1 and 3"
    assert again.spread["a"].n == 4
    assert measurement.take(1).medians == {"a": 3.0}
    assert next(prepared) == 3


@pytest.mark.parametrize("static", [True, False])
@pytest.mark.parametrize("selector", ["fixed:prompt-lookup", "normalhedge", "none"])
def test_between_answers_costs_follow_the_machine(target, monkeypatch, static, selector):
    """An answer of more tokens than before comes in between: fixed tensors are made anew."""
    seconds, now = [1e-3], [0.0]
    monkeypatch.setattr(timing, "_seconds", lambda work, device: (work(), seconds[0])[1])
    monkeypatch.setattr(meter, "perf_counter", lambda: now[0])
    drafters = make_drafters(["early-exit:1", "prompt-lookup"], target)
    decoder = LiveDecoder(target, drafters, selector, static=static, draft_length=3)
    found = decoder.meter(40, widths=(2,))
    first = found.costs
    assert first.target.one == pytest.approx(1e-3)
    assert set(first.widths) >= {"1", "2", "4"}
    seconds[0] = 3e-3
    before = decoder.generate([5] * 20, 30, 0).tokens
    found.between_answers()
    assert found.costs.target.one == pytest.approx(2e-3)
    assert found.costs.drafters["early-exit-1"].draft == pytest.approx(2e-3)
    assert found.costs.spread["target 4"].n == first.spread["target 4"].n + 1
    assert found.costs.overhead == first.overhead
    longer = decoder.generate([5] * 20, 230, 1).tokens
    found.between_answers()
    assert found.costs.target.one == pytest.approx(3e-3)
    assert decoder.generate([5] * 20, 30, 0).tokens == before
    assert decoder.generate([5] * 20, 230, 1).tokens == longer


def test_a_tenth_of_the_time_at_most_goes_for_measuring(target, monkeypatch):
    now = [0.0]
    decoder = LiveDecoder(target, make_drafters(["prompt-lookup"], target), draft_length=3)
    monkeypatch.setattr(meter, "perf_counter", lambda: now[0])
    measurement = decoder.engine.measurement(40)
    taken = []

    def take(repeats=None):
        now[0] += 2.0
        taken.append(repeats)
        return first

    first = measurement.take(1)
    monkeypatch.setattr(measurement, "take", take)
    found = meter.CostMeter(decoder.engine, measurement, take())
    for _ in range(5):
        now[0] += 9.0
        found.between_answers()
    assert taken == [None, 1, 1], "after the first answer, and again 20 s after that"
