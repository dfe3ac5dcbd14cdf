"""Whatever is done to a trace, reading and replaying it works or ends in one line."""

import pytest

from tests.helpers.synthetic import write_trace
from tests.helpers.try_mutations import of_trace

TIMES = 60


@pytest.mark.slow
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_changed_trace_is_read_or_refused(tmp_path, temperature):
    write_trace(
        tmp_path / "source",
        lengths=(6, 1, 4),
        depths=(1, 5),
        closeness=(0.9, 0.4),
        temperature=temperature,
    )
    found = [of_trace(tmp_path / "source", tmp_path / "changed", seed) for seed in range(TIMES)]
    assert sum(one.endswith("refused") for one in found) > TIMES / 3
