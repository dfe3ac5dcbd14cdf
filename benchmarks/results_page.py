"""Fills the tables of docs/results.md from the schema: `make docs-tables`."""

from benchmarks.pages import ROOT, fill
from hedgespec.results.markdown import column_table, table_page
from hedgespec.results.schema import LIVE_LOSSES, LIVE_ROUNDS, RUN, TABLES

DOCUMENT = ROOT / "docs" / "results.md"


def tables() -> dict[str, str]:
    """The tables by the names of their places. What was run stands in a table of its own."""
    return {
        "run": column_table(RUN),
        **{
            table.name: table_page(table, [one for one in table.columns if one not in RUN])
            for table in (*TABLES, LIVE_ROUNDS, LIVE_LOSSES)
        },
    }


if __name__ == "__main__":
    fill(DOCUMENT, tables())
