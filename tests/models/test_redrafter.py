"""Recurrent drafting: beam search against a plain one, sessions, real greedy decoding."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from hedgespec.errors import HedgespecError  # noqa: E402
from hedgespec.live import DecoderSettings, LiveDecoder  # noqa: E402
from hedgespec.models.distributions import Sampling  # noqa: E402
from hedgespec.models.drafters import Drafter, make_drafters  # noqa: E402
from hedgespec.models.heads.eagle import save_head  # noqa: E402
from hedgespec.models.heads.recurrent import (  # noqa: E402
    RecurrentHead,
    load_redrafter,
    save_redrafter,
)
from hedgespec.models.target import LanguageModel, load_model  # noqa: E402
from hedgespec.simulator import Replayer  # noqa: E402
from hedgespec.tracegen.record import RecordSettings, record  # noqa: E402
from hedgespec.traces import read_trace  # noqa: E402
from tests.helpers.drafting import LENGTH, check_draft, extend, scored  # noqa: E402
from tests.helpers.heads import VOCABULARY, WIDTH, random_head, random_recurrent  # noqa: E402
from tests.helpers.tiny import save_questions  # noqa: E402


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A head over few tokens, so that its beams often hold a text of such."""
    path = tmp_path_factory.mktemp("heads") / "head"
    save_redrafter(random_recurrent([3, 4, 5, 40]), path)
    return path


@pytest.fixture(scope="module")
def text() -> "torch.Tensor":
    torch.manual_seed(4)
    return torch.randint(3, 6, (LENGTH,))


@pytest.fixture(scope="module")
def states(target: LanguageModel, text) -> dict[int, "torch.Tensor"]:
    with torch.inference_mode():
        found = target.hidden_states(text[None], torch.ones(1, LENGTH).long(), ())
    return {layer: state[0] for layer, state in found.items()}


def drafter_of(folder: Path, target: LanguageModel, width: int) -> Drafter:
    return make_drafters([f"redrafter:{folder},{width}"], target)[0]


def plain_beams(
    head: RecurrentHead, width: int, context, token: int, depths: int
) -> list[list[tuple[int, ...]]]:
    """Beams of each length, best first: one round, one beam at a time."""
    known = (torch.arange(len(head.d2t)) + head.d2t).tolist()
    beams = [(0.0, (), torch.zeros_like(context))]
    levels = []
    for _ in range(depths):
        grown = []
        for score, tokens, state in beams:
            last = torch.tensor(tokens[-1] if tokens else token)
            new = head.advance(state, head.embed(last))
            log_q = head.lm_head(head.output(context, new)).log_softmax(-1)
            grown += [
                (score + float(value), (*tokens, each), new)
                for each, value in zip(known, log_q, strict=True)
            ]
        beams = sorted(grown, key=lambda beam: -beam[0])[:width]
        levels.append([tokens for _, tokens, _ in beams])
    return levels


@torch.inference_mode()
@pytest.mark.parametrize("width", [1, 3, 8])
def test_proposals_of_all_starts_equal_a_plain_beam_search_from_each(
    target, folder, text, states, width
):
    drafter = drafter_of(folder, target, width)
    depths = 5
    logits = scored(drafter, text, states)
    held = 0
    for start in range(1, LENGTH - 1):  # the last verified token
        levels = plain_beams(
            drafter.head, width, states[target.layers][start - 1], int(text[start]), depths
        )
        for depth in range(1, min(depths, LENGTH - 1 - start) + 1):
            realised = tuple(text[start + 1 : start + 1 + depth].tolist())
            going_on = [beam for beam in levels[depth - 1] if beam[:-1] == realised[:-1]]
            row = logits[depth - 1][start + depth - 1]
            if realised in going_on:
                expected = realised[-1]
                held += depth > 1
            elif going_on:
                expected = going_on[0][-1]
            else:
                assert row.isneginf().all()
                continue
            assert row.isfinite().nonzero().tolist() == [[expected]]
            assert row[expected] == 0
    assert width < 8 or held >= 3, "some beams hold more than one token of the text"


