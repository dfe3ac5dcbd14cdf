"""Whatever a drafter does, the text is the target's own: it is dropped with a warning."""

import contextlib
import sys
import time
import warnings

import pytest

torch = pytest.importorskip("torch")

from hedgespec.errors import HedgespecError  # noqa: E402
from hedgespec.live import DecoderSettings, LiveDecoder  # noqa: E402
from hedgespec.models.distributions import Sampling  # noqa: E402
from hedgespec.models.drafters import Drafter, make_drafters  # noqa: E402
from hedgespec.models.drafters.session import DraftSession  # noqa: E402
from hedgespec.models.heads.eagle import save_head  # noqa: E402
from hedgespec.models.heads.recurrent import save_redrafter  # noqa: E402
from hedgespec.models.target import load_model  # noqa: E402
from hedgespec.tracegen.record import RecordSettings, record  # noqa: E402
from hedgespec.tracegen.score import score  # noqa: E402
from tests.helpers.heads import random_head, random_recurrent  # noqa: E402
from tests.helpers.live_text import PROMPT, plain_greedy  # noqa: E402
from tests.helpers.tiny import save_questions  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")
VOCABULARY = 63


@pytest.fixture(scope="module")
def target(tiny_models):
    return load_model(tiny_models["target"], "cpu", "float32")


class Given(Drafter):
    """Gives what it is told to, once it has drafted some tokens well."""

    kind = "given"
    weights_sha256 = "0" * 64

    def __init__(self, give, after=3):
        super().__init__("bad", "given")
        self.give, self.left = give, after

    def prepare(self, batch):
        return len(batch.rows)

    def logits(self, prepared, depth, rows):
        return self.give(min(rows.stop, prepared) - rows.start)

    def session(self):
        return GivenSession(self)


class GivenSession(DraftSession):
    def __init__(self, drafter):
        super().__init__()
        self.drafter = drafter

    def step(self, token):
        return self.next(1)[0]

    def _extend(self, tokens, states, rows):
        return self.next(rows)

    def _cut(self, length):
        pass

    def next(self, rows):
        self.drafter.left -= 1
        good = self.drafter.left >= 0
        return torch.zeros(rows, VOCABULARY) if good else self.drafter.give(rows)


def one(value):
    def give(rows):
        logits = torch.zeros(rows, VOCABULARY)
        logits[-1, 5] = value
        return logits

    return give


def slow(rows):
    time.sleep(0.6)
    return torch.zeros(rows, VOCABULARY)


def endless(rows):
    while True:
        with contextlib.suppress(Exception):
            time.sleep(60)


