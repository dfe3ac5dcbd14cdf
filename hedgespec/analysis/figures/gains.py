"""Tokens per second, MAT, rounds and regret of the learners beside a baseline selector's."""

from collections.abc import Callable, Iterator

import numpy as np
import polars as pl

from hedgespec.analysis.figures import seconds
from hedgespec.analysis.figures.style import Claim, Drawing, Panel, arm_label, claimed, marks
from hedgespec.analysis.results import QueryResults
from hedgespec.analysis.study import Study
from hedgespec.results.labels import FIXED
from hedgespec.results.statistics import (
    LEVEL,
    Estimate,
    holm,
    mat_difference,
    mat_gain,
    mean_estimate,
)

HEADING = "Which learner?"
NEEDS = (
    "a selector to count gains from, and a learner beside it: hedgespec sim --selectors "
    "default, or --against"
)

MARKED = "▲ ▼: differs at 5% after Holm's correction for the selectors of the panel."


def draw(study: Study) -> Iterator[Drawing]:
    """Figures per trace that the baseline selector was run on."""
    return claimed(_drawings(study), _claims(study))


def _drawings(study: Study) -> Iterator[Drawing]:
    for trace in study.traces:
        timed = seconds.speed_drawing(study, trace)
        if timed is not None:
            yield timed
        for measure, compare in (("MAT", _mat), ("rounds", _rounds), ("regret", _regret)):
            table = _table(study, trace, measure.lower(), compare)
            if table is not None:
                yield _drawing(study, trace, measure, table)


def _drawing(study: Study, trace: str, measure: str, table: pl.DataFrame) -> Drawing:
    base = arm_label(str(study.against).removeprefix(FIXED), 18)
    unit = {"MAT": "MAT", "rounds": "rounds per query", "regret": "regret per query"}[measure]
    return Drawing(
        f"gains-{trace}" if measure == "MAT" else f"gains-{measure.lower()}-{trace}",
        f"{measure} of the learners minus that of {study.against}: {trace}",
        f"All queries of the trace. {study.against_words(trace)}Bars: {LEVEL:.0%} paired "
        f"bootstrap intervals over questions. {MARKED}",
        [
            Panel(
                "forest",
                table.select(
                    name="selector",
                    x="difference",
                    low="low",
                    high="high",
                    sign=pl.Series(marks(table["difference"], table["p_holm"])),
                    beside=measure.lower(),
                ),
                f"{unit}, minus {base}'s",
                title=study.sized(trace),
                zero=True,
                beside_label=unit,
                digits=2 if measure == "MAT" else 1,
            )
        ],
        table,
        trace,
        measure,
    )


def _mat(answers: QueryResults, chosen: list[int]) -> tuple[np.ndarray, Estimate]:
    rounds = answers.rounds[:, chosen]
    return answers.tokens.sum() / rounds.sum(axis=0), mat_difference(
        answers.tokens, rounds, rounds[:, 0], answers.question
    )


def _rounds(answers: QueryResults, chosen: list[int]) -> tuple[np.ndarray, Estimate]:
    return _means(answers.rounds[:, chosen], answers.question)


def _regret(answers: QueryResults, chosen: list[int]) -> tuple[np.ndarray, Estimate]:
    return _means(answers.regret[:, chosen], answers.question)


def _means(values: np.ndarray, question: np.ndarray) -> tuple[np.ndarray, Estimate]:
    """Means over queries of `values` (Q, S), and their differences to the first."""
    return values.mean(axis=0), mean_estimate(values - values[:, :1], question)


def _table(
    study: Study,
    trace: str,
    measure: str,
    compare: Callable[[QueryResults, list[int]], tuple[np.ndarray, Estimate]],
) -> pl.DataFrame | None:
    """A row per learner, highest MAT first; None where there is nothing to compare.

    `compare` takes the columns of the baseline and the learners, and gives their values and their
    differences to the first.
    """
    answers = study.run.answers(trace)
    chosen = study.beside_baseline(trace)
    if chosen is None:
        return None
    columns = list(chosen.values())
    value, found = compare(answers, columns)
    return (
        pl.DataFrame(
            {
                "trace": trace,
                "selector": list(chosen),
                "against": study.against,
                "queries": found.queries,
                "questions": found.questions,
                measure: value,
                "difference": found.value,
                "low": found.low,
                "high": found.high,
                "p": found.p,
                "p_holm": [
                    float("nan"),
                    *holm(found.p[1:]),
                ],  # the baseline is not tested against itself
                "all_rounds": answers.rounds[:, columns].sum(axis=0),
            }
        )
        .sort("all_rounds", maintain_order=True)
        .drop("all_rounds")
    )


def _claims(study: Study) -> Iterator[Claim]:
    """The gain of the learner with the most tokens per round, on each trace."""
    for trace in study.traces:
        answers = study.run.answers(trace)
        learners = study.columns(trace, study.learners)
        base = study.columns(trace, (study.against,) if study.against else ())
        if not base or not learners:
            continue
        best = min(learners, key=lambda name: answers.rounds[:, learners[name]].sum())
        gain = mat_gain(
            answers.rounds[:, [learners[best]]],
            answers.rounds[:, base[str(study.against)]],
            answers.question,
        )
        yield Claim.of(
            f"{best} emits",
            ("more", "fewer"),
            f"tokens per round than {study.against} on {trace}",
            gain,
            digits=0,
            unit="%",
        )
