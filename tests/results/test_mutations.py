"""Whatever is done to results, reading them for a report works or ends in one line."""

import shutil
from random import Random

import pytest

from hedgespec.analysis.report_tables import domain_tables, settings_data
from hedgespec.analysis.results import ResultSet
from hedgespec.analysis.study import Study
from hedgespec.errors import HedgespecError
from hedgespec.results import statistics
from tests.helpers.made_results import make_results
from tests.helpers.mutations import mutated
from tests.helpers.seals import seal_results

TIMES = 60


@pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning")  # tables of zero rounds
def test_changed_results_are_read_or_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(statistics, "DRAWS", 50)
    make_results(tmp_path / "source", learners=2, queries=6)
    refused = 0
    for seed in range(TIMES):
        folder = tmp_path / "changed"
        shutil.copytree(tmp_path / "source", folder)
        mutated(folder, Random(seed), seal_results)
        try:
            run = ResultSet(folder)
            study = Study.of(run, [], [], None)
            assert list(domain_tables(study))
            for trace in run.traces:
                settings_data(study, trace)
        except HedgespecError:
            refused += 1
        shutil.rmtree(folder)
    assert refused > TIMES / 4
