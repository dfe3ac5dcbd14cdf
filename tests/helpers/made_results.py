"""Results as `hedgespec sim` writes them, made up for the tests of reports."""

from pathlib import Path

import numpy as np
import polars as pl

from hedgespec.results.keys import SETTING
from hedgespec.results.labels import CENSORED, default_loss
from hedgespec.results.schema import ANSWER, CURVES, PER_QUERY, SUMMARY
from hedgespec.results.store import Results, save_results

DRAFTERS = 3
COSTS = {
    "name": "own",
    "batch": 1,
    "device": "A GPU",
    "dtype": "bfloat16",
    "evaluation": "one by one",
}
ROUND, EVALUATION = 0.05, 0.025  # seconds
FULL = "the default"  # the loss of full-information learners


def make_results(
    folder: Path,
    learners: int = 3,
    domains: int = 3,
    queries: int = 24,
    faster: float = 1.0,
    digest: str = "0" * 64,
    traces: tuple[str, ...] = ("mix",),
    drafters: int = DRAFTERS,
    arms: str = "",
) -> Path:
    """Results as `hedgespec sim` writes them: fixed drafters, learners, a router, pools, delays.

    The learners' rounds are divided by `faster`. With `arms`, as "all@tree all*3", these are chosen
    between.
    """
    rng = np.random.default_rng(1)
    tokens = rng.integers(20, 500, queries)
    domain = [f"domain-{i % domains}" for i in range(queries)]
    parts, curves, shown = [], [], []
    names = [
        f"drafter-{i}{arm.removeprefix('all')}" for arm in arms.split(" ") for i in range(drafters)
    ]

    def add(
        trace: str,
        selector: str,
        feedback: str,
        loss: str,
        seeds: list[int | None],
        rounds: np.ndarray,
    ) -> None:
        best = tokens / 3
        learns = loss == FULL
        loss = default_loss(feedback == CENSORED, trace in traces) if learns else loss
        for seed in seeds:
            noise = 0 if seed is None else rng.normal(0, 1, queries)
            mine = rounds + noise
            costs = np.nan if trace not in traces else 1.0  # pools of other sizes have none
            evaluation = costs * mine * EVALUATION * learns
            evaluations = (
                mine
                * learns
                / int(feedback.removeprefix("every:") if feedback.startswith("every:") else 1)
            )
            parts.append(
                pl.DataFrame(
                    {
                        "trace": trace,
                        "selector": selector,
                        "feedback": feedback,
                        "loss": loss,
                        "draft_length": 5,
                        "arm_lengths": arms,
                        "carry": None,
                        "rule": "sampling",
                        "mode": "exact" if seed is None else "replayed",
                        "costs": "own" if trace in traces else "",
                        "batch": 1,
                        "seed": seed,
                        "query": range(queries),
                        "query_id": [f"q{i}" for i in range(queries)],
                        "domain": domain,
                        "tokens": tokens,
                        "rounds": mine,
                        "mat": tokens / mine,
                        "regret_rounds": mine - best,
                        "evaluations": evaluations,
                        "seconds": costs * mine * ROUND + evaluation,
                        "evaluation_seconds": evaluation,
                        "gamma": np.clip(tokens / mine / 4, 0, 1),
                        "rounds_until_best": np.where(mine < 120, 10 + mine / 4, np.nan),
                        **{f"rounds/{name}": mine / len(names) for name in names},
                        "token_regret": mine - best,
                        "length_regret": mine - best,
                    },
                    schema_overrides={"carry": pl.Int64, "seed": pl.Int32, "batch": pl.Int32},
                    nan_to_null=True,
                )
            )
        slope = float((rounds - best).mean()) / 10
        curves.append(
            parts[-1]
            .select(SETTING)
            .head(1)
            .join(
                pl.DataFrame(
                    {
                        "position": range(0, 110, 10),
                        "rounds": [(3.5 + slope / 10) * i for i in range(11)],
                        "regret_rounds": [slope * i for i in range(11)],
                        "low": [slope * i - 0.3 * i for i in range(11)],
                        "high": [slope * i + 0.3 * i for i in range(11)],
                        "seconds": [(0.07 + slope / 100) * i for i in range(11)],
                        "regret_seconds": [slope * i / 20 for i in range(11)],
                        "seconds_low": [slope * i / 20 - 0.02 * i for i in range(11)],
                        "seconds_high": [slope * i / 20 + 0.02 * i for i in range(11)],
                    }
                ),
                how="cross",
            )
        )
        shown.append(
            curves[-1]
            .select(SETTING)
            .head(1)
            .join(
                made_answer(names, selector, seeds == [None] and feedback == "queued"), how="cross"
            )
        )

    for trace in traces:
        for i, name in enumerate(names):
            add(
                trace,
                f"fixed:{name}",
                "none",
                "none",
                [None],
                tokens / (1.4 + 0.3 * i + rng.random(queries)),
            )
        add(trace, "best-single", "hindsight", "none", [None], tokens / 2.1)
        add(trace, "router", "prompt", "none", [None], tokens / (2 + rng.random(queries)))
        for i in range(learners):
            speed = faster * (2.9 - 0.03 * i + 0.2 * rng.random(queries))
            bandit = i % 2 == 1
            add(
                trace,
                f"learner-{i:02}",
                "chosen" if bandit else "queued",
                "emitted" if bandit else FULL,
                [0, 1] if bandit else [None],
                tokens / speed,
            )
            for late, feedback in enumerate(
                () if bandit else ("rounds:2", "rounds:8", "every:4", "censored", "bold"), 1
            ):
                add(trace, f"learner-{i:02}", feedback, FULL, [0, 1], tokens / (speed - 0.1 * late))
            for size in (2, 16):
                add(
                    f"{trace}.n{size}",
                    f"learner-{i:02}",
                    "chosen" if bandit else "queued",
                    "emitted" if bandit else FULL,
                    [None],
                    tokens / (speed - 0.003 * i * size),
                )
    per_query = pl.concat(parts)
    totals = per_query.group_by(*SETTING, "seed", maintain_order=True).agg(
        pl.len().alias("queries"),
        pl.col("tokens", "rounds", "regret_rounds", "evaluations").sum(),
        pl.col("mat").mean().alias("mat_per_query"),
        pl.when(pl.col("seconds").is_not_null().all()).then(pl.col("seconds").sum()),
    )
    summary = totals.with_columns(
        mat=pl.col("tokens") / pl.col("rounds"),
        rounds_sd=None,
        rounds_per_second=1e6,
        acceptance_rate=None,
        accepted_at=None,
        accepted_given=None,
        tokens_per_second_low=None,
        tokens_per_second_high=None,
        runnable=pl.col("feedback") != "hindsight",
        tokens_per_second=pl.col("tokens") / pl.col("seconds"),
    )
    of_drafter = pl.when(pl.col("selector").str.starts_with("fixed:"))
    summary = summary.with_columns(  # the higher MAT, the lower EAL: losses mislead
        eal=of_drafter.then(4 - pl.col("mat")),
        seconds_per_token=of_drafter.then(pl.col("seconds") / pl.col("tokens")),
    )
    save_results(
        folder,
        Results(
            SUMMARY.shaped(summary),
            PER_QUERY.shaped(per_query),
            CURVES.shaped(pl.concat(curves)),
            ANSWER.shaped(pl.concat(shown, how="diagonal")),
            {
                "complete": True,
                "command": ["hedgespec", "sim"],
                "created": "2026-01-01",
                "traces": [
                    {"name": name, "manifest_sha256": digest, "target": "a-model", "costs": [COSTS]}
                    for name in traces
                ],
                "settings": [],
                "versions": {"hedgespec": "0"},
            },
        ),
    )
    return folder


