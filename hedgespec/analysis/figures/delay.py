"""Regret and MAT against feedback delay, evaluation interval, and by feedback setting."""

from collections.abc import Iterator

import polars as pl

from hedgespec.analysis.figures.style import Claim, Drawing, Panel
from hedgespec.analysis.study import Study
from hedgespec.results.labels import DELAYED, EVERY, QUEUED
from hedgespec.results.statistics import LEVEL, mat_estimate, mean_estimate

HEADING = "What does delay cost?"
NEEDS = "a learner under two feedback settings or more: hedgespec sim --feedback"

DELAY, INTERVAL, SETTING = "rounds of delay", "evaluated every M-th round, M", "feedback setting"
MEASURES = {
    "regret": "rounds above the best\nfixed drafter, per query",
    "MAT": "tokens per round (MAT)",
}


def draw(study: Study) -> Iterator[Drawing]:
    """Figures for each trace on which a chosen learner ran with two feedback settings or more."""
    for trace in study.traces:
        data = _table(study, trace)
        if data.is_empty():
            continue
        kinds = [
            kind
            for kind in (DELAY, INTERVAL, SETTING)
            if data.filter(pl.col("varied") == kind)["feedback"].n_unique() > 1
        ]
        claims = list(_claims(study, trace))
        for measure in MEASURES if kinds else ():
            rows = data.filter(pl.col("varied").is_in(kinds), pl.col("measure") == measure)
            yield Drawing(
                f"delay-{measure.lower()}-{trace}",
                f"{measure} by feedback: {trace}",
                "No further delay, every round and queued are the same setting; the others are "
                f"in the words below. Bars: {LEVEL:.0%} bootstrap intervals over questions, not "
                "corrected.",
                [
                    _panel(rows.filter(pl.col("varied") == kind), kind, measure, study.sized(trace))
                    for kind in kinds
                ],
                rows,
                trace,
                measure,
                claims,
            )
            claims = []  # each is made once


def _place(terms: dict[str, str]) -> list[tuple[str, int]]:
    """The panels that a feedback setting, by its terms, belongs to, and its number there."""
    if terms == {QUEUED: ""}:
        return [(DELAY, 0), (INTERVAL, 1), (SETTING, 0)]
    for kind, name in ((DELAY, DELAYED), (INTERVAL, EVERY)):
        if terms.keys() == {name}:
            return [(kind, int(terms[name]))]
    return [] if terms.keys() & {DELAYED, EVERY} else [(SETTING, 1)]


def _table(study: Study, trace: str) -> pl.DataFrame:
    """A row per measure, learner, panel and feedback setting."""
    answers = study.run.answers(trace)
    rows = []
    for name in study.columns(trace, study.learners):
        settings = study.varied(trace, name, "feedback")
        if len(settings) < 2:
            continue
        chosen = settings["column"].to_list()
        estimates = {
            "regret": mean_estimate(answers.regret[:, chosen], answers.question),
            "MAT": mat_estimate(answers.tokens, answers.rounds[:, chosen], answers.question),
        }
        rows += [
            {
                "trace": trace,
                "measure": measure,
                "varied": kind,
                "selector": name,
                "feedback": feedback,
                "number": number,
                "queries": found.queries,
                "value": found.value[i],
                "low": found.low[i],
                "high": found.high[i],
            }
            for measure, found in estimates.items()
            for i, feedback in enumerate(settings["feedback"])
            for kind, number in _place(study.run.feedback[feedback])
        ]
    return pl.DataFrame(rows, infer_schema_length=None)


def _panel(rows: pl.DataFrame, kind: str, measure: str, title: str) -> Panel:
    """A line per learner over numbers; over names of settings, points side by side."""
    rows = rows.sort("number", maintain_order=True)
    named = kind == SETTING
    settings = rows["feedback"].unique(maintain_order=True).to_list()
    places = {name: float(i) for i, name in enumerate(settings)}
    names = rows["selector"].unique(maintain_order=True).to_list()
    aside = {name: (i - (len(names) - 1) / 2) * 0.5 / len(names) for i, name in enumerate(names)}
    x = (
        pl.col("feedback").replace_strict(places) + pl.col("selector").replace_strict(aside)
        if named
        else pl.col("number")
    )
    numbers = sorted(set(rows["number"].to_list()))
    return Panel(
        "apart" if named else "points",
        rows.select(pl.col("selector").alias("name"), x=x, y="value", low="low", high="high"),
        kind,
        MEASURES[measure],
        title,
        "log2" if kind == INTERVAL else "linear",
        [(places[name], name) for name in settings]
        if named
        else [(number, str(number)) for number in numbers],
        zero=measure == "regret",
    )


def _claims(study: Study, trace: str) -> Iterator[Claim]:
    """What the longest delay and the longest interval cost the learner with the least regret."""
    answers = study.run.answers(trace)
    for name in study.columns(trace, study.learners):
        settings = study.varied(trace, name, "feedback")
        numbers = {
            place: column
            for feedback, column in settings.select("feedback", "column").rows()
            for place in _place(study.run.feedback[feedback])
        }
        if len(settings) < 2 or (DELAY, 0) not in numbers:
            continue
        for kind, wording in (
            (DELAY, "With losses that arrive {} rounds later {} needs"),
            (INTERVAL, "Evaluated in one of {} rounds only, {} needs"),
        ):
            longest = max(place for place in numbers if place[0] == kind)
            if longest[1] < 2:
                continue
            more = mean_estimate(
                answers.regret[:, [numbers[longest]]] - answers.regret[:, [numbers[DELAY, 0]]],
                answers.question,
            )
            yield Claim.of(
                wording.format(longest[1], name),
                ("more", "fewer"),
                f"rounds per query on {trace}",
                more,
            )
        return
