"""A report of results: figures, tables and findings, in a page and in files for papers."""

import json
import re
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from hedgespec.analysis import moved_costs, words
from hedgespec.analysis.comparison import Comparison, compare
from hedgespec.analysis.figures import FIGURES, differences
from hedgespec.analysis.figures.paper import AS_USUAL, Paper
from hedgespec.analysis.figures.style import Claim, Drawing
from hedgespec.analysis.html import (
    FigureGroup,
    Section,
    anchor,
    costs_part,
    csv,
    figure_part,
    page,
    page_data,
    tables_part,
)
from hedgespec.analysis.overview import measured_on
from hedgespec.analysis.pieces import read_vocabulary
from hedgespec.analysis.report_tables import (
    ReportTable,
    comparison_tables,
    domain_tables,
    drafter_table,
    matrix_table,
    overview_table,
    settings_data,
    worst_table,
)
from hedgespec.analysis.results import ResultSet
from hedgespec.analysis.saving import FigureSaver
from hedgespec.analysis.strips import Texts, kept_words, strips
from hedgespec.analysis.study import Study
from hedgespec.analysis.verdict import COLUMNS, HOW, Judged, summed_up
from hedgespec.errors import HedgespecError
from hedgespec.files import (
    folder_beside,
    make_folder,
    move_up,
    read_json,
    remove_leftovers,
    write_text,
)
from hedgespec.results.keys import SETTING
from hedgespec.results.statistics import DRAWS, FLIPS, LEVEL, SMALL, holm
from hedgespec.results.store import Results

MOST_FINDINGS = 5
PAGE, LIST = "report.html", "report.json"
_FILE = re.compile(r"(figures|tables)/[A-Za-z0-9_.-]+")
OnProgress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Request:
    """What to report on: the first of `results` in full, the others and `baseline` compared.

    With `tokenizer`, the target's tokenizer.json, the answer shown is text instead of token ids;
    `texts` are of all answers, as far as they are known.
    Empty `traces` and `learners`, and no `against`, are chosen from the results. Of several `costs`
    (by name) and batches the first that agree are shown. `paper` says how figures are saved,
    `answers` of how many answers of each trace the page has the rounds (None: of what fits).
    """

    results: Sequence[Path | Results]
    baseline: Path | None = None
    traces: Sequence[str] = ()
    learners: Sequence[str] = ()
    against: str | None = None
    tokenizer: Path | None = None
    costs: str | None = None
    batch: int | None = None
    paper: Paper = AS_USUAL
    answers: int | None = None
    texts: Texts = field(default_factory=dict)


@dataclass(frozen=True)
class Report:
    """What was written: the page, its verdicts, its findings in words, and the comparisons it
    holds."""

    page: Path
    verdicts: Sequence[Judged]
    findings: Sequence[str]
    comparisons: Sequence[Comparison]


def write_report(
    request: Request,
    out: Path,
    command: Sequence[str],
    version: str,
    progress: OnProgress = lambda *_: None,
    processes: int | None = None,
) -> Report:
    """Write report.html, figures/ and tables/ into `out`, in place of an earlier report there.

    All are written beside and then take their places; report.json lists them. `command` and
    `version` (of hedgespec) are stated in the report; `progress` is told what is done, how much,
    and of how much. `processes` save figures, None is one on each core: a script that asks for more
    than one must guard its main part. Raises HedgespecError for results that cannot be reported on
    or compared.
    """
    runs = [ResultSet(folder) for folder in request.results]
    if request.costs is not None or request.batch is not None:
        runs[0] = runs[0].under(runs[0].basis_of(request.costs, request.batch))
    study = Study.of(runs[0], list(request.traces), list(request.learners), request.against)
    comparisons = _compare(runs, request.baseline)
    vocabulary = read_vocabulary(request.tokenizer) if request.tokenizer else {}
    with folder_beside(out) as beside:
        for folder in ("figures", "tables"):
            make_folder(beside / folder)
        found = _write(
            runs,
            study,
            comparisons,
            vocabulary,
            beside,
            _made(runs, comparisons, command, version),
            progress,
            FigureSaver(beside / "figures", request.paper, processes),
            lambda: strips(study, request.answers, request.texts),
        )
        _replace(out, beside)
    remove_leftovers(out)
    return Report(out / PAGE, study.verdicts, [claim.sentence for _, claim in found], comparisons)


