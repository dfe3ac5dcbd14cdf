"""Queries on given tables: own tables and those of Spider, in the same words.

The item is the table (for Spider the set of tables): all questions about it stay on one side.
"""

import re
from collections.abc import Iterator
from typing import Any

from hedgespec.zoo.domains.base import Item, TemplatedDomain, wordings
from hedgespec.zoo.packages import evals_samples


def _items(data: dict[str, Any]) -> Iterator[Item]:
    for table in data["tables"]:
        yield _item(data, *table)
    for sample in evals_samples("sql/spider_sql.jsonl"):
        text = sample["input"][0]["content"]
        found = re.findall(r"^Table: (\S+)\. Columns: (.*)$", text, re.MULTILINE)
        tables = ", ".join(f"{table} ({_without_types(columns)})" for table, columns in found)
        ask = text.partition("Question: ")[2].strip()
        key = " ".join(sorted(table for table, _ in found))
        yield Item(key, wordings(data["spider_openings"], data["endings"], tables=tables, ask=ask))


def _item(
    data: dict[str, Any],
    table: str,
    name: str,
    group: str,
    other: str,
    first: str,
    second: str,
    day: str,
) -> Item:
    """All that is asked about a table, of the name of a row, two columns to group by, two to
    calculate with, and a date."""
    tables = f"{table} (id, {name}, {group}, {other}, {first}, {second}, {day})"
    prompts: list[str] = []
    for ask in data["asks"]:
        asked = ask.format(name=name, group=group, other=other, first=first, second=second, day=day)
        prompts += wordings(data["openings"], data["endings"], tables=tables, ask=asked)
    return Item(table, tuple(prompts))


def _without_types(columns: str) -> str:
    return re.sub(r" \([^)]*\)", "", columns)


DOMAIN = TemplatedDomain("sql", _items)
