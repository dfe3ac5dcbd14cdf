"""Drafting step by step gives the logits that scoring whole texts gives, in every family."""

import re
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from hedgespec.errors import HedgespecError  # noqa: E402
from hedgespec.models import cached  # noqa: E402
from hedgespec.models import drafters as families  # noqa: E402
from hedgespec.models.cached import CachedModel, first_layers  # noqa: E402
from hedgespec.models.drafters import Drafter, make_drafters  # noqa: E402
from hedgespec.models.heads.eagle import save_head  # noqa: E402
from hedgespec.models.target import LanguageModel, load_model  # noqa: E402
from tests.helpers.drafting import DEPTHS, LENGTH, check_draft, extend, scored  # noqa: E402
from tests.helpers.heads import random_head  # noqa: E402
from tests.helpers.tiny import save_other_architecture, save_questions  # noqa: E402

FAMILIES = (
    "lm",
    "early-exit",
    "prompt-lookup",
    "ngram",
    "eagle-3",
    "eagle-3-whole",
    "eagle-1",
    "parallel",
)


@pytest.fixture(scope="module")
def drafters(
    target: LanguageModel, tiny_models: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Drafter]:
    heads = {
        "eagle-3": random_head(),
        "eagle-3-whole": random_head(reduced=False),
        "eagle-1": random_head(generation=1),
        "parallel": random_head(masks=DEPTHS - 1),
    }
    folder = tmp_path_factory.mktemp("heads")
    for name, head in heads.items():
        save_head(head, folder / name)
    specifications = [
        f"lm=lm:{tiny_models['drafter']}",
        "early-exit=early-exit:2",
        "prompt-lookup:2",
        "ngram:2",
        *(f"{name.partition('-')[0]}:{folder / name}" for name in heads),
    ]
    made = make_drafters(specifications, target)
    assert tuple(drafter.name for drafter in made) == FAMILIES
    return {drafter.name: drafter for drafter in made}


@pytest.fixture(scope="module")
def text() -> "torch.Tensor":
    """Few different tokens, so that context drafters find something."""
    torch.manual_seed(4)
    return torch.randint(3, 9, (LENGTH,))


@pytest.fixture(scope="module")
def states(target: LanguageModel, text) -> dict[int, "torch.Tensor"]:
    """The target's states of all layers at all places of the text, (L, H)."""
    layers = tuple(range(target.layers + 1))
    with torch.inference_mode():
        found = target.hidden_states(text[None], torch.ones(1, LENGTH).long(), layers)
    return {layer: state[0] for layer, state in found.items()}


@pytest.mark.parametrize("name", FAMILIES)
def test_logits_after_each_verified_token_are_those_of_scoring(drafters, name, text, states):
    """Whatever pieces the text comes in; what was drafted in between leaves no trace."""
    expected = scored(drafters[name], text, states)[0]
    session = drafters[name].session()
    with torch.inference_mode():
        for begin, end in ((0, 2), (2, 9), (9, 10), (10, LENGTH)):
            known = slice(max(begin - 1, 0), end - 1)
            found = session.extend(
                text[begin:end],
                {layer: state[known] for layer, state in states.items()},
                rows=end - begin,
            )
            torch.testing.assert_close(
                found[: LENGTH - 1 - begin], expected[begin:end], atol=1e-5, rtol=1e-5
            )
            session.step(text[begin])


@torch.inference_mode()
@pytest.mark.parametrize("name", FAMILIES)
def test_steps_give_the_logits_of_scoring_at_every_depth(drafters, text, states, name):
    drafter = drafters[name]
    expected = scored(drafter, text, states)
    assert expected[0][-1].isfinite().any(), "there is something to compare"
    for start in (1, 2, 3, 7, LENGTH - 1):
        session = drafter.session()
        check_draft(session, extend(session, text, states, 0, start), expected, text, start)


@torch.inference_mode()
@pytest.mark.parametrize("name", FAMILIES)
def test_rounds_of_any_length_and_rejected_drafts_leave_no_trace(drafters, text, states, name):
    """One session over the whole text; each round first drafts tokens that are then rejected."""
    drafter = drafters[name]
    expected = scored(drafter, text, states)
    session = drafter.session()
    begin = 0
    for end in (1, 2, 5, 6, 12, 17):
        check_draft(session, extend(session, text, states, begin, end), expected, text, end)
        begin = end
        for wrong in (40, torch.tensor(41), 42):
            session.step(wrong)
    assert session.verified == 17
    session.rewind(6)
    check_draft(session, extend(session, text, states, 6, 9), expected, text, 9)


