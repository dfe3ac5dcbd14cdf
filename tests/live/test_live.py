"""Real drafting and verifying: lossless, and as long a round as a replay says."""

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from hedgespec.errors import HedgespecError  # noqa: E402
from hedgespec.live import DecoderSettings, LiveDecoder  # noqa: E402
from hedgespec.models.distributions import Sampling  # noqa: E402
from hedgespec.models.drafters import Drafter, make_drafters  # noqa: E402
from hedgespec.models.heads.eagle import save_head  # noqa: E402
from hedgespec.models.target import LanguageModel  # noqa: E402
from hedgespec.simulator import Replayer  # noqa: E402
from hedgespec.tracegen.prompts import read_questions, render, tokenize  # noqa: E402
from hedgespec.tracegen.record import RecordSettings, record  # noqa: E402
from hedgespec.traces import Trace, read_trace  # noqa: E402
from tests.helpers.heads import random_head  # noqa: E402
from tests.helpers.laws import chi_square_p  # noqa: E402
from tests.helpers.live_text import (  # noqa: E402
    PROMPT,
    law_of_two_tokens,
    plain_greedy,
    prompt_with_doubt,
    save_noisy_copy,
)
from tests.helpers.tiny import save_questions  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")

FAMILIES = ("lm", "early-exit", "prompt-lookup", "ngram", "eagle")
DRAFT_LENGTH = 4


@pytest.fixture(scope="module")
def specifications(
    tiny_models: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, ...]:
    folder = tmp_path_factory.mktemp("drafters")
    save_noisy_copy(folder / "noisy", tiny_models["target"])
    save_head(random_head(), folder / "head")
    return (
        f"lm=lm:{folder / 'noisy'}",
        "early-exit=early-exit:3",
        "prompt-lookup",
        "ngram",
        f"eagle=eagle:{folder / 'head'}",
    )


@pytest.fixture(scope="module")
def drafters(target: LanguageModel, specifications: tuple[str, ...]) -> dict[str, Drafter]:
    return {drafter.name: drafter for drafter in make_drafters(list(specifications), target)}


def decode(
    target, drafter, prompt, sampling, new_tokens, seed=0, draft_length=DRAFT_LENGTH
) -> tuple[list[int], list[int]]:
    settings = DecoderSettings(sampling=sampling, draft_length=draft_length, seed=seed)
    answer = LiveDecoder(target, [drafter], f"fixed:{drafter.name}", settings).generate(
        prompt, new_tokens
    )
    tokens, emitted = answer.tokens, [len(done.tokens) for done in answer.rounds]
    assert sum(emitted) == len(tokens) <= new_tokens
    assert all(1 <= count <= draft_length + 1 for count in emitted)
    return tokens, emitted


@pytest.mark.parametrize("name", FAMILIES)
def test_greedy_is_the_targets_own_text(target, drafters, name):
    for prompt in (PROMPT, [17]):
        expected = plain_greedy(target, prompt, 30)
        assert decode(target, drafters[name], prompt, Sampling(0.0), 30)[0] == expected


DOUBTFUL = Sampling(2.0, top_k=4)  # few possible tokens: acceptance and rejection are frequent


@pytest.fixture(scope="module")
def doubtful(target: LanguageModel, drafters: dict[str, Drafter]) -> list[int]:
    """A prompt that every drafter may be wrong after; finding it takes seconds."""
    return prompt_with_doubt(target, drafters.values(), DOUBTFUL)


@pytest.mark.parametrize("name", FAMILIES)
def test_sampled_text_has_the_targets_distribution(target, drafters, doubtful, name):
    sampling, prompt = DOUBTFUL, doubtful
    law = law_of_two_tokens(target, prompt, sampling)
    counts, lengths = np.zeros_like(law), []
    runs = 300
    for seed in range(runs):
        tokens, emitted = decode(target, drafters[name], prompt, sampling, 3, seed, draft_length=2)
        counts[tuple([*tokens, 0][:2])] += 1
        lengths.append(emitted[0])
    assert chi_square_p(counts, law) > 1e-3
    shifted = np.roll(law[law > 0], 1)
    assert chi_square_p(counts[law > 0], shifted) < 1e-6, "the test can fail"
    assert 1 < np.mean(lengths) < 3


