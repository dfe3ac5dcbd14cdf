"""What the plan counts for a token of a piece is what replaying it allocates."""

import tracemalloc
from pathlib import Path

import pytest

from hedgespec.bundled import trace_folder
from hedgespec.simulator import SweepSettings
from hedgespec.simulator.footprint import bytes_of_a_shard, bytes_of_a_token, columns_of_a_token
from hedgespec.simulator.plan import parts_of
from hedgespec.simulator.sweep import located
from hedgespec.traces import TraceReader
from hedgespec.traces.synthetic import write_synthetic

OTHER = (Path("own"), Path("llama-3.1-8b-h100"))


@pytest.fixture(scope="module")
def traces(tmp_path_factory):
    """One with costs and drafts of lengths that differ, and one without."""
    made = tmp_path_factory.mktemp("made") / "trace"
    write_synthetic(made, "iid", queries=60, tokens=300, drafters=6, depths=4)
    return {"recorded": TraceReader(trace_folder("domain-mix-t0.7")), "made": TraceReader(made)}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("trace", "settings"),
    [
        ("recorded", {"selectors": ("hedge", "ucbspec", "best-fixed")}),
        ("recorded", {"selectors": ("hedge",), "costs": OTHER, "losses": ("length", "seconds")}),
        ("made", {"selectors": ("hedge", "ucbspec", "best-fixed")}),
        ("made", {"selectors": ("hedge",), "mode": "replayed", "seeds": 20}),
        ("made", {"selectors": ("hedge",), "pools": (4,)}),
        ("made", {"selectors": ("hedge",), "estimators": ("rb", "realised")}),
    ],
    ids=["seconds", "costs", "plain", "seeds", "pool", "estimators"],
)
def test_what_is_counted_is_what_is_allocated(traces, trace, settings):
    source = traces[trace]
    [settings] = located(SweepSettings(**{"seeds": 1, **settings}))
    [part] = parts_of(source, settings, first=True)
    piece = source.read()
    tokens = len(piece.tokens)
    for job in part.jobs:  # compiles
        part.trace_jobs(source.read(part.source.pieces()[0][:2])).run(job, lambda done: None)
    tracemalloc.start()
    jobs = part.trace_jobs(piece)
    for job in part.jobs:
        jobs.run(job, lambda done: None)
    taken = tracemalloc.get_traced_memory()[1] / tokens
    tracemalloc.stop()
    sample = source.read(part.source.pieces()[0][:1])
    counted = bytes_of_a_token(sample, part.sample, part.jobs, part.bases)
    counted -= columns_of_a_token(sample) + piece.bytes / tokens  # were there before
    assert taken <= counted <= 2 * taken


def test_a_shard_is_counted_beside_the_piece(traces):
    source = traces["made"]
    settings = SweepSettings(("hedge",), memory=16)
    [part] = parts_of(source, settings, first=True)
    sample = source.read(part.source.pieces()[0][:1])
    room = 16 * 2**20 - bytes_of_a_shard(sample)
    assert 8 * 2**20 < room < 12 * 2**20
    each = bytes_of_a_token(sample, part.sample, part.jobs, part.bases)
    assert part.most_tokens == room // each
    assert all(len(source.read(piece).tokens) <= part.most_tokens for piece in part.pieces)
