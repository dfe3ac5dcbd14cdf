"""What a report shows of answers as text: their tokens, from the traces, and their prompts."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import polars as pl

from hedgespec.analysis.strips import AnswerText
from hedgespec.bundled import trace_folder
from hedgespec.files import read_json, sha256_file
from hedgespec.results.store import RUN_FILE
from hedgespec.tracegen.prompts import read_questions
from hedgespec.traces import TraceReader
from hedgespec.traces.schema import MANIFEST


def answer_texts(
    results: Path, vocabulary: Mapping[int, str], prompts: Path | None
) -> dict[str, dict[str, AnswerText]]:
    """By trace and query the text of each answer of the traces that `results` are of.

    A trace that is no more where it was, or is another version now, has none. `prompts` is a
    question file; only queries with its ids have a prompt.
    """
    asked = (
        {}
        if prompts is None
        else {
            question.query_id(turn): text
            for question in read_questions(prompts)
            for turn, text in enumerate(question.turns)
        }
    )
    found = {}
    for source in read_json(results / RUN_FILE)["traces"]:
        for folder in (Path(source.get("folder", "")), trace_folder(source["name"])):
            if _is_version(folder, source["manifest_sha256"]):
                found[source["name"]] = _texts(folder, vocabulary, asked)
                break
    return found


def _is_version(folder: Path, digest: str) -> bool:
    return (folder / MANIFEST).is_file() and sha256_file(folder / MANIFEST) == digest


def _texts(
    folder: Path, vocabulary: Mapping[int, str], asked: Mapping[str, str]
) -> dict[str, AnswerText]:
    trace = TraceReader(folder)
    tokens = pl.concat(trace.columns(["token"]))["token"].to_numpy()
    queries = trace.queries["query_id"].to_list()
    return {
        query: AnswerText(
            [vocabulary.get(token, str(token)) for token in ids.tolist()], asked.get(query, "")
        )
        for query, ids in zip(queries, np.split(tokens, trace.offsets[1:-1]), strict=True)
    }
