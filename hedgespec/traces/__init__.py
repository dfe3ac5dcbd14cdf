"""The trace format: reading, checking and writing recorded acceptance statistics."""

from hedgespec.traces.costs import Costs, DrafterCosts, Spread, TargetCosts
from hedgespec.traces.manifest import (
    DrafterInfo,
    FileInfo,
    Manifest,
    RuleInfo,
    SamplingInfo,
    TargetInfo,
    load_manifest,
)
from hedgespec.traces.reader import Trace, TraceReader, read_trace
from hedgespec.traces.writer import TraceWriter, check_output

__all__ = [
    "Costs",
    "DrafterCosts",
    "DrafterInfo",
    "FileInfo",
    "Manifest",
    "RuleInfo",
    "SamplingInfo",
    "Spread",
    "TargetCosts",
    "TargetInfo",
    "Trace",
    "TraceReader",
    "TraceWriter",
    "check_output",
    "load_manifest",
    "read_trace",
]