@torch.inference_mode()
def test_a_chain_drafted_step_by_step_is_what_scoring_says(target, folder, text, states):
    drafter = drafter_of(folder, target, 1)
    expected = scored(drafter, text, states)
    session = drafter.session()
    begin = 0
    for end in (1, 2, 5, 6, 12, 17):
        check_draft(session, extend(session, text, states, begin, end), expected, text, end)
        begin = end
        session.step(40)
    session.rewind(6)
    check_draft(session, extend(session, text, states, 6, 9), expected, text, 9)
    session.rewind(0)
    rows = session.extend(text[:9], {layer: state[:8] for layer, state in states.items()}, rows=9)
    assert torch.equal(rows, expected[0][:9])


@torch.inference_mode()
def test_a_session_of_several_beams_follows_the_best_that_goes_on(target, folder, text, states):
    drafter = drafter_of(folder, target, 3)
    for start in range(2, LENGTH - 4):
        levels = plain_beams(
            drafter.head, 3, states[target.layers][start - 2], int(text[start - 1]), 4
        )
        session = drafter.session()
        logits = extend(session, text, states, 0, start)
        path: tuple[int, ...] = ()
        for level in levels:
            path = (*path, int(logits.argmax()))
            assert path == next(beam for beam in level if beam[:-1] == path[:-1])
            logits = session.step(path[-1])
            if logits.isneginf().all():
                break


@torch.inference_mode()
def test_unrolling_for_training_equals_each_round_alone(target):
    head = random_recurrent(list(range(3, 43)))
    head.attach(torch.nn.Embedding(VOCABULARY, WIDTH), torch.nn.Identity())
    ids, features = torch.randint(VOCABULARY, (2, 12)), torch.randn(2, 12, WIDTH)
    outputs = head.unroll(head.embed(ids), features, 4)
    for start in range(8):
        state = torch.zeros(2, WIDTH)
        for number, output in enumerate(outputs):
            state = head.advance(state, head.embed(ids[:, start + number]))
            torch.testing.assert_close(
                output[:, start + number],
                head.output(features[:, start], state),
                rtol=1e-4,
                atol=1e-4,
            )


@pytest.fixture
def settings(tiny_models: dict[str, str], tmp_path: Path, folder: Path) -> RecordSettings:
    return RecordSettings(
        target=tiny_models["target"],
        prompts=save_questions(tmp_path / "questions.jsonl", 6),
        out=tmp_path / "trace",
        name="tiny",
        max_new_tokens=30,
        temperature=0.0,
        costs=False,
        drafters=(f"one=redrafter:{folder},1", f"redrafter:{folder}"),
    )


def test_replay_under_greedy_equals_decoding_with_all_beams(settings, target, tmp_path):
    """Real decoding: the longest beam, of any length, that is the target's own text."""
    known = list(range(3, 63))
    head = random_recurrent(known, spread=0.05)
    with torch.no_grad():  # some of what the target says, so that beams hold it
        head.down.weight[:] = torch.cat([torch.eye(WIDTH), torch.zeros(WIDTH, WIDTH)], dim=1)
        head.lm_head.weight[:] = target.model.lm_head.weight[known].float() * 0.05
    save_redrafter(head, tmp_path / "head")
    record(
        replace(
            settings,
            drafters=(
                f"one=redrafter:{tmp_path / 'head'},1",
                f"ten=redrafter:{tmp_path / 'head'},10",
            ),
        )
    )
    trace = read_trace(settings.out)
    assert [drafter.depths for drafter in trace.manifest.drafters] == [8, 8]
    float_target = load_model(settings.target, "cpu", "float32")
    accepted = {}
    for name, width in (("one", 1), ("ten", 10)):
        drafter = drafter_of(tmp_path / "head", float_target, width)
        choice = Replayer(trace).run(f"fixed:{name}", 3).choice
        for query in range(trace.manifest.queries):
            begin, end = trace.offsets[query], trace.offsets[query + 1]
            starts = decode_greedily(drafter, settings, trace, query, 5)
            assert (np.flatnonzero(choice[begin:end] >= 0)).tolist() == starts
            accepted[name] = accepted.get(name, 0) + int(end - begin) - len(starts)
    assert accepted["ten"] > accepted["one"]


