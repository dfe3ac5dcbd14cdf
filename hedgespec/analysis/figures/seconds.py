"""Tokens per second of the learners above a baseline selector's, and what evaluation takes."""

from collections.abc import Iterator

import numpy as np
import polars as pl

from hedgespec.analysis.figures import regret
from hedgespec.analysis.figures.style import Claim, Drawing, Panel, arm_label, claimed, marks
from hedgespec.analysis.study import Study
from hedgespec.results.labels import FIXED
from hedgespec.results.statistics import LEVEL, holm, mat_gain

HEADING = "And in seconds?"
NEEDS = "costs: measured with the trace, or given with hedgespec sim --costs"


def draw(study: Study) -> Iterator[Drawing]:
    """Regret in seconds per trace with costs."""
    return claimed(regret.draw_seconds(study), _claims(study))


def speed_drawing(study: Study, trace: str) -> Drawing | None:
    """Tokens per second above the baseline selector's; None without costs or baseline."""
    table = _table(study, trace)
    if table is None:
        return None
    base = arm_label(str(study.against).removeprefix(FIXED), 18)
    return Drawing(
        f"seconds-{trace}",
        f"Tokens per second above those of {study.against}: {trace}",
        f"Estimated from {study.run.whose_seconds([trace])}; the learner's own time is left out. "
        f"All queries of the trace pooled. {study.against_words(trace)}Behind a name: its tokens "
        "per second. Right: the part of its time that a learner needs to evaluate the other "
        f"drafters. Bars: {LEVEL:.0%} paired bootstrap intervals over questions. ▲ ▼: differs at "
        "5% after Holm's correction for the selectors of the panel.",
        [
            Panel(
                "forest",
                table.select(
                    pl.col("selector").alias("name"),
                    x="gain_percent",
                    low="low",
                    high="high",
                    sign=pl.Series(marks(table["gain_percent"], table["p_holm"])),
                    beside="evaluation_percent",
                    value=pl.col("tokens_per_second").round(1),
                ),
                f"tokens/s above {base}'s, %",
                title=study.sized(trace),
                zero=True,
                beside_label="evaluation,\n% of time",
                digits=0,
            )
        ],
        table,
        trace,
        "tokens/s",
    )


def _table(study: Study, trace: str) -> pl.DataFrame | None:
    """A row per learner, most tokens per second first; None without costs or baseline."""
    answers = study.run.answers(trace)
    chosen = study.beside_baseline(trace)
    if chosen is None or np.isnan(answers.seconds).any():
        return None
    seconds = answers.seconds[:, list(chosen.values())]
    evaluation = answers.evaluation_seconds[:, list(chosen.values())]
    found = mat_gain(seconds, seconds[:, 0], answers.question)
    return pl.DataFrame(
        {
            "trace": trace,
            "selector": list(chosen),
            "against": study.against,
            "queries": found.queries,
            "questions": found.questions,
            "tokens_per_second": answers.tokens.sum() / seconds.sum(axis=0),
            "gain_percent": found.value,
            "low": found.low,
            "high": found.high,
            "p": found.p,
            "p_holm": [
                float("nan"),
                *holm(found.p[1:]),
            ],  # the baseline is not tested against itself
            "evaluation_percent": 100 * evaluation.sum(axis=0) / seconds.sum(axis=0),
        }
    ).sort("tokens_per_second", descending=True, maintain_order=True)


def _claims(study: Study) -> Iterator[Claim]:
    """What becomes in seconds of the learners that the finding on regret compares, and why."""
    timed = [
        trace for trace in study.traces if not np.isnan(study.run.answers(trace).seconds).any()
    ]
    if not timed or (pair := study.full_and_bandit(trace := study.most_queries(timed))) is None:
        return
    answers = study.run.answers(trace)
    seconds, names = answers.seconds[:, list(pair)], answers.settings["selector"]
    evaluation = answers.evaluation_seconds[:, pair[0]]
    gain, without = (
        mat_gain(mine[:, None], seconds[:, 1], answers.question)
        for mine in (seconds[:, 0], seconds[:, 0] - evaluation)
    )
    link = ", although" if gain.value[0] > 0 else ", because" if without.value[0] > 0 else ";"
    share = evaluation.sum() / seconds[:, 0].sum()
    yield Claim.of(
        f"On {trace}, the tokens per second of {names[pair[0]]} are",
        ("above", "below"),
        f"those of {names[pair[1]]}{link} evaluating the other drafters takes {share:.0%} of its "
        f"time ({study.run.whose_seconds([trace])})",
        gain,
        digits=0,
        unit="%",
    )
