"""Prompts in the field's question.jsonl format (Spec-Bench, EAGLE, FastChat)."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hedgespec.errors import HedgespecError


@dataclass(frozen=True)
class Question:
    """One line: {"question_id": ..., "category": ..., "turns": [...]}; category is the domain."""

    id: str
    domain: str
    turns: list[str]


def read_questions(path: Path, per_domain: int | None = None) -> list[Question]:
    """Read a question file, at most `per_domain` questions of each domain.

    Raises HedgespecError naming the line of the first fault.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise HedgespecError(f"{path}: cannot read prompts ({error})") from error
    questions: list[Question] = []
    counts: dict[str, int] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        question = _parse(line, f"{path}: line {number}")
        counts[question.domain] = counts.get(question.domain, 0) + 1
        if per_domain is None or counts[question.domain] <= per_domain:
            questions.append(question)
    if not questions:
        raise HedgespecError(f"{path}: holds no question")
    ids = [question.id for question in questions]
    for identity in ids:
        if ids.count(identity) > 1:
            raise HedgespecError(f"{path}: question_id {identity!r} appears twice")
    return questions


def _parse(line: str, where: str) -> Question:
    try:
        item = json.loads(line)
        turns = item["turns"]
        question = Question(str(item["question_id"]), str(item.get("category", "none")), turns)
    except (ValueError, KeyError, TypeError) as error:
        raise HedgespecError(
            f'{where}: not a question ({error}); expected {{"question_id": 1, '
            '"category": "math", "turns": ["..."]}'
        ) from error
    if not turns or not isinstance(turns, list) or not all(
        isinstance(turn, str) and turn.strip() for turn in turns
    ):
        raise HedgespecError(f'{where}: "turns" must be a list of texts, none empty')
    return question


def render(tokenizer: Any, question: Question, answers: list[str]) -> str:
    """The prompt text of turn len(answers), earlier turns answered by `answers`.

    With the tokenizer's chat template if it has one, else the bare turns as paragraphs.
    """
    messages = []
    for turn, answer in zip(question.turns, answers, strict=False):
        messages += [{"role": "user", "content": turn}, {"role": "assistant", "content": answer}]
    messages.append({"role": "user", "content": question.turns[len(answers)]})
    if tokenizer.chat_template:
        text: str = tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=True
        )
        return text
    return "\n\n".join(message["content"] for message in messages) + "\n\n"


def tokenize(tokenizer: Any, text: str) -> list[int]:
    """Token ids of a rendered prompt; a chat template brings its own special tokens."""
    ids: list[int] = tokenizer(text, add_special_tokens=not tokenizer.chat_template)["input_ids"]
    return ids