def decode_greedily(drafter, settings, trace, query: int, draft_length: int) -> list[int]:
    """Round starts of decoding one recorded query again, from its prompt."""
    import json

    target = load_model(settings.target, "cpu", "float32")
    number = trace.queries["query_id"][query]
    lines = map(json.loads, settings.prompts.read_text().splitlines())
    turns = {str(line["question_id"]): line["turns"] for line in lines}
    begin, end = trace.offsets[query], trace.offsets[query + 1]
    answer = trace.tokens[begin:end].tolist()
    if number.endswith("/1"):
        first = number.removesuffix("/1")
        row = trace.queries["query_id"].to_list().index(first)
        said = target.tokenizer.decode(
            trace.tokens[trace.offsets[row] : trace.offsets[row + 1]], skip_special_tokens=True
        )
        rendered = "\n\n".join([turns[first][0], said, turns[first][1]]) + "\n\n"
    else:
        rendered = turns[number][0] + "\n\n"
    text = target.tokenizer(rendered)["input_ids"]
    prompt = len(text)
    starts = []
    with torch.inference_mode():
        while len(text) - prompt < len(answer):
            starts.append(len(text) - prompt)
            hidden = target.model.model(torch.tensor([text[:-1]])).last_hidden_state[0, -1]
            levels = plain_beams(drafter.head, drafter.width, hidden, text[-1], draft_length)
            accepted: tuple[int, ...] = ()
            own = next_token(target, text)
            for level in levels:
                if (*accepted, own) not in level:
                    break
                accepted = (*accepted, own)
                own = next_token(target, [*text, *accepted])
            text += [*accepted, own]
    assert text[prompt:][: len(answer)] == answer, "greedy decoding is the target's own"
    return starts


def next_token(target: LanguageModel, text: list[int]) -> int:
    return int(target.model(torch.tensor([text])).logits[0, -1].argmax())


def test_other_temperatures_are_refused_for_recording_and_decoding(settings, target, folder):
    message = r"head \(redrafter\) works at temperature 0 only, not at 0.7: the published rule"
    with pytest.raises(HedgespecError, match=message):
        record(replace(settings, temperature=0.7, drafters=(f"redrafter:{folder}",)))
    assert not settings.out.exists()
    with pytest.raises(HedgespecError, match=message):
        LiveDecoder(
            target,
            [drafter_of(folder, target, 2)],
            "fixed:head",
            DecoderSettings(sampling=Sampling(0.7)),
        )


def test_live_decoding_writes_the_targets_text(settings, folder):
    target = load_model(settings.target, "cpu", "float32")
    decoder = LiveDecoder(
        target,
        [drafter_of(folder, target, 3)],
        "fixed:head",
        DecoderSettings(sampling=Sampling(0.0), draft_length=3),
    )
    tokens = decoder.generate([5, 9, 11], 12).tokens
    text = [5, 9, 11]
    with torch.inference_mode():
        for _ in tokens:
            text.append(next_token(target, text))
    assert tokens == text[3:]


def test_costs_are_measured(settings):
    costs = record(replace(settings, costs=True)).costs
    assert costs is not None
    assert min(costs.drafters["head"].step, costs.drafters["head"].evaluate) > 0


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("{folder},0", "a width of at least 1"),
        ("{folder}/none", "no such folder"),
        ("{eagle}", "not the config.json of a recurrent head"),
    ],
)
def test_bad_heads_are_named(target, folder, tmp_path, argument, message):
    save_head(random_head(), tmp_path / "eagle")
    specification = argument.format(folder=folder, eagle=tmp_path / "eagle")
    with pytest.raises(HedgespecError, match=message):
        make_drafters([f"redrafter:{specification}"], target)


def test_a_head_survives_its_folder(folder):
    head = random_recurrent([3, 4, 5, 40])
    again = load_redrafter(folder)
    assert again.config == head.config
    assert all(
        torch.equal(tensor, again.state_dict()[name]) for name, tensor in head.state_dict().items()
    )
