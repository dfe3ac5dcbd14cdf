"""Whatever is done to results, reading them for a report works or ends in one line."""

import shutil
from pathlib import Path
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


def try_a_mutation(source: Path, folder: Path, seed: int) -> str:
    """Read a changed copy of results as a report does; what came of it."""
    shutil.copytree(source, folder)
    name = mutated(folder, Random(seed), seal_results)
    told = ""
    try:
        run = ResultSet(folder)
        study = Study.of(run, [], [], None)
        assert list(domain_tables(study))
        for trace in run.traces:
            settings_data(study, trace)
    except HedgespecError as error:
        told = str(error)
    finally:
        shutil.rmtree(folder)
    assert len(told.splitlines()) <= 1, (seed, told)
    return f"{name} {'refused' if told else 'read'}"


@pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning")  # tables of zero rounds
def test_changed_results_are_read_or_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(statistics, "DRAWS", 50)
    make_results(tmp_path / "source", learners=2, queries=6)
    found = [try_a_mutation(tmp_path / "source", tmp_path / "changed", seed)
             for seed in range(TIMES)]
    assert sum(one.endswith("refused") for one in found) > TIMES / 4
