"""The tables of a report: cells to show, and the numbers behind them."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl

from hedgespec.analysis.comparison import METRICS, Comparison
from hedgespec.analysis.figures.answers import answers_table
from hedgespec.analysis.figures.style import mark
from hedgespec.analysis.overview import speed_note
from hedgespec.analysis.results import ResultSet, of_all
from hedgespec.analysis.study import Study
from hedgespec.results.keys import SETTING
from hedgespec.results.markdown import markdown
from hedgespec.results.overview import disagreements, rate_text
from hedgespec.results.statistics import (
    LEVEL,
    SMALL,
    few,
    holm,
    mat_difference,
    mat_estimate,
    mean_estimate,
)

USUAL = "usual"
WORST = 5  # answers of a learner
MOST_ANSWERS = 30  # that became worse are shown; the file holds all
DIGITS = {"rounds": 1, "MAT": 3, "tokens/s": 1, "regret": 1}


@dataclass(frozen=True)
class Cell:
    """What a table shows at one place: text, what it is sorted by, a remark, a bar's length 0..1."""

    text: str
    value: float | str
    remark: str = ""
    bar: float | None = None


@dataclass(frozen=True)
class ReportTable:
    """A table: `name` for files and links, a header and cells per column, the numbers in `data`.

    One of a single `trace` is shown with it.
    """

    name: str
    title: str
    note: str
    header: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    data: pl.DataFrame
    trace: str = ""

    def markdown(self) -> str:
        """The table in Markdown, numbers to the right."""
        first = self.rows[0] if self.rows else []
        return markdown(
            self.header,
            [[f"{cell.text} {cell.remark}".strip() for cell in row] for row in self.rows],
            [number for number, cell in enumerate(first) if isinstance(cell.value, str)],
        )


def domain_tables(study: Study) -> Iterator[ReportTable]:
    """MAT by domain and selector, a table per trace."""
    for trace in study.traces:
        data = _by_domain(study, trace)
        rows = []
        for (selector,), mine in data.group_by("selector", maintain_order=True):
            cells = [Cell(str(selector), str(selector)), Cell(mine["how"][0], mine["how"][0])]
            cells += [_difference_cell(row) for row in mine.iter_rows(named=True)]
            speed = mine["tokens_per_second"][0]
            rows.append([*cells, _rate(speed)])
        rows.sort(key=lambda row: row[-2].value, reverse=True)
        sizes = data.group_by("domain", maintain_order=True).agg(pl.col("questions").first())
        total = of_all(sizes["domain"].to_list())
        counts = [f"{name or total} ({count}{few(count)})" for name, count in sizes.iter_rows()]
        yield ReportTable(
            f"mat-by-domain-{trace}",
            f"MAT by domain: {trace}",
            _domain_note(study, data) + speed_note(study.run.whose_seconds([trace])),
            ["selector", "numbers", *counts, "tokens/s"],
            rows,
            data,
            trace,
        )


def overview_table(data: pl.DataFrame, whose_seconds: str) -> ReportTable:
    """Every setting that was run, with MAT, regret and speed, from its `settings_data`.

    `whose_seconds` says whose costs the tokens per second are estimated from; empty without.
    """
    most = {
        name: float(data[name].fill_null(0).max() or 1)  # type: ignore[arg-type]
        for name in ("mat", "regret", "tokens_per_second")
    }
    rows = []
    for row in data.iter_rows(named=True):
        texts = [row["trace"], row["label"], row["how"]]
        rows.append(
            [
                *(Cell(text, text) for text in texts),
                Cell(f"{row['questions']}{few(row['questions'])}", row["questions"]),
                Cell(
                    f"{row['mat']:.2f}",
                    row["mat"],
                    _span(row, "mat", "{:.2f}"),
                    row["mat"] / most["mat"],
                ),
                Cell(
                    f"{row['regret']:+.1f}",
                    row["regret"],
                    _span(row, "regret", "{:+.1f}"),
                    max(0.0, row["regret"] / most["regret"]) if most["regret"] > 0 else 0.0,
                ),
                _speed(row, most["tokens_per_second"]),
            ]
        )
    return ReportTable(
        "settings",
        "All learners and settings",
        f"MAT pools all queries; regret is in rounds per query. In brackets: {LEVEL:.0%} bootstrap "
        f"intervals over questions, not corrected. {_number_note(data)}"
        f"{speed_note(whose_seconds)}{_spread_note(data)}",
        ["trace", "selector", "numbers", "questions", "MAT", "regret", "tokens/s"],
        rows,
        data,
    )


