"""The benchmark of live decoding, at toy size."""

import json
import sys

import pytest

torch = pytest.importorskip("torch")

from benchmarks import live  # noqa: E402
from benchmarks.live import Policy  # noqa: E402
from hedgespec.bundled import trace_folder  # noqa: E402
from hedgespec.errors import HedgespecError  # noqa: E402
from hedgespec.simulator import run_sweep  # noqa: E402
from hedgespec.traces import Costs, TargetCosts, read_trace  # noqa: E402
from tests.helpers.tiny import save_plain_layers, save_questions  # noqa: E402

POLICIES = (
    "ucbspec",
    "normalhedge@every:4",
    "normalhedge@2",
    "ftl@eliminate:0.5,0.0625",
    "hedge@every:2@0,2,3",
)


def test_a_policy_is_read_with_its_feedback_and_its_draft_lengths():
    assert Policy.parse("hedge") == Policy("hedge")
    assert Policy.parse("hedge@limited:2@3") == Policy("hedge", "limited:2", (3,))
    assert Policy.parse("ftl@0,5").drafting == {"arm_lengths": (0, 5)}
    assert Policy.parse("fixed:a@2").drafting == {"draft_length": 2}
    with pytest.raises(HedgespecError, match="want SELECTOR"):
        Policy.parse("ftl@every:2@every:3")


def test_overheads_are_those_by_which_replays_take_as_long_as_rounds_did():
    costs = Costs("cpu", "float32", 8, 3, TargetCosts(0.1, 0.2), {}, overhead=0.5)

    def case(rounds, evaluations, seconds, replayed):
        found = live.Measured([[1] * 40], [rounds], [], [evaluations], [seconds])
        return found, {"tokens_per_second": 40 / replayed}

    fits = {
        "alone": case(10, 0, 13.0, 10.0),
        "learner": case(20, 10, 28.0, 20.0),
        "sparing": case(10, 2, 13.4, 10.0),
        "ftl@eliminate:0.5,0.0625": case(10, 8, 17.0, 10.0),
    }
    found = live.with_overheads(costs, fits)  # 0.3 more a round, 0.2 an evaluation, 0.5 in part
    assert (found.overhead, found.evaluation_overhead) == pytest.approx((0.8, 0.2))
    assert found.part_overhead == pytest.approx(0.5)
    del fits["learner"], fits["sparing"], fits["ftl@eliminate:0.5,0.0625"]
    found = live.with_overheads(costs, fits)
    assert (found.overhead, found.evaluation_overhead) == pytest.approx((0.8, 0.0))
    fits["alone"] = case(10, 0, 4.0, 10.0)
    assert live.with_overheads(costs, fits).overhead == 0


@pytest.mark.parametrize(
    ("policy", "losses"),
    [
        ("hedge@every:4", ["seconds:gamma:prefill"]),
        ("hedge@censored", ["length:gamma:prefill"]),
        ("ucbspec", []),
        ("fixed:generalist", []),
    ],
)
def test_a_replay_learns_what_live_learns(monkeypatch, policy, losses):
    trace, asked = trace_folder("spec-bench-t1"), []
    monkeypatch.setattr(
        live,
        "run_sweep",
        lambda traces, settings: asked.append(settings) or run_sweep(traces, settings),
    )
    found = live.Measured(emitted=[1] * read_trace(trace).manifest.tokens)
    live.replayed(trace, Policy.parse(policy), 1, found)
    assert [loss.label for loss in asked[0].all_losses] == losses


def test_each_policy_is_decoded_and_replayed(tmp_path, monkeypatch, capsys):
    target = save_plain_layers("qwen2", tmp_path / "target", context=1024)
    small = save_plain_layers("qwen2", tmp_path / "small", context=1024)
    monkeypatch.setattr(
        sys,
        "argv",
        [
            "live",
            "--target",
            target,
            "--drafter",
            "early-exit:2",
            "--drafter",
            f"own=lm:{target}",
            "--drafter",
            "prompt-lookup",
            "--prompts",
            str(save_questions(tmp_path / "questions.jsonl")),
            "--fit",
            "2",
            "--policies",
            *POLICIES,
            "--draft-length",
            "3",
            "--max-new-tokens",
            "12",
            "--hugging-face",
            "1",
            "--assistant",
            small,
            "--trees",
            "1",
            "--seeds",
            "2",
            "--device",
            "cpu",
            "--dtype",
            "float32",
            "--out",
            str(tmp_path / "out"),
        ],
    )
    monkeypatch.setattr(live.os, "cpu_count", lambda: 4)  # replays in processes of their own
    live.main()
    result = json.loads((tmp_path / "out" / "live.json").read_text())
    rows = {row["policy"]: row for row in result["rows"]}
    assert list(rows) == [
        "autoregressive",
        "generate",
        "generate, prompt lookup",
        "generate, assisted",
        "fixed:early-exit-2",
        "fixed:own",
        "fixed:prompt-lookup",
        *POLICIES,
        "best fixed per answer",
        "normalhedge@batch:16, chains, eager",
        "normalhedge@batch:16, trees, eager",
    ]
    assert len(rows["normalhedge@batch:16, trees, eager"]["rounds_of_answers"]) == 1
    answers = len(result["domains"])
    for name in ("autoregressive", "fixed:own", *POLICIES):
        row = rows[name]
        assert len(row["tokens_of_answers"]) == answers
        assert sum(row["tokens_of_answers"]) == row["tokens"]
        assert row["mat"] == row["tokens"] / sum(row["rounds_of_answers"])
    # The target drafts for itself: every draft is accepted, live and replayed.
    assert rows["fixed:own"]["mat"] == pytest.approx(rows["fixed:own"]["replayed_mat"])
    for name in POLICIES:
        assert rows[name]["evaluations"] == rows[name]["replayed_evaluations"]
    assert result["costs"].keys() > {"overhead", "evaluation_overhead", "measured_overhead"}
    assert result["chosen"] in POLICIES[1:]
    assert set(result["chosen_over"]) >= {"autoregressive", "ucbspec", "best fixed per answer"}
    assert capsys.readouterr().out == live.tables(result)
    # The machine may be lost before the replays, and with it the traces of a policy.
    file, lost = tmp_path / "out" / "live.json", "ucbspec"
    bare = [{key: row[key] for key in row if "replayed" not in key} for row in result["rows"]]
    file.write_text(json.dumps({**result, "rows": bare}))
    (live.trace_of(tmp_path / "out", "test", lost) / "manifest.json").unlink()
    again = {row["policy"]: row for row in live.replay_again(tmp_path / "out", 2)["rows"]}
    rows[lost] = next(row for row in bare if row["policy"] == lost)
    assert again == rows
    assert json.loads(file.read_text())["rows"] == list(again.values())
    with pytest.raises(HedgespecError, match="wants the --out of an earlier run"):
        live.replay_again(tmp_path, 2)
