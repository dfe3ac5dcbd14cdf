"""Prompts in the field's question.jsonl format (Spec-Bench, EAGLE, FastChat)."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hedgespec.errors import HedgespecError
from hedgespec.files import has_control, parse_json, sha256_text
from hedgespec.results.labels import QueryLabel

NO_DOMAIN = "none"  # of questions without a category


@dataclass(frozen=True)
class Question:
    """One line: {"question_id": ..., "category": ..., "turns": [...]}; category is the domain.

    Without an id the question is called by its line, line-7; without a category its domain is none.
    """

    id: str
    domain: str
    turns: list[str]

    def query_id(self, turn: int) -> str:
        """Id of one turn's query: the question's own, then "ID/1", "ID/2", ..."""
        return str(QueryLabel(self.id, turn))


@dataclass(frozen=True)
class Query:
    """One turn of one question: what is generated and scored as a unit.

    `prompt` are its token ids, `prompt_sha256` is the hash of its text, `limit` the most tokens of
    the answer.
    """

    number: int
    question: Question
    turn: int
    prompt_sha256: str
    prompt: list[int]
    limit: int

    @classmethod
    def of(
        cls, tokenizer: Any, number: int, question: Question, answers: Sequence[str], limit: int
    ) -> "Query":
        """Turn len(answers) of a question, earlier turns answered by `answers`.

        Raises HedgespecError for a prompt without tokens, or if the chat template fails.
        """
        text = render(tokenizer, question, answers)
        ids = _some_tokens(tokenizer, text, question.query_id(len(answers)))
        return cls(number, question, len(answers), sha256_text(text), ids, limit)


def read_questions(path: Path, per_domain: int | None = None) -> list[Question]:
    """Read a question file, at most `per_domain` questions of each domain.

    Where questions of different categories have one id, as in files put one behind the other, the
    later ones are called CATEGORY-ID. Raises HedgespecError naming the line of the first fault.
    """
    try:
        # Not splitlines: JSON texts may hold other line separators, such as U+2028.
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise HedgespecError(f"{path}: cannot read prompts ({error})") from error
    questions: list[Question] = []
    counts: dict[str, int] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        question = _parse(line, f"{path}: line {number}", f"line-{number}")
        counts[question.domain] = counts.get(question.domain, 0) + 1
        if per_domain is None or counts[question.domain] <= per_domain:
            questions.append(question)
    if not questions:
        raise HedgespecError(f"{path}: holds no question")
    _tell_without_category(path, questions)
    questions = _told_apart(questions)
    seen: set[str] = set()
    for question in questions:
        for turn in range(len(question.turns)):
            identity = question.query_id(turn)
            if identity in seen:
                raise HedgespecError(f"{path}: question_id {identity!r} appears twice")
            seen.add(identity)
    return questions


def _tell_without_category(path: Path, questions: list[Question]) -> None:
    without = sum(question.domain == NO_DOMAIN for question in questions)
    if without:
        warnings.warn(
            f'{path}: {without} of {len(questions)} questions have no "category": they '
            f'are all of one domain, which is called "{NO_DOMAIN}"',
            UserWarning,
            stacklevel=3,
        )


def _told_apart(questions: list[Question]) -> list[Question]:
    """The category put before an id that another category has too, but for the first one's."""
    owners: dict[str, str] = {}
    return [
        question
        if owners.setdefault(question.id, question.domain) == question.domain
        else replace(question, id=f"{question.domain}-{question.id}")
        for question in questions
    ]


def _parse(line: str, where: str, place: str) -> Question:
    try:
        item = parse_json(line)
        turns = item["turns"]
        question = Question(
            _name(item.get("question_id"), place),
            _name(item.get("category") or None, NO_DOMAIN),
            turns,
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise HedgespecError(
            f'{where}: not a question ({error}); expected {{"question_id": 1, '
            '"category": "math", "turns": ["..."]}'
        ) from error
    if (
        not turns
        or not isinstance(turns, list)
        or not all(isinstance(turn, str) and turn.strip() for turn in turns)
    ):
        raise HedgespecError(f'{where}: "turns" must be a list of texts, none empty')
    for name, text in (("question_id", question.id), ("category", question.domain)):
        if not text:
            raise HedgespecError(f'{where}: "{name}" is empty')
        if has_control(text):
            raise HedgespecError(f'{where}: "{name}" {text!r} holds a control character')
    return question


def _name(given: object, otherwise: str) -> str:
    """A number or text; `otherwise` for null or nothing. Raises ValueError for another thing."""
    if isinstance(given, bool) or not isinstance(given, str | int | float | None):
        raise ValueError(f"{given!r} is neither a text nor a number")
    return otherwise if given is None else str(given)


def render(tokenizer: Any, question: Question, answers: Sequence[str]) -> str:
    """The prompt text of turn len(answers), earlier turns answered by `answers`; see
    `render_messages`."""
    messages = []
    for turn, answer in zip(question.turns, answers, strict=False):
        messages += [{"role": "user", "content": turn}, {"role": "assistant", "content": answer}]
    messages.append({"role": "user", "content": question.turns[len(answers)]})
    return render_messages(tokenizer, messages)


def render_messages(tokenizer: Any, messages: Sequence[Mapping[str, str]]) -> str:
    """The prompt text of a conversation, each message of which has a "role" and a "content".

    With the tokenizer's chat template if it has one, else the bare contents as paragraphs. Raises
    HedgespecError if the template fails.
    """
    if tokenizer.chat_template:
        try:
            text: str = tokenizer.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=True
            )
        except Exception as error:  # templates are programs, and raise what they like
            told = (str(error).splitlines() or [type(error).__name__])[0]
            raise HedgespecError(
                f"the tokenizer's chat template cannot be used: {told}; mend "
                "chat_template in the tokenizer's folder"
            ) from error
        return text
    return "\n\n".join(message["content"] for message in messages) + "\n\n"


def tokenize(tokenizer: Any, text: str) -> list[int]:
    """Token ids of a rendered prompt; a chat template brings its own special tokens."""
    ids: list[int] = tokenizer(text, add_special_tokens=not tokenizer.chat_template)["input_ids"]
    return ids


def first_prompt(tokenizer: Any, question: Question) -> list[int]:
    """Token ids of a question's first turn. Raises HedgespecError if there are none."""
    return _some_tokens(tokenizer, render(tokenizer, question, []), question.query_id(0))


def _some_tokens(tokenizer: Any, text: str, query: str) -> list[int]:
    ids = tokenize(tokenizer, text)
    if not ids:
        raise HedgespecError(
            f"question {query}: its prompt has no tokens; is the chat template the tokenizer's own?"
        )
    return ids
