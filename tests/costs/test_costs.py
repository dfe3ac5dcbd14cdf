"""Measured costs: plausible, in the manifest, and checked on reading."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from hedgespec.costs.estimate import target_seconds  # noqa: E402
from hedgespec.costs.measure import costs_measurement  # noqa: E402
from hedgespec.errors import HedgespecError, TraceError  # noqa: E402
from hedgespec.models.drafters import make_drafters  # noqa: E402
from hedgespec.models.heads.eagle import save_head  # noqa: E402
from hedgespec.models.target import load_model  # noqa: E402
from hedgespec.tracegen import record as record_module  # noqa: E402
from hedgespec.tracegen.record import RecordSettings, record  # noqa: E402
from hedgespec.traces import load_manifest, read_trace  # noqa: E402
from hedgespec.traces.drafted import COPYING  # noqa: E402
from tests.helpers.heads import random_head  # noqa: E402
from tests.helpers.synthetic import write_trace  # noqa: E402
from tests.helpers.tiny import save_questions  # noqa: E402


@pytest.fixture
def settings(tiny_models: dict[str, str], tmp_path: Path) -> RecordSettings:
    save_head(random_head(), tmp_path / "head")
    return RecordSettings(
        target=tiny_models["target"],
        prompts=save_questions(tmp_path / "questions.jsonl", 3),
        out=tmp_path / "trace",
        name="tiny",
        max_new_tokens=5,
        draft_length=4,
        drafters=(
            f"lm:{tiny_models['drafter']}",
            "early-exit:2",
            "ngram",
            f"eagle:{tmp_path / 'head'}",
        ),
    )


def test_recording_measures_costs_and_they_are_read_again(settings):
    said = []
    record(settings, lambda progress: said.append(progress.phase))
    assert "measuring costs" in said
    manifest = read_trace(settings.out).manifest
    costs = manifest.costs
    assert costs is not None
    assert list(costs.drafters) == manifest.drafter_names
    assert (costs.context, costs.draft_length, costs.dtype) == (251, 4, "float32")
    assert costs.device == manifest.device
    assert list(costs.widths) == ["1", "2", "5"], "two tokens may take far more than one"
    np.testing.assert_allclose(  # of drafts of one token, whatever longer ones take
        target_seconds(costs, np.array([1, 2, 5])), list(costs.widths.values())
    )
    for drafter in costs.drafters.values():
        assert min(drafter.step, drafter.draft, drafter.evaluate) > 0
    apart = {drafter.kind for drafter in costs.drafters.values() if drafter.begin is not None}
    assert apart == {"early-exit", *(set(COPYING) & {one.kind for one in manifest.drafters})}


def test_costs_can_be_left_out_also_on_resumption(settings, monkeypatch):
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(record_module._Recorder, "_record_batch", interrupted)
        with pytest.raises(KeyboardInterrupt):
            record(settings)
    said = []
    manifest = record(
        replace(settings, costs=False, resume=True), lambda progress: said.append(progress.phase)
    )
    assert "measuring costs" not in said
    assert manifest.costs is None
    assert load_manifest(settings.out).costs is None


def test_the_context_stays_the_same_and_shrinks_to_what_there_is(tiny_models, monkeypatch):
    from hedgespec.models.cached import CachedModel

    target = load_model(tiny_models["target"], "cpu", "float32")
    read = []
    real = CachedModel.read

    def noted(self, tokens, *rest):
        read.append((self.length, len(tokens)))
        return real(self, tokens, *rest)

    monkeypatch.setattr(CachedModel, "read", noted)
    drafters = make_drafters(["early-exit:2"], target)
    costs = costs_measurement(target, drafters, 3, context=40).take(2)
    assert costs.context == 40
    assert {(40, 1), (40, 2), (40, 4), (39, 1), (41, 1), (42, 1)} <= set(read)
    assert max(length + count for length, count in read) == 44
    assert costs_measurement(target, [], 3).take(1).context == 252
    with pytest.raises(HedgespecError, match=r"no room to measure .* record with costs=False"):
        costs_measurement(target, [], 200)


COSTS = {
    "device": "d",
    "dtype": "float32",
    "context": 9,
    "draft_length": 5,
    "target": {"one": 0.01, "round": 0.02},
    "drafters": {f"drafter-{i}": {"step": 1e-3, "draft": 5e-3, "evaluate": 2} for i in range(3)},
}


def write_costs(folder: Path, costs: object) -> Path:
    document = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**document, "costs": costs}))
    return folder


def test_manifests_with_and_without_costs_are_read(tmp_path):
    write_trace(tmp_path)
    costs = load_manifest(write_costs(tmp_path, COSTS)).costs
    assert costs is not None
    # What older manifests do not name.
    drafters = {
        name: {**one, "begin": None, "kind": "", "reads": {}}
        for name, one in COSTS["drafters"].items()
    }
    assert asdict(costs) == {
        **COSTS,
        "drafters": drafters,
        "evaluate_all": None,
        "overhead": 0.0,
        "evaluation_overhead": 0.0,
        "part_overhead": None,
        "widths": {},
        "spread": {},
        "engine": "",
        "made": "",
        "evaluate_together": {},
        "batch": 1,
        "conditions": [],
        "reads": {},
    }
    assert load_manifest(write_costs(tmp_path, None)).costs is None
    document = json.loads((tmp_path / "manifest.json").read_text())
    del document["costs"]
    (tmp_path / "manifest.json").write_text(json.dumps(document))
    assert load_manifest(tmp_path).costs is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"target": {"one": 0.0, "round": 1}}, r'"costs.target.one" must be positive and finite'),
        ({"target": {"one": float("inf"), "round": 1}}, r'"costs.target.one" must be positive'),
        ({"target": {"one": 1, "round": float("nan")}}, r'"costs.target.round" must be positive'),
        ({"target": {"one": 1}}, r'"costs.target.round" is missing'),
        ({"target": {"one": True, "round": 1}}, r'"costs.target.one" has the wrong type'),
        ({"drafters": {}}, "must name the trace's drafters"),
        ({"drafters": []}, '"costs.drafters" is not an object'),
        (
            {
                "drafters": COSTS["drafters"]
                | {"drafter-1": {"step": 1, "draft": -1, "evaluate": 1}}
            },
            r'"costs.drafters.drafter-1.draft" must be positive',
        ),
        ({"context": 0}, '"costs.context" must be at least 1'),
        ({"draft_length": 0}, '"costs.draft_length" must lie in'),
        ({"watts": 3}, 'unknown field "costs.watts"'),
    ],
)
def test_bad_costs_are_named(tmp_path, change, message):
    write_trace(tmp_path)
    with pytest.raises(TraceError, match=message):
        load_manifest(write_costs(tmp_path, {**COSTS, **change}))