def made_answer(names: list[str], selector: str, weighed: bool) -> pl.DataFrame:
    """An answer of 200 tokens in whose middle another drafter becomes the best."""
    rng, length = np.random.default_rng(2), 200
    position = np.arange(length)
    late = 1 / (1 + np.exp((110 - position) / 8))  # weight of the last drafter
    share = np.stack([1 - late, *[0 * late] * (len(names) - 2), late], axis=1)[:, -len(names) :]
    share = 0.7 * share / share.sum(axis=1, keepdims=True) + 0.3 / len(names)
    number = np.cumsum(rng.random(length) < 0.4)
    arm = np.array([rng.choice(len(names), p=share[np.argmax(number == one)]) for one in number])
    if selector.startswith("fixed:"):
        arm[:] = names.index(selector.removeprefix("fixed:"))
    gamma = np.clip(share[position, arm] + rng.normal(0, 0.2, length), 0, 1)
    return pl.DataFrame(
        {
            "query": 3,
            "query_id": "q3",
            "domain": "domain-0",
            "position": position,
            "token": rng.integers(0, 50_000, length),
            "round": number,
            "drafter": [names[i] for i in arm],
            "gamma": gamma,
            **({f"weight/{name}": share[:, i] for i, name in enumerate(names)} if weighed else {}),
        }
    )
