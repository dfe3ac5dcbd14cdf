"""Early exits share what the target has computed: the same text and statistics, fewer passes."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from hedgespec.live import DecoderSettings, LiveDecoder  # noqa: E402
from hedgespec.models.distributions import Sampling  # noqa: E402
from hedgespec.models.drafters import Drafter, make_drafters  # noqa: E402
from hedgespec.models.drafters.early_exit import EarlyExit  # noqa: E402
from tests.helpers.live_text import PROMPT  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")

K = 4
EXITS = ("early-exit:1", "early-exit:2", "early-exit:3")
RULES = ({}, {"rule": "multi:2"}, {"rule": "tree", "trees": ("dynamic:6,3,2",)})


class Alone(EarlyExit):
    """One that reads the text itself, as any other model."""

    from_states = False
    session_beside = Drafter.session_beside


@pytest.fixture(scope="module")
def drafters(target) -> list[Drafter]:
    return make_drafters(EXITS, target)


def decoder_of(target, drafters, temperature=0.8, **options) -> LiveDecoder:
    return LiveDecoder(
        target,
        drafters,
        "normalhedge",
        DecoderSettings(
            sampling=Sampling(temperature),
            evaluate_all=True,
            **{"static": False, "draft_length": K, **options},
        ),
    )


@pytest.mark.parametrize("prompt", [PROMPT, [17]])
@pytest.mark.parametrize("options", RULES)
def test_text_and_statistics_are_those_of_exits_that_read_themselves(
    target, drafters, options, prompt
):
    alone = [Alone("", one.identity, target, str(one.layer)) for one in drafters]
    options = {**options, "draft_length": 3}
    found, expected = (
        decoder_of(target, pool, **options).generate(prompt, 40) for pool in (drafters, alone)
    )
    assert found.tokens == expected.tokens
    assert [(one.drafter, one.tokens) for one in found.rounds] == [
        (one.drafter, one.tokens) for one in expected.rounds
    ]
    for name in ("log_q", "gamma", "p_top"):
        one, other = (
            np.concatenate([getattr(part, name) for part in answer.statistics])
            for answer in (found, expected)
        )
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("static", [False, True])
def test_layers_read_each_draft_once_more_and_nothing_else(target, drafters, static):
    decoder, read = decoder_of(target, drafters, static=static), [0] * target.layers
    hooks = [
        layer.register_forward_pre_hook(
            lambda module, inputs, number=number: read.__setitem__(
                number, read[number] + inputs[0].shape[1]
            )
        )
        for number, layer in enumerate(target.network.layers)
    ]
    try:
        answer = decoder.generate(PROMPT, 40)
    finally:
        for hook in hooks:
            hook.remove()
    drafted = [one.drafted for one in answer.rounds] if not static else [K] * len(answer.rounds)
    verified = len(PROMPT) - 1 + sum(1 + count for count in drafted)
    for number in range(target.layers):
        mine = sum(
            count
            for count, one in zip(drafted, answer.rounds, strict=True)
            if drafters[one.drafter].layer > number
        )
        assert read[number] == verified + mine
    assert len({one.drafter for one in answer.rounds}) > 1
