"""Drafters that copy, on the host: one look for a whole draft, and laws row by row."""

from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from hedgespec.live import static_lookup  # noqa: E402
from hedgespec.live.static_lookup import Copying  # noqa: E402
from hedgespec.models.distributions import Sampling, probabilities  # noqa: E402
from hedgespec.models.drafters.context import NGram, PromptLookup  # noqa: E402
from hedgespec.models.lookup import continued, matches  # noqa: E402
from hedgespec.rules import parse_rule  # noqa: E402

VOCABULARY = 7
TEXTS = st.lists(st.integers(0, VOCABULARY - 1), max_size=30)


def copying(text, sampling, longest=3, vocabulary=VOCABULARY):
    target = SimpleNamespace(vocabulary_size=vocabulary, device=torch.device("cpu"))
    drafters = [kind("", kind.kind, target, str(longest)) for kind in (PromptLookup, NGram)]
    made = Copying(
        drafters,
        SimpleNamespace(rule=parse_rule("sampling"), sampling=sampling),
        vocabulary,
        SimpleNamespace(call=lambda arms, on_host: nullcontext()),
    )
    made.begin(text, [])
    return made


def followers(text, longest):
    """What followed earlier matches of a text's end, of the greatest length, the latest first; in
    plain Python."""
    for length in range(min(longest, len(text)), 0, -1):
        found = [
            text[end]
            for end in range(len(text) - 1, length - 1, -1)
            if text[end - length : end] == text[-length:]
        ]
        if found:
            return found
    return []


def step_by_step(text, count, longest):
    """What a draft is: each token is looked up behind those before it."""
    text, drafted = list(text), []
    while len(drafted) < count and (found := followers(text, longest)):
        drafted.append(found[0])
        text.append(found[0])
    return drafted


@given(TEXTS, st.integers(1, 4))
def test_matches_are_those_of_plain_python(text, longest):
    """Also of one token alone, where the first look must not end the search."""
    first = len(text) // 2
    for latest in (True, False):
        positions, found, _ = matches(np.array([*text, 0]), first, longest, latest)
        for place in range(first, len(text) + 1):
            expected = followers(text[:place], longest)
            assert found[positions == place - first].tolist() == expected[: 1 if latest else None]


@given(TEXTS, st.integers(1, 6), st.integers(1, 4))
def test_a_whole_draft_is_that_of_one_look_after_another(text, count, longest):
    text = np.array(text, dtype=np.int64)
    assert continued(text, count, longest).tolist() == step_by_step(text, count, longest)


@given(TEXTS, st.integers(1, 6), st.sampled_from([Sampling(0), Sampling(0.7), Sampling(1, 0.9)]))
def test_prompt_lookup_drafts_and_packs_what_it_would_draw(text, count, sampling):
    made, noise = copying(text, sampling), torch.rand(count, 4, dtype=torch.float64)
    found, (drafted, drawn) = made.draft(0, noise), made._drawn(0, noise)
    assert drafted == step_by_step(text, count, 3)
    assert (found is None) == (not drafted)
    if found is not None:
        other = made._listed(drafted, drawn, 1)
        assert found.shape == other.shape
        assert torch.equal(found.numbers, other.numbers)


@pytest.mark.parametrize("sampling", [Sampling(0), Sampling(0.7), Sampling(1, 0.9, 3)])
@pytest.mark.parametrize("width", [1, 4])
def test_a_law_of_each_row_is_that_of_all(sampling, width, monkeypatch):
    weights = np.log(np.random.default_rng(0).integers(1, 5, (9, width)), dtype=np.float32)
    weights[3] = -np.inf  # nothing proposed
    expected = probabilities(torch.from_numpy(weights), sampling)
    rows = []
    monkeypatch.setattr(
        static_lookup,
        "probabilities",
        lambda logits, sampling: rows.append(len(logits)) or probabilities(logits, sampling),
    )
    assert torch.equal(copying([], sampling)._law(weights), expected)
    assert set(rows) <= {1}, "several rows wake torch's threads"


@pytest.mark.parametrize("arm", [0, 1])
def test_what_is_timed_finds_a_whole_draft_or_nothing(arm):
    known = copying([1, 2], Sampling(0.7), vocabulary=50_000)
    found, nothing = known.examples(arm, 120, 5)
    assert {len(text) for text in found + nothing} == {120}
    noise = torch.rand(5, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    drafts = []
    known.on_each(found, lambda: drafts.append(known.draft(arm, noise)))
    assert [draft.shape[1:3] for draft in drafts] == [(5, 1)] * len(found)
    assert any(draft.shape[3] > 1 for draft in drafts) == arm, "an n-gram model draws some tokens"
    drafts.clear()
    known.on_each(nothing, lambda: drafts.append(known.draft(arm, noise)))
    assert drafts == [None] * len(found)
    assert known._text.tolist() == [1, 2], "the text is what it was"
