"""Whatever is done to a trace, reading and replaying it works or ends in one line."""

import shutil
from pathlib import Path
from random import Random

import pytest

from hedgespec.errors import HedgespecError
from hedgespec.rules import verification_rule
from hedgespec.simulator import Replayer
from hedgespec.traces import read_trace
from tests.helpers.mutations import mutated
from tests.helpers.seals import seal_trace
from tests.helpers.synthetic import write_trace

TIMES = 60


def try_a_mutation(source: Path, folder: Path, seed: int) -> str:
    """Read and replay a changed copy of a trace; what came of it. Raises what is no answer."""
    shutil.copytree(source, folder)
    name = mutated(folder, Random(seed), seal_trace)
    told = ""
    try:
        trace = read_trace(folder)
        for rule in trace.manifest.rules:
            verification_rule(rule.name, trace)
        Replayer(trace).run_exact("best-fixed")
    except HedgespecError as error:
        told = str(error)
    finally:
        shutil.rmtree(folder)
    assert len(told.splitlines()) <= 1, (seed, told)
    assert len(told) < 2000, seed
    return f"{name} {'refused' if told else 'read'}"


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_changed_trace_is_read_or_refused(tmp_path, temperature):
    write_trace(tmp_path / "source", lengths=(6, 1, 4), depths=(1, 5), closeness=(0.9, 0.4),
                temperature=temperature)
    found = [try_a_mutation(tmp_path / "source", tmp_path / "changed", seed)
             for seed in range(TIMES)]
    assert sum(one.endswith("refused") for one in found) > TIMES / 3
