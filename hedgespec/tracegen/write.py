"""From answers and their statistics to the tables of a trace. No torch here."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from hedgespec.tracegen.prompts import Query
from hedgespec.traces.schema import (
    QUERY_COLUMNS,
    TOKEN_COLUMNS,
    round_embedding,
    round_log,
    round_probability,
)


def query_table(
    query: Query,
    output_tokens: int,
    finish_reason: str,
    embedding: np.ndarray,
    source: str,
    precision: str,
) -> pl.DataFrame:
    """The row of one query; `embedding` (H) is that of its prompt, `source` its prompt file."""
    return pl.DataFrame(
        [
            {
                "query": query.number,
                "query_id": query.question.query_id(query.turn),
                "source": source,
                "domain": query.question.domain,
                "prompt_sha256": query.prompt_sha256,
                "prompt_tokens": len(query.prompt),
                "output_tokens": output_tokens,
                "finish_reason": finish_reason,
                "prompt_embedding": round_embedding(embedding, precision).tolist(),
            }
        ],
        schema=QUERY_COLUMNS,
    )


def token_table(
    answers: Mapping[int, Sequence[int]],
    log_p: np.ndarray,
    statistics: Mapping[str, np.ndarray],
    precision: str,
) -> pl.DataFrame:
    """The rows of the tokens of some queries, `answers` by their numbers (T in all, one answer after
    another): their log p (T), and `statistics` (T) of drafters by the names of their columns."""
    lengths = [len(tokens) for tokens in answers.values()]
    columns: dict[str, Any] = {
        "query": np.repeat(list(answers), lengths),
        "position": np.concatenate([np.arange(length) for length in lengths]),
        "token": np.concatenate(list(answers.values())),
        "log_p": round_log(log_p, precision),
    }
    for column, values in statistics.items():
        if column.startswith("log_q/"):
            columns[column] = round_log(values, precision)
        elif column.startswith("entropy/"):
            columns[column] = -round_log(-values, precision)
        elif column.startswith(("match/", "depth.", "nodes.", "drafted/", "matched/")):
            columns[column] = values
        else:
            columns[column] = round_probability(values, precision)
    return pl.DataFrame(columns, schema_overrides=TOKEN_COLUMNS)
