"""Rounds on fixed tensors are decided on the device: the host waits for one packet a round, and for
one table of statistics where the selector learns."""

import pytest

torch = pytest.importorskip("torch")

from hedgespec.live import DecoderSettings, LiveDecoder  # noqa: E402
from hedgespec.live.graphs import Fetched  # noqa: E402
from hedgespec.models.distributions import Sampling  # noqa: E402
from hedgespec.models.drafters import make_drafters  # noqa: E402
from hedgespec.models.drafters.eagle import Eagle  # noqa: E402
from tests.helpers.heads import random_head  # noqa: E402
from tests.helpers.live_text import PROMPT  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")

# Each of them waits for the device, or copies from it; `numpy` is refused there.
READING = ("item", "tolist", "cpu", "nonzero", "__bool__", "__int__", "__float__", "__index__")


@pytest.fixture
def reads(monkeypatch) -> list[str]:
    """What reads a tensor on the host, but for copies that were fetched: of these, the waits."""
    seen, hosts = [], []

    def watched(name, method):
        def run(tensor, *arguments, **rest):
            if not any(tensor.untyped_storage().data_ptr() == host for host in hosts):
                seen.append(name)
            return method(tensor, *arguments, **rest)

        return run

    def wait(fetched, original=Fetched.wait):
        found = original(fetched)
        seen.append("wait")
        hosts.append(found.untyped_storage().data_ptr())
        return found

    for name in READING:
        monkeypatch.setattr(torch.Tensor, name, watched(name, getattr(torch.Tensor, name)))
    monkeypatch.setattr(Fetched, "wait", wait)
    return seen


@pytest.mark.parametrize("copying", [[], ["prompt-lookup", "ngram"]])
@pytest.mark.parametrize(
    ("selector", "feedback", "most"),
    [
        ("ucbspec", None, 1),
        ("fixed:head-0", None, 1),
        ("normalhedge", "queued", 2),
        ("normalhedge", "every:16", 1),
    ],
)
def test_the_host_reads_one_packet_a_round(target, reads, selector, feedback, most, copying):
    """So it does beside drafters that copy, which it runs itself."""
    drafters = [Eagle.of(f"head-{seed}", "random", random_head(seed), target) for seed in range(3)]
    drafters += make_drafters(copying, target)
    asked = {} if feedback is None else {"feedback": feedback}
    decoder = LiveDecoder(
        target,
        drafters,
        selector,
        DecoderSettings(sampling=Sampling(0.8), draft_length=4, static=True, **asked),
    )
    counts = []
    reads.clear()
    for _ in decoder.rounds(PROMPT, 40, 0):
        counts.append(list(reads))
        reads.clear()
    counts = counts[1:]  # the first one reads the prompt
    assert len(counts) > 10
    assert all(set(one) <= {"wait"} for one in counts[:-1]), counts
    lengths = [len(one) for one in counts[:-1]]
    assert min(lengths) >= 1
    assert sorted(lengths)[len(lengths) // 2] == most


@pytest.mark.parametrize("selector", ["fixed:ngram", "normalhedge"])
def test_what_copies_is_run_without_a_look_at_the_device(target, reads, selector):
    """Drafting, and evaluation in the round it is for: a packet, and a table where one learns."""
    decoder = LiveDecoder(
        target,
        make_drafters(["ngram", "prompt-lookup"], target),
        selector,
        DecoderSettings(sampling=Sampling(0.8), draft_length=4, static=True),
    )
    drafted = 0
    for done in decoder.rounds(PROMPT, 40, 0):
        assert reads == ["wait"] * (1 + (selector == "normalhedge" and done.position > 0))
        drafted += done.drafted
        reads.clear()
    assert drafted > 20
