"""MAT of the learners above a baseline selector's, and tokens per second."""

from collections.abc import Iterator

import polars as pl

from hedgespec.analysis.figures.style import Claim, Drawing, arm_label, forests, looks
from hedgespec.analysis.overview import speed_note
from hedgespec.analysis.study import Study
from hedgespec.results.labels import FIXED
from hedgespec.results.statistics import LEVEL, holm, mat_difference, mat_gain

HEADING = "Which learner?"


def draw(study: Study) -> Iterator[Drawing]:
    """A panel per trace that the baseline selector was run on."""
    tables = [table for trace in study.traces if (table := _table(study, trace)) is not None]
    if tables:
        data = pl.concat(tables)
        base = arm_label(str(study.against).removeprefix(FIXED), 18)
        yield Drawing(
            "gains", f"MAT of the learners minus that of {study.against}",
            f"All queries of a trace pooled. Bars: {LEVEL:.0%} paired bootstrap intervals over "
            "questions. ▲ ▼: differs at 5% after Holm's correction for the selectors of the panel."
            f"{speed_note(study.run.whose_seconds(study.traces))}",
            forests(tables, looks(study.drawn), f"MAT minus {base}'s",
                    ("tokens_per_second", "tokens/s", 1)), data, list(_claims(study)))


def _table(study: Study, trace: str) -> pl.DataFrame | None:
    """A row per learner, highest MAT first; None where there is nothing to compare."""
    answers = study.run.answers(trace)
    columns = study.columns(trace, study.learners)
    base = study.columns(trace, (study.against,) if study.against else ())
    if not base or not columns:
        return None
    names = [study.against, *(name for name in columns if name != study.against)]
    chosen = [base[str(study.against)], *(columns[str(name)] for name in names[1:])]
    found = mat_difference(answers.tokens, answers.rounds[:, chosen], answers.rounds[:, chosen[0]],
                           answers.question)
    speed = answers.settings["tokens_per_second"].gather(chosen)
    return pl.DataFrame({
        "trace": trace, "selector": names, "against": study.against,
        "queries": found.queries, "questions": found.questions,
        "mat": answers.tokens.sum() / answers.rounds[:, chosen].sum(axis=0),
        "difference": found.value, "low": found.low, "high": found.high, "p": found.p,
        "p_holm": [float("nan"), *holm(found.p[1:])],  # the baseline is not tested against itself
        "tokens_per_second": speed,
    }).sort("mat", descending=True)


def _claims(study: Study) -> Iterator[Claim]:
    """The gain of the learner with the most tokens per round, on each trace."""
    for trace in study.traces:
        answers = study.run.answers(trace)
        learners = study.columns(trace, study.learners)
        base = study.columns(trace, (study.against,) if study.against else ())
        if not base or not learners:
            continue
        best = min(learners, key=lambda name: answers.rounds[:, learners[name]].sum())
        gain = mat_gain(answers.rounds[:, [learners[best]]],
                        answers.rounds[:, base[str(study.against)]], answers.question)
        yield Claim.of(f"{best} emits", ("more", "fewer"),
                       f"tokens per round than {study.against} on {trace}", gain, digits=0,
                       unit="%")