def drafter_table(run: ResultSet) -> ReportTable | None:
    """What losses say of each drafter on average, beside what comes of it; None without drafters."""
    data = run.settings.filter(pl.col("eal").is_not_null()).select(
        "trace", "label", "queries", "mat", "eal", "tokens_per_second", "seconds_per_token"
    )
    if data.is_empty():
        return None
    rows = [
        [
            Cell(row["trace"], row["trace"]),
            Cell(row["label"], row["label"]),
            _number(row["queries"], 0),
            _number(row["mat"], 2),
            _number(row["eal"], 2),
            _rate(row["tokens_per_second"]),
            _rate(row["seconds_per_token"] and 1 / row["seconds_per_token"]),
        ]
        for row in data.iter_rows(named=True)
    ]
    return ReportTable(
        "drafters",
        "Drafters, and what losses say of them",
        "EAL is the mean over all positions of the expected tokens of a round from there, which "
        "loss length compares; by seconds: the same of loss seconds. Rounds do not start evenly "
        "over positions, so neither need rank drafters as MAT and tokens/s do. "
        + " ".join(f"{sentence}." for sentence in disagreements(run.summary)),
        ["trace", "drafter", "queries", "MAT", "EAL", "tokens/s", "tokens/s by loss"],
        rows,
        data,
    )


def worst_table(study: Study, trace: str) -> ReportTable | None:
    """The answers of each learner with the most regret; None where there are no answers' figures."""
    data = answers_table(study, trace)
    if data is None:
        return None
    worst = (
        data.sort("regret", descending=True, maintain_order=True)
        .group_by("selector", maintain_order=True)
        .head(WORST)
    )
    rows = [
        [
            Cell(row["selector"], row["selector"]),
            Cell(row["query_id"], row["query_id"]),
            Cell(row["domain"], row["domain"]),
            Cell(str(row["tokens"]), row["tokens"]),
            _number(row["rounds"], 1),
            _number(row["regret"], 1),
            _number(row["gain_percent"], 1),
        ]
        for row in worst.iter_rows(named=True)
    ]
    return ReportTable(
        f"worst-answers-{trace}",
        f"The {WORST} worst answers of each learner: {trace}",
        "Those with the most rounds above the best fixed drafter of the answer, its regret. "
        f"Gain: tokens per round above those of {study.against}.",
        ["selector", "answer", "domain", "length", "rounds", "regret", "gain, %"],
        rows,
        worst,
        trace,
    )


def matrix_table(trace: str, data: pl.DataFrame) -> ReportTable | None:
    """MAT by learner and setting, from the trace's `settings_data`.

    None where no selector ran in two settings.
    """
    data = data.with_columns(setting=pl.col("setting").replace("", USUAL))
    several = data.filter(pl.len().over("selector") > 1)
    if several.is_empty():
        return None
    columns = sorted(several["setting"].unique(), key=_natural)
    most = float(several["mat"].max())  # type: ignore[arg-type]
    rows = []
    for (name,), mine in several.group_by("selector", maintain_order=True):
        cells = {row["setting"]: _number(row["mat"], 2, most) for row in mine.iter_rows(named=True)}
        rows.append(
            [
                Cell(str(name), str(name)),
                *(cells.get(column, _number(None, 2)) for column in columns),
            ]
        )
    return ReportTable(
        f"learner-by-setting-{trace}",
        f"MAT by learner and setting: {trace}",
        "Selectors that ran in several settings; the columns say what differs from the usual one. "
        f"Intervals are in the table of all settings. {_number_note(data)}",
        ["selector", *columns],
        rows,
        several.select(
            "trace",
            "selector",
            "setting",
            "how",
            "queries",
            "questions",
            "mat",
            "mat_low",
            "mat_high",
        ),
        trace,
    )


def _natural(setting: str) -> tuple[bool, list[str]]:
    """Order of the columns: the usual setting first, numbers by size."""
    return setting != USUAL, [
        f"{int(part):09}" if part.isdigit() else part for part in re.split(r"(\d+)", setting)
    ]


