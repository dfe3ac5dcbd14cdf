"""Traces are written and read shard by shard."""

import threading

import numpy as np
import polars as pl
import pytest

from hedgespec.cli import main
from hedgespec.errors import TraceError
from hedgespec.traces import TraceReader, TraceWriter, read_trace
from hedgespec.traces.ahead import in_parallel
from hedgespec.traces.subset import write_subset
from hedgespec.traces.synthetic import write_synthetic
from tests.helpers.synthetic import write_trace

LENGTHS = (40, 1, 7, 90, 33)


@pytest.fixture
def small_shards(monkeypatch):
    for module in ("writer", "subset", "synthetic"):
        monkeypatch.setattr(f"hedgespec.traces.{module}.MAX_ROWS_PER_SHARD", 30)


@pytest.fixture
def trace(tmp_path, small_shards):
    return write_trace(tmp_path / "trace", lengths=LENGTHS, depths=(1, 3, 1))


def test_pieces_hold_whole_queries_in_order(trace):
    reader = TraceReader(trace.folder)
    assert len(reader.manifest.files) == 1 + 6
    pieces = reader.pieces(45)
    assert [piece.tolist() for piece in pieces] == [[0, 1], [2], [3], [4]]
    read = [reader.read(piece) for piece in pieces]
    for name in ("tokens", "log_p", "log_q", "gamma", "match", "p_top", "numbers"):
        np.testing.assert_array_equal(
            np.concatenate([getattr(one, name) for one in read]), getattr(trace, name)
        )
    assert pl.concat([one.queries for one in read]).equals(trace.queries)
    assert sum(one.bytes for one in read) == trace.bytes > 0


def test_queries_are_read_in_any_order(trace):
    order = np.array([3, 0, 4, 2])
    found = TraceReader(trace.folder).read(order)
    wanted = [np.arange(*trace.offsets[number : number + 2]) for number in order]
    np.testing.assert_array_equal(found.gamma, trace.gamma[np.concatenate(wanted)])
    assert np.diff(found.offsets).tolist() == [90, 40, 33, 7]
    assert found.queries["query"].to_list() == order.tolist()


def test_a_fault_of_a_later_shard_is_found_by_validate(trace, capsys):
    path = trace.folder / "tokens-00004.parquet"
    path.write_bytes(path.read_bytes()[:-9])
    assert len(TraceReader(trace.folder).read(np.arange(2)).tokens) == 41
    assert main(["validate", str(trace.folder)]) == 1
    assert "tokens-00004.parquet" in capsys.readouterr().err
    with pytest.raises(TraceError, match=r"tokens-00004\.parquet"):
        TraceReader(trace.folder).check_hashes()


def test_batches_of_mixed_queries_become_shards_in_order(tmp_path, trace, small_shards):
    reader = TraceReader(trace.folder)
    writer = TraceWriter(tmp_path / "again", {})
    for name, numbers in (("a", [0, 3]), ("b", [2]), ("c", [4, 1])):
        batch = np.array(sorted(numbers))
        writer.write_batch(name, reader.queries[sorted(numbers)], reader.tokens(batch))
    writer.finish(reader.manifest)
    again = read_trace(tmp_path / "again")
    np.testing.assert_array_equal(again.gamma, trace.gamma)
    assert again.queries.equals(trace.queries)
    assert again.manifest.files == trace.manifest.files


def test_a_subset_renumbers_what_it_keeps(tmp_path, trace, small_shards):
    manifest = write_subset(trace.folder, tmp_path / "part", per_domain=2)
    kept = trace.queries.filter(pl.int_range(pl.len()).over("domain") < 2)["query"].to_numpy()
    part = read_trace(tmp_path / "part")
    np.testing.assert_array_equal(part.gamma, TraceReader(trace.folder).read(kept).gamma)
    assert manifest.queries == len(kept) < len(LENGTHS)


def test_a_refused_shard_leaves_no_manifest(tmp_path, trace, small_shards):
    reader = TraceReader(trace.folder)
    tokens = reader.tokens(np.arange(5)).with_columns(
        pl.when(pl.int_range(pl.len()) == 100)
        .then(2.0)
        .otherwise(pl.col("gamma/drafter-0"))
        .cast(pl.Float32)
        .alias("gamma/drafter-0")
    )
    writer = TraceWriter(tmp_path / "bad", {})
    with pytest.raises(TraceError, match=r"tokens-00003\.parquet: row 10, column .gamma"):
        writer.write_whole(reader.manifest, reader.queries, [tokens])
    assert not (tmp_path / "bad" / "manifest.json").exists()


def test_synthetic_depths_fade(tmp_path, small_shards):
    write_synthetic(tmp_path / "trace", "domains", 6, 20, 3, depths=4)
    found = read_trace(tmp_path / "trace")
    assert found.gamma.shape == (120, 4, 3)
    assert found.manifest.draft_length == 4
    assert (np.diff(found.gamma, axis=1) <= 0).all()
    np.testing.assert_allclose(found.gamma[:, 3], found.gamma[:, 0] * 0.97**3, atol=2**-12)
    away, home = found.gamma[:20, 0, 1], found.gamma[20:40, 0, 1]
    assert home.mean() - away.mean() == pytest.approx(0.2, abs=0.1)


def test_work_is_done_ahead_in_order_and_its_faults_are_raised():
    gone = threading.Event()

    def work(number: int) -> int:
        if number == 0:
            assert gone.wait(10), "the second does not wait for the first"
        gone.set()
        if number == 7:
            raise ValueError("seven")
        return number * number

    asked = []
    items = ((asked.append(number) or number,) for number in range(20))
    found = in_parallel(work, items, threads=2)
    assert [next(found) for _ in range(5)] == [0, 1, 4, 9, 16]
    assert len(asked) <= 8, "few items are made ahead"
    with pytest.raises(ValueError, match="seven"):
        list(found)
