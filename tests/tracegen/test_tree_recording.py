"""Draft trees in a trace: recorded, valid, replayed, and refused with a reason."""

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch")

from hedgespec.errors import HedgespecError
from hedgespec.models.heads.eagle import save_head
from hedgespec.simulator import Replayer
from hedgespec.tracegen.record import RecordSettings, record
from hedgespec.traces import read_trace
from tests.helpers.heads import random_head
from tests.helpers.tiny import save_questions


@pytest.fixture
def settings(tiny_models, tmp_path) -> RecordSettings:
    save_head(random_head(), tmp_path / "head")
    return RecordSettings(
        target=tiny_models["target"],
        prompts=save_questions(tmp_path / "questions.jsonl", 3),
        out=tmp_path / "trace",
        name="tiny",
        max_new_tokens=12,
        draft_length=3,
        costs=False,
        drafters=("early-exit:3", f"eagle:{tmp_path / 'head'}"),
        trees=("dynamic:12,3,3",),
    )


@pytest.mark.parametrize("temperature", [0.0, 0.9])
def test_trees_are_recorded_and_replayed(settings, temperature):
    record(replace(settings, temperature=temperature))
    trace = read_trace(settings.out)
    levels = trace.manifest.rules[0].levels
    assert (trace.manifest.rules[0].name, trace.manifest.rules[0].id) == ("tree", "dynamic:12,3,3")
    depth, mass = trace.rules["depth.tree"][:, 0], trace.rules["mass.tree"]
    assert depth.max() <= levels == mass.shape[1]
    assert depth.max() > 0
    assert trace.rules["nodes.tree"].max() == 11  # the root is the twelfth
    # A round takes the tokens that stay in its tree and one more, or what is left of the text.
    for arm, name in enumerate(trace.manifest.drafter_names):
        rounds = 0
        for begin, end in zip(trace.offsets[:-1], trace.offsets[1:], strict=True):
            start = begin
            while start < end:
                start += depth[start, arm] + 1
                rounds += 1
        run = Replayer(trace, rule="tree").run(f"fixed:{name}", 0)
        assert (run.choice >= 0).sum() == rounds


def test_several_trees_are_named(settings):
    record(replace(settings, trees=("wide=dynamic:20,3,4", "static")))
    trace = read_trace(settings.out)
    assert [rule.name for rule in trace.manifest.rules] == ["tree:wide", "tree"]
    wide = Replayer(trace, rule="tree:wide").expected_rounds.sum()
    assert np.isfinite(wide)


def test_a_shape_may_come_from_a_file_with_an_equals_sign(settings, tmp_path):
    shape = tmp_path / "a=b.json"
    shape.write_text("[[0], [1], [0, 0]]")
    record(replace(settings, trees=(f"static:{shape}", f"small=static:{shape}")))
    assert [rule.name for rule in read_trace(settings.out).manifest.rules] == ["tree", "tree:small"]


@pytest.mark.parametrize(
    ("trees", "message"),
    [
        (("dynamic", "static"), "tree is given twice"),
        (("oak",), "unknown kind"),
        (("A B=dynamic",), "a tree's name holds"),
    ],
)
def test_bad_trees_are_told(settings, trees, message):
    with pytest.raises(HedgespecError, match=message):
        record(replace(settings, trees=trees))


def test_the_rule_alone_says_how(settings):
    with pytest.raises(HedgespecError, match=r"as in trees=\('dynamic',\)"):
        record(replace(settings, rules=("tree",), trees=()))