FAULTS = {
    "nan": (one(torch.nan), "gave NaN logits"),
    "inf": (one(torch.inf), "gave infinite logits"),
    "overflow": (
        lambda rows: torch.full((rows, VOCABULARY), 1e300, dtype=torch.double),
        "gave infinite logits",
    ),
    "narrow": (lambda rows: torch.zeros(rows, VOCABULARY - 1), "of shape (1, 62), not (1, 63)"),
    "more rows": (lambda rows: torch.zeros(rows + 1, VOCABULARY), "gave logits of shape"),
    "whole numbers": (lambda rows: torch.zeros(rows, VOCABULARY).long(), "of type int64"),
    "elsewhere": (lambda rows: torch.zeros(rows, VOCABULARY, device="meta"), "logits on meta"),
    "slow": (slow, "s for one call, the limit being 0.5 s"),
    "endless": (endless, "s for one call, the limit being 0.5 s"),
    "raises": (lambda rows: 1 // 0, "ZeroDivisionError"),
    "leaves": (lambda rows: sys.exit(3), "SystemExit: 3"),
}


@pytest.mark.matrix
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("selector", ["fixed:bad", "normalhedge"])
def test_a_faulty_drafter_is_dropped_and_the_text_goes_on(target, fault, selector):
    give, reason = FAULTS[fault]
    timed = fault in ("slow", "endless")
    others = [] if timed else make_drafters(["early-exit:2"], target)
    decoder = LiveDecoder(
        target,
        [Given(give), *others],
        selector,
        DecoderSettings(
            sampling=Sampling(0.0), draft_length=3, drafter_seconds=0.5 if timed else 60.0
        ),
    )
    with pytest.warns(RuntimeWarning, match="drafter bad is dropped"):
        answer = decoder.generate(PROMPT, 20)
    assert answer.tokens == plain_greedy(target, PROMPT, 20)
    assert reason in decoder.dropped["bad"]


def test_rows_without_a_proposal_are_no_fault(target):
    drafter = Given(lambda rows: torch.full((rows, VOCABULARY), -torch.inf))
    decoder = LiveDecoder(target, [drafter], "fixed:bad", DecoderSettings(sampling=Sampling(0.0)))
    assert decoder.generate(PROMPT, 20).tokens == plain_greedy(target, PROMPT, 20)
    assert not decoder.dropped


class Spoiling(GivenSession):
    """Writes over all that it is given and gave."""

    def step(self, token):
        torch.as_tensor(token).fill_(1)
        return super().step(token)

    def _extend(self, tokens, states, rows):
        tokens.fill_(1)
        for state in states.values():
            state.zero_()
        return super()._extend(tokens, states, rows)

    def next(self, rows):
        if not hasattr(self, "buffer"):
            self.buffer = torch.zeros(64, VOCABULARY)
        self.buffer.copy_(torch.randn(64, VOCABULARY))
        return self.buffer[:rows]


def test_a_drafter_that_writes_over_its_arguments_does_not_change_the_text(target):
    drafter = Given(None)
    drafter.session = lambda: Spoiling(drafter)
    drafter.target_layers = (2, 4)
    decoder = LiveDecoder(
        target,
        [drafter, *make_drafters(["early-exit:2"], target)],
        "normalhedge",
        DecoderSettings(sampling=Sampling(0.0)),
    )
    assert decoder.generate(PROMPT, 20).tokens == plain_greedy(target, PROMPT, 20)
    assert not decoder.dropped


def test_a_drafter_that_cannot_begin_is_dropped(target):
    drafter = Given(one(0.0))
    drafter.session = lambda: 1 // 0
    decoder = LiveDecoder(target, [drafter], "fixed:bad", DecoderSettings(sampling=Sampling(0.0)))
    with pytest.warns(RuntimeWarning, match="bad is dropped, decoding goes on without it: ZeroD"):
        answer = decoder.generate(PROMPT, 10)
    assert answer.tokens == plain_greedy(target, PROMPT, 10)


@pytest.mark.parametrize("fault", ["nan", "inf", "narrow", "whole numbers"])
def test_a_recording_names_the_faulty_drafter(target, fault):
    give, _ = FAULTS[fault]
    with pytest.raises(HedgespecError, match=r"^drafter bad gave .* nothing of this batch was"):
        score(target, [Given(give)], [[5, 9]], [[7, 5]], Sampling(), 8)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
@pytest.mark.parametrize("kind", ["eagle", "redrafter"])
def test_a_head_spoilt_in_memory_is_told_in_every_way_of_running(target, tmp_path, kind, value):
    """Loading refuses it: only what is changed later can be so."""
    if kind == "eagle":
        save_head(random_head(), tmp_path)
    else:
        save_redrafter(random_recurrent(list(range(3, 43))), tmp_path)
    [head] = make_drafters([f"bad={kind}:{tmp_path}"], target)
    with torch.no_grad():
        head.head.lm_head.weight.fill_(value)
    with pytest.raises(HedgespecError, match=r"^drafter bad gave (NaN|infinite) logits"):
        score(target, [head], [[5, 9]], [[7, 5]], Sampling(0.0), 8)
    ways = [{"static": False}, {"rule": "tree", "trees": ("dynamic:8,2,2",)}]
    for way in [*ways, {"static": True}] if kind == "eagle" else ways[:1]:
        decoder = LiveDecoder(
            target, [head], "fixed:bad", DecoderSettings(sampling=Sampling(0.0), **way)
        )
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            answer = decoder.generate(PROMPT, 12)
        assert answer.tokens == plain_greedy(target, PROMPT, 12)
        assert [str(each.message) for each in told if "bad is dropped" in str(each.message)], way


def test_a_recurrent_head_of_nan_is_not_recorded(tiny_models, tmp_path):
    head = random_recurrent(list(range(3, 43)))
    with torch.no_grad():
        head.rnn_w.weight[0, 0] = torch.nan
    save_redrafter(head, tmp_path / "head")
    settings = RecordSettings(
        target=tiny_models["target"],
        prompts=save_questions(tmp_path / "q.jsonl", 3),
        out=tmp_path / "out",
        name="n",
        drafters=(f"redrafter:{tmp_path / 'head'}",),
        max_new_tokens=4,
        costs=False,
        temperature=0.0,
    )
    with pytest.raises(HedgespecError, match=r"tensor 'rnn_w.weight' holds NaN"):
        record(settings)
    assert not settings.out.exists()


def test_a_model_of_nan_is_refused_at_loading(tiny_models, tmp_path, target):
    model = load_model(tiny_models["drafter"], "cpu", "float32")
    with torch.no_grad():
        model.model.model.norm.weight[2] = torch.nan
    model.model.save_pretrained(tmp_path)
    model.tokenizer.save_pretrained(tmp_path)
    with pytest.raises(HedgespecError, match=r"weight 'model.norm.weight' holds NaN or infinite"):
        make_drafters([f"lm:{tmp_path}"], target)