def comparison_tables(comparison: Comparison, name: str) -> Iterator[ReportTable]:
    """Every setting that both runs have, the answers that became worse, and what else differs."""
    table, title = comparison.table, f"{comparison.other.folder} minus {comparison.base.folder}"
    rows = []
    for _, mine in table.group_by(SETTING, maintain_order=True):
        first = mine.row(0, named=True)
        found = {row["metric"]: _change(row) for row in mine.iter_rows(named=True)}
        rows.append(
            [
                *(Cell(first[column], first[column]) for column in ("trace", "label", "how_other")),
                Cell(f"{first['questions']}{few(first['questions'])}", first["questions"]),
                *(found.get(metric, _number(None, 1)) for metric in METRICS),
            ]
        )
    yield ReportTable(
        name,
        title,
        f"The second run's value; below it the first's, and the difference with its {LEVEL:.0%} "
        "paired bootstrap interval over questions. Rounds and regret are per query: more is worse. "
        f"▲ ▼: differs at 5% after Holm's correction for all {len(table)} differences. "
        f"{_number_note(table)}",
        ["trace", "selector", "numbers", "questions", *METRICS],
        rows,
        table,
    )
    if not comparison.answers.is_empty():
        yield _answers_table(comparison.answers, name)
    if not comparison.differs.is_empty():
        yield ReportTable(
            f"{name}-runs",
            "What differs between the runs",
            "Options are those of `hedgespec sim`.",
            ["what", "before", "now"],
            [[Cell(text, text) for text in row] for row in comparison.differs.rows()],
            comparison.differs,
        )


def _change(row: dict[str, Any]) -> Cell:
    digits = DIGITS[row["metric"]]
    span = _bracket(row["low"], row["high"], f"{{:+.{digits}f}}")
    return Cell(
        f"{row['other']:.{digits}f} {row['mark']}".strip(),
        row["other"],
        f"{row['base']:.{digits}f}, {row['difference']:+.{digits}f} {span}".strip(),
    )


def _answers_table(answers: pl.DataFrame, name: str) -> ReportTable:
    rows = [
        [
            *(
                Cell(row[column], row[column])
                for column in ("trace", "label", "query_id", "domain")
            ),
            _number(row["tokens"], 0),
            _number(row["rounds_base"], 1),
            _number(row["rounds_other"], 1),
            _number(row["seconds_base"], 3),
            _number(row["seconds_other"], 3),
            _number(row["percent"], 1),
        ]
        for row in answers.head(MOST_ANSWERS).iter_rows(named=True)
    ]
    return ReportTable(
        f"{name}-answers",
        "Answers that became worse",
        f"Of {len(answers)} answers, each under one setting, that take more rounds or seconds than "
        f"before, the {len(rows)} worst; the file has all. Worse by: in rounds or in seconds, "
        "whichever grew more; length in tokens. One answer is no evidence: the table before this "
        "one is.",
        [
            "trace",
            "selector",
            "answer",
            "domain",
            "length",
            "rounds before",
            "rounds now",
            "seconds before",
            "seconds now",
            "worse by, %",
        ],
        rows,
        answers,
    )


def _by_domain(study: Study, trace: str) -> pl.DataFrame:
    """A row per selector and domain; differences are to `study.against`."""
    answers = study.run.answers(trace)
    usual = answers.settings.with_row_index("column").filter(pl.col("usual"))
    columns = usual["column"].to_list()
    against = study.columns(trace, (study.against,) if study.against else ())
    base = against.get(str(study.against))
    parts = []
    for domain in [*answers.domains, None]:
        here = np.full(len(answers.domain), True) if domain is None else answers.domain == domain
        tokens, rounds = answers.tokens[here], answers.rounds[here]
        asked = answers.question[here]
        found = mat_estimate(tokens, rounds[:, columns], asked)
        difference = (
            None
            if base is None
            else mat_difference(tokens, rounds[:, columns], rounds[:, base], asked)
        )
        unknown = np.full(len(columns), np.nan)
        parts.append(
            usual.select(
                "trace",
                "selector",
                "how",
                "tokens_per_second",
                domain=pl.lit(domain, dtype=pl.String),
                queries=pl.lit(found.queries),
                questions=pl.lit(found.questions),
            ).with_columns(
                mat=found.value,
                low=found.low,
                high=found.high,
                difference=difference.value if difference else unknown,
                difference_low=difference.low if difference else unknown,
                difference_high=difference.high if difference else unknown,
                p=difference.p if difference else unknown,
            )
        )
    data = pl.concat(parts)
    itself = pl.col("selector").eq_missing(pl.lit(study.against, dtype=pl.String))
    tested = pl.when(itself).then(float("nan")).otherwise("p")
    data = data.with_columns(p=tested)
    return data.with_columns(p_holm=holm(data["p"].to_numpy()), against=pl.lit(study.against))


