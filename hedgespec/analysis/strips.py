"""What the page needs to show an answer round by round: who drafted, how far, and how sure that
was."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from types import MappingProxyType
from typing import Any

from hedgespec.analysis.study import Study

MOST_ROUNDS = 200_000  # on a page, a byte each: that of the default grid stays under 1 MB
CHARACTERS = 2  # of text take as much of a page as a round


@dataclass(frozen=True)
class AnswerText:
    """An answer as text, the `pieces` of its tokens, and its `prompt`, empty if not known."""

    pieces: Sequence[str]
    prompt: str = ""

    @property
    def rounds(self) -> int:
        """How many rounds take as much of a page."""
        return (sum(map(len, self.pieces)) + len(self.prompt)) // CHARACTERS


Texts = Mapping[str, Mapping[str, AnswerText]]  # by trace and query


def strips(
    study: Study, most: int | None = None, texts: Texts = MappingProxyType({})
) -> dict[str, Any]:
    """By trace the rounds of the learners drawn in its answers, those with most regret first, and
    what is known of their text.

    `most` answers of each trace; None: as many as MOST_ROUNDS rounds of all traces allow.
    """
    left, found = MOST_ROUNDS, {}
    # What a trace of few queries leaves is for those of more.
    order = sorted(study.traces, key=lambda trace: len(study.run.answers(trace).tokens))
    for number, trace in enumerate(order):
        found[trace], used = _trace(
            study, trace, most, left // (len(order) - number), texts.get(trace, {})
        )
        left -= used
    return {trace: found[trace] for trace in study.traces if found[trace]["answers"]}


def kept_words(found: Mapping[str, Any], queries: int) -> str:
    """A sentence that says which answers can be opened."""
    kept = sum(len(data["answers"]) for data in found.values())
    if kept == queries:
        return "The rounds of every answer are on the page."
    return (
        f"The rounds of {kept} of {queries} answers are on the page, those with most regret; "
        "hedgespec report --answers N keeps N of each trace."
    )


def _trace(
    study: Study, trace: str, most: int | None, room: int, texts: Mapping[str, AnswerText]
) -> tuple[dict[str, Any], int]:
    """The answers kept, and how many rounds they have: at most `room` if `most` is None."""
    rows = study.run.rounds(trace, study.learners)
    drafters = rows["round_drafter"].explode().unique(maintain_order=True).drop_nulls().to_list()
    place = {name: i for i, name in enumerate(drafters)}
    answers = study.run.answers(trace)
    chosen = list(study.columns(trace, study.learners).values())
    worst = (-answers.regret[:, chosen].mean(axis=1)).argsort(kind="stable")
    used = 0
    by_query = rows.partition_by("query_id", as_dict=True)
    kept: dict[str, Any] = {}
    shown: dict[str, Any] = {}
    for query in answers.query_id[worst].tolist():
        mine = by_query.get((query,))
        if mine is None:
            continue
        text = texts.get(query)
        more = int(mine["round_tokens"].list.len().sum()) + (text.rounds if text else 0)
        if used + more > room if most is None else len(kept) == most:
            break
        used += more
        kept[query] = {row["selector"]: _rounds(row, place) for row in mine.iter_rows(named=True)}
        if text is not None:
            shown[query] = {"pieces": text.pieces, "prompt": text.prompt}
    return {"drafters": drafters, "answers": kept, "texts": shown}, used


def _rounds(row: Mapping[str, Any], place: Mapping[str, int]) -> dict[str, Any]:
    """Tokens of each round, its drafter as a place with how often that follows itself, and its
    weight in percent."""
    drafters = [place[name] for name in row["round_drafter"]]
    weights = row["round_weight"]
    return {
        "tokens": row["round_tokens"],
        "drafters": {
            "runs": [part for one, same in groupby(drafters) for part in (one, len(list(same)))]
        },
        **({} if weights is None else {"weights": [round(100 * one) for one in weights]}),
    }
