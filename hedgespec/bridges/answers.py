"""Answers that are given: of a trace, or of a file as Spec-Bench and FastChat have them."""

from pathlib import Path
from typing import Any, Protocol

from hedgespec.bridges.json_lines import json_lines
from hedgespec.errors import HedgespecError
from hedgespec.tracegen.prompts import Query
from hedgespec.traces import read_trace


class Answers(Protocol):
    """Answers of questions."""

    def of(self, query: Query) -> tuple[list[int] | str, str] | None:
        """Tokens or text of a query's answer and why it ended; None if there is none."""


class TraceAnswers:
    """Those of a trace of the same prompts."""

    def __init__(self, folder: Path):
        """Raises TraceError for a folder that is no trace."""
        trace = read_trace(folder)
        self.sampling = trace.manifest.sampling
        self._folder = folder
        self._found = {
            row["query_id"]: (row["prompt_sha256"], row["finish_reason"], trace.tokens[start:end])
            for row, start, end in zip(
                trace.queries.iter_rows(named=True), trace.offsets, trace.offsets[1:], strict=False
            )
        }

    def of(self, query: Query) -> tuple[list[int] | str, str] | None:
        """Raises HedgespecError if the answer is to another prompt."""
        found = self._found.get(query.question.query_id(query.turn))
        if found is None:
            return None
        sha256, finish_reason, tokens = found
        if sha256 != query.prompt_sha256:
            raise HedgespecError(
                f"{self._folder}: question {query.question.query_id(query.turn)} has another "
                "prompt there: its text or the chat template differs"
            )
        return tokens.tolist(), finish_reason


class FileAnswers:
    """Those of JSON lines with `question_id` and `choices[0].turns`, a text for each turn."""

    def __init__(self, path: Path):
        """Raises HedgespecError naming the first line that is no answer, or a second one."""
        self._texts: dict[str, list[str]] = {}
        for where, item in json_lines(path):
            question, turns = _answered(item)
            if question is None or turns is None:
                raise HedgespecError(
                    f'{where}: no answer; expected {{"question_id": 1, "choices": '
                    '[{"turns": ["..."]}]}'
                )
            if question in self._texts:
                raise HedgespecError(f"{where}: a second answer to question {question}")
            self._texts[question] = turns

    def of(self, query: Query) -> tuple[list[int] | str, str] | None:
        """The text, whose end token is not known."""
        turns = self._texts.get(query.question.id, [])
        return (turns[query.turn], "length") if query.turn < len(turns) else None


def read_answers(path: Path) -> TraceAnswers | FileAnswers:
    """Answers of a trace's folder or of a file."""
    return TraceAnswers(path) if path.is_dir() else FileAnswers(path)


def _answered(item: dict[str, Any]) -> tuple[str | None, list[str] | None]:
    """The question's id and the texts of its turns; None for what is not there."""
    question = item.get("question_id")
    try:
        turns = item["choices"][0]["turns"]
    except (KeyError, IndexError, TypeError):
        turns = None
    texts = isinstance(turns, list) and all(isinstance(turn, str) for turn in turns)
    known = isinstance(question, str | int | float) and not isinstance(question, bool)
    return str(question) if known else None, turns if texts else None
