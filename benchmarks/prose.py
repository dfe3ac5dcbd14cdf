"""Prose whose numbers are cells of tables: docs/findings.md is made from benchmarks/findings.md.in.

    {table NAME}                       the table that a function makes
    {NAME: ROW / COLUMN}               a cell of it, "+1.2 (-0.8 to +3.2)"
    {NAME: ROW / COLUMN =}             its value alone, "+1.2"
    {?CHECK}words{:}others{/}          the words if a check of the tables holds, else the others;
                                       without others the page is refused
    {=text}                            a definition: digits that no table holds

A digit may stand nowhere else but in code.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

_NUMBER = re.compile(r"[+-]?\d+(?:\.\d+)?")
_CONDITION = re.compile(r"\{\?(\w+)\}(.*?)(?:\{:\}(.*?))?\{/\}", re.DOTALL)
_TABLE = re.compile(r"\{table (\w+)\}\n")
_CELL = re.compile(r"\{(\w+): ([^{}]+?) / ([^{}]+?)( =)?\}")
_LITERAL = re.compile(r"\{=([^{}]*)\}")
_CODE = re.compile(r"^    .*$|`[^`]*`|\]\([^)]*\)", re.MULTILINE)


@dataclass(frozen=True)
class Cells:
    """A table by its texts; rows are named by their first cell, columns by their header."""

    header: list[str]
    rows: list[list[str]]

    @classmethod
    def read(cls, text: str) -> "Cells":
        """Read a table in Markdown."""
        header, _, *rows = (
            [cell.strip() for cell in line.strip("|").split("|")]
            for line in text.strip().splitlines()
        )
        return cls(header, rows)

    @property
    def names(self) -> list[str]:
        """Names of the rows."""
        return [row[0] for row in self.rows]

    def cell(self, row: str, column: str) -> str:
        """A cell's text. Raises KeyError if there is none, or rows of one name."""
        if self.names.count(row) != 1 or self.header.count(column) != 1:
            raise KeyError(f"{row} / {column} names no cell of {self.names} / {self.header}")
        return self.rows[self.names.index(row)][self.header.index(column)]

    def numbers(self, row: str, column: str) -> list[float]:
        """A cell's value, and the ends of its interval if it has one."""
        return [float(number) for number in _NUMBER.findall(self.cell(row, column))]

    def value(self, row: str, column: str) -> float:
        """A cell's value."""
        return self.numbers(row, column)[0]

    def values(self, column: str, rows: Iterable[str] = ()) -> list[float]:
        """The values of a column, of some rows or all."""
        return [self.value(row, column) for row in rows or self.names]


Check = Callable[[Mapping[str, Cells]], bool]


def written(template: str, tables: Mapping[str, str], checks: Mapping[str, Check]) -> str:
    """The page. Raises KeyError for a field that names no cell, ValueError for an untrue claim."""
    cells = {name: Cells.read(text) for name, text in tables.items()}

    def condition(found: re.Match[str]) -> str:
        name, words, others = found.groups()
        if checks[name](cells):
            return words
        if others is None:
            raise ValueError(f"the tables do not say what {name} claims: {words}")
        return others

    def cell(found: re.Match[str]) -> str:
        name, row, column, alone = found.groups()
        text = cells[name].cell(row, column)
        return text.split(" (")[0] if alone else text

    text = _CONDITION.sub(condition, template)
    text = _LITERAL.sub(r"\1", _CELL.sub(cell, text))
    return _TABLE.sub(lambda found: f"<!-- {found[1]} -->\n{tables[found[1]]}<!-- end -->\n", text)


def loose_digits(template: str) -> list[str]:
    """Lines of a template with a digit that is neither a field, nor a definition, nor code."""
    text = _LITERAL.sub("", _CELL.sub("", _TABLE.sub("", template)))
    text = re.sub(r"\{\?\w+\}|\{:\}|\{/\}", "", _CODE.sub("", text))
    return [line for line in text.splitlines() if re.search(r"\d", line)]
