"""`hedgespec check`: good learners pass, and what is wrong with others is said."""

import re

import pytest

from hedgespec.cli import main
from hedgespec.selectors import parse_selector
from hedgespec.simulator import check
from tests.helpers.faulty_learners import FAULTY, learner


@pytest.fixture(autouse=True)
def few_seeds(monkeypatch):
    monkeypatch.setattr(check, "_SEEDS", 5)


@pytest.mark.slow
def test_a_good_learner_passes_and_what_it_plays_is_drawn(tmp_path, capsys):
    (tmp_path / "mine.py").write_text(learner())
    out = tmp_path / "out"
    assert main(["check", f"{tmp_path / 'mine.py'}:LEARNER", "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "FAIL" not in printed
    assert printed.count("good  ") == 4 + 2 * 3
    assert (out / "weights.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["hedge", "ucbspec"])
def test_built_in_learners_pass(name):
    checked = check.check_learner(parse_selector(name))
    assert checked.passed, checked.findings
    assert set(checked.played) == set(check.KINDS)


@pytest.mark.parametrize("name", ["weights vanish", "counts plays", "remembers", "raises"])
def test_faults_are_told(tmp_path, name, capsys):
    (tmp_path / "mine.py").write_text(FAULTY[name].text)
    assert main(["check", f"{tmp_path / 'mine.py'}:LEARNER", "--out", str(tmp_path / "out")]) == 1
    assert re.search(rf"mine.py, line \d+, in {FAULTY[name].function}", capsys.readouterr().err)


def test_a_fault_of_some_sizes_only_is_found(tmp_path, capsys):
    text = learner(learn="state[1:] += loss\n    if loss.shape[0] == 33:\n        state[99] = 1.0")
    (tmp_path / "mine.py").write_text(text)
    assert main(["check", f"{tmp_path / 'mine.py'}:LEARNER", "--out", str(tmp_path / "out")]) == 1
    assert re.search(r"FAIL  sizes: .*in learn: IndexError.*33 drafters", capsys.readouterr().out)


def test_a_learner_that_prefers_the_first_drafter_is_noted(tmp_path, monkeypatch):
    monkeypatch.setattr(check, "_CHECKS", {"order": check._CHECKS["order of drafters"]})
    monkeypatch.setattr(check, "KINDS", ())
    (tmp_path / "mine.py").write_text(learner(learn="state[1:] += loss; state[2] += 0.5"))
    [found] = check.check_learner(parse_selector(f"{tmp_path / 'mine.py'}:LEARNER")).findings
    assert found.passed is None
    assert "depends on the order of the drafters" in found.said
