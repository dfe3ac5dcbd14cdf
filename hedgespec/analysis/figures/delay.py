"""Regret and MAT against feedback delay, evaluation interval, and by feedback setting."""

from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hedgespec.analysis.figures.style import (
    LINE,
    TWO_COLUMN,
    Claim,
    Drawing,
    End,
    Look,
    error_bars,
    finish,
    label_ends,
    looks,
    zero_line,
)
from hedgespec.analysis.study import Study
from hedgespec.results.labels import DELAYED, EVERY, QUEUED
from hedgespec.results.statistics import LEVEL, mat_estimate, mean_estimate

HEADING = "What does delay cost?"

DELAY, INTERVAL, SETTING = "rounds of delay", "evaluated every M-th round, M", "feedback setting"
MEASURES = {"regret": "rounds above the best\nfixed drafter, per query",
            "mat": "tokens per round (MAT)"}


def draw(study: Study) -> Iterator[Drawing]:
    """A figure for each trace on which a chosen learner ran with two feedback settings or more."""
    for trace in study.traces:
        data = _table(study, trace)
        if data.is_empty():
            continue
        kinds = [kind for kind in (DELAY, INTERVAL, SETTING)
                 if data.filter(pl.col("varied") == kind)["feedback"].n_unique() > 1]
        if kinds:
            data = data.filter(pl.col("varied").is_in(kinds))
            yield Drawing(
                f"delay-{trace}", f"Regret and MAT by feedback: {trace}",
                "No further delay, every round and queued are the same setting. Bars: "
                f"{LEVEL:.0%} bootstrap intervals over questions, not corrected. What the settings "
                "mean: docs/metrics.md.",
                _figure(data, trace, kinds, looks(study.drawn)), data, list(_claims(study, trace)))


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
        estimates = {"regret": mean_estimate(answers.regret[:, chosen], answers.question),
                     "mat": mat_estimate(answers.tokens, answers.rounds[:, chosen],
                                         answers.question)}
        rows += [{"trace": trace, "measure": measure, "varied": kind, "selector": name,
                  "feedback": feedback, "number": number, "queries": found.queries,
                  "value": found.value[i], "low": found.low[i], "high": found.high[i]}
                 for measure, found in estimates.items()
                 for i, feedback in enumerate(settings["feedback"])
                 for kind, number in _place(study.run.feedback[feedback])]
    return pl.DataFrame(rows, infer_schema_length=None)


def _figure(data: pl.DataFrame, trace: str, kinds: Sequence[str], look: dict[str, Look]) -> Figure:
    names = data["selector"].unique(maintain_order=True).to_list()
    figure = Figure(figsize=(TWO_COLUMN, 2 * max(2.1, 0.6 + LINE * len(names))),
                    layout="constrained")
    axes = figure.subplots(2, len(kinds), squeeze=False)
    ends: list[End] = []
    for row, measure in zip(axes, MEASURES, strict=True):
        for axis, kind in zip(row, kinds, strict=True):
            rows = data.filter(pl.col("measure") == measure, pl.col("varied") == kind)
            _panel(axis, rows, kind, {name: look[name] for name in names})
            axis.set_xlabel(kind if measure == "mat" else "")
        row[0].set_ylabel(MEASURES[measure])
        # The colours are the same in all panels of a row: one of them names the lines.
        last = data.filter(pl.col("measure") == measure, pl.col("varied") == kinds[-1])
        ends += _ends(row[-1], last, look)
    figure.suptitle(trace, x=0.01, ha="left", fontsize="medium")
    label_ends(figure, ends)
    return finish(figure)


def _panel(axis: Axes, rows: pl.DataFrame, kind: str, look: dict[str, Look]) -> None:
    settings = _settings(rows)
    for i, (name, style) in enumerate(look.items()):
        mine = rows.filter(pl.col("selector") == name).sort("number", maintain_order=True)
        x = mine["number"].to_numpy()
        if kind == SETTING:
            aside = (i - (len(look) - 1) / 2) * 0.5 / len(look)
            x = np.array([settings.index(name) for name in mine["feedback"]]) + aside
        error_bars(axis, x, mine, style, joined=kind != SETTING)
    if kind == SETTING:
        axis.set_xticks(range(len(settings)), settings, rotation=30, ha="right",
                        rotation_mode="anchor")
    else:
        numbers = sorted(set(rows["number"].to_list()))
        if kind == INTERVAL:
            axis.set_xscale("log", base=2)
        axis.set_xticks(numbers, [str(number) for number in numbers])
        axis.minorticks_off()
    if rows["measure"][0] == "regret":
        zero_line(axis)


def _settings(rows: pl.DataFrame) -> list[str]:
    names: list[str] = rows["feedback"].unique(maintain_order=True).to_list()
    return names


def _ends(axis: Axes, rows: pl.DataFrame, look: dict[str, Look]) -> list[End]:
    """The last point of each learner."""
    last = rows.sort("number", maintain_order=True).group_by("selector", maintain_order=True).last()
    return [End(axis, axis.get_xlim()[1], value, name, look[name].colour)
            for name, value in zip(last["selector"], last["value"], strict=True)]


def _claims(study: Study, trace: str) -> Iterator[Claim]:
    """What the longest delay and the longest interval cost the learner with the least regret."""
    answers = study.run.answers(trace)
    for name in study.columns(trace, study.learners):
        settings = study.varied(trace, name, "feedback")
        numbers = {place: column
                   for feedback, column in settings.select("feedback", "column").rows()
                   for place in _place(study.run.feedback[feedback])}
        if len(settings) < 2 or (DELAY, 0) not in numbers:
            continue
        for kind, wording in ((DELAY, "With losses that arrive {} rounds later {} needs"),
                              (INTERVAL, "Evaluated in one of {} rounds only, {} needs")):
            longest = max(place for place in numbers if place[0] == kind)
            if longest[1] < 2:
                continue
            more = mean_estimate(
                answers.regret[:, [numbers[longest]]] - answers.regret[:, [numbers[DELAY, 0]]],
                answers.question)
            yield Claim.of(wording.format(longest[1], name), ("more", "fewer"),
                           f"rounds per query on {trace}", more)
        return