def _write(
    runs: Sequence[ResultSet],
    study: Study,
    comparisons: Sequence[Comparison],
    vocabulary: dict[int, str],
    out: Path,
    made: str,
    progress: OnProgress,
    saver: FigureSaver,
    rounds_of: Callable[[], dict[str, Any]],
) -> list[tuple[str, Claim]]:
    """All files of a report; what it found. `made` says how its numbers were made."""
    steps = len(FIGURES) + len(comparisons) + 2

    def tell(what: str, done: int) -> None:
        progress(what, done, steps)

    with saver:
        compared = _draw_comparisons(study, comparisons, saver, tell)
        drawn = _draw_kinds(
            study, vocabulary, saver, lambda what, done: tell(what, len(compared) + done)
        )
        tell("tables", steps - 2)
        tables = [
            *_tables(study),
            *(
                table
                for number, comparison in enumerate(comparisons, 1)
                for table in comparison_tables(comparison, f"differences-{number}")
            ),
        ]
        for table in tables:
            _save_table(table, out)
        tell("page", steps - 1)
    found = findings({name: group.drawings for name, group in drawn.items()})
    moved, rounds = moved_costs.moved_costs(study), rounds_of()
    sections = [
        Section(
            "verdict",
            "What to do",
            [
                *map(_compared, comparisons, compared),
                *_whose_verdict(runs[0], comparisons),
                _verdict(study),
                _introduction(study),
            ],
        ),
        *map(_comparison_section, comparisons, compared, compared.values()),
        Section("findings", "Findings", [_findings(found)]),
        *(
            Section(
                name, FIGURES[name].heading, [figure_part(name, group), *_kept(study, name, rounds)]
            )
            for name, group in drawn.items()
        ),
        Section("costs", moved_costs.HEADING, [costs_part(moved, moved_costs.NEEDS)]),
        Section("words", "Words", [_words(study)]),
        Section("tables", "Tables", [tables_part()]),
        Section("made", "How these numbers were made", [made]),
    ]
    data = page_data(
        study.traces,
        study.drawn,
        compared | drawn,
        tables,
        words.MEASURES | words.SELECTORS,
        moved,
        rounds,
    )
    write_text(
        out / PAGE, page(f"Drafter selection: {runs[0].folder}", _unfinished(study), sections, data)
    )
    return found


def _replace(out: Path, beside: Path) -> None:
    """Let the new files take their places; those of the report before that are no more, go."""
    names = sorted(str(path.relative_to(beside)) for path in beside.glob("*/*"))
    for name in set(_listed(out / LIST)) - set(names):
        (out / name).unlink(missing_ok=True)
    write_text(beside / LIST, json.dumps({"files": names}, indent=1) + "\n")
    move_up(beside, [*names, LIST, PAGE])


def _listed(path: Path) -> list[str]:
    """The files that a report's list names; none where there is no list."""
    try:
        found = read_json(path)["files"]
        return [name for name in found if _FILE.fullmatch(name)]
    except (HedgespecError, TypeError, KeyError):
        return []


def _draw_comparisons(
    study: Study,
    comparisons: Sequence[Comparison],
    saver: FigureSaver,
    tell: Callable[[str, int], None],
) -> dict[str, FigureGroup]:
    """The figures of each comparison by its place on the page, given to be saved."""
    drawn = {}
    for number, comparison in enumerate(comparisons, 1):
        tell("comparisons", number - 1)
        name = f"differences-{number}-figure"
        drawn[f"comparison-{number}"] = FigureGroup(
            "a learner that both runs have at its usual setting",
            _saved(differences.draw(study, comparison, name), saver),
        )
    return drawn


def _draw_kinds(
    study: Study, vocabulary: dict[int, str], saver: FigureSaver, tell: Callable[[str, int], None]
) -> dict[str, FigureGroup]:
    """The figures of each kind, given to be saved."""
    drawn = {}
    for number, (name, kind) in enumerate(FIGURES.items()):
        tell("figures", number)
        drawn[name] = FigureGroup(
            kind.needs,
            _saved((_worded(_named(one, study), vocabulary) for one in kind.draw(study)), saver),
        )
    return drawn


