"""The comparison with bandit libraries replays the same rounds as the kernels."""

import numpy as np
import pytest

from benchmarks.libraries import LIBRARIES, emitted_table, library_replay
from hedgespec.simulator import Replayer
from hedgespec.traces import read_trace
from hedgespec.traces.synthetic import write_synthetic

DRAFT_LENGTH, TOKENS = 5, 60


@pytest.fixture(scope="module")
def replayer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("libraries") / "trace"
    write_synthetic(folder, "iid", 3, TOKENS, 4, seed=0)
    return Replayer(read_trace(folder))


def test_table_has_the_rounds_of_the_kernel(replayer):
    choice = replayer.run("hedge", 0).choice.reshape(3, TOKENS)
    for decided, emitted in zip(
        choice, emitted_table(replayer.trace, 3, DRAFT_LENGTH), strict=True
    ):
        starts = np.flatnonzero(decided >= 0)
        lengths = emitted[starts, decided[starts]]
        assert np.array_equal(np.cumsum(lengths), [*starts[1:], TOKENS])


@pytest.mark.parametrize("library", LIBRARIES)
def test_policies_replay_all_queries(replayer, library):
    try:
        policies = LIBRARIES[library](4)
    except ImportError as error:
        pytest.skip(str(error))
    table = emitted_table(replayer.trace, 3, DRAFT_LENGTH)
    for kind, make in policies.items():
        rounds, _ = library_replay(make, table, DRAFT_LENGTH)
        assert 3 * TOKENS / (DRAFT_LENGTH + 1) <= rounds <= 3 * TOKENS, kind
