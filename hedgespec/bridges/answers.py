"""Answers that are given: of a trace, or of a file as Spec-Bench and FastChat have them."""

from pathlib import Path
from typing import Protocol

from hedgespec.errors import HedgespecError
from hedgespec.files import parse_json
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
            for row, start, end in zip(trace.queries.iter_rows(named=True), trace.offsets,
                                       trace.offsets[1:], strict=False)}

    def of(self, query: Query) -> tuple[list[int] | str, str] | None:
        """Raises HedgespecError if the answer is to another prompt."""
        found = self._found.get(query.question.query_id(query.turn))
        if found is None:
            return None
        sha256, finish_reason, tokens = found
        if sha256 != query.prompt_sha256:
            raise HedgespecError(
                f"{self._folder}: question {query.question.query_id(query.turn)} was another "
                "prompt there: its text or the chat template differs")
        return tokens.tolist(), finish_reason


class FileAnswers:
    """Those of JSON lines with `question_id` and `choices[0].turns`, a text for each turn."""

    def __init__(self, path: Path):
        """Raises HedgespecError naming the first line that is no answer."""
        self._texts: dict[str, list[str]] = {}
        try:
            lines = path.read_text(encoding="utf-8-sig").split("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise HedgespecError(f"{path}: cannot read answers ({error})") from error
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                item = parse_json(line)
                turns = item["choices"][0]["turns"]
                self._texts[str(item["question_id"])] = [str(turn) for turn in turns]
            except (ValueError, KeyError, IndexError, TypeError) as error:
                raise HedgespecError(
                    f'{path}: line {number}: no answer ({error!r}); expected {{"question_id": 1, '
                    '"choices": [{"turns": ["..."]}]}') from error

    def of(self, query: Query) -> tuple[list[int] | str, str] | None:
        """The text, whose end token is not known."""
        turns = self._texts.get(query.question.id, [])
        return (turns[query.turn], "length") if query.turn < len(turns) else None


def read_answers(path: Path) -> TraceAnswers | FileAnswers:
    """Answers of a trace's folder or of a file."""
    return TraceAnswers(path) if path.is_dir() else FileAnswers(path)
