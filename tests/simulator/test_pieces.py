"""A trace that is replayed piece by piece gives the results of the whole one, bit for bit."""

from collections.abc import Iterator
from dataclasses import replace
from shutil import copytree

import numpy as np
import pytest

from hedgespec.bundled import trace_folder
from hedgespec.results.schema import TABLES
from hedgespec.simulator import SweepSettings, run_sweep
from hedgespec.simulator.plan import Part
from hedgespec.simulator.work import Here
from hedgespec.traces import load_manifest
from hedgespec.traces.subset import write_subset
from tests.helpers.synthetic import write_trace

EVERY = (
    "default",
    "best-single",
    "fastest-single",
    "fastest-fixed",
    "router",
    "best-switching",
    "lookup-first:generalist",
    "hedge:eta=0.3",
)


@pytest.fixture(scope="module")
def bundled(tmp_path_factory):
    """Real embeddings, costs, and drafts of a length that differs from token to token."""
    folder = tmp_path_factory.mktemp("bundled") / "trace"
    write_subset(trace_folder("domain-mix-t0.7"), folder, per_domain=2)
    return folder


@pytest.fixture(scope="module")
def read_late(bundled, tmp_path_factory):
    """The same under costs that say what reading more than a round's tokens takes."""
    folder = copytree(bundled, tmp_path_factory.mktemp("read") / "trace")
    manifest = load_manifest(folder)
    drafters = {
        name: replace(one, reads={"16": 1.3 * one.evaluate, "64": 2.1 * one.evaluate})
        for name, one in manifest.costs.drafters.items()
    }
    replace(manifest, costs=replace(manifest.costs, drafters=drafters)).save(folder)
    return folder


def in_pieces(monkeypatch, tokens):
    """Have pieces of at most so many tokens."""
    monkeypatch.setattr(Part, "most_tokens", tokens)


def assert_equal(found, expected):
    for (table, one), (_, other) in zip(found.tables(), expected.tables(), strict=True):
        timed = table.timed
        assert len(one)
        assert one.drop(timed).equals(other.drop(timed)), table.name
    assert len(list(found.tables())) == len(TABLES)


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        {"selectors": EVERY},
        {"selectors": ("hedge", "ftpl"), "feedbacks": ("every:4", "censored")},
        {"selectors": ("hedge", "ucbspec"), "carry": 3, "feedbacks": ("queued",)},
        {"selectors": ("hedge", "best-single"), "pools": (3, 14), "pool_seeds": (0, 1)},
        {"selectors": ("hedge", "fastest-single"), "arm_lengths": (0, 2, 4)},
    ],
    ids=lambda settings: next(name for name in reversed(settings)),
)
def test_pieces_are_the_whole(bundled, monkeypatch, settings):
    wanted = SweepSettings(seeds=2, **settings)
    whole = run_sweep([bundled], wanted)
    read = []
    real = Part.trace_jobs
    monkeypatch.setattr(
        Part,
        "trace_jobs",
        lambda part, trace: (read.append(len(trace.tokens)), real(part, trace))[1],
    )
    in_pieces(monkeypatch, 1500)
    found = run_sweep([bundled], wanted)
    assert len(read) > 3
    assert max(read) <= 1500
    assert_equal(found, whole)


@pytest.mark.slow
def test_pieces_are_the_whole_where_drafters_read_late(bundled, read_late, monkeypatch):
    wanted = SweepSettings(
        ("hedge", "ucbspec", "uniform"),
        seeds=2,
        mode="replayed",
        feedbacks=("limited:2", "budget:0.05+binned:0.5", "every:4"),
    )
    whole = run_sweep([read_late], wanted)
    assert (whole.per_query["reading_seconds"] > 0).all()
    assert whole.per_query["round_tokens"].count()
    assert (whole.per_query["seconds"] > run_sweep([bundled], wanted).per_query["seconds"]).any()
    in_pieces(monkeypatch, 1500)
    assert_equal(run_sweep([read_late], wanted), whole)


def test_many_seeds_are_run_in_blocks(tmp_path, monkeypatch):
    write_trace(tmp_path / "trace")
    wanted = SweepSettings(("ucbspec",), seeds=5, mode="replayed")
    whole = run_sweep([tmp_path / "trace"], wanted)
    monkeypatch.setattr("hedgespec.simulator.plan.RUNS_OF_A_UNIT", 2)
    assert_equal(run_sweep([tmp_path / "trace"], wanted), whole)


class Interrupted(Here):
    """Is stopped by the user after some units."""

    def __init__(self, units: int):
        super().__init__()
        self.units, self.run_units = units, 0

    def run(self, parts, units, report) -> Iterator:
        for unit, found in super().run(parts, units, report):
            if self.run_units == self.units:
                raise KeyboardInterrupt
            self.run_units += 1
            yield unit, found


def test_a_sweep_goes_on_with_the_pieces_that_are_missing(tmp_path, monkeypatch):
    write_trace(tmp_path / "trace", lengths=(40, 10, 70, 90, 20))
    wanted = SweepSettings(("hedge", "ucbspec", "uniform"), seeds=2)
    whole = run_sweep([tmp_path / "trace"], wanted)
    in_pieces(monkeypatch, 60)
    stopped = run_sweep(
        [tmp_path / "trace"], wanted, store=tmp_path / "parts", place=Interrupted(4)
    )
    assert not stopped.complete
    rest = Interrupted(100)
    found = run_sweep([tmp_path / "trace"], wanted, store=tmp_path / "parts", place=rest)
    assert rest.run_units == 3 * 4 - 4
    assert_equal(found, whole)
    assert not list((tmp_path / "parts").glob("*.npz"))


def test_a_damaged_part_is_made_again(tmp_path, monkeypatch):
    write_trace(tmp_path / "trace", lengths=(40, 10, 70, 90, 20))
    wanted = SweepSettings(("hedge", "ucbspec", "uniform"), seeds=2)
    in_pieces(monkeypatch, 60)
    run_sweep([tmp_path / "trace"], wanted, store=tmp_path / "parts", place=Interrupted(4))
    for path in (tmp_path / "parts").glob("*.npz"):
        path.write_bytes(path.read_bytes()[:-100])
    rest = Interrupted(100)
    found = run_sweep([tmp_path / "trace"], wanted, store=tmp_path / "parts", place=rest)
    assert rest.run_units == 3 * 4
    assert np.isfinite(found.summary["rounds"].to_numpy()).all()
