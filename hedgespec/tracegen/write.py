"""From answers and their statistics to the tables of a trace."""

from typing import Any

import numpy as np
import polars as pl

from hedgespec.tracegen.prompts import Query
from hedgespec.tracegen.score import Scores
from hedgespec.traces.schema import (
    QUERY_COLUMNS,
    TOKEN_COLUMNS,
    round_embedding,
    round_log,
    round_probability,
)


def query_table(
    query: Query, output_tokens: int, finish_reason: str, embedding: np.ndarray, source: str,
    precision: str,
) -> pl.DataFrame:
    """The row of one query; `embedding` (H) is that of its prompt, `source` its prompt file."""
    return pl.DataFrame([{
        "query": query.number,
        "query_id": query.question.query_id(query.turn),
        "source": source,
        "domain": query.question.domain,
        "prompt_sha256": query.prompt_sha256,
        "prompt_tokens": len(query.prompt),
        "output_tokens": output_tokens,
        "finish_reason": finish_reason,
        "prompt_embedding": round_embedding(embedding, precision).tolist(),
    }], schema=QUERY_COLUMNS)


def token_table(number: int, tokens: list[int], scores: Scores, precision: str) -> pl.DataFrame:
    """The rows of one query's tokens (T), whose statistics are `scores`."""
    columns: dict[str, Any] = {
        "query": np.full(len(tokens), number),
        "position": np.arange(len(tokens)),
        "token": tokens,
        "log_p": round_log(scores.log_p.numpy(), precision),
    }
    for column, values in scores.drafters.items():
        if column.startswith("log_q/"):
            columns[column] = round_log(values.numpy(), precision)
        elif column.startswith("entropy/"):
            columns[column] = -round_log(-values.numpy(), precision)
        elif column.startswith(("match/", "depth.", "nodes.", "drafted/", "matched/")):
            columns[column] = values.numpy()
        else:
            columns[column] = round_probability(values.numpy(), precision)
    return pl.DataFrame(columns, schema_overrides=TOKEN_COLUMNS)
