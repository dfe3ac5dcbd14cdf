"""A log says how far its text is from the target's own; fidelity believes no other."""

import pytest

torch = pytest.importorskip("torch")

from transformers import AutoTokenizer, MambaConfig, MambaForCausalLM  # noqa: E402

from hedgespec.errors import HedgespecError  # noqa: E402
from hedgespec.live import Answer, LiveDecoder  # noqa: E402
from hedgespec.live.log import LiveLog, LogSettings  # noqa: E402
from hedgespec.models.drafters import make_drafters  # noqa: E402
from hedgespec.models.lossless import Lossless  # noqa: E402
from hedgespec.models.settings import Sampling  # noqa: E402
from hedgespec.models.target import LanguageModel  # noqa: E402
from hedgespec.simulator.fidelity import check_fidelity  # noqa: E402
from hedgespec.tracegen.prompts import Query, Question  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")

TEMPERATURES = pytest.mark.parametrize("temperature", [0.0, 0.8])


def log_of(target: LanguageModel, folder, temperature: float):
    decoder = LiveDecoder(
        target,
        make_drafters(["ngram", "prompt-lookup"], target),
        "hedge",
        sampling=Sampling(temperature, top_p=0.9),
        evaluate_all=True,
    )
    log = LiveLog(folder, decoder, LogSettings("prompt", 30))
    for number in range(2):
        question = Question(f"q{number}", "prompt", [f"w{number} w2 w6 w4 w2"])
        query = Query.of(target.tokenizer, number, question, [], 30)
        answer = Answer()
        for _ in decoder.rounds(query.prompt, 30, number, answer=answer):
            pass
        log.add(query, answer)
    return log.finish()


@TEMPERATURES
def test_text_of_the_target_is_near_what_reading_it_whole_gives(target, tmp_path, temperature):
    gap = log_of(target, tmp_path / "log", temperature).recording["log_softmax_gap"]
    assert 0 <= gap["mean"] <= gap["max"] < 1e-3
    assert check_fidelity(tmp_path / "log") > 5


@TEMPERATURES
def test_fidelity_refuses_text_that_is_not_the_targets(
    tiny_models, tmp_path, temperature, monkeypatch
):
    """As if nobody had looked at how Mamba is read."""
    monkeypatch.setattr("hedgespec.live.decode.check_lossless", lambda *_, **__: Lossless(None))
    torch.manual_seed(0)
    model = MambaForCausalLM(
        MambaConfig(
            vocab_size=63,
            hidden_size=32,
            num_hidden_layers=3,
            state_size=8,
            bos_token_id=None,
            eos_token_id=1,
            pad_token_id=0,
        )
    ).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0, 0.3)
    target = LanguageModel.of(model, AutoTokenizer.from_pretrained(tiny_models["target"]))
    log_of(target, tmp_path / "log", temperature)
    with pytest.raises(HedgespecError, match="are different models"):
        check_fidelity(tmp_path / "log")
