"""Traces with statistics of verification rules: written, read, checked, with fewer drafters."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

torch = pytest.importorskip("torch")

from hedgespec.cli import main  # noqa: E402
from hedgespec.errors import HedgespecError, TraceError  # noqa: E402
from hedgespec.rules import parse_rule  # noqa: E402
from hedgespec.simulator import Replayer  # noqa: E402
from hedgespec.traces import RuleInfo, Trace, TraceWriter, read_trace  # noqa: E402
from hedgespec.traces.resize_pool import resize_pool  # noqa: E402
from hedgespec.traces.schema import DRAFTER_STATISTICS, QUERY_COLUMNS, TOKEN_COLUMNS  # noqa: E402
from tests.helpers.real_decoding import TinyPair  # noqa: E402
from tests.helpers.rule_decoding import Trees, all_texts  # noqa: E402
from tests.helpers.synthetic import write_trace  # noqa: E402


def tables(trace: Trace) -> tuple[pl.DataFrame, pl.DataFrame]:
    """A trace of prefix-only drafters as the tables of its files."""
    lengths = np.diff(trace.offsets)
    count = len(lengths)
    queries = pl.DataFrame(
        {
            "query": range(count),
            "query_id": [f"q{i}" for i in range(count)],
            "source": ["made"] * count,
            "domain": ["made"] * count,
            "prompt_sha256": ["0" * 64] * count,
            "prompt_tokens": [1] * count,
            "output_tokens": lengths,
            "finish_reason": ["eos"] * count,
            "prompt_embedding": [[0.0]] * count,
        },
        schema=QUERY_COLUMNS,
    )
    columns = {
        "query": np.repeat(np.arange(count), lengths),
        "position": np.concatenate([np.arange(length) for length in lengths]),
        "token": trace.tokens,
        "log_p": trace.log_p.astype(np.float32),
    }
    statistics = {name: getattr(trace, name) for name in DRAFTER_STATISTICS} | trace.rules
    for name, values in statistics.items():
        for arm, drafter in enumerate(trace.manifest.drafter_names):
            for level in range(values.shape[1]):
                column = f"{name}/{drafter}" + (f"@{level + 1}" if name.startswith("mass.") else "")
                own = values[:, level, arm]
                columns[column] = own.astype(np.float32) if own.dtype == np.float64 else own
    return queries, pl.DataFrame(columns, schema_overrides=TOKEN_COLUMNS)


def write(trace: Trace, folder: Path, change=lambda tokens: tokens) -> Trace:
    queries, tokens = tables(trace)
    writer = TraceWriter(folder, {})
    writer.write_batch("all", queries, change(tokens))
    target = replace(trace.manifest.target, weights_sha256="0" * 64, tokenizer_sha256="0" * 64)
    writer.finish(replace(trace.manifest, target=target))
    return read_trace(folder)


@pytest.fixture(scope="module")
def made() -> Trace:
    """All texts of three tokens, with trees and Gumbel coupling."""
    pair = TinyPair.random(2, 4, 3, 2)
    return all_texts(pair, 2, (parse_rule("gumbel"),), Trees(pair, 2, nodes=5, width=3))[0]


def test_traces_with_trees_are_read_as_written(made, tmp_path):
    trace = write(made, tmp_path / "trace")
    for name, values in made.rules.items():
        np.testing.assert_array_equal(trace.rules[name], values)
        assert trace.rules[name].dtype == values.dtype
    assert trace.manifest.rules == [RuleInfo("gumbel"), RuleInfo("tree", 2)]
    assert main(["validate", str(tmp_path / "trace")]) == 0
    np.testing.assert_array_equal(
        Replayer(trace, rule="tree").expected_rounds, Replayer(made, rule="tree").expected_rounds
    )


ANYWHERE, P = pl.lit(True), pl.col("log_p").exp()


@pytest.mark.parametrize(
    ("where", "values", "message"),
    [
        (ANYWHERE, {"a.gumbel/d1": 1.5}, "must lie in [0, 1]"),
        (ANYWHERE, {"gamma.gumbel/d0": np.nan}, "must lie in [0, 1]"),
        (ANYWHERE, {"gamma.gumbel/d0": 0.0}, "is below p(x) a(x) of the emitted token"),
        (
            P * pl.col("a.gumbel/d0") > 1.1 - pl.col("gamma.gumbel/d0"),
            {"a.gumbel/d0": 0.0},
            "is above 1 - p(x) (1 - a(x)) of the emitted token",
        ),
        (
            pl.col("a.gumbel/d0") > 0,
            {"log_q/d0": -np.inf, "gamma/d0": 0.0},
            'is positive though "log_q/d0" says that the token was no proposal',
        ),
        (ANYWHERE, {"depth.tree/d0": 3}, "is deeper than the 2 levels"),
        (ANYWHERE, {"nodes.tree/d0": 0}, 'is more than the nodes drafted, "nodes.tree/d0"'),
        (ANYWHERE, {"mass.tree/d1@1": 1.01}, "must lie in [0, 1]"),
        (
            pl.col("depth.tree/d1") == 0,
            {"mass.tree/d1@2": 0.5},
            "is positive though the text left the tree before",
        ),
        (pl.col("position") == 2, {"depth.tree/d0": 2}, "runs beyond the end of the answer"),
    ],
)
def test_what_cannot_be_is_told(made, tmp_path, where, values, message):
    def change(tokens: pl.DataFrame) -> pl.DataFrame:
        return tokens.with_columns(
            pl.when(where).then(pl.lit(value, tokens[column].dtype)).otherwise(column).alias(column)
            for column, value in values.items()
        )

    with pytest.raises(TraceError) as caught:
        write(made, tmp_path / "trace", change)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ([{"name": "Bad"}], "rule name 'Bad' cannot be one"),
        ([{"levels": 3}], '"rules[0].name"'),
        ([{"name": "tree", "levels": 0}], "levels must lie in 1..255"),
        ([{"name": "gumbel"}, {"name": "gumbel"}], "names a rule twice"),
        ([{"name": "gumbel"}], 'column "gamma.gumbel/drafter-0" is missing'),
    ],
)
def test_bad_rules_in_a_manifest_are_told(tmp_path, rules, message):
    write_trace(tmp_path / "trace")
    path = tmp_path / "trace" / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"rules": rules, "version": 2}))
    with pytest.raises(TraceError) as caught:
        read_trace(tmp_path / "trace")
    assert message in str(caught.value)


def test_smaller_pools_take_the_trees_along_and_larger_ones_are_refused(made):
    fewer = resize_pool(made, 1, seed=0)
    assert fewer.rules["depth.tree"].shape[2] == 1
    with pytest.raises(HedgespecError, match=r"draft trees \(tree\) were not recorded"):
        resize_pool(made, 3, seed=0)
