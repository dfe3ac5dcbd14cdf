"""Answers round by round: what results keep, what the page holds, and what a click shows."""

import json

import numpy as np
import pytest

from hedgespec.analysis import strips as module
from hedgespec.analysis.html import page_data
from hedgespec.analysis.report import Request, write_report
from hedgespec.analysis.results import ResultSet
from hedgespec.analysis.strips import AnswerText, kept_words, strips
from hedgespec.analysis.study import Study
from hedgespec.cli.texts import answer_texts
from hedgespec.files import sha256_file
from hedgespec.simulator import Replayer, SweepSettings, run_sweep
from hedgespec.traces import read_trace
from tests.helpers.synthetic import write_trace

SELECTORS = ("hedge", "ucbspec", "best-single", "fixed:drafter-0", "none")
LENGTHS = (40, 90, 33, 61)


@pytest.fixture(scope="module")
def trace(tmp_path_factory):
    folder = tmp_path_factory.mktemp("strips") / "trace"
    write_trace(folder, lengths=LENGTHS)
    return folder


@pytest.fixture(scope="module")
def results(trace):
    first = SweepSettings(SELECTORS, seeds=2)
    return run_sweep([trace], [first, SweepSettings(("hedge", "squint"), seeds=2)])


@pytest.fixture(scope="module")
def study(results):
    return Study.of(ResultSet(results), [], ["hedge", "ucbspec"], None)


def test_results_keep_the_rounds_of_one_replay_of_what_chooses(results, trace):
    kept = results.per_query.drop_nulls("round_tokens")
    assert set(kept["selector"].unique()) == {"hedge", "ucbspec"}  # squint is in no first run
    assert set(kept["seed"].unique()) == {None, 0}
    assert kept["round_tokens"].list.sum().to_list() == kept["tokens"].to_list()
    replayer = Replayer(read_trace(trace))
    choice = replayer.run("ucbspec", 0).choice
    drafters = [replayer.arms.names[arm] for arm in choice[choice >= 0]]
    mine = kept.filter(kept["selector"] == "ucbspec")
    assert mine["round_drafter"].explode().to_list() == drafters
    assert mine["round_weight"].null_count() == len(LENGTHS)
    weights = kept.filter(kept["selector"] == "hedge")["round_weight"].explode()
    assert 0 < weights.min() <= weights.max() <= 1


def test_a_page_keeps_the_answers_with_most_regret(study, monkeypatch):
    answers = study.run.answers("synthetic")
    columns = list(study.columns("synthetic", study.learners).values())
    worst = answers.query_id[(-answers.regret[:, columns].mean(axis=1)).argsort()].tolist()
    every = strips(study)
    assert list(every["synthetic"]["answers"]) == worst
    assert kept_words(every, 4) == "The rounds of every answer are on the page."
    two = strips(study, 2)
    assert list(two["synthetic"]["answers"]) == worst[:2]
    assert "2 of 4 answers" in kept_words(two, 4)
    assert strips(study, 0) == {}
    first = two["synthetic"]["answers"][worst[0]]
    room = sum(len(one["tokens"]) for one in first.values())
    monkeypatch.setattr(module, "MOST_ROUNDS", room)
    assert list(strips(study)["synthetic"]["answers"]) == worst[:1]
    assert page_data(["synthetic"], [], {}, [], {}, strips=every)["looks"].keys() >= {"drafter-0"}


def test_text_takes_room_and_stands_with_the_answers_that_are_kept(study, monkeypatch):
    every = strips(study)["synthetic"]
    worst = list(every["answers"])
    room = sum(len(one["tokens"]) for one in every["answers"][worst[0]].values())
    text = AnswerText(["ab", "c"] * 30, "what?")
    assert text.rounds == (90 + 5) // 2
    texts = {"synthetic": dict.fromkeys(worst[:1], text)}
    found = strips(study, 2, texts)["synthetic"]
    assert list(found["answers"]) == worst[:2]
    assert found["texts"] == {worst[0]: {"pieces": text.pieces, "prompt": "what?"}}
    monkeypatch.setattr(module, "MOST_ROUNDS", room + text.rounds)
    assert list(strips(study, None, texts)["synthetic"]["answers"]) == worst[:1]
    monkeypatch.setattr(module, "MOST_ROUNDS", room + text.rounds - 1)
    assert strips(study, None, texts) == {}


