"""Learners of the user's own: the tutorial's code, caching that notices edits, clear errors."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hedgespec.errors import HedgespecError
from hedgespec.selectors import parse_selector
from hedgespec.selectors.learning import Loss
from hedgespec.simulator import Replayer
from tests.helpers.synthetic import write_trace

ROOT = Path(__file__).parents[2]
CODE = re.search(r"```python\n(.*?)```", (ROOT / "docs" / "tutorial.md").read_text(), re.DOTALL)[1]


@pytest.fixture(scope="module")
def trace(tmp_path_factory):
    return write_trace(tmp_path_factory.mktemp("trace") / "trace", lengths=(200, 80))


@pytest.fixture
def learner(tmp_path):
    (tmp_path / "my_learner.py").write_text(CODE)
    return f"{tmp_path / 'my_learner.py'}:RECENT"


def test_the_tutorials_learner_plays_what_it_says(trace, learner):
    run = Replayer(trace, 3).run(learner, 0)
    losses = Replayer(trace, 3).losses(Loss())
    for begin, end in zip(trace.offsets[:-1], trace.offsets[1:], strict=True):
        faded, fed = np.zeros(3), begin
        for start in np.flatnonzero(run.choice[begin:end] >= 0) + begin:
            while fed + 3 <= start:
                faded = 0.9 * faded + 0.1 * losses[fed]
                fed += 1
            assert run.choice[start] == faded.argmin()


def test_the_tutorials_command_runs(tmp_path, learner):
    write_trace(tmp_path / "trace")
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "hedgespec",
            "sim",
            "--traces",
            "trace",
            "--selectors",
            "my_learner.py:RECENT",
            "my_learner.py:RECENT:rate=0.02",
            "hedge",
            "best-fixed",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    assert "my_learner.py:RECENT" in done.stdout


def test_edits_are_noticed(trace, learner):
    before = Replayer(trace, 3).run(learner, 0).choice
    path = Path(learner.rpartition(":")[0])
    path.write_text(CODE.replace("np.argmin(state)", "np.argmax(state)"))
    after = Replayer(trace, 3).run(learner, 0).choice
    assert (before != after).any()
    path.write_text(CODE)
    np.testing.assert_array_equal(Replayer(trace, 3).run(learner, 0).choice, before)


def test_parameters_and_labels(learner):
    assert parse_selector(learner).label == learner
    assert parse_selector(f"{learner}:rate=0.5").label == f"{learner}:rate=0.5"
    assert parse_selector(f"{learner}:rate=0.1").label == learner
    with pytest.raises(HedgespecError, match="unknown parameter 'speed'"):
        parse_selector(f"{learner}:speed=1")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("RECENT =", "OTHER =", "no Selector called 'RECENT'; it has: OTHER"),
        (
            "= 1.0\n\n\n@compiled\ndef learn",
            "= 2.0\n\n\n@compiled\ndef learn",
            "no probabilities of 3",
        ),
        ("@compiled\ndef play", "def play", "must be decorated with `compiled`"),
        ("np.argmin(state)", "np.argmin(stat)", "NameError: name 'stat' is not defined"),
        ("import numpy as np", "import numpy as np)", "SyntaxError"),
        ("feedback=FULL", "feedback='all'", "feedback is 'all', not FULL, CHOSEN or NONE"),
    ],
)
def test_what_breaks_the_contract_is_told(learner, old, new, message):
    path = Path(learner.rpartition(":")[0])
    assert old in CODE
    path.write_text(CODE.replace(old, new))
    with pytest.raises(HedgespecError, match=re.escape(message)):
        parse_selector(learner)


def test_what_numba_cannot_compile_is_told(trace, learner):
    path = Path(learner.rpartition(":")[0])
    path.write_text("import json\n" + CODE.replace("] = 1.0\n", "] = len(json.dumps(1))\n"))
    with pytest.raises(HedgespecError, match="numba cannot compile it"):
        Replayer(trace, 3).run(learner, 0)


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(HedgespecError, match="cannot be read"):
        parse_selector(f"{tmp_path / 'nothing.py'}:X")


def test_the_error_that_the_page_shows_is_what_is_said(learner):
    path = Path(learner.rpartition(":")[0])
    path.write_text(CODE.replace("lambda arms: arms", "lambda arms: 3"))
    with pytest.raises(HedgespecError) as raised:
        parse_selector(learner).check_on(11, 5)
    page = " ".join((ROOT / "docs" / "tutorial.md").read_text().split())
    assert str(raised.value).replace(str(path), "my_learner.py") in page
