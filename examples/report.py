"""From traces to a page with the verdict, the figures and the tables, in Python.

python examples/report.py [FOLDER]
"""

import sys

import hedgespec


def main(folder: str = "my-report") -> None:
    """Replay two traces, save the tables and write the page."""
    selectors = ["normalhedge", "ucbspec", "exp3spec", "best-fixed", "none"]
    traces = ["spec-bench-t0", "spec-bench-t0.7"]
    results = hedgespec.simulate(traces, selectors, feedbacks=["queued", "batch:16"], seeds=2)
    page = hedgespec.report(results, folder)
    print("open", page)


if __name__ == "__main__":
    main(*sys.argv[1:])
