"""The schema: what is written has its columns, and docs/results.md says what they are."""

import ast
import json
import re
from dataclasses import asdict, fields
from itertools import chain
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from benchmarks.pages import marked
from benchmarks.results_page import DOCUMENT, tables
from hedgespec.errors import HedgespecError
from hedgespec.results.keys import CHOICES, SETTING, SHARED, RunKey
from hedgespec.results.schema import (
    LIVE_ROUNDS,
    PER_QUERY,
    ROUNDS_OF,
    SUMMARY,
    TABLES,
    Column,
    Table,
)
from hedgespec.results.store import Results, read_results, read_table, save_results
from hedgespec.simulator import SweepSettings, run_sweep
from tests.helpers.seals import seal_results
from tests.helpers.synthetic import write_trace

ROOT = Path(__file__).parents[2]
KEY = RunKey("mix", "hedge", "queued", "length:gamma", 5, "", None, "sampling", "exact")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    folder = tmp_path_factory.mktemp("trace") / "trace"
    write_trace(folder)
    return run_sweep([folder], SweepSettings(selectors=("hedge", "ucbspec", "best-fixed"), seeds=2))


def test_the_page_is_what_the_schema_gives():
    page = DOCUMENT.read_text(encoding="utf-8")
    assert list(tables()) == ["run", "summary", "per_query", "curves", "answer", "rounds", "losses"]
    for name, table in tables().items():
        assert marked(page, name) == table, f"{name}: run `make docs-tables`"


def test_the_page_says_the_type_and_unit_of_each_column():
    for table in (*TABLES, LIVE_ROUNDS):
        page = tables()["run"] + tables()[table.name]
        for column in table.columns:
            name = column.name + "DRAFTER" * column.of_each_arm
            line = re.search(rf"^\| (?:\*\*)?`{re.escape(name)}`.*$", page, re.MULTILINE)[0]
            assert f"| {str(column.dtype).lower()} | {column.unit} | " in line
            assert column.meaning in line


def test_what_a_sweep_writes_has_the_columns_of_the_schema(results):
    for table, rows in results.tables():
        assert table.shaped(rows).equals(rows), table.name
        assert rows.columns == table.shaped(rows).columns, table.name
        assert not rows.is_empty()
        assert not rows.select(table.keys).is_duplicated().any(), table.name
    assert [name for name in results.per_query.columns if name.startswith(ROUNDS_OF)] == [
        f"{ROUNDS_OF}drafter-{arm}" for arm in range(3)
    ]
    seeds = results.summary.filter(pl.col("selector") == "ucbspec")["seed"].to_list()
    assert seeds == [0, 1]


def test_tables_of_early_versions_are_read_without_what_came_later(results):
    early = results.per_query.drop("token_regret", "length_regret")
    assert PER_QUERY.lacking(PER_QUERY.completed(early)) == []
    shaped = PER_QUERY.shaped(early)
    assert shaped.columns == results.per_query.columns
    assert shaped["token_regret"].null_count() == len(early)
    assert PER_QUERY.lacking(results.per_query.drop("seconds")) == ["seconds"]


def test_keys_of_runs_are_the_first_columns_of_every_table():
    assert [item.name for item in fields(RunKey)] == SETTING
    for table in TABLES:
        assert [column.name for column in table.columns][: len(SETTING)] == SETTING
        assert set(SETTING) <= set(table.keys)
    assert set(CHOICES) | {"trace", "selector", "mode"} == set(SETTING)
    assert set(SHARED) <= set(SETTING)


def test_keys_come_back_from_the_rows_they_are_written_to(results):
    rows = SUMMARY.empty().select(SETTING).clear(2).with_columns(KEY.literals())
    assert rows.schema == SUMMARY.empty().select(SETTING).schema
    assert RunKey.of_rows(pl.DataFrame([asdict(KEY)])) == [KEY]
    assert len(set(RunKey.of_rows(results.summary))) == 3


def test_a_table_is_made_of_declared_columns_only():
    table = Table(
        "t",
        "row",
        (
            Column("a", pl.Int32(), ""),
            Column("b", pl.Float64(), ""),
            Column("of/", pl.Float32(), ""),
        ),
    )
    made = table.made({"of/x": pl.Series([1, 2]), "b": np.array([np.nan, 2.0]), "a": 1})
    assert made.schema == {"a": pl.Int32, "b": pl.Float64, "of/x": pl.Float32}
    assert made.rows() == [(1, None, 1.0), (1, 2.0, 2.0)]
    assert table.made({"a": 1, "b": 2.5}).rows() == [(1, 2.5)]
    with pytest.raises(KeyError, match="t has no column c"):
        table.made({"a": 1, "b": 1, "c": 1})
    with pytest.raises(KeyError, match="b"):
        table.made({"a": 1})
    assert table.empty().schema == {"a": pl.Int32, "b": pl.Float64}


