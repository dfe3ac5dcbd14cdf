"""Live decoding reads as often, and as many tokens at once, as replays charge for."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from hedgespec.live import LiveDecoder  # noqa: E402
from hedgespec.live.decoded import Answer  # noqa: E402
from hedgespec.live.static_round import MANY  # noqa: E402
from hedgespec.live.text_rounds import TextRequest  # noqa: E402
from hedgespec.models.distributions import Sampling  # noqa: E402
from hedgespec.models.drafters import make_drafters  # noqa: E402
from hedgespec.models.heads.eagle import save_head  # noqa: E402
from hedgespec.models.target import load_model  # noqa: E402
from hedgespec.selectors.feedback import ArmSeconds  # noqa: E402
from hedgespec.simulator.kernels import evaluation_kernels  # noqa: E402
from tests.helpers.heads import random_head  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")
K, TOKENS = 3, 90
# Seconds of a pass, each a digit of the total.
FEW, MORE, ALL_FEW, ALL_MORE = 1e3, 1e6, 1e-3, 1.0


@pytest.fixture(scope="module")
def pool(tiny_models, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pool")
    for number, name in enumerate("ab"):
        save_head(random_head(number), folder / name)
    target = load_model(tiny_models["target"], "cpu", "float32")
    return target, make_drafters(
        [*(f"{name}=eagle:{folder / name}" for name in "ab"), f"lm=lm:{tiny_models['drafter']}"],
        target,
    )


def arm_seconds(arms):
    """Of fixed tensors: passes over K+1 tokens and over MANY, alone or in a batch of all."""

    def passes(few, more):
        tokens = np.maximum(np.arange(TOKENS + 1), 1)
        rest = tokens % MANY
        return tokens // MANY * more + np.where(rest > K + 1, more, np.where(rest > 0, few, 0))

    every = np.ones(arms, dtype=int)
    return ArmSeconds(
        np.stack([np.arange(arms), every, every]),
        np.zeros(arms),
        np.repeat(passes(FEW, MORE)[:, None], arms, axis=1),
        passes(ALL_FEW, ALL_MORE),
    )


@pytest.mark.parametrize(
    ("selector", "feedback"),
    [
        ("normalhedge", "batch:16"),
        ("normalhedge", "every:4"),
        ("ftl", "first:40"),
        ("ucbspec", None),
        ("uniform", None),
        ("normalhedge", None),
        ("ftl", "every:8+limited:2"),
        ("ftl", "eliminate:0.5,0.125"),
    ],
)
def test_passes_of_a_text_are_those_that_are_charged(pool, monkeypatch, selector, feedback):
    target, drafters = pool
    decoder = LiveDecoder(
        target,
        drafters,
        selector,
        static=True,
        draft_length=K,
        feedback=feedback,
        sampling=Sampling(0.9),
        seed=5,
    )
    engine, spent = decoder.engine, []
    launch, read_on = engine._launch, engine._read_on

    def launched(count):
        spent.append(ALL_FEW if count == K + 1 else ALL_MORE)
        launch(count)

    def read(arm, count, statistics):
        spent.append(FEW if count == K + 1 else MORE)
        read_on(arm, count, statistics)

    monkeypatch.setattr(engine, "_launch", launched)
    monkeypatch.setattr(engine, "_read_on", read)
    answer = Answer()
    list(decoder.run(TextRequest([5, 6, 7, 8], TOKENS, ends=[]), answer))
    if decoder.policy.evaluation(False).name == "EACH_ROUND":
        spent.pop()  # of the last round: nobody asked for it
    arms = len(drafters)
    choice, sets = np.full(len(answer.tokens), -1), np.zeros((len(answer.tokens), arms), bool)
    for one in answer.rounds:
        choice[one.position] = one.drafter
        sets[one.position, one.evaluated] = True
    evaluation, catching_up = np.zeros((2, len(choice)))
    alone = np.zeros((1, arms))
    evaluation_kernels().reading_seconds(
        0,
        1,
        np.array([0, len(choice)]),
        choice,
        sets,
        arm_seconds(arms),
        evaluation,
        catching_up,
        alone,
    )
    own = (len(answer.rounds) - 1) * FEW  # the prompt is read before the first
    assert len(answer.rounds) > 20
    assert own + evaluation.sum() + catching_up.sum() == pytest.approx(sum(spent), abs=1e-6)
