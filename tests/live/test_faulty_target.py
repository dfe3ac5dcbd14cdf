"""A target whose logits break their contract is refused, in every way of running alike."""

import pytest

torch = pytest.importorskip("torch")

from hedgespec.cli import main  # noqa: E402
from hedgespec.errors import HedgespecError  # noqa: E402
from hedgespec.live import Answer, DecoderSettings, LiveDecoder  # noqa: E402
from hedgespec.models import target as targets  # noqa: E402
from hedgespec.models.distributions import Sampling  # noqa: E402
from hedgespec.models.drafters import make_drafters  # noqa: E402
from hedgespec.models.heads.eagle import save_head  # noqa: E402
from hedgespec.models.target import LanguageModel, load_model  # noqa: E402
from hedgespec.simulator.fidelity import check_fidelity  # noqa: E402
from tests.helpers.heads import random_head  # noqa: E402
from tests.helpers.live_text import PROMPT, plain_greedy  # noqa: E402

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
WAYS = {
    "eager": {"static": False},
    "fixed tensors": {"static": True},
    "multi": {"rule": "multi:2"},
    "tree": {"rule": "tree", "trees": ("dynamic:8,2,2",)},
    "block": {"static": False, "rule": "block"},
}
FAULTS = {
    "NaN logits": torch.nan,
    "infinite logits": torch.inf,
    "logits that leave no token possible": -torch.inf,
}
TOKENS = 24


@pytest.fixture(params=DEVICES)
def target(request, tiny_models):
    return load_model(tiny_models["target"], request.param, "float32")


@pytest.fixture
def drafters(target, tmp_path):
    save_head(random_head(), tmp_path)
    return make_drafters([f"head=eagle:{tmp_path}"], target)


def spoil(monkeypatch, target: LanguageModel, trigger: torch.Tensor, value: float) -> None:
    """Logits of states near `trigger` (H) hold `value`: all of them, or one, where that is -inf."""
    own = LanguageModel.logits

    def logits(self, hidden, tokens=None):
        found = own(self, hidden, tokens)
        if self is not target:
            return found
        near = (hidden - trigger).norm(dim=-1, keepdim=True) < 1e-3
        if value > -torch.inf:
            near = near & (torch.arange(found.shape[-1], device=found.device) == 5)
        return found.masked_fill(near, value)

    monkeypatch.setattr(LanguageModel, "logits", logits)


def state_before(target, text: list[int]) -> torch.Tensor:
    """The target's last state of a text: what gives the token behind it."""
    ids = torch.tensor([text], device=target.device)
    with torch.inference_mode():
        return target.hidden_states(ids, torch.ones_like(ids), ())[target.layers][0, -1]


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("way", WAYS)
def test_a_faulty_target_is_named_and_the_text_before_is_kept(
    target, drafters, monkeypatch, way, fault, tiny_models
):
    plain = plain_greedy(load_model(tiny_models["target"], "cpu", "float32"), PROMPT, TOKENS)
    sampling = Sampling(0.01 if WAYS[way].get("rule") in ("block", "multi:2") else 0.0)
    decoder = LiveDecoder(
        target,
        drafters,
        "normalhedge",
        DecoderSettings(sampling=sampling, draft_length=2, evaluate_all=True, **WAYS[way]),
    )
    spoil(monkeypatch, target, state_before(target, PROMPT + plain[:9]), FAULTS[fault])
    answer = Answer()
    with pytest.raises(
        HedgespecError,
        match=(
            rf"^target .* gave {fault} at position 9 of the answer, which ends before it\. Half "
        ),
    ):
        list(decoder.rounds(PROMPT, TOKENS, answer=answer))
    assert 0 < len(answer.tokens) <= 9
    assert answer.tokens == plain[: len(answer.tokens)]
    assert sum(len(part.log_p) for part in answer.statistics) == len(answer.tokens)
    monkeypatch.undo()
    assert decoder.generate(PROMPT, TOKENS).tokens == plain  # the next text is not spoilt


@pytest.mark.parametrize("way", WAYS)
def test_logits_of_a_wrong_shape_are_refused(target, drafters, monkeypatch, way):
    decoder = LiveDecoder(
        target,
        drafters,
        "normalhedge",
        DecoderSettings(sampling=Sampling(0.7), draft_length=2, **WAYS[way]),
    )
    own = LanguageModel.logits
    monkeypatch.setattr(
        LanguageModel,
        "logits",
        lambda self, hidden, tokens=None: own(self, hidden, tokens)[..., :-1],
    )
    with pytest.raises(
        HedgespecError,
        match=r"^target .* gave logits of shape \(.*62\), not \(.*63"
        r"\) at position 0 of the answer",
    ):
        decoder.generate(PROMPT, TOKENS)


def test_the_log_keeps_what_was_decoded(tiny_models, monkeypatch, tmp_path, capsys):
    plain_target = load_model(tiny_models["target"], "cpu", "float32")
    prompt = plain_target.tokenizer("w2 w6 w4")["input_ids"]
    plain = plain_greedy(plain_target, prompt, TOKENS)
    trigger = state_before(plain_target, prompt + plain[:9])

    def load(*named):
        loaded = load_model(*named)
        spoil(monkeypatch, loaded, trigger, torch.nan)
        return loaded

    monkeypatch.setattr(targets, "load_model", load)
    folder = tmp_path / "log"
    assert (
        main(
            [
                "live",
                "--target",
                tiny_models["target"],
                "--device",
                "cpu",
                "--prompt",
                "w2 w6 w4",
                "--temperature",
                "0",
                "--drafter",
                "early-exit:2",
                "--max-new-tokens",
                str(TOKENS),
                "--no-costs",
                "--out",
                str(folder),
            ]
        )
        == 1
    )
    assert "gave NaN logits at position 9 of the answer" in capsys.readouterr().err
    assert check_fidelity(folder) > 0
