"""Made-up traces for stress and tests, labelled as such: no model was run.

A trace holds only acceptance statistics, so one can be drawn without any model. gamma is chosen,
and a, given the text, is 1 with probability gamma and else 0: its mean over texts is gamma, as it
must be. Tokens and argmax statistics mean nothing.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import numpy as np
import polars as pl

from hedgespec.errors import HedgespecError, arg, did_you_mean
from hedgespec.options import Option, check_ranges, seed_option
from hedgespec.traces.manifest import DrafterInfo, Manifest, SamplingInfo, TargetInfo
from hedgespec.traces.schema import (
    QUERY_COLUMNS,
    SYNTHETIC,
    TOKEN_COLUMNS,
    round_probability,
)
from hedgespec.traces.writer import TraceWriter
from hedgespec.version import __version__

KINDS = {
    "iid": "each drafter has an acceptance probability of its own, with noise",
    "correlated": "some tokens are easy for all drafters and some hard, in stretches",
    "switching": "another drafter is the best one in each stretch of 64 tokens",
    "domains": "an expert per domain, .82 at home and .62 away, and a generalist, .74 anywhere",
}
_STRETCH = 64
_MOST_VALUES = 10**9
# Each emitted token was as unlikely as this, so that any gamma goes with any a.
_LOG_P, _VOCABULARY = -9.0, 1 << 14
# An acceptance that gives the paper's mean accepted tokens with drafts of eight, by
# 1 + sum_k g^k: about 3.8 for an expert away, 4.8 for the generalist, 6 for an expert at home
# (arXiv 2510.20064, averages over Llama-3.1-8B's domains: 3.2 to 4.5, 5.69, 7 to 8.5 with trees).
_HOME, _AWAY, _ANYWHERE = 0.82, 0.62, 0.74


@dataclass(frozen=True)
class SyntheticSettings:
    """The size of a synthetic trace, and the seed that it is drawn with."""

    queries: Annotated[int, Option("answers", "Q", low=1)] = 50
    tokens: Annotated[int, Option("of each answer", "T", low=1)] = 500
    drafters: Annotated[int, Option("to choose from", "N", low=1)] = 8
    seed: Annotated[int, seed_option("of all that is drawn")] = 0

    def __post_init__(self) -> None:
        """Raises HedgespecError for a number out of range."""
        check_ranges(self)
        if self.queries * self.tokens * self.drafters > _MOST_VALUES:
            raise HedgespecError(f"{arg('queries')} times {arg('tokens')} times {arg('drafters')} "
                                 f"must be at most {_MOST_VALUES}: it would not fit in memory")


def write_synthetic(folder: Path, kind: str, *sizes: int, **named: int) -> Manifest:
    """Write a synthetic trace of a kind of KINDS; sizes are the fields of SyntheticSettings.

    Raises HedgespecError for an unknown kind, or a number out of range.
    """
    settings = SyntheticSettings(*sizes, **named)
    if kind not in KINDS:
        raise HedgespecError(f"unknown kind {kind!r}; choose from {', '.join(KINDS)}"
                             + did_you_mean(kind, KINDS))
    queries, tokens = settings.queries, settings.tokens
    drafters, seed = settings.drafters, settings.seed
    rng = np.random.default_rng(seed)
    gamma = _gamma(kind, queries, tokens, drafters, rng)
    gamma = round_probability(np.clip(gamma, 0, 1).astype(np.float32), "compact")
    names = [f"synthetic-{number}" for number in range(drafters)]
    writer = TraceWriter(folder, {"synthetic": kind, "seed": seed})
    writer.write_batch("all", _queries(kind, queries, tokens, drafters),
                       _tokens(gamma, names, tokens, rng))
    return writer.finish(Manifest(
        name=f"synthetic-{kind}", created=datetime.now(UTC).isoformat(timespec="seconds"),
        target=TargetInfo("synthetic", "0" * 64, "0" * 64, _VOCABULARY),
        drafters=[DrafterInfo(name, SYNTHETIC, f"synthetic:{kind}", None) for name in names],
        sampling=SamplingInfo(1.0, 1.0, 0, seed, tokens), draft_length=5, precision="compact",
        device="synthetic", dtype="none", queries=0, tokens=0, files={},
        versions={"hedgespec": __version__},
        recording={"synthetic": {"kind": kind, "seed": seed}},
    ))


def _gamma(kind: str, queries: int, tokens: int, drafters: int, rng: np.random.Generator
           ) -> np.ndarray:
    """Acceptance probabilities, shape (queries * tokens, drafters)."""
    count = queries * tokens
    level = rng.permutation(np.linspace(0.4, 0.75, drafters))
    if kind == "iid":
        return level + rng.normal(0, 0.15, (count, drafters))
    if kind == "correlated":
        stretches = rng.normal(0, 0.2, (count // _STRETCH + 1, 1)).repeat(_STRETCH, 0)[:count]
        return level + stretches + rng.normal(0, 0.1, (count, drafters))
    if kind == "switching":
        best = rng.integers(drafters, size=count // _STRETCH + 1).repeat(_STRETCH)[:count]
        return np.where(best[:, None] == np.arange(drafters), 0.8, 0.5)
    home = np.repeat(np.arange(queries) % max(1, drafters - 1), tokens)
    gamma = np.where(home[:, None] == np.arange(drafters), _HOME, _AWAY)
    gamma[:, -1] = _ANYWHERE
    return gamma + rng.normal(0, 0.1, gamma.shape)


def _queries(kind: str, queries: int, tokens: int, drafters: int) -> pl.DataFrame:
    domains = [f"domain-{number % max(1, drafters - 1)}" if kind == "domains" else kind
               for number in range(queries)]
    return pl.DataFrame({
        "query": range(queries),
        "query_id": [f"synthetic-{number}" for number in range(queries)],
        "source": ["synthetic"] * queries,
        "domain": domains,
        "prompt_sha256": ["0" * 64] * queries,
        "prompt_tokens": [1] * queries,
        "output_tokens": [tokens] * queries,
        "finish_reason": ["length"] * queries,
        "prompt_embedding": [[0.0]] * queries,
    }, schema=QUERY_COLUMNS)


def _tokens(gamma: np.ndarray, names: list[str], tokens: int, rng: np.random.Generator
            ) -> pl.DataFrame:
    count = len(gamma)
    accepted = rng.random(gamma.shape) < gamma
    columns: dict[str, object] = {
        "query": np.arange(count) // tokens,
        "position": np.arange(count) % tokens,
        "token": np.zeros(count, dtype=np.int64),
        "log_p": np.full(count, _LOG_P, dtype=np.float32),
    }
    log_q = np.where(accepted, np.float32(_LOG_P), np.float32(-np.inf))
    for arm, name in enumerate(names):
        columns[f"log_q/{name}"] = log_q[:, arm]
        columns[f"gamma/{name}"] = gamma[:, arm]
        columns[f"match/{name}"] = np.zeros(count, dtype=bool)
        columns[f"p_top/{name}"] = np.zeros(count, dtype=np.float32)
    return pl.DataFrame(columns, schema_overrides=TOKEN_COLUMNS)
