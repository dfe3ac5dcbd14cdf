"""A trace says how far its two passes were apart; more than rounding is refused."""

import json
import shutil

import pytest

from hedgespec.bundled import bundled_traces, trace_folder
from hedgespec.cli import main
from hedgespec.errors import TraceError
from hedgespec.traces import read_trace
from hedgespec.traces.gap import FIELD, gap_fault
from hedgespec.traces.manifest import load_manifest


@pytest.fixture
def trace(tmp_path):
    folder = tmp_path / "trace"
    shutil.copytree(trace_folder("spec-bench-t0"), folder)
    return folder


def written(trace, gap: object) -> None:
    path = trace / "manifest.json"
    document = json.loads(path.read_text())
    document["recording"][FIELD] = gap
    path.write_text(json.dumps(document))


def test_bundled_traces_are_far_from_the_limit():
    for folder in bundled_traces():
        manifest = load_manifest(folder)
        gap = manifest.recording[FIELD]
        assert gap_fault(50 * gap["mean"], 50 * gap["max"], manifest.dtype) is None


@pytest.mark.parametrize(
    "gap",
    [
        {"mean": 0.7, "max": 5.0},
        {"mean": 1e-6, "max": 2.0},
        {"mean": float("nan"), "max": float("nan")},
    ],
)
def test_passes_of_different_models_are_refused(trace, gap, capsys):
    written(trace, gap)
    with pytest.raises(
        TraceError,
        match=r'manifest.json: field "recording.log_softmax_gap": .*'
        "are different models",
    ):
        read_trace(trace)
    assert main(["validate", str(trace)]) == 1
    assert "different models" in capsys.readouterr().err


@pytest.mark.parametrize("gap", [None, [], {"mean": 1e-6}, {"mean": "0", "max": True}])
def test_a_gap_that_is_none_is_told(trace, gap):
    written(trace, gap)
    with pytest.raises(TraceError, match='must hold numbers "mean" and "max"'):
        read_trace(trace)
