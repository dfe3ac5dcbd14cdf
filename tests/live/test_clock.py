"""Seconds of the parts of a round."""

from time import perf_counter, sleep

import pytest

torch = pytest.importorskip("torch")

from hedgespec.live.clock import Clock  # noqa: E402

CUDA = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=CUDA)])
def test_parts_are_the_whole_and_a_part_may_come_twice(exact, device):
    if device == "cuda":
        torch.cuda.synchronize()
    started = perf_counter()
    clock = Clock(exact, torch.device(device))
    for part, seconds in (("a", 0.02), ("b", 0.05), ("a", 0.03)):
        sleep(seconds)
        clock.read(part)
    taken = perf_counter() - started
    assert list(clock.seconds) == ["a", "b"]
    assert sum(clock.seconds.values()) == pytest.approx(taken, rel=0.02)
    assert 0.05 <= clock.seconds["a"] < 0.08


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_an_exact_clock_has_what_the_device_did_and_waits_for_nothing():
    torch.cuda._sleep(1000)
    torch.cuda.synchronize()
    started = perf_counter()
    clock = Clock(True, torch.device("cuda"))
    torch.cuda._sleep(200_000_000)  # cycles, a tenth of a second about
    clock.read("long")
    clock.read("nothing")
    assert perf_counter() - started < 0.02
    seconds = clock.seconds
    assert seconds["long"] > 0.04
    assert seconds["nothing"] < 0.01
