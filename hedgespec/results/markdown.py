"""Tables in Markdown: of reports, and of the pages of docs that are made from code."""

from collections.abc import Collection, Sequence

from hedgespec.results.schema import Column, Table


def markdown(
    header: Sequence[str], rows: Sequence[Sequence[str]], text: Collection[int] = (0,)
) -> str:
    """A table; columns whose number is in `text` hold words, the others numbers, to the right."""
    rule = ["---" if number in text else "---:" for number in range(len(header))]
    lines = [header, rule, *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def table_page(table: Table, columns: Sequence[Column]) -> str:
    """What a row of a table is, and what some of its columns mean."""
    return f"**{table.file}**: one row per {table.row}.\n\n{column_table(columns)}"


def column_table(columns: Sequence[Column]) -> str:
    """What columns mean: a row for each. The names of keys are bold."""
    rows = []
    for column in columns:
        name = f"`{column.name}{'DRAFTER' if column.of_each_arm else ''}`"
        rows.append(
            [f"**{name}**" if column.key else name, _type(column), column.unit, column.meaning]
        )
    return markdown(["column", "type", "unit", "meaning"], rows, range(4))


def _type(column: Column) -> str:
    """As Polars says it, in small letters."""
    return str(column.dtype).lower()
