"""The default recording with the real 135M model; needs the package registry (93 MB)."""

import pytest

pytest.importorskip("torch")

from hedgespec.cli import main
from hedgespec.traces import read_trace

pytestmark = pytest.mark.smollm2


def test_recording_without_arguments_gives_a_trace_worth_replaying(tmp_path):
    out = tmp_path / "trace"
    assert main(["record", "--out", str(out), "--max-new-tokens", "24", "--device", "cpu"]) == 0
    trace = read_trace(out)
    domains = set(trace.queries["domain"])
    assert {"python", "math", "biology", "medicine", "law", "sql", "translation"} < domains
    gamma = dict(zip(trace.manifest.drafter_names, trace.gamma.mean(axis=(0, 1)), strict=True))
    assert gamma["early-exit-15"] < gamma["early-exit-20"] < gamma["early-exit-28"]
    assert gamma["early-exit-28"] > 0.3, "late exits of a real model agree with it"
    assert trace.manifest.recording["log_softmax_gap"]["max"] < 1e-3
