"""Rounds until the best drafter holds half of the weight, as a distribution over queries."""

from collections.abc import Iterator

import numpy as np
import polars as pl

from hedgespec.analysis.figures.style import Claim, Drawing, Panel, claimed
from hedgespec.analysis.study import Study
from hedgespec.results.labels import CHOSEN, HINDSIGHT, NONE, PROMPT
from hedgespec.results.statistics import LEVEL, SMALL, few, mean_estimate

HEADING = "How soon is the best drafter found?"
NEEDS = "a learner among those drawn, and answers long enough to find the best drafter in"

POINTS = 48
CHECKED = 32  # rounds, of the finding


def draw(study: Study) -> Iterator[Drawing]:
    """A figure per trace on which a chosen learner ran."""
    drawings = [
        _drawing(study, trace, table)
        for trace in study.traces
        if not (table := _table(study, trace)).is_empty()
    ]
    return claimed(drawings, _claims(study))


def _drawing(study: Study, trace: str, table: pl.DataFrame) -> Drawing:
    return Drawing(
        f"adoption-{trace}",
        f"Rounds until the best drafter holds half of the weight: {trace}",
        "Share of answers in which, by then, the best fixed drafter of the answer has had half "
        "of ten rounds in a row (where exact, in expectation). What is missing to 100% had "
        f"not found it when the answer ended. Bands: {LEVEL:.0%} bootstrap intervals over "
        f"questions, not corrected; traces of fewer than {SMALL} questions are marked †.",
        [
            Panel(
                "step",
                table.select(
                    name="selector", x="rounds", y="share_percent", low="low", high="high"
                ),
                "rounds",
                "answers whose best drafter\nholds half of the weight, %",
                study.sized(trace) + few(table["questions"][0]),
                "log2",
                _ticks(table["rounds"].to_numpy()),
                y_range=(0, 101),
            )
        ],
        table,
        trace,
    )


def _learners(study: Study, trace: str) -> dict[str, int]:
    """Columns of the chosen learners that learn."""
    feedback = study.run.answers(trace).settings["feedback"]
    return {
        name: column
        for name, column in study.columns(trace, study.learners).items()
        if feedback[column] not in (HINDSIGHT, PROMPT, NONE)
    }


def _found(study: Study, trace: str, column: int, rounds: np.ndarray) -> np.ndarray:
    """Share of the seeds that have found the best drafter by `rounds` (R), (Q, R)."""
    until = study.run.until_best(trace, column)
    found: np.ndarray = (until[:, :, None] <= rounds).mean(axis=1)
    return found


def _table(study: Study, trace: str) -> pl.DataFrame:
    """A row per learner and number of rounds."""
    learners = _learners(study, trace)
    asked = study.run.answers(trace).question
    until = [study.run.until_best(trace, column) for column in learners.values()]
    ever = [values[~np.isnan(values)] for values in until]
    last = max((values.max() for values in ever if len(values)), default=0.0)
    if last == 0:
        return pl.DataFrame()
    first = min(values.min() for values in ever if len(values))
    rounds = np.unique(np.geomspace(np.floor(first), np.ceil(last) + 1, POINTS).round())
    parts = []
    for name, column in learners.items():
        share = mean_estimate(_found(study, trace, column, rounds), asked)
        parts.append(
            pl.DataFrame(
                {
                    "trace": trace,
                    "selector": name,
                    "queries": share.queries,
                    "questions": share.questions,
                    "rounds": rounds,
                    "share_percent": 100 * share.value,
                    "low": 100 * share.low,
                    "high": 100 * share.high,
                }
            )
        )
    return pl.concat(parts)


def _ticks(rounds: np.ndarray) -> list[tuple[float, str]]:
    """Powers of two where there are two or more, else both ends."""
    powers = [2**i for i in range(20) if rounds[0] <= 2**i <= rounds.max()]
    ends = powers if len(powers) > 1 else [int(rounds[0]), int(rounds.max())]
    return [(tick, str(tick)) for tick in ends]


def _claims(study: Study) -> Iterator[Claim]:
    """The learner that has found most against the bandit that has, of those drawn."""
    trace = study.most_queries(study.traces)
    answers = study.run.answers(trace)
    feedback = answers.settings["feedback"]
    columns = _learners(study, trace)
    found = {name: _by_then(study, trace, column) for name, column in columns.items()}
    bandits = [name for name in columns if feedback[columns[name]] == CHOSEN]
    full = [name for name in columns if name not in bandits]
    if bandits and full:
        best, bandit = (
            max(group, key=lambda name: found[name].mean()) for group in (full, bandits)
        )
        most = max(_by_then(study, trace, column).mean() for column in study.bandits(trace))
        first = ", the first of the bandits" * bool(found[bandit].mean() == most)
        yield Claim.of(
            f"The share of answers of {trace} whose best drafter holds half of the weight within "
            f"{CHECKED} rounds is",
            ("percentage points higher", "percentage points lower"),
            f"with {best} than with {bandit}{first}",
            mean_estimate(found[best] - found[bandit], answers.question),
            digits=0,
        )


def _by_then(study: Study, trace: str, column: int) -> np.ndarray:
    """Percent of the seeds that have found the best drafter by then, (Q, 1)."""
    return 100 * _found(study, trace, column, np.array([CHECKED]))
