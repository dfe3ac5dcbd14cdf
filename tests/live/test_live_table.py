"""The measured table of live decoding in the docs is that of its file."""

import json
import re
from pathlib import Path

import pytest

pytest.importorskip("torch")

from benchmarks.live import tables

ROOT = Path(__file__).parents[2]
RESULT = json.loads((ROOT / "benchmarks" / "live-h100.json").read_text(encoding="utf-8"))


def test_the_docs_have_the_table_of_the_file():
    found = re.search(r"<!-- live -->\n(.*?)<!-- end -->",
                      (ROOT / "docs" / "live.md").read_text(encoding="utf-8"), re.DOTALL)
    assert found
    assert found[1] == tables(RESULT)


def test_replays_are_as_near_to_what_was_measured_as_the_docs_say():
    replayed = [row for row in RESULT["rows"] if "replayed_mat" in row]
    assert len(replayed) == 9
    for row in replayed:
        assert row["replayed_mat"] == pytest.approx(row["mat"], rel=0.0111)
        assert row["replayed_tokens_per_second"] == pytest.approx(
            row["tokens_per_second"], rel=0.0231)
