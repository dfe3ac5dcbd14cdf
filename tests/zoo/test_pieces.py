"""Logits over all tokens are made for some rows at a time: the same answers and lessons."""

import numpy as np
import pytest

from tests.helpers.tiny import save_plain_layers

torch = pytest.importorskip("torch")

from hedgespec.models.distributions import Sampling  # noqa: E402
from hedgespec.models.target import LanguageModel, load_model  # noqa: E402
from hedgespec.tracegen import decoding  # noqa: E402
from hedgespec.tracegen.generate import generate_answers, query_uniforms  # noqa: E402
from hedgespec.zoo import teacher  # noqa: E402
from hedgespec.zoo.corpus import Corpus  # noqa: E402
from hedgespec.zoo.teacher import Teacher  # noqa: E402


@pytest.fixture(scope="module")
def target(tmp_path_factory) -> LanguageModel:
    return load_model(
        save_plain_layers("qwen2", tmp_path_factory.mktemp("qwen2")), "cpu", "float32"
    )


@pytest.fixture
def most_rows(monkeypatch) -> list[int]:
    """How many rows of logits were made at once."""
    seen, logits = [], LanguageModel.logits
    monkeypatch.setattr(
        LanguageModel,
        "logits",
        lambda self, hidden, tokens=None: (
            seen.append(hidden.numel() // hidden.shape[-1]) or logits(self, hidden, tokens)
        ),
    )
    return seen


@pytest.mark.parametrize("temperature", [0.0, 0.8])
def test_answers_are_those_of_all_rows_at_once(target, most_rows, monkeypatch, temperature):
    prompts = [[5, 9, 7], [40, 41], [17], [5, 9, 7, 8], [100, 101]]
    limits, uniforms = [6] * 5, [query_uniforms(0, number, 6) for number in range(5)]

    def write():
        most_rows.clear()
        answers = generate_answers(target, prompts, limits, uniforms, Sampling(temperature))
        return answers, max(most_rows)

    whole, rows = write()
    assert rows == 5
    monkeypatch.setattr(decoding, "_ROWS", 2)
    pieces, rows = write()
    assert rows == 2
    for one, other in zip(pieces, whole, strict=True):
        assert one.tokens == other.tokens
        np.testing.assert_allclose(one.log_softmax, other.log_softmax, atol=1e-5)


def test_lessons_are_those_of_all_positions_at_once(target, most_rows, monkeypatch):
    rng = np.random.default_rng(0)
    text = Corpus([rng.integers(3, 60, length).astype(np.int32) for length in (9, 30, 14)], [3] * 3)
    one = Teacher(target, 0.7, (2, 3))
    monkeypatch.setattr(teacher, "_ROWS", 10_000)
    whole = one.read(text, 64)
    monkeypatch.setattr(teacher, "_ROWS", 7)
    most_rows.clear()
    pieces = one.read(text, 64)
    assert max(most_rows) == 7
    torch.testing.assert_close(pieces.log_normaliser, whole.log_normaliser)
    with torch.inference_mode():
        logits = [
            target.model(torch.tensor(sequence[None], dtype=torch.long)).logits[0]
            for sequence in text.sequences
        ]
    torch.testing.assert_close(
        pieces.log_normaliser, torch.cat(logits).div(0.7).logsumexp(-1), atol=1e-5, rtol=1e-5
    )
