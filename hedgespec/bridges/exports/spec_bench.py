"""Spec-Bench's answers: JSON lines with the accepted lengths of each question's rounds."""

import json
from typing import Any

import numpy as np

from hedgespec.bridges.exports.contract import Export
from hedgespec.bridges.policy import Drafting
from hedgespec.results.labels import QueryLabel


def write(found: Drafting) -> str:
    """One replay of the policy: the rounds of each turn, as Spec-Bench's evaluation reads them."""
    trace, starts = found.trace, np.flatnonzero(found.replay.visits)
    questions: dict[str, dict[str, Any]] = {}
    for number, row in enumerate(trace.queries.iter_rows(named=True)):
        label = QueryLabel.parse(row["query_id"])
        begin, end = trace.offsets[number], trace.offsets[number + 1]
        own = starts[(starts >= begin) & (starts < end)]
        lengths = np.diff([*own, end]).tolist()
        choice = questions.setdefault(
            label.question,
            {
                "question_id": label.question,
                "category": row["domain"],
                "model_id": found.policy,
                "choices": [
                    {
                        "index": 0,
                        "turns": [],
                        "decoding_steps": [],
                        "new_tokens": [],
                        "wall_time": [],
                        "accept_lengths": [],
                    }
                ],
            },
        )["choices"][0]
        choice["turns"].append("")
        choice["decoding_steps"].append(len(lengths))
        choice["new_tokens"].append(int(end - begin))
        choice["accept_lengths"] += lengths
    return "".join(f"{json.dumps(one)}\n" for one in questions.values())


EXPORT = Export(
    "spec-bench",
    "answers as Spec-Bench's evaluation reads them, of one replay",
    "the texts, which a trace does not hold; seconds (`wall_time` is empty, so its speed cannot be "
    "computed); which drafter ran which round",
    write,
)
