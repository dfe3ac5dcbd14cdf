"""Whatever is done to results, reading them for a report works or ends in one line."""

import pytest

from hedgespec.results import statistics
from tests.helpers.made_results import make_results
from tests.helpers.try_mutations import of_results

TIMES = 60


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning")  # tables of zero rounds
def test_changed_results_are_read_or_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(statistics, "DRAWS", 50)
    make_results(tmp_path / "source", learners=2, queries=6)
    found = [of_results(tmp_path / "source", tmp_path / "changed", seed) for seed in range(TIMES)]
    assert sum(one.endswith("refused") for one in found) > TIMES / 4
