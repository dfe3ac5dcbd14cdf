"""Synthetic traces for tests: random p and q over a small vocabulary, text drawn from p."""

from pathlib import Path

import numpy as np
import polars as pl

from hedgespec.traces import (
    DrafterInfo,
    Manifest,
    SamplingInfo,
    TargetInfo,
    Trace,
    TraceWriter,
    read_trace,
)
from hedgespec.traces.schema import QUERY_COLUMNS, TOKEN_COLUMNS, statistic_column

VOCABULARY = 12


def distributions(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return rng.dirichlet(np.full(VOCABULARY, 0.5), size=shape)


def write_trace(
    folder: Path,
    seed: int = 0,
    lengths: tuple[int, ...] = (40, 1, 7, 90),
    depths: tuple[int, ...] = (1, 1, 1),
    closeness: tuple[float, ...] = (0.9, 0.5, 0.1),
    name: str = "synthetic",
    temperature: float = 1.0,
    draft_length: int = 5,
) -> Trace:
    """Write and read a trace with one drafter per entry of `depths`.

    q = closeness * p + (1 - closeness) * noise, so closeness 1 is a perfect drafter. At
    temperature 0 both are put on their argmax.
    """
    rng = np.random.default_rng(seed)
    drafters = [
        DrafterInfo(f"drafter-{i}", "synthetic", f"test:{i}", None, depth)
        for i, depth in enumerate(depths)
    ]
    count = sum(lengths)
    p = distributions(rng, (count,))
    tokens = np.array([rng.choice(VOCABULARY, p=row) for row in p])
    warm = p
    if temperature == 0:
        tokens = p.argmax(axis=1)
        p = np.eye(VOCABULARY)[tokens]
    index = np.arange(count)
    columns = {
        "query": np.repeat(np.arange(len(lengths)), lengths),
        "position": np.concatenate([np.arange(length) for length in lengths]),
        "token": tokens,
        "log_p": np.log(p[index, tokens]).astype(np.float32),
    }
    for drafter, near in zip(drafters, closeness, strict=True):
        for depth in range(1, drafter.depths + 1):
            q = near * warm + (1 - near) * distributions(rng, (count,))
            if temperature == 0:
                q = np.eye(VOCABULARY)[q.argmax(axis=1)]
            top = q.argmax(axis=1)
            with np.errstate(divide="ignore"):
                log_q = np.log(q[index, tokens])
            statistics = {
                "log_q": log_q.astype(np.float32),
                "gamma": np.minimum(p, q).sum(axis=1).clip(0, 1).astype(np.float32),
                "match": top == tokens,
                "p_top": p[index, top].astype(np.float32),
            }
            for statistic, values in statistics.items():
                columns[statistic_column(statistic, drafter.name, depth, drafter.depths)] = values
    queries = pl.DataFrame(
        {
            "query": range(len(lengths)),
            "query_id": [f"q{i}" for i in range(len(lengths))],
            "source": ["synthetic"] * len(lengths),
            "domain": [f"domain{i % 2}" for i in range(len(lengths))],
            "prompt_sha256": [f"{i:064x}" for i in range(len(lengths))],
            "prompt_tokens": [3] * len(lengths),
            "output_tokens": list(lengths),
            "finish_reason": ["length"] * len(lengths),
            "prompt_embedding": [[0.5, -1.0]] * len(lengths),
        },
        schema=QUERY_COLUMNS,
    )
    writer = TraceWriter(folder, {"seed": seed})
    writer.write_batch("all", queries, pl.DataFrame(columns).cast(dict(TOKEN_COLUMNS)))
    writer.finish(
        Manifest(
            name=name,
            created="2026-01-01T00:00:00+00:00",
            target=TargetInfo("synthetic", "0" * 64, "0" * 64, VOCABULARY),
            drafters=drafters,
            sampling=SamplingInfo(temperature, 1.0, 0, seed, max(lengths)),
            draft_length=draft_length,
            precision="full",
            device="none",
            dtype="float64",
            queries=0,
            tokens=0,
            files={},
        )
    )
    return read_trace(folder)
