"""From questions to the queries of each turn, and to the batches that are written together."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hedgespec.errors import HedgespecError
from hedgespec.tracegen.prompts import Query, Question


class Queries:
    """The queries of some questions, turn by turn.

    `left_out` are the ids of those whose prompt left no room for an answer.
    """

    def __init__(
        self,
        questions: Sequence[Question],
        tokenizer: Any,
        context: int,
        max_new_tokens: int,
        source: Path,
    ):
        """Prompt and answer take at most `context` tokens; `source` is the questions' file."""
        self._questions, self._tokenizer, self._source = questions, tokenizer, source
        self._context, self._max_new_tokens = context, max_new_tokens
        self.left_out: list[str] = []

    def of_turn(self, turn: int, answers: dict[str, list[str]]) -> list[Query]:
        """The queries of one turn, numbered by question and turn.

        `answers` are those of the turns before, by question id. A first prompt without room for an
        answer is an error; a later turn, whose prompt depends on the answers, is left out then.
        """
        queries = []
        number = 0
        for question in self._questions:
            before = answers.get(question.id, [])
            if turn < len(question.turns) and len(before) == turn:
                query = self._query(number + turn, question, before)
                if query is not None:
                    queries.append(query)
            number += len(question.turns)
        return queries

    def _query(self, number: int, question: Question, answers: list[str]) -> Query | None:
        query = Query.of(self._tokenizer, number, question, answers, self._max_new_tokens)
        room = self._context - len(query.prompt)
        if room >= 1:
            return replace(query, limit=min(query.limit, room))
        if not answers:
            raise HedgespecError(
                f"{self._source}: question {question.id} has {len(query.prompt)} prompt "
                f"tokens, the shortest context of target and drafters is {self._context}"
            )
        self.left_out += [
            question.query_id(turn) for turn in range(len(answers), len(question.turns))
        ]
        return None


def batches(queries: Sequence[Query], size: int, context: int) -> Iterator[list[Query]]:
    """At most `size` queries of similar prompt length together, the longest first: memory runs out
    early or never.

    All rows of a batch are as long as its longest prompt and answer, so none may join whose answer
    would push the longest prompt beyond the `context`, or that would be mostly padding.
    """
    batch: list[Query] = []
    for query in sorted(queries, key=lambda query: (-len(query.prompt), query.number)):
        if batch and (
            len(batch) == size
            or query.limit > context - len(batch[0].prompt)
            or 2 * _length(query) < _length(batch[0])
        ):
            yield batch
            batch = []
        batch.append(query)
    if batch:
        yield batch


def _length(query: Query) -> int:
    """Tokens of its prompt and of its longest answer."""
    return len(query.prompt) + query.limit