@torch.inference_mode()
@pytest.mark.parametrize("name", FAMILIES)
def test_vocabulary_is_the_targets(drafters, text, states, name):
    """Reduced or not, and -inf where the drafter knows nothing."""
    session = drafters[name].session()
    first = extend(session, text, states, 0, 1)
    if name.startswith(("eagle", "parallel")):
        assert first.isneginf().all(), "a head needs the feature of a token before"
        assert session.step(3).isneginf().all()
    second = extend(session, text, states, 1, 3)
    assert len(second) == 63
    assert not second.isnan().any()


@torch.inference_mode()
def test_a_cached_model_equals_one_pass_and_can_be_cut(target, text, states):
    model = CachedModel(target)
    for begin, end in ((0, 4), (4, 5), (5, 12)):
        final, found = model.read(text[begin:end], (0, 2, target.layers))
        torch.testing.assert_close(final, states[target.layers][begin:end])
        for layer in (0, 2, target.layers):
            torch.testing.assert_close(found[layer], states[layer][begin:end])
    model.cut(3)
    assert model.length == 3
    torch.testing.assert_close(model.read(text[3:6])[0], states[target.layers][3:6])


@torch.inference_mode()
@pytest.mark.parametrize("kind", ["gpt2", "opt", "sliding"])
def test_other_architectures(tiny_models, tmp_path, text, kind):
    """Its first layers and the whole of it; a sliding window is the hardest to cut."""
    folder = save_other_architecture(kind, tmp_path, tiny_models["target"])
    target = load_model(folder, "cpu", "float64")
    found = target.hidden_states(text[None], torch.ones(1, LENGTH).long(), (2,))
    states = {layer: state[0] for layer, state in found.items()}
    for drafter in make_drafters(["early-exit:2", f"lm:{folder}"], target):
        expected = scored(drafter, text, states)
        session = drafter.session()
        for begin, end in ((0, 8), (8, 11), (11, 15)):
            check_draft(session, extend(session, text, states, begin, end), expected, text, end)
            for wrong in range(40, 46):
                session.step(wrong)


def test_the_documented_family_drafts_and_is_recorded(
    target, tiny_models, text, states, tmp_path, monkeypatch
):
    """The code of docs/write-a-drafter.md and one name."""
    from hedgespec.tracegen.record import RecordSettings, record
    from hedgespec.traces import read_trace

    document = (Path(__file__).parents[2] / "docs" / "write-a-drafter.md").read_text()
    found: dict[str, Any] = {}
    exec(re.search(r"```python\n(.*?)```", document, re.DOTALL)[1], found)
    monkeypatch.setitem(families.FAMILIES, "repeat", found["Repeat"])
    [drafter] = make_drafters(["repeat"], target)
    expected = scored(drafter, text, states)
    session = drafter.session()
    for begin, end in ((0, 1), (1, 6), (6, 9)):
        with torch.inference_mode():
            check_draft(session, extend(session, text, states, begin, end), expected, text, end)
    record(
        RecordSettings(
            target=tiny_models["target"],
            prompts=save_questions(tmp_path / "questions.jsonl", 3),
            out=tmp_path / "trace",
            name="tiny",
            max_new_tokens=9,
            drafters=("repeat",),
        )
    )
    trace = read_trace(tmp_path / "trace")
    inner = trace.offsets[0] + 1, trace.offsets[1]
    tokens = trace.tokens[slice(*inner)]
    assert (
        trace.match[slice(*inner), 0, 0] == (tokens == trace.tokens[inner[0] - 1 : inner[1] - 1])
    ).all()


def test_first_layers_leave_the_model_as_it_was(target, text):
    ids = text[None]
    with torch.inference_mode():
        before = target.model(ids).logits
        network = first_layers(target, 2)
        assert len(network.layers) == 2
        assert torch.equal(target.model(ids).logits, before)
    assert len(target.model.model.layers) == 4


def test_an_architecture_that_cannot_be_cut_is_named(target, monkeypatch):
    monkeypatch.setattr(cached.nn, "ModuleList", torch.nn.Sequential)
    with pytest.raises(HedgespecError, match=r"does not work for this architecture \(LlamaFor"):
        first_layers(target, 2)
