"""A report of results: figures, tables and findings, in a page and in files for papers."""

import json
import re
import shlex
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path

import numpy as np
import polars as pl

from hedgespec.analysis.comparison import Comparison, compare
from hedgespec.analysis.figures import FIGURES, differences
from hedgespec.analysis.figures.style import Claim, Drawing, styled
from hedgespec.analysis.html import Section, anchor, csv, figure_part, page, table_part
from hedgespec.analysis.pieces import read_vocabulary
from hedgespec.analysis.report_tables import (
    ReportTable,
    comparison_tables,
    domain_tables,
    drafter_table,
    matrix_table,
    overview_table,
    settings_data,
)
from hedgespec.analysis.results import ResultSet
from hedgespec.analysis.saving import FigureSaver
from hedgespec.analysis.study import Study
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

    With `tokenizer`, the target's tokenizer.json, the answer shown is text instead of token ids.
    Empty `traces` and `learners`, and no `against`, are chosen from the results. Of several `costs`
    (by name) and batches the first that agree are shown.
    """

    results: Sequence[Path | Results]
    baseline: Path | None = None
    traces: Sequence[str] = ()
    learners: Sequence[str] = ()
    against: str | None = None
    tokenizer: Path | None = None
    costs: str | None = None
    batch: int | None = None


@dataclass(frozen=True)
class Report:
    """What was written: the page, its findings in words, and the comparisons it holds."""

    page: Path
    findings: Sequence[str]
    comparisons: Sequence[Comparison]


def write_report(request: Request, out: Path, command: Sequence[str], version: str,
                 progress: OnProgress = lambda *_: None, processes: int | None = None) -> Report:
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
        found = _write(runs, study, comparisons, vocabulary, beside,
                       _made(runs, comparisons, command, version), progress, processes)
        _replace(out, beside)
    remove_leftovers(out)
    return Report(out / PAGE, [claim.sentence for _, claim in found], comparisons)


def _write(
    runs: Sequence[ResultSet], study: Study, comparisons: Sequence[Comparison],
    vocabulary: dict[int, str], out: Path, made: str, progress: OnProgress, processes: int | None,
) -> list[tuple[Drawing, Claim]]:
    """All files of a report; what it found. `made` says how its numbers were made."""
    steps = len(FIGURES) + len(comparisons) + 2

    def tell(what: str, done: int) -> None:
        progress(what, done, steps)

    with styled(), FigureSaver(out / "figures", processes) as saver:
        compared = _draw_comparisons(study, comparisons, saver, tell)
        drawn = _draw_kinds(study, vocabulary, saver,
                            lambda what, done: tell(what, len(compared) + done))
        tell("tables", steps - 2)
        tables = _tables(study, out)
        tell("page", steps - 1)
        found = findings(drawn)
        sections = [
            Section("findings", "Findings", [_findings(found)]),
            *(_comparison_section(number, comparison, drawings, saver, out)
              for number, (comparison, drawings) in enumerate(
                  zip(comparisons, compared, strict=True), 1)),
            *(Section(anchor(kind.heading), kind.heading, _pictures(drawings, saver))
              for kind, drawings in zip(FIGURES.values(), drawn, strict=True) if drawings),
            tables, Section("made", "How these numbers were made", [made])]
    write_text(out / PAGE,
               page(f"Drafter selection: {runs[0].folder}", _introduction(study), sections))
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
    study: Study, comparisons: Sequence[Comparison], saver: FigureSaver,
    tell: Callable[[str, int], None],
) -> list[list[Drawing]]:
    """The figures of each comparison, given to be saved."""
    drawn = []
    for number, comparison in enumerate(comparisons):
        tell("comparisons", number)
        name = f"differences-{number + 1}-figure"
        drawn.append(_saved(differences.draw(study, comparison, name), saver))
    return drawn


def _draw_kinds(
    study: Study, vocabulary: dict[int, str], saver: FigureSaver, tell: Callable[[str, int], None]
) -> list[list[Drawing]]:
    """The figures of each kind, given to be saved."""
    drawn = []
    for number, kind in enumerate(FIGURES.values()):
        tell("figures", number)
        drawn.append(_saved((_worded(one, vocabulary) for one in kind.draw(study)), saver))
    return drawn


def _saved(drawings: Iterable[Drawing], saver: FigureSaver) -> list[Drawing]:
    """The drawings, each given to be saved while the next is drawn."""
    drawn = []
    for drawing in drawings:
        saver.save(drawing)
        drawn.append(drawing)
    return drawn


def _pictures(drawings: Sequence[Drawing], saver: FigureSaver) -> list[str]:
    return [figure_part(drawing, saver.picture(drawing)) for drawing in drawings]


def _comparison_section(
    number: int, comparison: Comparison, drawings: Sequence[Drawing], saver: FigureSaver, out: Path
) -> Section:
    return Section(
        f"comparison-{number}", f"{comparison.other.folder} against {comparison.base.folder}",
        [_regressions(comparison), *_pictures(drawings, saver),
         *(_table(table, out) for table in comparison_tables(comparison, f"differences-{number}"))])


def _tables(study: Study, out: Path) -> Section:
    settings = {trace: settings_data(study, trace) for trace in study.run.traces}
    matrices = (matrix_table(trace, settings[trace]) for trace in study.traces)
    tables = [overview_table(pl.concat(settings.values()),
                             study.run.whose_seconds(study.run.traces)),
              *(table for table in [drafter_table(study.run), *matrices] if table is not None),
              *domain_tables(study)]
    return Section("tables", "Tables", [_table(table, out) for table in tables])


def findings(kinds: Sequence[Sequence[Drawing]]) -> list[tuple[Drawing, Claim]]:
    """Up to five claims that hold after Holm's correction for all claims of all figures.

    `kinds` are the figures of each kind. The first claim that holds of each kind comes before the
    second of any.
    """
    claims = [(kind, drawing, claim) for kind, drawings in enumerate(kinds)
              for drawing in drawings for claim in drawing.claims]
    adjusted = holm(np.array([claim.p for *_, claim in claims]))
    held = [claim for claim, p in zip(claims, adjusted, strict=True)
            if p < 1 - LEVEL and (claim[2].low > 0 or claim[2].high < 0)]
    place = [sum(before[0] == kind for before in held[:i]) for i, (kind, *_) in enumerate(held)]
    order = sorted(range(len(held)), key=place.__getitem__)
    return [held[i][1:] for i in order[:MOST_FINDINGS]]


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


def _table(table: ReportTable, out: Path) -> str:
    stem = out / "tables" / anchor(table.name)
    write_text(Path(f"{stem}.csv"), csv(table.data))
    write_text(Path(f"{stem}.md"), table.markdown())
    return table_part(table)


def _introduction(study: Study) -> str:
    learners = ", ".join(escape(name) for name in study.learners)
    against = (f"; gains are counted from <strong>{escape(study.against)}</strong>"
               if study.against else "")
    unfinished = "" if study.run.provenance["complete"] else (
        '<p class="worse">The run was interrupted: these are the results up to then.</p>')
    return (f"<p>Traces: {', '.join(escape(name) for name in study.traces)}. Learners in the "
            f"figures: {learners or 'none'}{against}. A question is the unit of every interval.</p>"
            f"{unfinished}")


def _findings(found: Sequence[tuple[Drawing, Claim]]) -> str:
    if not found:
        return "<p>No difference looked at here is certain enough to be stated.</p>"
    items = "".join(f'<li>{escape(claim.sentence)} <a href="#{anchor(drawing.name)}">Figure</a>'
                    "</li>" for drawing, claim in found)
    return (f'<ul>{items}</ul>\n<p class="note">In brackets: {LEVEL:.0%} bootstrap intervals over '
            "questions, not corrected. A sentence stands here only if its difference is "
            "significant at 5% after Holm's correction for all that were looked at. That the best "
            "or worst learner was picked by the same data is not corrected for.</p>")


def _regressions(comparison: Comparison) -> str:
    said = f"<p>{escape('. '.join(comparison.sentences))}.</p>"
    items = []
    for _, worse in comparison.regressions.group_by(SETTING, maintain_order=True):
        changes = ", ".join(f"{row['metric']} {row['base']:.2f} → {row['other']:.2f}"
                            for row in worse.iter_rows(named=True))
        items.append(f'<li><span class="worse">▼ regression</span> {escape(worse["label"][0])} on '
                     f"{escape(worse['trace'][0])}: {changes}</li>")
    return said + (f"<ul>{''.join(items)}</ul>" if items else "")


def _made(
    runs: Sequence[ResultSet], comparisons: Sequence[Comparison], command: Sequence[str],
    version: str,
) -> str:
    parts = [f"<p>Report by hedgespec {escape(version)}:</p><pre>{escape(shlex.join(command))}"
             "</pre>"]
    inputs = {run.folder: run for run in [*runs, *(one.base for one in comparisons)]}
    parts += [_input(run) for run in inputs.values()]
    parts.append(
        f"<p>Intervals: {LEVEL:.0%}, percentile bootstrap with {DRAWS:,} draws of questions, "
        "seed 0, stretched for their number by Student's t, the same draws for all selectors of a "
        "trace, so that differences are paired by question. Queries that are turns of one question "
        "are drawn together, whatever its domain. Tokens are never the unit. Tests: the two that "
        "are compared are swapped in some of the questions, in all possible ways or in "
        f"{FLIPS:,} of them; fewer than {SMALL} questions are not tested. The bands of cumulative "
        "regret are t intervals over questions. MAT of a setting replayed with seeds is tokens "
        "over mean rounds.</p>")
    return "\n".join(parts)


def _input(run: ResultSet) -> str:
    made = run.provenance
    traces = "".join(f"<li>{escape(name)}: manifest sha256 <code>{digest}</code>; "
                     f"{escape(run.whose_seconds([name])) or 'no costs, hence no seconds'}"
                     + f"; usual setting: {escape(run.usual(name))}" * (name in run.traces)
                     + "</li>" for name, digest in run.hashes.items())
    versions = ", ".join(f"{escape(name)} {escape(str(number))}"
                         for name, number in made["versions"].items())
    exact = run.settings.filter(run.settings["how"] == "exact")
    replayed = run.settings.filter(run.settings["how"] != "exact")
    seeds = run.summary["seed"].drop_nulls().unique().sort().to_list()
    how = [f"{len(exact)} settings are exact expectations, without Monte Carlo error"] * bool(
        len(exact))
    if len(replayed):
        how.append(f"{len(replayed)} settings are Monte Carlo means over seeds "
                   f"{', '.join(map(str, seeds))}")
    return (f"<h3>{escape(str(run.folder))}</h3>\n<p>Made on {escape(made['created'])} by</p>"
            f"<pre>{escape(shlex.join(made['command']))}</pre>"
            f"<ul><li>{versions}</li>{traces}<li>{'; '.join(how)}; the tables say which.</li></ul>")
