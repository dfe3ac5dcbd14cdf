"""The trace format: round trips, rounding, and one clear error for every kind of damage."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hedgespec.bundled import bundled_traces, trace_folder
from hedgespec.cli import main
from hedgespec.errors import TraceError
from hedgespec.files import sha256_file
from hedgespec.traces import read_trace
from hedgespec.traces.schema import (
    DRAFTER_STATISTICS,
    OPTIONAL_STATISTICS,
    QUERY_COLUMNS,
    TOKEN_COLUMNS,
    round_embedding,
    round_log,
    round_probability,
    token_schema,
)
from tests.helpers.synthetic import write_trace

TOKENS, QUERIES, MANIFEST = "tokens-00000.parquet", "queries.parquet", "manifest.json"


@pytest.mark.parametrize("folder", bundled_traces(), ids=lambda path: path.name)
def test_bundled_traces_are_valid(folder):
    trace = read_trace(folder)
    drafters, others = {
        "methods": (9, {"parallel", "redrafter"}),
        "coder": (11, {"generalist-mixed", "half", "early-exit-14"}),
    }.get(folder.name.split("-")[0], (11, {"small-math", "small-python"}))
    assert len(trace.manifest.drafters) == drafters
    assert others | {"generalist", "expert-math", "prompt-lookup"} < set(
        trace.manifest.drafter_names
    )
    assert set(trace.manifest.costs.drafters) == set(trace.manifest.drafter_names)


def test_drafters_and_domains_share_their_words():
    trace = read_trace(trace_folder("domain-mix-t0"))
    experts = {
        name.removeprefix("expert-")
        for name in trace.manifest.drafter_names
        if name.startswith("expert-")
    }
    assert trace.queries["domain"].n_unique() == 8
    assert experts | {"general"} == set(trace.queries["domain"])


@pytest.mark.slow
def test_bundled_traces_hold_enough_and_stay_small():
    assert sum(read_trace(folder).manifest.tokens for folder in bundled_traces()) >= 100_000
    size = sum(path.stat().st_size for folder in bundled_traces() for path in folder.iterdir())
    assert size <= 36_000_000


def test_arrays_are_contiguous_and_shaped_by_position_depth_and_drafter(tmp_path):
    trace = write_trace(tmp_path / "trace", depths=(1, 4, 1))
    count = trace.manifest.tokens
    for name in DRAFTER_STATISTICS:
        values = getattr(trace, name)
        assert values.shape == (count, 4, 3)
        assert values.flags["C_CONTIGUOUS"]
    for depth in range(1, 4):
        np.testing.assert_array_equal(trace.gamma[:, depth, 0], trace.gamma[:, 0, 0])
    table = pl.read_parquet(tmp_path / "trace" / TOKENS)
    for depth in range(4):
        np.testing.assert_array_equal(
            trace.gamma[:, depth, 1], table[f"gamma/drafter-1@{depth + 1}"].to_numpy()
        )


@pytest.fixture(scope="module")
def sound(tmp_path_factory) -> Path:
    """The folder of a trace, to be copied."""
    return write_trace(tmp_path_factory.mktemp("sound") / "trace").folder


@pytest.fixture
def folder(sound, tmp_path) -> Path:
    """The folder of a trace, to be damaged."""
    return shutil.copytree(sound, tmp_path / "trace")


def rewrite(folder: Path, name: str, change: Callable[[pl.DataFrame], pl.DataFrame]) -> None:
    """Change a table and give it a fitting hash: only the content check can object."""
    change(pl.read_parquet(folder / name)).write_parquet(folder / name)
    edit_manifest(folder, lambda m: m["files"][name].update(sha256=sha256_file(folder / name)))


def set_cell(column: str, row: int, value: object) -> Callable[[pl.DataFrame], pl.DataFrame]:
    return lambda table: table.with_columns(
        pl.when(pl.int_range(pl.len()) == row)
        .then(pl.lit(value, table[column].dtype))
        .otherwise(pl.col(column))
        .alias(column)
    )


def edit_manifest(folder: Path, change: Callable[[dict], object]) -> None:
    document = json.loads((folder / MANIFEST).read_text())
    change(document)
    (folder / MANIFEST).write_text(json.dumps(document))


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip_byte(path: Path, place: float) -> None:
    data = bytearray(path.read_bytes())
    data[int(len(data) * place)] ^= 0x10
    path.write_bytes(bytes(data))


def swap(left: str, right: str) -> Callable[[pl.DataFrame], pl.DataFrame]:
    return lambda table: table.rename({left: right, right: left}).select(table.columns)


G0, Q0, P0, M0 = (f"{name}/drafter-0" for name in ("gamma", "log_q", "p_top", "match"))
ID = "query_id"
CELL = {  # damage in one cell, hash adjusted: file, row and column must be named
    "gamma 1.2": (TOKENS, G0, 5, 1.2, "must lie in [0, 1]"),
    "gamma negative": (TOKENS, G0, 0, -0.1, "must lie in [0, 1]"),
    "gamma NaN": (TOKENS, G0, 137, float("nan"), "must lie in [0, 1]"),
    "p_top above one": (TOKENS, P0, 3, 1.01, "must lie in [0, 1]"),
    "log_p NaN": (TOKENS, "log_p", 9, float("nan"), "must be finite and <= 0"),
    "p = 0 for an emitted token": (TOKENS, "log_p", 9, float("-inf"), "must be finite and <= 0"),
    "log_p positive": (TOKENS, "log_p", 9, 0.5, "must be finite and <= 0"),
    "log_q NaN": (TOKENS, Q0, 2, float("nan"), "must be <= 0 and not NaN"),
    "log_q positive": (TOKENS, Q0, 2, 0.1, "must be <= 0 and not NaN"),
    "log_q +inf": (TOKENS, Q0, 2, float("inf"), "must be <= 0 and not NaN"),
    "token outside the vocabulary": (TOKENS, "token", 4, 12, "is outside the vocabulary of 12"),
    "position jumps": (TOKENS, "position", 50, 77, "must count 0, 1, 2"),
    "query out of order": (TOKENS, "query", 50, 0, "breaks the order"),
    "null": (TOKENS, "token", 4, None, "value is null"),
    "unknown finish reason": (QUERIES, "finish_reason", 2, "bored", "must be one of eos, length"),
    "bad prompt hash": (QUERIES, "prompt_sha256", 1, "xyz", "is not 64 hexadecimal digits"),
    "query number": (QUERIES, "query", 3, 7, "must be numbered 0, 1, 2"),
    "no output": (QUERIES, "output_tokens", 1, 0, "must be at least 1"),
    "embedding NaN": (QUERIES, "prompt_embedding", 1, [float("nan"), 0.0], "holds null, NaN"),
    "null in an embedding": (QUERIES, "prompt_embedding", 1, [None, 0.0], "holds null"),
    "control character in an id": (QUERIES, ID, 1, "a\0b", "holds a control character"),
    "line in a domain": (QUERIES, "domain", 1, "a\nb", "holds a control character"),
    "doubled query id": (QUERIES, "query_id", 1, "q0", "appears twice"),
    "gamma too high": (TOKENS, "gamma/drafter-2", 14, 1.0, "is above 1 - |p - q|"),
    "p_top too high": (TOKENS, "p_top/drafter-2", 15, 1.0, "add up to more than 1"),
    "embedding length": (QUERIES, "prompt_embedding", 1, [0.5], "has another length"),
}


@pytest.mark.parametrize("case", CELL)
def test_a_damaged_cell_is_named_by_file_row_and_column(folder, case):
    name, column, row, value, problem = CELL[case]
    rewrite(folder, name, set_cell(column, row, value))
    with pytest.raises(TraceError) as caught:
        read_trace(folder)
    message = str(caught.value)
    assert str(folder / name) in message
    assert f'row {row}, column "{column}"' in message
    assert problem in message


WHOLE = {  # other damage: what is done, and what the message must say
    "truncated shard": (lambda f: truncate(f / TOKENS), f"{TOKENS}: not readable as Parquet"),
    "truncated queries": (lambda f: truncate(f / QUERIES), f"{QUERIES}: not readable as Parquet"),
    "empty file": (lambda f: (f / TOKENS).write_bytes(b""), f"{TOKENS}: not readable as Parquet"),
    "missing shard": (lambda f: (f / TOKENS).unlink(), f"{TOKENS}: file is missing"),
    "missing queries": (lambda f: (f / QUERIES).unlink(), f"{QUERIES}: file is missing"),
    "missing manifest": (lambda f: (f / MANIFEST).unlink(), "no manifest.json"),
    "manifest no JSON": (lambda f: truncate(f / MANIFEST), "not readable as JSON"),
    "no trace at all": (lambda f: (f / MANIFEST).write_text("{}"), "this is not a trace"),
    "newer version": (
        lambda f: edit_manifest(f, lambda m: m.update(version=5)),
        "version 5 is newer than the 4",
    ),
    "version a text": (
        lambda f: edit_manifest(f, lambda m: m.update(version="1")),
        "not a positive integer",
    ),
    "field missing": (
        lambda f: edit_manifest(f, lambda m: m["sampling"].pop("seed")),
        'field "sampling.seed" is missing',
    ),
    "field of wrong type": (
        lambda f: edit_manifest(f, lambda m: m.update(draft_length="5")),
        'field "draft_length" has the wrong type',
    ),
    "unknown field": (
        lambda f: edit_manifest(f, lambda m: m.update(colour=1)),
        'unknown field "colour"',
    ),
    "temperature infinite": (
        lambda f: edit_manifest(f, lambda m: m["sampling"].update(temperature=float("inf"))),
        "must be >= 0 and finite",
    ),
    "top_p 7": (
        lambda f: edit_manifest(f, lambda m: m["sampling"].update(top_p=7)),
        "must lie in (0, 1]",
    ),
    "garbage hash": (
        lambda f: edit_manifest(f, lambda m: m["target"].update(weights_sha256="x")),
        "a sha256 is not 64 hexadecimal digits",
    ),
    "name with markup": (
        lambda f: edit_manifest(f, lambda m: m.update(name="m[/foo]")),
        "a trace's name may hold",
    ),
    "huge draft length": (
        lambda f: edit_manifest(f, lambda m: m.update(draft_length=10**30)),
        "must lie in 1..10000",
    ),
    "deeply nested": (lambda f: (f / MANIFEST).write_text("[" * 100_000), "not readable as JSON"),
    "drafter twice": (
        lambda f: edit_manifest(f, lambda m: m["drafters"].append(m["drafters"][0])),
        "names a drafter twice",
    ),
    "wrong hash": (
        lambda f: edit_manifest(f, lambda m: m["files"][TOKENS].update(sha256="0" * 64)),
        f"{TOKENS}: sha256 is",
    ),
    "row count": (
        lambda f: edit_manifest(f, lambda m: m["files"][TOKENS].update(rows=3)),
        "138 rows, the manifest says 3",
    ),
    "token count": (
        lambda f: edit_manifest(f, lambda m: m.update(tokens=3)),
        'column "output_tokens" adds up to 138',
    ),
    "foreign file": (
        lambda f: (f / "tokens-00009.parquet").write_bytes(b"x"),
        "not listed in the manifest",
    ),
    "path leaves the folder": (
        lambda f: edit_manifest(
            f, lambda m: m["files"].update({"../x.parquet": {"sha256": "0" * 64, "rows": 1}})
        ),
        "leaves the folder",
    ),
    "column missing": (
        lambda f: rewrite(f, TOKENS, lambda t: t.drop(G0)),
        f'column "{G0}" is missing',
    ),
    "column unknown": (
        lambda f: rewrite(f, TOKENS, lambda t: t.with_columns(x=1)),
        'unknown column "x"',
    ),
    "column of wrong type": (
        lambda f: rewrite(f, TOKENS, lambda t: t.cast({G0: pl.Float64})),
        f'column "{G0}" has type Float64, expected Float32',
    ),
    "columns swapped": (lambda f: rewrite(f, TOKENS, swap(G0, P0)), f'column "{P0}"'),
    "drafters swapped": (
        lambda f: rewrite(f, TOKENS, swap(M0, "match/drafter-2")),
        "differs from p of the emitted token",
    ),
    "rows missing": (
        lambda f: (
            rewrite(f, TOKENS, lambda t: t.head(100)),
            edit_manifest(f, lambda m: m["files"][TOKENS].update(rows=100)),
        ),
        "the token shards hold 100 tokens, queries.parquet counts 138",
    ),
    "rows doubled": (
        lambda f: (
            rewrite(f, TOKENS, lambda t: pl.concat([t, t])),
            edit_manifest(f, lambda m: m["files"][TOKENS].update(rows=276)),
        ),
        "row 138: more tokens than queries.parquet counts",
    ),
}


HUGE = 10**400
CLAIMS = {  # of a manifest, that no file of the trace bears out: nothing is made on its word
    "depths": (lambda m: m["drafters"][0].update(depths=10**8), "depths must lie in 1..10000"),
    "columns": (lambda m: m["drafters"][0].update(depths=10**4), '@1" is missing'),
    "rows": (lambda m: m["files"][TOKENS].update(rows=10**12), "no row, or too many"),
    "queries": (lambda m: m.update(queries=HUGE), "must be below 2^63"),
    "tokens": (lambda m: m.update(tokens=2**32 + 138), "adds up to 138, the manifest says"),
    "temperature": (lambda m: m["sampling"].update(temperature=HUGE), "is too large"),
    "seed": (lambda m: m["sampling"].update(seed=HUGE), "must be below 2^63"),
    "rules": (
        lambda m: m.update(version=2, rules=[{"name": "tree", "levels": 255}]),
        '"depth.tree/drafter-0" is missing',
    ),
    "control character": (lambda m: m["target"].update(id="a\nb"), "holds a control character"),
    "half a surrogate pair": (lambda m: m.update(device="\ud800"), "half a surrogate pair"),
}


@pytest.mark.parametrize("case", CLAIMS)
def test_what_a_manifest_claims_is_bounded_by_its_files(folder, case):
    change, problem = CLAIMS[case]
    edit_manifest(folder, change)
    with pytest.raises(TraceError) as caught:
        read_trace(folder)
    assert problem in str(caught.value)


def test_a_key_that_stands_twice_is_refused(tmp_path):
    write_trace(tmp_path)
    text = (tmp_path / MANIFEST).read_text()
    (tmp_path / MANIFEST).write_text(text.replace('"tokens": 138', '"tokens": 138, "tokens": 138'))
    with pytest.raises(TraceError, match="the key 'tokens' stands twice"):
        read_trace(tmp_path)


def test_token_counts_do_not_wrap(tmp_path):
    """2^32 more tokens than there are add up to what there is, in 32 bits."""
    write_trace(tmp_path)
    rewrite(
        tmp_path,
        QUERIES,
        lambda table: table.with_columns(
            output_tokens=pl.Series([2**31 + 40, 2**31 + 1, 7, 90], dtype=pl.UInt32)
        ),
    )
    with pytest.raises(TraceError, match="adds up to 4294967434"):
        read_trace(tmp_path)


def test_bytes_that_the_manifest_has_no_hash_of_are_not_parsed(tmp_path, monkeypatch):
    write_trace(tmp_path)
    flip_byte(tmp_path / TOKENS, 0.3)
    monkeypatch.setattr(pl, "read_parquet", real := Parsed(pl.read_parquet))
    with pytest.raises(TraceError, match=f"{TOKENS}: sha256"):
        read_trace(tmp_path)
    assert real.calls == 1, "queries.parquet alone"


class Parsed:
    """Counts the calls of a function."""

    def __init__(self, function: Callable[..., object]):
        self.function, self.calls = function, 0

    def __call__(self, *arguments: object, **named: object) -> object:
        self.calls += 1
        return self.function(*arguments, **named)


@pytest.mark.parametrize("case", WHOLE)
def test_other_damage_is_one_clear_error(folder, case):
    damage, problem = WHOLE[case]
    damage(folder)
    with pytest.raises(TraceError) as caught:
        read_trace(folder)
    assert problem in str(caught.value)


def test_at_temperature_zero_gamma_must_be_match(tmp_path):
    folder = tmp_path / "trace"
    trace = write_trace(folder, temperature=0.0)
    row = int(np.flatnonzero(~trace.match[:, 0, 0])[0])
    rewrite(folder, TOKENS, set_cell(G0, row, 0.5))
    assert not trace.match[row, 0, 0]
    with pytest.raises(TraceError, match=f"row {row}.*at temperature 0"):
        read_trace(folder)


def test_at_temperature_zero_log_q_must_agree_with_match(tmp_path):
    folder = tmp_path / "trace"
    trace = write_trace(folder, temperature=0.0)
    row = int(np.flatnonzero(trace.match[:, 0, 0])[0])
    rewrite(folder, TOKENS, set_cell(Q0, row, float("-inf")))
    with pytest.raises(TraceError, match=f'row {row}, column "{Q0}".*disagrees with'):
        read_trace(folder)


@pytest.mark.parametrize(
    ("column", "value", "told"),
    [("log_p", -0.1, "must be 0: at temperature 0"), (P0, 0.0005, "at temperature 0 both say")],
)
def test_at_temperature_zero_all_of_p_is_on_the_text(tmp_path, column, value, told):
    folder = tmp_path / "trace"
    trace = write_trace(folder, temperature=0.0)
    row = int(np.flatnonzero(~trace.match[:, 0, 0])[0])
    rewrite(folder, TOKENS, set_cell(column, row, value))
    with pytest.raises(TraceError, match=f'row {row}, column "{column}".*{told}'):
        read_trace(folder)


@given(place=st.floats(0, 1, exclude_max=True), name=st.sampled_from([TOKENS, QUERIES]))
@settings(max_examples=60, deadline=None, derandomize=True)
@pytest.mark.slow
def test_any_flipped_byte_is_noticed(whole, place, name):
    path = whole / name
    before = path.read_bytes()
    flip_byte(path, place)
    try:
        with pytest.raises(TraceError, match=name):
            read_trace(whole)
    finally:
        path.write_bytes(before)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of a short trace, to be damaged and mended."""
    return write_trace(tmp_path_factory.mktemp("flip") / "trace", lengths=(5, 3)).folder


