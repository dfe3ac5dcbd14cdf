"""The proposer for vLLM beside a stub of what calls it: rows that move, requests that end."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from hedgespec.bridges.imports import IMPORTS
from hedgespec.bridges.proposers import make_proposers
from hedgespec.bridges.vllm_proposer import SelectingProposer
from hedgespec.errors import HedgespecError

COUNT, LONGEST = 3, 120
CONFIG = SimpleNamespace(
    speculative_config=SimpleNamespace(num_speculative_tokens=COUNT),
    model_config=SimpleNamespace(max_model_len=LONGEST),
)


class Stub:
    """vLLM's runner as a custom class sees it: a greedy target says what text goes on."""

    def __init__(self, prompts: list[list[int]], target):
        self.texts = [list(prompt) for prompt in prompts]
        self.target = target
        self.drafts: list[list[int]] = [[] for _ in prompts]
        self.emitted: list[list[int]] = [[] for _ in prompts]

    def step(self, proposer: SelectingProposer) -> None:
        """Verify the drafts, then ask for the next; unused places of a row hold old tokens."""
        self.emitted = []
        for text, draft in zip(self.texts, self.drafts, strict=True):
            emitted = []
            for token in [*draft, None]:
                emitted.append(self.target(text + emitted))
                if token != emitted[-1]:
                    break
            text += emitted
            self.emitted.append(emitted)
        ids = np.full((len(self.texts), LONGEST), 77, dtype=np.int32)
        for row, text in enumerate(self.texts):
            ids[row, : len(text)] = text
        lengths = np.array([len(text) for text in self.texts], dtype=np.int32)
        self.drafts = proposer.propose(self.emitted, lengths, ids, slot_mappings=None)
        assert len(self.drafts) == len(self.texts)
        assert all(len(draft) <= COUNT for draft in self.drafts)

    def drop(self, row: int) -> None:
        """A request ends; the last one takes its row."""
        for rows in (self.texts, self.drafts):
            rows[row] = rows[-1]
            rows.pop()


def cycle(text: list[int]) -> int:
    """A text that comes around every seven tokens."""
    return (text[-1] + 1) % 7


@pytest.fixture
def log(tmp_path, monkeypatch):
    monkeypatch.setenv("HEDGESPEC_LOG", str(tmp_path / "log.jsonl"))
    return tmp_path / "log.jsonl"


def test_rounds_are_logged_as_the_target_verified_them(log):
    proposer = SelectingProposer(CONFIG)
    stub = Stub([[0, 1, 2], [5, 6], [3]], cycle)
    for step in range(24):
        stub.step(proposer)
        if step == 9:
            stub.drop(0)
    assert all(
        text[1:] == [cycle(text[:place]) for place in range(1, len(text))] for text in stub.texts
    ), "the text is the target's own"
    found = IMPORTS["vllm"].read(log, "unnamed")
    assert set(found.rounds["drafter"]) == {"lookup:3", "suffix"}
    assert len(log.read_text().splitlines()) == 3
    # Rounds and tokens are all there but for the first step's and the last round of each request.
    per_request = found.rounds.group_by("request").len()["len"].to_list()
    assert sorted(per_request) == [9, 23, 23]
    assert found.rounds["accepted"].max() == COUNT
    assert (found.rounds["propensity"] > 0).all()


def test_a_log_goes_on_in_the_next_engine_and_holds_requests_in_work(log):
    for _ in range(2):  # the first is killed: nobody tells it to end
        stub, proposer = Stub([[0, 1, 2]], cycle), SelectingProposer(CONFIG)
        for _ in range(5):
            stub.step(proposer)
    found = IMPORTS["vllm"].read(log, "unnamed").rounds
    assert found.group_by("request", maintain_order=True).len()["len"].to_list() == [4, 4]
    stub.step(proposer)
    stub.drop(0)
    stub.step(proposer)
    assert [json.loads(line)["id"] for line in log.read_text().splitlines()] == ["1", "1"]
    assert len(IMPORTS["vllm"].read(log, "unnamed").rounds) == 9


def test_a_log_that_cannot_be_written_is_told_at_the_start(tmp_path, monkeypatch):
    monkeypatch.setenv("HEDGESPEC_LOG", str(tmp_path / "none" / "log"))
    with pytest.raises(HedgespecError, match=r"HEDGESPEC_LOG.*cannot be written"):
        SelectingProposer(CONFIG)


def test_a_request_goes_on_where_it_was_when_its_row_moves():
    proposer = SelectingProposer(CONFIG)
    stub = Stub([[0, 1], [2, 3, 4], [6, 5, 4]], lambda text: (3 * text[-1] + len(text)) % 50)
    stub.step(proposer)
    kept = proposer._requests[2]
    stub.step(proposer)
    stub.drop(0)
    stub.step(proposer)
    assert proposer._requests[0] is kept
    assert len(proposer._requests) == 2


def test_rows_that_sample_nothing_draft_nothing_and_stay():
    proposer = SelectingProposer(CONFIG)
    ids = np.array([[1, 2, 3, 4]], dtype=np.int32)
    proposer.propose([[4]], np.array([4]), ids)
    kept = proposer._requests[0]
    assert proposer.propose([[]], np.array([4]), ids) == [[]]
    assert proposer._requests == [kept]


def test_nothing_is_drafted_beyond_the_longest_text():
    proposer = SelectingProposer(CONFIG)
    ids = np.arange(LONGEST, dtype=np.int32)[None] % 5
    assert proposer.propose([[1]], np.array([LONGEST]), ids) == [[]]
    assert len(proposer.propose([[1]], np.array([LONGEST - 2]), ids)[0]) <= 2


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("HEDGESPEC_SELECTOR", "normalhedge", "needs probabilities of drafters"),
        ("HEDGESPEC_SELECTOR", "metasd-ucb", "needs probabilities of drafters"),
        ("HEDGESPEC_PROPOSERS", "lookup,magic", "unknown proposer 'magic'"),
        ("HEDGESPEC_PROPOSERS", "lookup,lookup", "is named twice"),
        ("HEDGESPEC_PROPOSERS", " ", "no proposer"),
        ("HEDGESPEC_PROPOSERS", "lookup:x", "number"),
    ],
)
def test_what_cannot_be_is_refused(variable, value, message, monkeypatch):
    monkeypatch.setenv(variable, value)
    with pytest.raises(HedgespecError, match=message):
        SelectingProposer(CONFIG)


def test_proposers_copy_what_came_before():
    found = make_proposers("lookup:2,suffix")
    text = np.array([1, 2, 3, 9, 1, 2, 4, 1, 2, 3, 8, 1, 2])
    assert found["lookup:2"].propose(text, 3) == [3, 8, 1]
    assert found["suffix"].propose(text, 2)[0] == 3, "3 followed 1, 2 twice, 4 once"
    assert found["suffix"].propose(np.array([1, 2, 3]), 2) == []


def test_a_small_model_drafts_greedily(tiny_models):
    torch = pytest.importorskip("torch")
    from transformers import AutoModelForCausalLM

    [small] = make_proposers(f"lm:{tiny_models['drafter']}").values()
    text, model = np.array([5, 9, 4]), AutoModelForCausalLM.from_pretrained(tiny_models["drafter"])
    expected = model.generate(
        torch.tensor(text[None]),
        max_new_tokens=3,
        do_sample=False,
        attention_mask=torch.ones(1, 3),
        eos_token_id=None,
    )
    assert small.propose(text, 3) == expected[0, 3:].tolist()
