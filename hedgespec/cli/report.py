"""`hedgespec report`: figures, tables and findings from results."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from hedgespec.cli.common import add_json, add_quiet, one_blas_thread
from hedgespec.errors import arg
from hedgespec.options import refuse_idle

if TYPE_CHECKING:
    from hedgespec.analysis.comparison import Comparison
    from hedgespec.analysis.report import Report

_DPI, _FONT = 150, "DejaVu Sans"
WORST = 3  # answers that became worse, printed; the report lists more

EPILOG = """\
examples:
  hedgespec report results/sim                          results of `hedgespec sim`
  hedgespec report results/sim --selectors hedge normalhedge ucbspec --traces my-trace
  hedgespec report results/sim --against fixed:generalist       gains over another selector
  hedgespec report results/a results/b                  also how b differs, paired by question
  hedgespec report results/sim --tokenizer SmolLM2-135M-Instruct/tokenizer.json   text, not ids
  hedgespec report results/sim --formats pdf         figures for a paper
  hedgespec report results/sim --formats             no pictures beside the page: `make report`
  hedgespec report results/new --baseline results/old   also what became worse, and the answers

OUT receives report.html (one file, opens offline), figures/ (the drawn numbers as CSV, and
pictures, one figure per trace) and tables/ (CSV, Markdown). Where a figure is left out, the page
says what the results lack.
"""


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Define the command's options."""
    one_blas_thread()
    parser = commands.add_parser(
        "report",
        epilog=EPILOG,
        description="Turn results of `hedgespec sim` into a page, figures and tables.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        "results",
        nargs="+",
        type=Path,
        metavar="RESULTS",
        help="results folders; the report is on the first and compares the others with it",
    )
    add(
        "--out",
        type=Path,
        default=Path("results/report"),
        metavar="DIR",
        help="folder for the report (default: %(default)s)",
    )
    add(
        "--baseline",
        type=Path,
        metavar="RESULTS",
        help="results to compare with, in rounds, MAT, tokens/s and regret; settings that became "
        "worse are marked. At least one setting must be in both",
    )
    add("--traces", nargs="+", default=[], metavar="NAME", help="traces to show (default: all)")
    add(
        "--selectors",
        nargs="+",
        default=[],
        metavar="NAME",
        help="learners to draw (default: what is advised and those with the least regret, eight "
        "in all, of those that ran on the most traces)",
    )
    add(
        "--against",
        metavar="NAME",
        help="selector to count gains in MAT from (default: best-single, else the best fixed "
        "drafter)",
    )
    add(
        "--tokenizer",
        type=Path,
        metavar="FILE",
        help="the target's tokenizer.json or .gguf, to show answers as text; this needs the "
        "traces, which hold the token ids, where they were replayed",
    )
    add(
        "--prompts",
        type=Path,
        metavar="FILE",
        help="the question file of the recording: answers then stand below their prompts, which "
        "are found by the queries' ids",
    )
    add(
        "--costs",
        metavar="NAME",
        help="costs whose seconds are shown, if results have several (default: the first)",
    )
    add(
        "--batch",
        type=int,
        metavar="B",
        help="batch that is shown, if results have several (default: the first)",
    )
    add(
        "--answers",
        type=_count,
        metavar="N",
        help="number of answers of each trace, those with the most regret, whose rounds the page "
        "shows (default: as many as fit on a page of 1 MB)",
    )
    add(
        "--width",
        type=_inches,
        metavar="INCHES",
        help="width of the figures in OUT/figures (default: 3.4, one column of a paper; 7 where a "
        "figure needs it)",
    )
    add("--dpi", type=int, help=f"resolution of PNG files (default: {_DPI})")
    add("--font", metavar="FAMILY", help=f"font of the figures in OUT/figures (default: {_FONT})")
    add(
        "--formats",
        nargs="*",
        default=["png"],
        choices=["pdf", "svg", "png"],
        help="of the pictures in OUT/figures, which take half of the time; none after it: no "
        "pictures, for the page draws its own (default: png)",
    )
    add_json(parser)
    add_quiet(parser)
    parser.set_defaults(run=run)


