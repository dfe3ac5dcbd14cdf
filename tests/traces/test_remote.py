"""Traces behind URLs."""

import pickle
import shutil

import numpy as np
import pytest

from hedgespec.bundled import trace_folder
from hedgespec.errors import HedgespecError
from hedgespec.remote import as_url, origin
from hedgespec.simulator import SweepSettings, run_sweep
from hedgespec.traces import TraceReader
from tests.helpers.synthetic import write_trace

fsspec = pytest.importorskip("fsspec")


@pytest.fixture(autouse=True)
def own_copies(tmp_path, monkeypatch):
    """Copies of this test alone; kernels stay where they are."""
    monkeypatch.setattr("hedgespec.remote.cache_folder", lambda: tmp_path / "cache")


@pytest.mark.parametrize("scheme", ["file", "memory"])
def test_a_trace_is_read_from_a_url(tmp_path, scheme):
    trace = write_trace(tmp_path / "trace")
    url = f"file://{tmp_path / 'trace'}"
    if scheme == "memory":
        url = "memory://bucket/trace"
        fsspec.filesystem("memory").put(str(tmp_path / "trace"), "/bucket/trace", recursive=True)
    folder = trace_folder(url)
    np.testing.assert_array_equal(TraceReader(folder).read().gamma, trace.gamma)
    assert origin(folder) == url
    found = run_sweep([], SweepSettings(("hedge",), traces=(url,), seeds=1))
    plain = run_sweep([tmp_path / "trace"], SweepSettings(("hedge",), seeds=1))
    assert found.per_query.equals(plain.per_query)
    shutil.rmtree(tmp_path / "cache")  # another node
    sent = pickle.dumps(TraceReader(trace_folder(url)))
    shutil.rmtree(tmp_path / "cache")
    assert pickle.loads(sent).read().name == trace.name


def test_what_is_no_trace_is_told(tmp_path):
    with pytest.raises(HedgespecError, match="memory://nothing/here: no trace can be read"):
        trace_folder("memory://nothing/here")
    assert as_url(tmp_path) is None
    assert as_url("domain-mix-t0") is None


def test_a_store_that_fails_in_its_own_way_is_told(monkeypatch):
    """Packages of stores raise types of their own, such as botocore's for a network that is down."""

    class StoreError(Exception):
        pass

    def fail(self, path, **options):
        raise StoreError("could not connect\nto the endpoint")

    monkeypatch.setattr(fsspec.get_filesystem_class("memory"), "cat_file", fail)
    with pytest.raises(
        HedgespecError,
        match="memory://some/trace: no trace can be read from there "
        r"\(could not connect to the endpoint\)",
    ):
        trace_folder("memory://some/trace")