def _named(drawing: Drawing, study: Study) -> Drawing:
    """A report of one trace need not say of which in each figure's name."""
    if len(study.traces) > 1:
        return drawing
    return replace(drawing, name=drawing.name.removesuffix(f"-{drawing.trace}"))


def _saved(drawings: Iterable[Drawing], saver: FigureSaver) -> list[Drawing]:
    """The drawings, each given to be saved while the next is drawn."""
    drawn = []
    for drawing in drawings:
        saver.save(drawing)
        drawn.append(drawing)
    return drawn


def _compared(comparison: Comparison, name: str) -> str:
    """What a comparison says, in short: it stands before the verdict."""
    first, *others = comparison.sentences
    more = "".join(f"; {_unbroken(one)}" for one in others)
    advice = "".join(f"<li>{_unbroken(one)}</li>" for one in comparison.advice)
    return (
        f"<p>{escape(str(comparison.other.folder))} against "
        f"{escape(str(comparison.base.folder))}: <strong>{_unbroken(first)}</strong>"
        f'{more}. <a href="#{name}">In which answers</a></p>\n<ul>{advice}</ul>'
    )


def _whose_verdict(run: ResultSet, comparisons: Sequence[Comparison]) -> list[str]:
    """Where there are several runs, which one all that follows is about."""
    return [f"<h3>{escape(str(run.folder))}, which this page is about</h3>"] * bool(comparisons)


def _comparison_section(comparison: Comparison, name: str, group: FigureGroup) -> Section:
    return Section(
        name,
        f"{comparison.other.folder} against {comparison.base.folder}",
        [_regressions(comparison), figure_part(name, group)],
    )


def _tables(study: Study) -> list[ReportTable]:
    settings = {trace: settings_data(study, trace) for trace in study.run.traces}
    matrices = (matrix_table(trace, settings[trace]) for trace in study.traces)
    worst = (worst_table(study, trace) for trace in study.traces)
    return [
        overview_table(pl.concat(settings.values()), study.run.whose_seconds(study.run.traces)),
        *(table for table in (drafter_table(study.run), *matrices, *worst) if table is not None),
        *domain_tables(study),
    ]


def findings(kinds: Mapping[str, Sequence[Drawing]]) -> list[tuple[str, Claim]]:
    """Up to five claims that hold after Holm's correction for all claims of all figures.

    `kinds` are the figures of each kind by its name, which a claim comes with. The first claim that
    holds of each kind comes before the second of any.
    """
    claims = [
        (kind, claim)
        for kind, drawings in kinds.items()
        for drawing in drawings
        for claim in drawing.claims
    ]
    adjusted = holm(np.array([claim.p for _, claim in claims]))
    held = [
        (kind, claim)
        for (kind, claim), p in zip(claims, adjusted, strict=True)
        if p < 1 - LEVEL and (claim.low > 0 or claim.high < 0)
    ]
    place = [sum(before == kind for before, _ in held[:i]) for i, (kind, _) in enumerate(held)]
    order = sorted(range(len(held)), key=place.__getitem__)
    return [held[i] for i in order[:MOST_FINDINGS]]


def _compare(runs: Sequence[ResultSet], baseline: Path | None) -> list[Comparison]:
    """Each run against the baseline; without one, against the first."""
    if baseline is not None:
        base = ResultSet(baseline)
        return [compare(base, run) for run in runs]
    return [compare(runs[0], run) for run in runs[1:]]


def _worded(drawing: Drawing, vocabulary: dict[int, str]) -> Drawing:
    """The drawing with the text of the tokens that it shows; those not known stay numbers."""
    if drawing.view is None or not vocabulary:
        return drawing
    tokens = drawing.view.tokens
    pieces = pl.Series("piece", [vocabulary.get(token, str(token)) for token in tokens["token"]])
    return replace(drawing, view=replace(drawing.view, tokens=tokens.with_columns(pieces)))


def _save_table(table: ReportTable, out: Path) -> None:
    stem = out / "tables" / anchor(table.name)
    write_text(Path(f"{stem}.csv"), csv(table.data))
    write_text(Path(f"{stem}.md"), table.markdown())


