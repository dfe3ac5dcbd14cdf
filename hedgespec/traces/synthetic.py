"""Made-up traces for stress and tests, labelled as such: no model was run.

A trace holds only acceptance statistics, so one can be drawn without any model. gamma is chosen,
and a, given the text, is 1 with probability gamma and else 0: its mean over texts is gamma, as it
must be. Tokens and argmax statistics mean nothing.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Annotated

import numpy as np
import polars as pl

from hedgespec.errors import HedgespecError, arg, did_you_mean
from hedgespec.options import Option, check_ranges, seed_option
from hedgespec.traces.manifest import DrafterInfo, Manifest, SamplingInfo, TargetInfo
from hedgespec.traces.schema import (
    MAX_ROWS_PER_SHARD,
    QUERY_COLUMNS,
    SYNTHETIC,
    TOKEN_COLUMNS,
    round_probability,
    statistic_column,
)
from hedgespec.traces.writer import TraceWriter
from hedgespec.version import __version__

KINDS = {
    "iid": "each drafter has an acceptance probability of its own, with noise",
    "correlated": "stretches of tokens are easy, or hard, for all drafters",
    "switching": "the best drafter is drawn anew for each stretch of 64 tokens",
    "domains": "an expert per domain accepts .82 at home and .62 away; a generalist .74 anywhere",
}
_STRETCH = 64
_MOST_TOKENS, _MOST_DRAFTERS = 2**32, 2**10
_FADE = 0.97  # of the acceptance, from one draft depth to the next
# Each emitted token was as unlikely as this, so that any gamma goes with any a.
_LOG_P, _VOCABULARY = -9.0, 1 << 14
# An acceptance that gives the paper's mean accepted tokens with drafts of eight, by
# 1 + sum_k g^k: about 3.8 for an expert away, 4.8 for the generalist, 6 for an expert at home
# (arXiv 2510.20064, averages over Llama-3.1-8B's domains: 3.2 to 4.5, 5.69, 7 to 8.5 with trees).
_HOME, _AWAY, _ANYWHERE = 0.82, 0.62, 0.74


@dataclass(frozen=True)
class SyntheticSettings:
    """The size of a synthetic trace, and the seed that it is drawn with."""

    queries: Annotated[int, Option("number of answers", "Q", low=1)] = 50
    tokens: Annotated[int, Option("tokens of each answer", "T", low=1)] = 500
    drafters: Annotated[int, Option("drafters to choose from", "N", low=1, high=_MOST_DRAFTERS)] = 8
    seed: Annotated[int, seed_option("seed of all random draws")] = 0

    depths: Annotated[
        int, Option("draft depths; 1 makes drafters that see the text only", "D", low=1, high=64)
    ] = 1

    def __post_init__(self) -> None:
        """Raises HedgespecError for a number out of range."""
        check_ranges(self)
        if self.queries * self.tokens >= _MOST_TOKENS:
            raise HedgespecError(
                f"{arg('queries')} times {arg('tokens')} must be below {_MOST_TOKENS}"
            )


def write_synthetic(folder: Path, kind: str, *sizes: int, **named: int) -> Manifest:
    """Write a synthetic trace of a kind of KINDS; sizes are the fields of SyntheticSettings.

    Raises HedgespecError for an unknown kind, or a number out of range.
    """
    settings = SyntheticSettings(*sizes, **named)
    if kind not in KINDS:
        raise HedgespecError(
            f"unknown kind {kind!r}; choose from {', '.join(KINDS)}" + did_you_mean(kind, KINDS)
        )
    seed, depths = settings.seed, settings.depths
    infos = [
        DrafterInfo(f"synthetic-{number}", SYNTHETIC, f"synthetic:{kind}", None, depths)
        for number in range(settings.drafters)
    ]
    manifest = Manifest(
        name=f"synthetic-{kind}",
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        target=TargetInfo("synthetic", "0" * 64, "0" * 64, _VOCABULARY),
        drafters=infos,
        sampling=SamplingInfo(1.0, 1.0, 0, seed, settings.tokens),
        draft_length=min(5, depths) if depths > 1 else 5,
        precision="compact",
        device="synthetic",
        dtype="none",
        queries=0,
        tokens=0,
        files={},
        versions={"hedgespec": __version__},
        recording={"synthetic": {"kind": kind, "seed": seed}},
    )
    writer = TraceWriter(folder, {"synthetic": kind, "seed": seed})
    return writer.write_whole(manifest, _queries(kind, settings), _tokens(kind, settings))


def _tokens(kind: str, settings: SyntheticSettings) -> Iterator[pl.DataFrame]:
    """The token tables of so many queries at a time as make a shard."""
    step = max(1, MAX_ROWS_PER_SHARD // settings.tokens)
    level: np.ndarray | None = None
    for first in range(0, settings.queries, step):
        numbers = np.arange(first, min(first + step, settings.queries))
        rng = np.random.default_rng([settings.seed, first] if first else settings.seed)
        if level is None:  # of each drafter, throughout
            level = rng.permutation(np.linspace(0.4, 0.75, settings.drafters))
        gamma = np.clip(_gamma(kind, numbers, settings, level, rng), 0, 1).astype(np.float32)
        yield _table(gamma, numbers, settings, rng)


def _gamma(
    kind: str,
    numbers: np.ndarray,
    settings: SyntheticSettings,
    level: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """Acceptance probabilities of some queries at the first depth, (their tokens, drafters)."""
    tokens, drafters = settings.tokens, settings.drafters
    count = len(numbers) * tokens
    if kind == "iid":
        return level + rng.normal(0, 0.15, (count, drafters))
    if kind == "correlated":
        stretches = rng.normal(0, 0.2, (count // _STRETCH + 1, 1)).repeat(_STRETCH, 0)[:count]
        return level + stretches + rng.normal(0, 0.1, (count, drafters))
    if kind == "switching":
        best = rng.integers(drafters, size=count // _STRETCH + 1).repeat(_STRETCH)[:count]
        return np.where(best[:, None] == np.arange(drafters), 0.8, 0.5)
    home = np.repeat(numbers % max(1, drafters - 1), tokens)
    gamma = np.where(home[:, None] == np.arange(drafters), _HOME, _AWAY)
    gamma[:, -1] = _ANYWHERE
    return gamma + rng.normal(0, 0.1, gamma.shape)


def _queries(kind: str, settings: SyntheticSettings) -> pl.DataFrame:
    queries, tokens, drafters = settings.queries, settings.tokens, settings.drafters
    domains = [
        f"domain-{number % max(1, drafters - 1)}" if kind == "domains" else kind
        for number in range(queries)
    ]
    return pl.DataFrame(
        {
            "query": range(queries),
            "query_id": [f"synthetic-{number}" for number in range(queries)],
            "source": ["synthetic"] * queries,
            "domain": domains,
            "prompt_sha256": ["0" * 64] * queries,
            "prompt_tokens": [1] * queries,
            "output_tokens": [tokens] * queries,
            "finish_reason": ["length"] * queries,
            "prompt_embedding": [[0.0]] * queries,
        },
        schema=QUERY_COLUMNS,
    )


def _table(
    gamma: np.ndarray, numbers: np.ndarray, settings: SyntheticSettings, rng: np.random.Generator
) -> pl.DataFrame:
    """The rows of some queries; drafts of later depths are accepted where the first is, or less."""
    count, tokens, depths = len(gamma), settings.tokens, settings.depths
    draws = rng.random(gamma.shape)
    columns: dict[str, object] = {
        "query": np.repeat(numbers, tokens),
        "position": np.arange(count) % tokens,
        "token": np.zeros(count, dtype=np.int64),
        "log_p": np.full(count, _LOG_P, dtype=np.float32),
    }
    match, p_top = np.zeros(count, dtype=bool), np.zeros(count, dtype=np.float32)
    for arm, depth in product(range(settings.drafters), range(1, depths + 1)):
        fading = round_probability(gamma[:, arm] * np.float32(_FADE ** (depth - 1)), "compact")
        accepted = draws[:, arm] < fading
        values = {
            "log_q": np.where(accepted, np.float32(_LOG_P), np.float32(-np.inf)),
            "gamma": fading,
            "match": match,
            "p_top": p_top,
        }
        columns |= {
            statistic_column(statistic, f"synthetic-{arm}", depth, depths): column
            for statistic, column in values.items()
        }
    return pl.DataFrame(columns, schema_overrides=TOKEN_COLUMNS)
