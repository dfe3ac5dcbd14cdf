"""A drafter on fixed tensors that takes too long for one call is dropped, as an eager one is."""

import time
import warnings

import pytest

torch = pytest.importorskip("torch")

from hedgespec.live import DecoderSettings, LiveDecoder  # noqa: E402
from hedgespec.live.failures import DrafterFailureError  # noqa: E402
from hedgespec.live.watch import Watch  # noqa: E402
from hedgespec.models import lookup  # noqa: E402
from hedgespec.models.distributions import Sampling  # noqa: E402
from hedgespec.models.drafters import make_drafters  # noqa: E402
from hedgespec.models.target import load_model  # noqa: E402
from tests.helpers.live_text import PROMPT, plain_greedy, save_noisy_copy  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")

DEVICES = [
    "cpu",
    pytest.param(
        "cuda",
        marks=[
            pytest.mark.gpu,
            pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
        ],
    ),
]
LIMIT = 0.6


@pytest.fixture(params=DEVICES)
def target(request, tiny_models):
    return load_model(tiny_models["target"], request.param, "float32")


@pytest.fixture
def drafters(target, tiny_models, tmp_path):
    save_noisy_copy(tmp_path / "noisy", tiny_models["target"])
    return make_drafters([f"slow=lm:{tmp_path / 'noisy'}", "early-exit:2"], target)


def wait(device: torch.device, seconds: float) -> None:
    """Have the device wait, within a CUDA graph too."""
    if device.type == "cuda":
        torch.cuda._sleep(int(seconds * 2e9))  # cycles
    else:
        time.sleep(seconds)


def slow_down(drafter, device, after: int = 3) -> None:
    """From its `after`-th call on its logits take longer than LIMIT."""
    own, calls = drafter.final_logits, []

    def final_logits(states):
        calls.append(1)
        if len(calls) > after:
            wait(device, 1.5 * LIMIT)
        return own(states)

    drafter.final_logits = final_logits


def answer(decoder, tokens: int = 30) -> tuple[list[int], list[str]]:
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        found = decoder.generate(PROMPT, tokens).tokens
    return found, [str(one.message) for one in told if "is dropped" in str(one.message)]


@pytest.mark.parametrize(
    ("selector", "feedback"),
    [("fixed:slow", None), ("normalhedge", None), ("normalhedge", "rounds:1")],
)
def test_a_slow_drafter_is_dropped_and_the_text_goes_on(
    target, drafters, tiny_models, selector, feedback
):
    plain = plain_greedy(load_model(tiny_models["target"], "cpu", "float32"), PROMPT, 30)
    decoder = LiveDecoder(
        target,
        drafters,
        selector,
        DecoderSettings(
            sampling=Sampling(0.0),
            draft_length=3,
            static=True,
            feedback=feedback,
            drafter_seconds=LIMIT,
        ),
    )
    slow_down(drafters[0], target.device)
    found, told = answer(decoder)
    assert found == plain
    [line] = told
    assert line.startswith("drafter slow is dropped, decoding goes on without it: took ")
    assert line.endswith(f" s for one call, the limit being {LIMIT} s")
    assert list(decoder.dropped) == ["slow"]
    assert answer(decoder) == (plain, [])


@pytest.mark.parametrize("selector", ["fixed:slow", "normalhedge"])
@pytest.mark.parametrize("fault", ["is slow", "raises"])
def test_a_drafter_that_copies_is_dropped_too(target, tiny_models, monkeypatch, selector, fault):
    """It runs on the host, where it is ended on a GPU too."""
    drafters = make_drafters(["slow=ngram:2", "prompt-lookup", "early-exit:2"], target)
    plain = plain_greedy(load_model(tiny_models["target"], "cpu", "float32"), PROMPT, 30)
    decoder = LiveDecoder(
        target,
        drafters,
        selector,
        DecoderSettings(sampling=Sampling(0.0), draft_length=3, static=True, drafter_seconds=LIMIT),
    )
    answer(decoder)
    own, calls = drafters[0].proposals, []

    def proposals(texts):
        calls.append(1)
        if len(calls) > 3:
            if fault == "raises":
                raise RuntimeError("a defect")
            time.sleep(60)
        return own(texts)

    monkeypatch.setattr(drafters[0], "proposals", proposals)
    found, [line] = answer(decoder)
    assert found == plain
    assert "drafter slow is dropped" in line
    assert ("a defect" if fault == "raises" else "s for one call") in line
    assert list(decoder.dropped) == ["slow"]
    assert answer(decoder) == (plain, [])


@pytest.mark.parametrize("rule", ["auto", "tree"])
def test_what_a_first_call_would_wait_for_is_done_before(target, monkeypatch, rule):
    """Looking up is compiled: seconds, which would count as a slow call."""
    drafters = make_drafters(["ngram:2", "prompt-lookup"], target)
    ready = []
    for drafter in drafters:
        own = drafter.make_ready
        monkeypatch.setattr(
            drafter,
            "make_ready",
            lambda trees, own=own, name=drafter.name: ready.append((name, trees)) or own(trees),
        )
    LiveDecoder(target, drafters, "fixed:ngram", DecoderSettings(rule=rule))
    assert ready == [("ngram", rule == "tree"), ("prompt-lookup", rule == "tree")]
    assert lookup.matches.signatures
    assert lookup._go_on.signatures


def test_calls_that_may_compile_kernels_are_not_timed(target, drafters):
    decoder = LiveDecoder(
        target,
        drafters,
        "fixed:slow",
        DecoderSettings(sampling=Sampling(0.0), draft_length=3, static=True, drafter_seconds=LIMIT),
    )
    engine = decoder.engine
    engine._compiled = True
    own, seen = engine._watch.part, []
    engine._watch.part = lambda key, timed: seen.append((key, timed)) or own(key, timed)
    engine.begin(PROMPT, 8)
    engine._run("new", lambda: None)
    engine._run("new", lambda: None)
    assert seen == [("begin", False), ("new", False), ("new", True)]


@pytest.mark.parametrize("static", [True, False])
def test_measuring_costs_is_not_limited(target, drafters, static):
    decoder = LiveDecoder(
        target,
        drafters,
        "fixed:slow",
        DecoderSettings(
            sampling=Sampling(0.0), draft_length=1, static=static, drafter_seconds=1e-9
        ),
    )
    costs = decoder.costs(context=16, repeats=1)
    assert costs.drafters["slow"].draft > 0
    assert not decoder.dropped


def test_what_is_untimed_is_never_too_long():
    watch = Watch(0.01, torch.device("cpu"))
    with watch.part("first", timed=False), watch.call([0]):
        time.sleep(0.03)
    with (
        pytest.raises(DrafterFailureError, match=r"took 0\.0 s for one call"),
        watch.part("first"),
        watch.call([0]),
    ):
        time.sleep(0.03)