def _words(study: Study) -> str:
    """What the words of the page mean, and what its traces are."""
    parts = {
        "Traces": words.traces(study),
        "Measures": words.MEASURES,
        "Selectors that are no learners": words.selectors(study),
        "Settings": words.settings(study),
    }
    return "\n".join(
        f"<h3>{heading}</h3>\n<dl>"
        + "".join(
            f"<dt>{escape(word)}</dt><dd>{escape(meaning)}</dd>"
            for word, meaning in meanings.items()
        )
        + "</dl>"
        for heading, meanings in parts.items()
        if meanings
    )


def _kept(study: Study, name: str, rounds: Mapping[str, Any]) -> list[str]:
    """Below the answers' points, which can be opened."""
    if name != "answers" or not rounds:
        return []
    queries = sum(len(study.run.answers(trace).tokens) for trace in study.traces)
    return [f'<p class="note">{escape(kept_words(rounds, queries))}</p>']


def _introduction(study: Study) -> str:
    learners = ", ".join(escape(name) for name in study.learners)
    against = (
        f"; gains are counted from <strong>{escape(study.against)}</strong>"
        if study.against
        else ""
    )
    traces = ", ".join(escape(name) for name in study.traces)
    return (
        f'<p class="note">Traces: {traces}. Learners in the figures: {learners or "none"}'
        f"{against}. A question is the unit of every interval. MAT is tokens per round; regret "
        "is rounds above the best fixed drafter of an answer; all words are "
        '<a href="#words">explained below</a>.</p>'
    )


def _unfinished(study: Study) -> str:
    return (
        ""
        if study.run.provenance["complete"]
        else ('<p class="worse">The run was interrupted: these are the results up to then.</p>')
    )


def _verdict(study: Study) -> str:
    """What is best on each trace, and how sure that is; of several traces first in short."""
    judged = study.verdicts
    if not judged:
        return "<p>The results do not say which settings can be run, so none can be advised.</p>"
    how = f'<p class="note">{_unbroken(HOW)}</p>'
    each = [
        f"<h3>{escape(one.trace)}</h3>\n{_advice(one.sentences)}\n"
        f'<p class="note">{_unbroken(one.about)}</p>'
        for one in judged
    ]
    if len(judged) == 1:
        return "\n".join([*each, how])
    where = measured_on(study.run.cost_sources(one.trace for one in judged))
    estimated = f"Tokens per second are estimates from costs measured on {where}. " * bool(where)
    compared = any("%" in cell for one in judged for cell in one.cells)
    brackets = f"The table has {LEVEL:.0%} intervals over questions in brackets. " * compared
    note = f"{estimated}{brackets}Target, drafters and costs of each trace are named below."
    return "\n".join(
        [
            _advice(summed_up(judged)),
            f'<p class="note">{escape(note)}</p>',
            _verdict_table(judged),
            how,
            *each,
        ]
    )


def _advice(sentences: Sequence[str]) -> str:
    """The first sentence, what to do, by itself; then the others."""
    first, *others = sentences
    advice, colon, rest = first.partition(": ")
    more = f"\n<p>{_unbroken(' '.join(others))}</p>" * bool(others)
    return f"<p><strong>{_unbroken(advice)}</strong>{_unbroken(colon + rest)}</p>{more}"


def _unbroken(text: str) -> str:
    """Text as HTML whose lines do not break within an interval, nor before a percent sign."""
    kept = re.sub(
        r"\([+-][\d.]+ to [+-][\d.]+( %)?\)|\d %", lambda found: found[0].replace(" ", "\xa0"), text
    )
    return escape(kept)


def _verdict_table(judged: Sequence[Judged]) -> str:
    heads = "".join(f'<th scope="col">{escape(head)}</th>' for head in COLUMNS)
    rows = "\n".join(
        "<tr>"
        + "".join(
            f'<td data-head="{escape(head)}">{_unbroken(cell)}</td>'
            for head, cell in zip(COLUMNS, one.cells, strict=True)
        )
        + "</tr>"
        for one in judged
    )
    return (
        '<div class="verdict" tabindex="0" role="region" aria-label="What to do on each trace">'
        f"<table><thead><tr>{heads}</tr></thead>\n<tbody>{rows}</tbody></table></div>"
    )