def recorded(tiny_models, specifications, folder: Path, seed: int, **changes: float) -> Trace:
    settings = RecordSettings(
        target=tiny_models["target"],
        prompts=save_questions(folder / "questions.jsonl", 7),
        out=folder / f"trace{seed}",
        name="tiny",
        drafters=specifications,
        precision="full",
        draft_length=DRAFT_LENGTH,
        seed=seed,
        costs=False,
        **changes,
    )
    record(settings)
    return read_trace(settings.out)


def first_turns(target, trace: Trace, folder: Path) -> list[tuple[int, list[int]]]:
    """Query numbers and prompts of the first turns."""
    prompts = {
        question.id: tokenize(target.tokenizer, render(target.tokenizer, question, []))
        for question in read_questions(folder / "questions.jsonl", None)
    }
    return [
        (row["query"], prompts[row["query_id"]])
        for row in trace.queries.iter_rows(named=True)
        if row["query_id"] in prompts
    ]


def replayed(trace: Trace, name: str, seed: int = 0) -> list[list[int]]:
    """Emitted tokens of each round of a fixed drafter, query by query."""
    choice = Replayer(trace).run(f"fixed:{name}", seed).choice
    return [
        np.diff(np.append(np.flatnonzero(choice[begin:end] >= 0), end - begin)).tolist()
        for begin, end in zip(trace.offsets[:-1], trace.offsets[1:], strict=True)
    ]


def test_greedy_rounds_equal_those_of_a_replay(
    target, drafters, tiny_models, specifications, tmp_path
):
    trace = recorded(tiny_models, specifications, tmp_path, 0, temperature=0.0, max_new_tokens=40)
    for name in FAMILIES:
        longest, expected = 0, replayed(trace, name)
        for query, prompt in first_turns(target, trace, tmp_path):
            tokens, emitted = decode(target, drafters[name], prompt, Sampling(0.0), 40)
            begin, end = trace.offsets[query], trace.offsets[query + 1]
            assert tokens == trace.tokens[begin:end].tolist()
            assert emitted == expected[query]
            longest = max(longest, *emitted)
        assert longest > 1, name


def test_sampled_rounds_are_as_long_as_those_of_a_replay(
    target, drafters, tiny_models, specifications, tmp_path
):
    """Tokens per round of the same prompts; at this temperature all drafters are often right."""
    differences: dict[str, list[float]] = {name: [] for name in FAMILIES}
    lengths = []
    for seed in range(3):
        trace = recorded(
            tiny_models, specifications, tmp_path, seed, temperature=4.0, max_new_tokens=16
        )
        for name in FAMILIES:
            expected = replayed(trace, name, seed)
            for query, prompt in first_turns(target, trace, tmp_path):
                _, emitted = decode(
                    target, drafters[name], prompt, Sampling(4.0), 16, 1000 * seed + query
                )
                differences[name].append(float(np.mean(emitted) - np.mean(expected[query])))
                lengths += emitted
    assert np.mean(lengths) > 1.3, "there is something to compare"
    for name, values in differences.items():
        error = np.std(values, ddof=1) / np.sqrt(len(values))
        assert abs(np.mean(values)) <= 4 * error, name


def test_without_a_proposal_every_round_is_the_targets_token(target, drafters):
    tokens, emitted = decode(target, drafters["prompt-lookup"], [20, 21, 22], Sampling(0.0), 1)
    assert emitted == [1]
    assert tokens == plain_greedy(target, [20, 21, 22], 1)


@pytest.mark.parametrize(
    ("prompt", "new_tokens", "message"),
    [
        ([], 5, "the prompt holds no token"),
        ([3] * 250, 7, "250 prompt tokens and 7 new ones exceed the shortest context"),
        ([3], 0, "must be at least 1"),
    ],
)
def test_bad_input_is_one_clear_error(target, drafters, prompt, new_tokens, message):
    with pytest.raises(HedgespecError, match=message):
        decode(target, drafters["lm"], prompt, Sampling(0.0), new_tokens)
