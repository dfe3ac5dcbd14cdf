"""`hedgespec report`: figures, tables and findings from results."""

import argparse
from pathlib import Path

EPILOG = """\
examples:
  hedgespec report results/sim                          results of `hedgespec sim`: `make report`
  hedgespec report results/sim --selectors hedge normalhedge ucbspec --traces my-trace
  hedgespec report results/sim --against fixed:generalist       gains over another selector
  hedgespec report results/a results/b                  also what differs in b, paired by question
  hedgespec report results/sim --tokenizer SmolLM2-135M-Instruct/tokenizer.json   text, not ids
  hedgespec report results/new --baseline results/old   also what became worse, marked

OUT receives report.html (one file, opens offline), figures/ (PDF, PNG, and the numbers drawn as
CSV) and tables/ (CSV, Markdown). Figures whose settings are not in the results are left out: those
over numbers of drafters need --pool, those over delays --feedback, of `hedgespec sim`.
"""


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Define the command's options."""
    parser = commands.add_parser(
        "report", epilog=EPILOG,
        description="Turn results of `hedgespec sim` into a page, figures and tables.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("results", nargs="+", type=Path, metavar="RESULTS",
        help="results folders; the first is reported on, the others are compared with it")
    add("--out", type=Path, default=Path("results/report"), metavar="DIR",
        help="where the report goes (default: %(default)s)")
    add("--baseline", type=Path, metavar="RESULTS",
        help="results to compare with instead; settings that became worse are marked")
    add("--traces", nargs="+", default=[], metavar="NAME",
        help="traces of the results to show (default: all)")
    add("--selectors", nargs="+", default=[], metavar="NAME",
        help="learners to draw (default: of those on most traces the eight with least regret)")
    add("--against", metavar="NAME",
        help="selector that gains in MAT are counted from (default: best-single, else the best "
             "fixed drafter)")
    add("--tokenizer", type=Path, metavar="FILE",
        help="tokenizer.json, or .gguf, of the target: the answer shown token by token is then its "
             "text, not token ids, which are all that a trace holds")
    add("--costs", metavar="NAME",
        help="of results under several costs, those whose seconds are shown (default: the first)")
    add("--batch", type=int, metavar="B", help="likewise of several batches")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Write the report; print its findings and where it is."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    from hedgespec.analysis.report import Request, write_report
    from hedgespec.command import command_line
    from hedgespec.files import check_writable
    from hedgespec.version import __version__

    check_writable(options.out)
    request = Request(options.results, options.baseline, options.traces, options.selectors,
                      options.against, options.tokenizer, options.costs, options.batch)
    bar = Progress(TextColumn("{task.description}", markup=False), BarColumn(),
                   MofNCompleteColumn(), console=Console(stderr=True), transient=True)
    with bar:
        task = bar.add_task("reading results", total=None)
        report = write_report(
            request, options.out, command_line(), __version__,
            lambda label, done, total: bar.update(
                task, description=label, completed=done, total=total))
    for finding in report.findings:
        print(finding)
    for comparison in report.comparisons:
        print(f"{comparison.other.folder} against {comparison.base.folder}: "
              f"{len(comparison.regressions)} of {len(comparison.table)} settings became worse")
    print(f"The report is {report.page}")
    return 0