def test_parts_below_each_other_are_those_made_one_by_one():
    table = Table(
        "t",
        "row",
        (
            Column("a", pl.Int32(), ""),
            Column("b", pl.Float64(), ""),
            Column("text", pl.String(), ""),
            Column("of/", pl.Float32(), ""),
        ),
    )
    parts = [
        {"a": 1, "b": np.array([np.nan, 2.0]), "text": "x", "of/x": pl.Series([1, 2])},
        {
            "a": np.array([3, 4, 5]),
            "b": None,
            "text": pl.Series(["p", None, "q"]),
            "of/y": np.array([1.0, np.nan, 3.0]),
        },
        {"a": 7, "b": 1.5, "text": "z"},
    ]
    stacked = table.stacked(parts)
    assert stacked.equals(pl.concat([table.made(part) for part in parts], how="diagonal"))
    assert stacked.schema == {
        "a": pl.Int32,
        "b": pl.Float64,
        "text": pl.String,
        "of/x": pl.Float32,
        "of/y": pl.Float32,
    }
    with pytest.raises(KeyError, match="b"):
        table.stacked([parts[0], {"a": 1, "text": "x"}])


def lists_of_columns(source: str) -> list[list[str]]:
    """Lists of four column names or more in a program, and schemas: names with types."""
    columns = {column.name for table in (*TABLES, LIVE_ROUNDS) for column in table.columns}
    found = []
    if sum(f'"{name}"' in source for name in columns) < 4:  # most files: parsing takes long
        return found
    for node in ast.walk(ast.parse(source)):
        items = node.elts if isinstance(node, ast.List | ast.Tuple | ast.Set) else []
        if isinstance(node, ast.Dict):
            items = [
                key
                for key, value in zip(node.keys, node.values, strict=True)
                if ast.unparse(value).startswith("pl.")
            ]
        names = [item.value for item in items if isinstance(item, ast.Constant)]
        if len(columns.intersection(names)) >= 4:
            found.append(names)
    return found


def test_columns_are_listed_in_one_place():
    paths = [*(ROOT / "hedgespec").rglob("*.py"), *(ROOT / "benchmarks").glob("*.py")]
    lists = {
        path: found
        for path in paths
        if (found := lists_of_columns(path.read_text(encoding="utf-8")))
    }
    assert set(lists) == {
        ROOT / "hedgespec" / "results" / "keys.py",  # SHARED
        ROOT / "hedgespec" / "live" / "settings.py",  # OWN, fields of its class
        ROOT / "hedgespec" / "bridges" / "imports" / "contract.py",
    }  # no results
    assert lists_of_columns('KEYS = [*SETTING, "seed", "tokens", "rounds", "mat"]')
    assert lists_of_columns(
        'KEYS = {"trace": pl.String(), "loss": pl.String(), "rule": pl.String(), "seed": pl.Int8}'
    )


def test_results_come_back_from_their_folder(results, tmp_path):
    save_results(tmp_path, results)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        [*(table.file for table in TABLES), "run.json"]
    )
    found = read_results(tmp_path)
    for (table, before), (_, after) in zip(results.tables(), found.tables(), strict=True):
        assert before.equals(after), table.name
    assert found.provenance == json.loads(json.dumps(results.provenance))
    assert found.complete


def test_what_lacks_in_a_folder_is_named(results, tmp_path):
    with pytest.raises(HedgespecError, match=r"run\.json: missing; name a folder"):
        read_results(tmp_path)
    save_results(tmp_path, results)
    results.per_query.drop("mat", "domain").write_parquet(tmp_path / PER_QUERY.file)
    seal_results(tmp_path)
    with pytest.raises(HedgespecError, match=r"per_query\.parquet: lacks the columns domain, mat;"):
        read_results(tmp_path)
    (tmp_path / SUMMARY.file).unlink()
    with pytest.raises(HedgespecError, match=r"summary\.parquet: no such results"):
        read_table(tmp_path, "summary")


@pytest.mark.parametrize("name", ["query", "query_id", "domain"])
def test_a_query_without_a_name_is_refused(results, tmp_path, name):
    save_results(tmp_path, results)
    table = results.per_query
    table.with_columns(
        pl.when(pl.int_range(pl.len()) != 1).then(pl.col(name)).alias(name)
    ).write_parquet(tmp_path / PER_QUERY.file)
    seal_results(tmp_path)
    with pytest.raises(HedgespecError, match=rf'per_query.parquet: row 1, column "{name}": value'):
        read_results(tmp_path)


def test_parts_are_joined_and_nothing_joins_to_empty_tables(results):
    assert all(
        rows.is_empty() and list(rows.columns) == list(table.types)
        for table, rows in Results.joined([]).tables()
    )
    twice = Results.joined([results, results])
    assert [len(rows) for _, rows in twice.tables()] == [
        2 * len(rows) for _, rows in results.tables()
    ]
    assert list(chain.from_iterable(twice.summary.select("trace").rows())) == (
        2 * results.summary["trace"].to_list()
    )
