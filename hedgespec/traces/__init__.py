"""The trace format: reading, checking and writing recorded acceptance statistics."""

from hedgespec.traces.manifest import (
    DrafterInfo,
    FileInfo,
    Manifest,
    SamplingInfo,
    TargetInfo,
    load_manifest,
)
from hedgespec.traces.reader import Trace, read_trace
from hedgespec.traces.writer import TraceWriter

__all__ = [
    "DrafterInfo",
    "FileInfo",
    "Manifest",
    "SamplingInfo",
    "TargetInfo",
    "Trace",
    "TraceWriter",
    "load_manifest",
    "read_trace",
]
