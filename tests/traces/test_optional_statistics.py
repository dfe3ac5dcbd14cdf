"""What may be recorded of drafters besides: written, read, checked, and carried to other traces."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from hedgespec.errors import TraceError
from hedgespec.traces import Trace, TraceReader, TraceWriter, read_trace
from hedgespec.traces.bounds import width_of_bounds
from hedgespec.traces.resize_pool import resize_pool
from hedgespec.traces.schema import BOUNDS, ENDLESS, OPTIONAL_STATISTICS
from hedgespec.traces.subset import write_subset
from tests.helpers.synthetic import write_trace

NAMES = tuple(name for name in OPTIONAL_STATISTICS if name not in BOUNDS)


def write_optional(folder: Path, **changed: np.ndarray) -> Trace:
    """A trace whose drafter 1 has all optional statistics; `changed` columns (T) stand instead."""
    plain = write_trace(folder / "plain")
    tokens = len(plain.tokens)
    columns = {
        "drafted": np.full(tokens, ENDLESS),
        "matched": np.full(tokens, 3),
        "q_top": np.full(tokens, 0.5),
        "entropy": np.full(tokens, 1.25),
    } | changed
    table = pl.read_parquet(folder / "plain" / "tokens-00000.parquet").with_columns(
        pl.Series(f"{name}/drafter-1", values.astype(float)).cast(OPTIONAL_STATISTICS[name])
        for name, values in columns.items()
    )
    drafters = list(plain.manifest.drafters)
    drafters[1] = replace(drafters[1], statistics=NAMES)
    writer = TraceWriter(folder / "trace", {})
    writer.write_batch("all", plain.queries, table)
    writer.finish(replace(plain.manifest, drafters=drafters, files={}))
    return read_trace(folder / "trace")


def test_they_are_read_as_they_were_written(tmp_path):
    trace = write_optional(tmp_path)
    assert trace.manifest.drafters[1].statistics == NAMES
    assert set(trace.optional) == {f"{name}/drafter-1" for name in NAMES}
    assert (trace.optional["drafted/drafter-1"] == ENDLESS).all()
    document = json.loads((tmp_path / "trace" / "manifest.json").read_text())
    assert document["version"] == 3
    plain = json.loads((tmp_path / "plain" / "manifest.json").read_text())
    assert plain["version"] == 1, "what old readers can read stays theirs"
    assert "statistics" not in plain["drafters"][0]
    assert read_trace(tmp_path / "plain").optional == {}


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("drafted", 0, 'contradicts "matched|is 0, nothing proposed'),
        ("matched", 0, "is 0, nothing proposed"),
        ("q_top", 1.5, r"must lie in \[0, 1\]"),
        ("entropy", -0.5, "must be finite"),
        ("q_top", np.nan, "must be finite"),
    ],
)
def test_what_cannot_be_is_told(tmp_path, name, value, message):
    values = np.full(138, 2.0 if name in ("drafted", "matched") else 0.5)
    values[9] = value
    with pytest.raises(TraceError, match=f'row 9, column "{name}/drafter-1".*({message})'):
        write_optional(tmp_path, **{name: values})


def test_unknown_statistics_are_refused(tmp_path):
    write_optional(tmp_path)
    path = tmp_path / "trace" / "manifest.json"
    document = json.loads(path.read_text())
    for wrong in (["drafted", "mood"], ["drafted", "drafted"]):
        document["drafters"][1]["statistics"] = wrong
        path.write_text(json.dumps(document))
        with pytest.raises(TraceError, match="statistics must be different ones of drafted"):
            read_trace(tmp_path / "trace")
    document["drafters"][1]["statistics"] = "drafted"
    path.write_text(json.dumps(document))
    with pytest.raises(TraceError, match="is not a list"):
        read_trace(tmp_path / "trace")


def test_they_go_with_their_drafters(tmp_path):
    trace = write_optional(tmp_path, drafted=np.arange(138) + 1)
    write_subset(tmp_path / "trace", tmp_path / "part", per_domain=1)
    part = read_trace(tmp_path / "part")
    assert part.optional["drafted/drafter-1"].tolist() == list(range(1, 42))
    larger = resize_pool(trace, 12, seed=0)
    copies = [
        info
        for info in larger.manifest.drafters
        if info.name.startswith("drafter-1.") and "x" in info.name
    ]
    assert copies
    for copy in copies:
        assert copy.statistics == ("drafted", "matched"), "a weaker copy is less sure"
        np.testing.assert_array_equal(larger.optional[f"drafted/{copy.name}"], np.arange(138) + 1)


@pytest.mark.parametrize(("name", "value"), [("gamma_low", 1.0), ("gamma_high", 0.0)])
def test_gamma_lies_between_its_bounds(tmp_path, name, value):
    plain = write_trace(tmp_path / "plain")
    columns = {"gamma_low": plain.gamma[:, 0, 1] - 0.01, "gamma_high": plain.gamma[:, 0, 1] + 0.01}
    drafters = list(plain.manifest.drafters)
    drafters[1] = replace(drafters[1], statistics=BOUNDS)

    def write(folder: Path) -> Trace:
        table = pl.read_parquet(tmp_path / "plain" / "tokens-00000.parquet").with_columns(
            pl.Series(f"{bound}/drafter-1", values.clip(0, 1)) for bound, values in columns.items()
        )
        writer = TraceWriter(folder, {})
        writer.write_batch("all", plain.queries, table)
        writer.finish(replace(plain.manifest, drafters=drafters, files={}))
        return read_trace(folder)

    good = write(tmp_path / "good")
    assert good.manifest.drafters[1].statistics == BOUNDS
    apart = good.optional["gamma_high/drafter-1"] - good.optional["gamma_low/drafter-1"]
    assert width_of_bounds(TraceReader(tmp_path / "good")) == pytest.approx(apart.mean())
    assert width_of_bounds(TraceReader(tmp_path / "plain")) is None
    assert json.loads((tmp_path / "good" / "manifest.json").read_text())["version"] == 4
    columns[name][9] = value
    with pytest.raises(TraceError, match=f'row 9, column "{name}/drafter-1".*its side'):
        write(tmp_path / "bad")