def _count(text: str) -> int:
    count = int(text)
    if count < 0:
        raise argparse.ArgumentTypeError("a number of answers is 0 or more")
    return count


def _inches(text: str) -> float:
    width = float(text)
    if not 3 <= width <= 20:
        raise argparse.ArgumentTypeError("a figure is 3 to 20 inches wide")
    return width


def run(options: argparse.Namespace) -> int:
    """Write the report; print its findings and where it is."""
    from rich.console import Console

    from hedgespec.analysis.figures.paper import Paper
    from hedgespec.analysis.pieces import read_vocabulary
    from hedgespec.analysis.report import Request, write_report
    from hedgespec.analysis.verdict import print_verdicts
    from hedgespec.cli.common import work_bar
    from hedgespec.cli.texts import answer_texts
    from hedgespec.command import command_line
    from hedgespec.files import check_writable
    from hedgespec.version import __version__

    given = {
        name: value
        for name in ("dpi", "width", "font", "prompts")
        if (value := getattr(options, name)) is not None
    }
    refuse_idle(
        given,
        [
            (
                "dpi",
                "png" in options.formats,
                f"it is for pictures, and {arg('formats')} names no png",
            ),
            *(
                (
                    name,
                    bool(options.formats),
                    f"it is for pictures, and {arg('formats')} names none",
                )
                for name in ("width", "font")
            ),
            ("prompts", options.tokenizer is not None, f"there is no {arg('tokenizer')}"),
        ],
    )
    check_writable(options.out)
    texts = {}
    if options.tokenizer is not None:
        texts = answer_texts(
            options.results[0], read_vocabulary(options.tokenizer), options.prompts
        )
    request = Request(
        options.results,
        options.baseline,
        options.traces,
        options.selectors,
        options.against,
        options.tokenizer,
        options.costs,
        options.batch,
        Paper(options.width, options.dpi or _DPI, options.font or _FONT, options.formats),
        options.answers,
        texts,
    )
    with work_bar("reading results", options.quiet) as progress:
        report = write_report(request, options.out, command_line(), __version__, progress)
    if options.json:
        _print_json(report)
    if options.json or options.quiet:
        return 0
    for finding in report.findings:
        print(finding)
    for comparison in report.comparisons:
        _print_comparison(comparison)
    print_verdicts(report.verdicts, Console())
    print(f"The report is {report.page}")
    return 0


def _print_json(report: "Report") -> None:
    """What was found, where the page is, and what the comparisons say."""
    from hedgespec.cli.common import print_json, verdicts_as_json

    print_json(
        {
            "page": str(report.page),
            "findings": list(report.findings),
            "verdicts": verdicts_as_json(report.verdicts),
            "comparisons": [
                {
                    "results": str(one.other.folder),
                    "against": str(one.base.folder),
                    "sentences": list(one.sentences),
                    "answers": one.answers.to_dicts(),
                    "differs": one.differs.to_dicts(),
                }
                for one in report.comparisons
            ],
        }
    )


def _print_comparison(comparison: "Comparison") -> None:
    """What became worse, the worst answers, and what else differs between the runs."""
    print(
        f"{comparison.other.folder} against {comparison.base.folder}: "
        f"{'; '.join(comparison.sentences)}"
    )
    for advice in comparison.advice:
        print(f"  {advice}")
    for row in comparison.answers.head(WORST).iter_rows(named=True):
        print(
            f"  {row['label']} on {row['trace']}, {row['query_id']}: {row['percent']:+.1f}% "
            "rounds or seconds"
        )
    for what, before, now in comparison.differs.iter_rows():
        print(f"  {what}: {before} before, {now} now")
