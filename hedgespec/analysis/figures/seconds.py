"""Tokens per second of the learners above a baseline selector's, and what evaluation takes."""

from collections.abc import Iterator

import numpy as np
import polars as pl

from hedgespec.analysis.figures import regret
from hedgespec.analysis.figures.style import Claim, Drawing, arm_label, forests, looks
from hedgespec.analysis.study import Study
from hedgespec.results.labels import FIXED
from hedgespec.results.statistics import LEVEL, holm, mat_gain

HEADING = "And in seconds?"


def draw(study: Study) -> Iterator[Drawing]:
    """A panel per trace with costs that the baseline selector was run on; and regret in seconds."""
    tables = [table for trace in study.traces if (table := _table(study, trace)) is not None]
    if tables:
        data = pl.concat(tables)
        base = arm_label(str(study.against).removeprefix(FIXED), 18)
        shown = [table.rename({"gain_percent": "difference"}) for table in tables]
        yield Drawing(
            "seconds", f"Tokens per second above those of {study.against}",
            f"Estimated from {study.run.whose_seconds(study.traces)}; the learner's own time is "
            "left out. All queries of a trace pooled. Right: the part of its time that a learner "
            f"needs to evaluate the other drafters. Bars: {LEVEL:.0%} paired bootstrap intervals "
            "over questions. ▲ ▼: differs at 5% after Holm's correction for the selectors of the "
            "panel.",
            forests(shown, looks(study.drawn), f"tokens/s above\n{base}'s, %",
                    ("evaluation_percent", "evaluation,\n% of time", 0)),
            data, list(_claims(study)))
    yield from regret.draw_seconds(study)


def _table(study: Study, trace: str) -> pl.DataFrame | None:
    """A row per learner, most tokens per second first; None without costs or baseline."""
    answers = study.run.answers(trace)
    columns = study.columns(trace, study.learners)
    base = study.columns(trace, (study.against,) if study.against else ())
    if not base or not columns or np.isnan(answers.seconds).any():
        return None
    chosen = {**base, **columns}
    seconds = answers.seconds[:, list(chosen.values())]
    evaluation = answers.evaluation_seconds[:, list(chosen.values())]
    found = mat_gain(seconds, seconds[:, 0], answers.question)
    return pl.DataFrame({
        "trace": trace, "selector": list(chosen), "against": study.against,
        "queries": found.queries, "questions": found.questions,
        "tokens_per_second": answers.tokens.sum() / seconds.sum(axis=0),
        "gain_percent": found.value, "low": found.low, "high": found.high, "p": found.p,
        "p_holm": [float("nan"), *holm(found.p[1:])],  # the baseline is not tested against itself
        "evaluation_percent": 100 * evaluation.sum(axis=0) / seconds.sum(axis=0),
    }).sort("tokens_per_second", descending=True, maintain_order=True)


def _claims(study: Study) -> Iterator[Claim]:
    """What becomes in seconds of the learners that the finding on regret compares, and why."""
    timed = [trace for trace in study.traces
             if not np.isnan(study.run.answers(trace).seconds).any()]
    if not timed or (pair := study.full_and_bandit(trace := study.most_queries(timed))) is None:
        return
    answers = study.run.answers(trace)
    seconds, names = answers.seconds[:, list(pair)], answers.settings["selector"]
    evaluation = answers.evaluation_seconds[:, pair[0]]
    gain, without = (mat_gain(mine[:, None], seconds[:, 1], answers.question)
                     for mine in (seconds[:, 0], seconds[:, 0] - evaluation))
    link = ", although" if gain.value[0] > 0 else ", because" if without.value[0] > 0 else ";"
    share = evaluation.sum() / seconds[:, 0].sum()
    yield Claim.of(
        f"On {trace}, the tokens per second of {names[pair[0]]} are", ("above", "below"),
        f"those of {names[pair[1]]}{link} evaluating the other drafters takes {share:.0%} of its "
        f"time ({study.run.whose_seconds([trace])})", gain, digits=0, unit="%")