def settings_data(study: Study, trace: str) -> pl.DataFrame:
    """Every setting of a trace, with MAT and regret and their intervals, most MAT first."""
    answers = study.run.answers(trace)
    mat = mat_estimate(answers.tokens, answers.rounds, answers.question)
    regret = mean_estimate(answers.regret, answers.question)
    speed = mat_estimate(answers.tokens, answers.seconds, answers.question)
    return answers.settings.with_columns(
        questions=pl.lit(mat.questions),
        mat=mat.value,
        mat_low=mat.low,
        mat_high=mat.high,
        regret=regret.value,
        regret_low=regret.low,
        regret_high=regret.high,
        speed_low=speed.low,
        speed_high=speed.high,
    ).sort("mat", descending=True)


def _difference_cell(row: dict[str, float]) -> Cell:
    text = f"{row['mat']:.2f} {mark(row['difference'], row['p_holm'])}".strip()
    if row["against"] is None or row["selector"] == row["against"]:
        return Cell(text, row["mat"])
    span = _bracket(row["difference_low"], row["difference_high"], "{:+.2f}")
    return Cell(text, row["mat"], f"{row['difference']:+.2f} {span}".strip())


def _domain_note(study: Study, data: pl.DataFrame) -> str:
    note = (
        "Tokens per round, pooled over the queries of a domain, whose number of questions is "
        f"in brackets. {_number_note(data)}"
    )
    if study.against is None:
        return note
    return (
        f"{note} Below: the difference to {study.against} with its {LEVEL:.0%} paired "
        "bootstrap interval over questions. ▲ ▼: it differs at 5% after Holm's correction for "
        "all tests of this table."
    )


def _number_note(data: pl.DataFrame) -> str:
    """Of how many questions and queries a table is, and what becomes of few."""
    traces = data.group_by("trace", maintain_order=True).agg(pl.col("questions", "queries").max())
    sizes = "; ".join(
        f"{trace} {questions} ({queries} queries)" for trace, questions, queries in traces.rows()
    )
    return f"n, in questions: {sizes}. †: fewer than {SMALL}, too few to test: nothing is marked."


def _number(value: float | None, digits: int, most: float | None = None) -> Cell:
    if value is None or np.isnan(value):
        return Cell("–", float("-inf"))
    return Cell(f"{value:.{digits}f}", value, bar=value / most if most else None)


def _speed(row: dict[str, float], most: float) -> Cell:
    """Tokens per second, with their interval over questions and the spread of the costs."""
    cell = _rate(row["tokens_per_second"], most)
    if row["tokens_per_second"] is None:
        return cell
    low, high = row["tokens_per_second_low"], row["tokens_per_second_high"]
    spread = "" if low is None else f" costs {rate_text(low)} to {rate_text(high)}"
    ends = (
        ""
        if np.isnan(row["speed_low"])
        else (f"({rate_text(row['speed_low'])} to {rate_text(row['speed_high'])})")
    )
    return replace(cell, remark=ends + spread)


def _rate(value: float | None, most: float | None = None) -> Cell:
    cell = _number(value, 1, most)
    return cell if value is None or np.isnan(value) else replace(cell, text=rate_text(value))


def _spread_note(data: pl.DataFrame) -> str:
    known = data["tokens_per_second_low"].null_count() < len(data)
    return (
        ' Behind "costs": with every part of the costs at the 90th and at the 10th '
        "percentile of its measurements."
        if known
        else ""
    )


def _span(row: dict[str, float], name: str, form: str) -> str:
    return _bracket(row[f"{name}_low"], row[f"{name}_high"], form)


def _bracket(low: float, high: float, form: str) -> str:
    return "" if np.isnan(low) else f"({form.format(low)} to {form.format(high)})"