def test_validate_command_says_valid_or_names_the_fault(tmp_path, capsys):
    write_trace(tmp_path / "good")
    write_trace(tmp_path / "bad")
    rewrite(tmp_path / "bad", TOKENS, set_cell(G0, 5, 1.2))
    assert main(["validate", str(tmp_path / "good")]) == 0
    assert "valid; 4 queries, 138 tokens" in capsys.readouterr().out
    assert main(["validate", str(tmp_path / "bad"), str(tmp_path / "good")]) == 1
    output = capsys.readouterr()
    assert 'row 5, column "gamma/drafter-0"' in output.err
    assert "(query 0, position 5)" in output.err
    assert "good: valid" in output.out
    assert main(["validate", str(tmp_path / "nowhere")]) == 1
    assert "no such trace directory" in capsys.readouterr().err


finite = st.floats(-60, 0, width=32)


@pytest.mark.slow
@given(arrays(np.float32, 20, elements=finite))
def test_rounding_of_log_probabilities_costs_what_the_docs_say(values):
    assert np.abs(round_log(values, "compact") - values).max() <= 2.0**-11 + 1e-6
    np.testing.assert_array_equal(round_log(values, "full"), values)


@given(arrays(np.float32, 20, elements=st.floats(0, 1, width=32)))
def test_rounding_of_probabilities_costs_what_the_docs_say(values):
    rounded = round_probability(values, "compact")
    assert np.abs(rounded - values).max() <= 2.0**-13 + 1e-7
    assert rounded.min() >= 0
    assert rounded.max() <= 1


