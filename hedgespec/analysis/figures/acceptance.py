"""MAT and gamma by drafter and domain, the learners' rows below the drafters'."""

from collections.abc import Iterator

import numpy as np
import polars as pl

from hedgespec.analysis.figures.style import Drawing, Panel
from hedgespec.analysis.results import of_all
from hedgespec.analysis.study import Study
from hedgespec.results.labels import FIXED
from hedgespec.results.statistics import LEVEL, SMALL, few, mat_estimate, mean_estimate

HEADING = "Which drafter suits which domain?"
NEEDS = "fixed drafters, which hedgespec sim runs unless --selectors leaves them out"

MEASURES = {
    "mat": ("acceptance", "Tokens per round (MAT)", "MAT", "Pooled over the queries of a domain."),
    "gamma": (
        "gamma",
        "Acceptance probability (gamma)",
        "gamma",
        "Mean over the tokens of an answer of the probability that a round's first draft "
        "token is accepted, then over queries. A selector's is that of its drafters, "
        "weighted by their rounds in the answer.",
    ),
}


def draw(study: Study) -> Iterator[Drawing]:
    """Two heat maps per trace that has fixed drafters."""
    for trace in study.traces:
        fixed = study.fixed(trace)
        if not fixed:
            continue
        names = [*fixed, *(name for name in study.drawn if name not in fixed)]
        data = _table(study, trace, tuple(names))
        for measure, (name, title, short, how) in MEASURES.items():
            yield Drawing(
                f"{name}-{trace}",
                f"{title} by drafter and domain: {trace}",
                f"{how} The number of a domain's questions stands behind its name (†: fewer "
                f"than {SMALL}). Framed: the drafter with the most in each domain. "
                "Above the gap one drafter for all rounds, below it selectors. "
                f"{LEVEL:.0%} bootstrap intervals over questions are in the data.",
                [
                    Panel(
                        "heat",
                        _cells(data, measure, fixed),
                        title=f"{short}, {study.sized(trace)}",
                        wide=True,
                    )
                ],
                data.select(
                    "trace",
                    "selector",
                    "domain",
                    "queries",
                    "questions",
                    pl.selectors.starts_with(measure),
                ),
                trace,
                short,
            )


def _table(study: Study, trace: str, names: tuple[str, ...]) -> pl.DataFrame:
    """A row per selector and domain, and per selector for all domains together."""
    answers = study.run.answers(trace)
    columns = study.columns(trace, names)
    rows = []
    for domain in [*answers.domains, None]:
        here = np.full(len(answers.domain), True) if domain is None else answers.domain == domain
        chosen = list(columns.values())
        asked = answers.question[here]
        found = {
            "mat": mat_estimate(answers.tokens[here], answers.rounds[here][:, chosen], asked),
            "gamma": mean_estimate(answers.gamma[here][:, chosen], asked),
        }
        rows += [
            {
                "trace": trace,
                "selector": name,
                "domain": domain,
                "queries": found["mat"].queries,
                "questions": found["mat"].questions,
                **{
                    f"{measure}{end}": values[i]
                    for measure, one in found.items()
                    for end, values in (("", one.value), ("_low", one.low), ("_high", one.high))
                },
            }
            for i, name in enumerate(columns)
        ]
    return pl.DataFrame(rows, infer_schema_length=None, schema_overrides={"domain": pl.String})


def _cells(data: pl.DataFrame, measure: str, fixed: tuple[str, ...]) -> pl.DataFrame:
    """Rows of a heat map, those of the `fixed` drafters first; the best of them are framed."""
    total = of_all(data["domain"].to_list())
    group = (~pl.col("selector").is_in(fixed)).cast(pl.Int8)
    best = pl.col(measure).rank("ordinal", descending=True).over("domain", group) == 1
    rows = data.with_columns(
        group=group,
        framed=best & (group == 0),
        column=pl.format(
            "{} ({}{})",
            pl.col("domain").fill_null(total),
            "questions",
            pl.col("questions").map_elements(few, pl.String),
        ),
    )
    return rows.select(
        pl.col("selector").str.strip_prefix(FIXED).alias("name"),
        "column",
        pl.col(measure).alias("y"),
        "framed",
        "group",
    )
