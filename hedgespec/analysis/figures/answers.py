"""Every answer as a point: what each learner gained in it, and what it lost."""

from collections.abc import Iterator

import polars as pl

from hedgespec.analysis.figures.style import Drawing, Panel
from hedgespec.analysis.study import Study

HEADING = "Which answers?"
NEEDS = "a selector to count gains from, and a learner beside it"


def draw(study: Study) -> Iterator[Drawing]:
    """A figure per trace that the baseline selector was run on."""
    for trace in study.traces:
        table = answers_table(study, trace)
        if table is not None:
            yield _drawing(study, trace, table)


def _drawing(study: Study, trace: str, table: pl.DataFrame) -> Drawing:
    place = pl.format("query {} ({}), {} tokens", "query_id", "domain", "tokens")
    return Drawing(
        f"answers-{trace}",
        f"Gain over {study.against} and regret of each answer: {trace}",
        "A point is an answer under a learner, in the mean over seeds. "
        f"{study.against_words(trace)}To the right: rounds lost to the best fixed drafter of the "
        f"answer; upwards: tokens per round gained over {study.against}. On the page a click on a "
        "point, or Enter, shows its answer round by round if that was kept, or says how to keep "
        "it. The worst answers of each learner are in a table.",
        [
            Panel(
                "dots",
                table.select(
                    pl.col("selector").alias("name"),
                    place.alias("label"),
                    x=pl.col("regret").round(1),
                    y=pl.col("gain_percent").round(1),
                    query="query_id",
                ),
                "rounds above the best fixed drafter",
                f"gain in MAT over {study.against}, %",
                study.sized(trace),
                zero=True,
            )
        ],
        table,
        trace,
    )


def answers_table(study: Study, trace: str) -> pl.DataFrame | None:
    """A row per learner and answer; None where there is nothing to compare."""
    answers, chosen = study.run.answers(trace), study.beside_baseline(trace)
    if chosen is None:
        return None
    base = answers.rounds[:, next(iter(chosen.values()))]
    return pl.concat(
        pl.DataFrame(
            {
                "trace": trace,
                "selector": name,
                "query_id": answers.query_id,
                "domain": answers.domain,
                "tokens": answers.tokens,
                "rounds": answers.rounds[:, column],
                "regret": answers.regret[:, column],
                "gain_percent": 100 * (base / answers.rounds[:, column] - 1),
            }
        )
        for name, column in chosen.items()
        if name != study.against
    )
