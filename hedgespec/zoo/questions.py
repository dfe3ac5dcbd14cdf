"""Questions of each domain for training drafters and, disjoint by construction, for testing them.

The split is made on what a prompt is about (a topic, a kind of word problem, a table, a question
of a package), before any prompt is written. So nothing seen in training returns in a test in
other words.
"""

import json
import random
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path

from hedgespec.bundled import LONG_PROMPTS, PROMPTS
from hedgespec.errors import HedgespecError
from hedgespec.files import write_text
from hedgespec.results.labels import QueryLabel
from hedgespec.tracegen.prompts import Question, read_questions
from hedgespec.zoo.domains import BUILT_IN, TemplatedDomain
from hedgespec.zoo.domains.base import LONGEST_PROMPT

_DOMAINS = {domain.label: domain for domain in BUILT_IN}
# What makes an answer long; not the words of the bundled prompts that ask for long ones.
_LONGER = (
    "Answer at great length: at least ten numbered sections of several paragraphs, with examples "
    "in each of them.",
    "Be exhaustive and write at least 1,500 words, with examples, common mistakes, exercises and "
    "their solutions.",
    "Then go on with eight further tasks of the same kind, and answer each in full.",
)
DOMAINS: tuple[str, ...] = tuple(_DOMAINS)


def training_questions(domain: str, count: int, seed: int = 0) -> list[Question]:
    """`count` different questions of a domain to train on.

    The same for the same seed; every item is asked about once before one is asked about twice.
    Raises HedgespecError if there is no such domain, or it has fewer questions, or prompts of it
    come from a package that cannot be downloaded.
    """
    return _choose(_find(domain), False, count, seed)


def held_out_questions(domain: str, count: int, seed: int = 0) -> list[Question]:
    """`count` different questions of a domain about items that no training question is about."""
    return _choose(_find(domain), True, count, seed)


def rephrased(question: Question) -> Question:
    """The same request as a user would put it who wants to compare two answers."""
    turns = [
        f"Give two answers to the following request, then choose the better one.\n\n{turn}"
        for turn in question.turns
    ]
    return replace(question, id=str(QueryLabel(question.id, rephrased=True)), turns=turns)


def lengthened(questions: list[Question], part: float) -> list[Question]:
    """The same questions, of which evenly spread `part` of them ask for a long answer."""
    return [
        replace(
            question, turns=[f"{turn} {_LONGER[number % len(_LONGER)]}" for turn in question.turns]
        )
        if int((number + 1) * part) > int(number * part)
        else question
        for number, question in enumerate(questions)
    ]


def write_questions(questions: list[Question], path: Path) -> None:
    """Write a question.jsonl that `hedgespec.tracegen.prompts.read_questions` reads."""
    lines = [
        json.dumps(
            {"question_id": item.id, "category": item.domain, "turns": item.turns},
            ensure_ascii=False,
        )
        for item in questions
    ]
    write_text(path, "".join(f"{line}\n" for line in lines))


def _find(label: str) -> TemplatedDomain:
    if label not in _DOMAINS:
        raise HedgespecError(f"no domain {label!r}; there are {', '.join(DOMAINS)}")
    return _DOMAINS[label]


def _choose(domain: TemplatedDomain, held_out: bool, count: int, seed: int) -> list[Question]:
    split = "test" if held_out else "train"
    generator = random.Random(f"{domain.label} {split} {seed}")
    per_item = _prompts_per_item(domain, held_out)
    for prompts in per_item:
        generator.shuffle(prompts)
    generator.shuffle(per_item)
    # The first wording of every item, then the second of every item, ...
    rounds = zip_longest(*per_item)
    chosen = [prompt for prompts in rounds for prompt in prompts if prompt is not None]
    if not 0 <= count <= len(chosen):
        kind = "held-out" if held_out else "training"
        raise HedgespecError(
            f"{count} {kind} questions of {domain.label} asked for; there are {len(chosen)}"
        )
    return [
        Question(f"{domain.label}-{split}-{number:05d}", domain.label, [prompt])
        for number, prompt in enumerate(chosen[:count])
    ]


def _prompts_per_item(domain: TemplatedDomain, held_out: bool) -> list[list[str]]:
    """Lists of the prompts of each item on one side of the split, no prompt twice."""
    bundled = _bundled_turns()
    seen: set[str] = set()
    lists = []
    for item in domain.items():
        if domain.is_held_out(item.key) != held_out:
            continue
        prompts = [
            prompt
            for prompt in dict.fromkeys(item.prompts)
            if len(prompt) <= LONGEST_PROMPT
            and prompt not in seen
            and not _holds_any(prompt, bundled)
        ]
        seen.update(prompts)
        if prompts:
            lists.append(prompts)
    return lists


def _bundled_turns() -> list[str]:
    """Turns of the bundled questions, which drafters are tested on; never ask them in training."""
    turns = [
        _plain(turn)
        for file in (PROMPTS, LONG_PROMPTS)
        for question in read_questions(file)
        for turn in question.turns
    ]
    return [turn for turn in turns if len(turn) > 40]


def _holds_any(prompt: str, turns: list[str]) -> bool:
    plain = _plain(prompt)
    return any(turn in plain for turn in turns)


def _plain(text: str) -> str:
    return " ".join(text.split())
