"""On fixed tensors heads draft and are evaluated in their own vocabulary: nothing else changes."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from hedgespec.live import DecoderSettings, LiveDecoder  # noqa: E402
from hedgespec.models.distributions import Sampling  # noqa: E402
from hedgespec.models.drafters.eagle import Eagle  # noqa: E402
from tests.helpers.heads import random_head  # noqa: E402
from tests.helpers.live_text import PROMPT  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")


def head_of(target, seed: int, tokens: list[int] | None) -> Eagle:
    """A head that knows these tokens in this order, or tokens of its own."""
    head = random_head(seed)
    if tokens is not None:
        head.d2t = torch.tensor(tokens) - torch.arange(len(tokens))
        head.t2d = torch.zeros_like(head.t2d)
        head.t2d[torch.tensor(tokens)] = True
    return Eagle.of(f"head-{seed}", "random", head, target)


SAME = list(range(1, 61, 2)) + list(range(40, 60, 2))
VOCABULARIES = {
    "the same ones": (sorted(SAME), 1),
    "their own": (None, 3),
    "in no order": (SAME[::-1], None),
}


@pytest.mark.parametrize("which", VOCABULARIES)
@pytest.mark.parametrize(
    ("rule", "temperature", "top_p"),
    [("auto", 0.0, 1.0), ("sampling", 0.8, 1.0), ("gumbel", 0.8, 1.0), ("block", 1.0, 0.9)],
)
def test_the_text_and_what_is_learned_are_those_of_whole_vocabularies(
    target, which, rule, temperature, top_p
):
    """The other decoder, on growing tensors, computes everything over all tokens."""
    tokens, rows = VOCABULARIES[which]
    drafters = [head_of(target, seed, tokens) for seed in range(3)]
    static, eager = (
        LiveDecoder(
            target,
            drafters,
            "normalhedge",
            DecoderSettings(
                sampling=Sampling(temperature, top_p=top_p),
                draft_length=4,
                rule=rule,
                static=one,
                evaluate_all=True,
            ),
        )
        for one in (True, False)
    )
    found, expected = (one.generate(PROMPT, 40, 5) for one in (static, eager))
    assert found.tokens == expected.tokens
    assert [(one.drafter, one.tokens) for one in found.rounds] == [
        (one.drafter, one.tokens) for one in expected.rounds
    ]
    for name in ("log_q", "gamma", "p_top", "match"):
        np.testing.assert_allclose(
            *(
                np.concatenate([getattr(part, name) for part in answer.statistics])
                for answer in (found, expected)
            ),
            rtol=1e-4,
            atol=1e-4,
        )
    [group] = static.engine._parts._drafting.groups
    assert (group.known is None) if rows is None else (group.known.shape == (rows, 40))
    assert not static.dropped