def test_the_texts_of_all_answers_are_read_from_the_traces_where_they_are(trace, tmp_path):
    words = {token: f" w{token}" for token in range(10_000)}
    source = {
        "name": "synthetic",
        "folder": str(trace),
        "manifest_sha256": sha256_file(trace / "manifest.json"),
    }
    run = tmp_path / "run.json"
    run.write_text(json.dumps({"traces": [source]}))
    queries = read_trace(trace).queries["query_id"].to_list()
    prompts = tmp_path / "question.jsonl"
    prompts.write_text(
        json.dumps({"question_id": queries[1], "category": "x", "turns": ["Why?"]}) + "\n"
    )
    found = answer_texts(tmp_path, words, prompts)["synthetic"]
    assert [len(found[query].pieces) for query in queries] == list(LENGTHS)
    assert [found[query].prompt for query in queries] == ["", "Why?", "", ""]
    tokens = read_trace(trace).tokens
    assert found[queries[1]].pieces[0] == f" w{tokens[LENGTHS[0]]}"
    # Another version of the trace, or none, tells nothing.
    run.write_text(json.dumps({"traces": [source | {"manifest_sha256": "0" * 64}]}))
    assert answer_texts(tmp_path, words, None) == {}
    run.write_text(json.dumps({"traces": [source | {"folder": "nowhere"}]}))
    assert answer_texts(tmp_path, words, None) == {}


def test_a_click_shows_prompt_and_text_in_the_rounds_of_the_learner_clicked(
    browser, results, study, tmp_path
):
    queries = strips(study)["synthetic"]["answers"]
    texts = {
        "synthetic": {
            query: AnswerText([f"w{i}\n" for i in range(max(LENGTHS))], "Why?") for query in queries
        }
    }
    page = write_report(
        Request([results], learners=["hedge", "ucbspec"], texts=texts),
        tmp_path,
        ["hedgespec"],
        "1",
        processes=1,
    ).page
    browser.open(page.as_uri())
    query = next(iter(queries))
    for name in ("hedge", "ucbspec"):
        browser.run(f"showAnswer(null, {{ query: '{query}', name: '{name}' }})")
        assert (
            browser.run("document.querySelector('#strips strong').parentNode.textContent")
            == "Prompt: Why?"
        )
        own = browser.run(
            "[...document.querySelectorAll('#strips .answer .own')].map(one => one.textContent)"
        )
        ends = np.cumsum(queries[query][name]["tokens"])
        assert own == [f"w{end - 1}↵" for end in ends]
        assert f"As {name} decoded it" in browser.run(
            "document.getElementById('strips').textContent"
        )
    assert browser.said == []


def test_a_click_opens_an_answer_round_by_round(browser, results, tmp_path):
    page = write_report(
        Request([results], learners=["hedge", "ucbspec"], answers=3),
        tmp_path,
        ["hedgespec"],
        "1",
        processes=1,
    ).page
    browser.open(page.as_uri())
    area = "document.querySelector('[data-kind=answers] svg')"
    browser.run(f"{area}.scrollIntoView({{ block: 'center' }})")
    browser.run(f"{area}.focus()")
    kept, count = browser.run("Object.keys(DATA.strips.synthetic.answers)"), 0
    for _ in range(8):  # every point
        browser.press("ArrowRight")
        browser.press("Enter")
        query = browser.run("document.querySelector('#strips h3')?.textContent ?? ''")
        told = browser.run("document.getElementById('told').textContent")
        count += any(
            query == f"Query {one}, round by round" for one in kept if f"query {one} (" in told
        )
        browser.run(f"{area}.focus()")
    assert count == 6
    assert browser.run("document.querySelectorAll('#strips svg').length") == 2
    assert "drafter-0" in browser.run("document.getElementById('strips').textContent")
    assert "--answers N keeps more" in browser.run(
        "(() => { showAnswer({ root: document.body, width: 1 }, { query: 'no', x: 0, y: 0 });"
        " return document.getElementById('told').textContent; })()"
    )
    assert browser.said == []
