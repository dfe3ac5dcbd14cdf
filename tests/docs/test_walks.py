"""The walks of docs/design.md: every function that a stop names is called in a run of its walk."""

import re
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest

pytest.importorskip("torch")

from hedgespec.api import report
from hedgespec.cli import main
from hedgespec.live import LiveDecoder
from hedgespec.models.drafters import make_drafters
from hedgespec.models.settings import Sampling
from hedgespec.models.target import load_model
from hedgespec.tracegen.record import RecordSettings, record
from tests.helpers.tiny import save_questions

PAGE = (Path(__file__).parents[2] / "docs" / "design.md").read_text(encoding="utf-8")
GAMMA = "A gamma, from recording to report"
LOSS = "A loss, from live decoding to the learner"
FEEDBACK = "`--feedback every:4`, from the shell to the table"


def stops(walk: str, compiled: bool) -> list[str]:
    """The functions that the page names, those that are compiled or the others."""
    text = PAGE.partition(f"### {walk}\n")[2].partition("\n#")[0]
    named = re.findall(r"^\d+\. `([\w.]+)`: (compiled; )?", text, re.MULTILINE)
    assert len(named) == len(re.findall(r"^\d+\. ", text, re.MULTILINE)) > 9
    return [name for name, marked in named if bool(marked) == compiled]


def called(work: Callable[[], object]) -> set[str]:
    """The project's functions that were called, by their names in it."""
    found = set()

    def note(frame, event, argument):
        module = frame.f_globals.get("__name__", "")
        if event == "call" and module.startswith("hedgespec."):
            found.add(f"{module.removeprefix('hedgespec.')}.{frame.f_code.co_qualname}")

    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
    return found


@pytest.fixture(scope="module")
def runs(tiny_models, tmp_path_factory) -> dict[str, set[str]]:
    """What was called on each walk."""
    folder = tmp_path_factory.mktemp("walks")
    settings = RecordSettings(
        target=tiny_models["target"],
        prompts=save_questions(folder / "questions.jsonl", 3),
        out=folder / "trace",
        name="tiny",
        max_new_tokens=12,
        costs=False,
        drafters=("one=early-exit:1", "three=early-exit:3"),
        temperature=0.9,
    )
    recorded = called(lambda: record(settings))
    command = ["sim", "--traces", str(settings.out), "--out", str(folder / "results"), "--quiet"]
    command += ["--selectors", "hedge", "fixed:one", "--feedback", "every:4", "--threads", "1"]
    replayed = called(lambda: main(command))
    reported = called(lambda: report(folder / "results", folder / "report"))
    target = load_model(tiny_models["target"], "cpu", "float32")
    drafters = make_drafters(list(settings.drafters), target)

    def decode() -> None:
        decoder = LiveDecoder(target, drafters, "hedge", sampling=Sampling(0.9), seed=1)
        decoder.generate([5, 9, 11], 20)

    return {GAMMA: recorded | replayed | reported, LOSS: called(decode), FEEDBACK: replayed}


@pytest.mark.parametrize("walk", [GAMMA, LOSS, FEEDBACK])
def test_a_run_calls_every_stop(runs, walk):
    missed = [name for name in stops(walk, compiled=False) if name not in runs[walk]]
    assert not missed


@pytest.mark.parametrize("walk", [LOSS, FEEDBACK])
def test_compiled_stops_are_there(walk):
    for name in stops(walk, compiled=True):
        module, _, function = name.rpartition(".")
        assert callable(getattr(import_module(f"hedgespec.{module}"), function))