def _findings(found: Sequence[tuple[str, Claim]]) -> str:
    if not found:
        return "<p>No difference looked at here is certain enough to be stated.</p>"
    items = "".join(
        f'<li>{escape(claim.sentence)} <a href="#{kind}">Figure</a></li>' for kind, claim in found
    )
    return (
        f'<ul>{items}</ul>\n<p class="note">In brackets: {LEVEL:.0%} bootstrap intervals over '
        "questions, not corrected. A sentence stands here only if its difference is "
        "significant at 5% after Holm's correction for all that were looked at. That the best "
        "or worst learner was picked by the same data is not corrected for.</p>"
    )


def _regressions(comparison: Comparison) -> str:
    said = f"<p>{_unbroken('; '.join(comparison.sentences))}.</p>"
    items = []
    for _, worse in comparison.regressions.group_by(SETTING, maintain_order=True):
        changes = ", ".join(
            f"{row['metric']} {row['base']:.2f} → {row['other']:.2f}"
            for row in worse.iter_rows(named=True)
        )
        items.append(
            f'<li><span class="worse">▼ regression</span> {escape(worse["label"][0])} on '
            f"{escape(worse['trace'][0])}: {changes}</li>"
        )
    return said + (f"<ul>{''.join(items)}</ul>" if items else "")


def _made(
    runs: Sequence[ResultSet],
    comparisons: Sequence[Comparison],
    command: Sequence[str],
    version: str,
) -> str:
    parts = [
        f"<p>Report by hedgespec {escape(version)}:</p><pre>{escape(shlex.join(command))}</pre>"
    ]
    inputs = {run.folder: run for run in [*runs, *(one.base for one in comparisons)]}
    parts += [_input(run) for run in inputs.values()]
    parts.append(
        f"<p>Intervals: {LEVEL:.0%}, percentile bootstrap with {DRAWS:,} draws of questions, "
        "seed 0, stretched for their number by Student's t, the same draws for all selectors of a "
        "trace, so that differences are paired by question. Queries that are turns of one question "
        "are drawn together, whatever its domain. Tokens are never the unit. Tests: the two that "
        "are compared are swapped in some of the questions, in all possible ways or in "
        f"{FLIPS:,} of them; p is not below that of a t test corrected for skewness, with and "
        "without one more question that lies far on the other side. So tables without any "
        "difference have a mark in at most 5 % of simulated cases, lopsided ones among them. Fewer "
        f"than {SMALL} questions are not tested, and twenty show large differences only. The bands "
        "of cumulative "
        "regret are t intervals over questions. MAT of a setting replayed with seeds is tokens "
        "over mean rounds.</p>"
    )
    return "\n".join(parts)


def _input(run: ResultSet) -> str:
    made = run.provenance
    traces = "".join(
        f"<li>{escape(name)}: manifest sha256 <code>{digest}</code>; "
        f"{escape(run.whose_seconds([name])) or 'no costs, hence no seconds'}"
        + f"; usual setting: {escape(run.usual(name))}" * (name in run.traces)
        + "</li>"
        for name, digest in run.hashes.items()
    )
    versions = ", ".join(
        f"{escape(name)} {escape(str(number))}" for name, number in made["versions"].items()
    )
    exact = run.settings.filter(run.settings["how"] == "exact")
    replayed = run.settings.filter(run.settings["how"] != "exact")
    seeds = run.summary["seed"].drop_nulls().sort().to_list()
    how = [f"{len(exact)} settings are exact expectations, without Monte Carlo error"] * bool(
        len(exact)
    )
    if len(replayed):
        how.append(
            f"{len(replayed)} settings are Monte Carlo means over seeds {seeds[0]} to {seeds[-1]}"
        )
    return (
        f"<h3>{escape(str(run.folder))}</h3>\n<p>Made on {escape(made['created'])} by</p>"
        f"<pre>{escape(shlex.join(made['command']))}</pre>"
        f"<ul><li>{versions}</li>{traces}<li>{'; '.join(how)}; the tables say which.</li></ul>"
    )