@given(arrays(np.float32, 20, elements=st.floats(-100, 100, width=32)))
def test_rounding_of_embeddings_costs_what_the_docs_say(values):
    error = np.abs(round_embedding(values, "compact") - values)
    assert (error <= np.abs(values) * 2.0**-8).all()


def test_minus_infinity_survives_rounding():
    assert np.isneginf(round_log(np.array([-np.inf]), "compact")).all()


def test_format_documentation_lists_every_column_and_manifest_field():
    text = (Path(__file__).parents[2] / "docs" / "trace-format.md").read_text()
    manifest = json.loads((bundled_traces()[0] / MANIFEST).read_text())
    for name in [
        *QUERY_COLUMNS,
        *TOKEN_COLUMNS,
        *DRAFTER_STATISTICS,
        *OPTIONAL_STATISTICS,
        *manifest,
    ]:
        assert f"`{name}" in text, name


def test_traces_open_as_they_stand_in_polars():
    """Another reader needs only the file and docs/trace-format.md."""
    folder = trace_folder("domain-mix-t0")
    table = pl.scan_parquet(folder / TOKENS)
    drafters = read_trace(folder).manifest.drafters
    assert table.collect_schema().names() == list(
        token_schema([(drafter.name, drafter.depths) for drafter in drafters])
    )
