"""Engines' own logs are read as what they are, and refused where they are none."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from hedgespec.bridges.chosen import off_policy
from hedgespec.bridges.exports import EXPORTS
from hedgespec.bridges.imports import IMPORTS
from hedgespec.bridges.policy import ExportSettings, drafting_of
from hedgespec.cli import main
from hedgespec.errors import HedgespecError
from tests.helpers.synthetic import write_trace

STEPS = {
    "num_spec_steps": 3,
    "num_accepted_draft_tokens": 4,
    "num_draft_tokens": 7,
    "num_spec_tokens": 3,
    "acceptance_histogram": [1, 1, 0, 1],
    "per_step_accepted": [3, 0, 1],
    "per_step_drafted": [3, 3, 1],
}
METRICS = """\
# HELP vllm:spec_decode_num_drafts_total Number of spec decoding drafts.
# TYPE vllm:spec_decode_num_drafts_total counter
vllm:spec_decode_num_drafts_total{engine="0",model_name="a b"} 60.0
vllm:spec_decode_num_drafts_total{engine="1",model_name="a b"} 40.0
vllm:spec_decode_num_draft_tokens_total{engine="0",model_name="a b"} 300.0
vllm:spec_decode_num_accepted_tokens_total{engine="0",model_name="a b"} 120.0
vllm:spec_decode_num_accepted_tokens_per_pos_total{engine="0",model_name="a b",position="0"} 80.0
vllm:spec_decode_num_accepted_tokens_per_pos_total{engine="0",model_name="a b",position="1"} 40.0
"""


def vllm(**changed) -> dict:
    return {"id": "cmpl-1", "choices": [], "metrics": {"speculative_decoding": STEPS | changed}}


def read(name: str, path: Path, *items: dict | str, drafter: str = "mine"):
    path.write_text(
        "\n".join(item if isinstance(item, str) else json.dumps(item) for item in items)
    )
    return IMPORTS[name].read(path, drafter)


@pytest.fixture
def file(tmp_path) -> Path:
    return tmp_path / "log"


def test_rounds_of_vllm_and_aiperf(file):
    found = read(
        "vllm",
        file,
        vllm(),
        vllm(
            per_step_accepted=[1],
            per_step_drafted=[2],
            num_accepted_draft_tokens=1,
            num_draft_tokens=2,
        ),
    )
    assert found.rounds["accepted"].to_list() == [3, 0, 1, 1]
    assert found.rounds["drafted"].to_list() == [3, 3, 1, 2]
    [row] = found.counts.to_dicts()
    assert row == {
        "drafter": "mine",
        "rounds": 4,
        "drafted": 9,
        "accepted": 5,
        "accepted_at": [0.75, 0.25, 0.25],
    }
    records = [{"metadata": {"x": 1}}, {"spec": {"acceptance": {"engine": "trtllm", **STEPS}}}]
    other = read("aiperf", file, *records)
    assert other.rounds["accepted"].to_list() == [3, 0, 1]


def test_counts_alone_make_no_rounds(file, tmp_path):
    summary = vllm(per_step_accepted=None)
    found = read("vllm", file, summary, summary)
    assert found.rounds is None
    assert found.counts.to_dicts() == [
        {
            "drafter": "mine",
            "rounds": 6,
            "drafted": 14,
            "accepted": 8,
            "accepted_at": pytest.approx([2 / 3, 1 / 3, 1 / 3]),
        }
    ]
    assert main(["import", "vllm", str(file), "--out", str(tmp_path / "out")]) == 1


def test_prometheus_counters_are_summed(file):
    found = read("prometheus", file, METRICS)
    assert found.rounds is None
    assert found.counts.to_dicts() == [
        {
            "drafter": "mine",
            "rounds": 100,
            "drafted": 300,
            "accepted": 120,
            "accepted_at": [0.8, 0.4],
        }
    ]


def test_prometheus_text_with_times_and_exemplars_is_read(file):
    text = METRICS.replace(" 60.0", ' 60.0 1520879607.789 # {trace_id="x"} 1.0')
    assert read("prometheus", file, text.replace("a b", "a}b")).counts["rounds"].to_list() == [100]


def test_two_requests_of_one_id_are_two(file):
    """As where logs of two runs of an engine are put together."""
    found = read("vllm", file, vllm(), vllm(), {**vllm(), "id": "other"})
    assert found.rounds["request"].unique(maintain_order=True).to_list() == [
        "cmpl-1",
        "cmpl-1#2",
        "other",
    ]
    line = {"question_id": 1, "choices": [{"accept_lengths": [2, 3]}]}
    assert read("spec-bench", file, line, line).rounds["request"].n_unique() == 2


def test_spec_bench_comes_back_from_its_export(file, tmp_path):
    trace = write_trace(tmp_path / "trace")
    drafting = drafting_of(trace, ExportSettings("fixed:drafter-0"))
    file.write_text(EXPORTS["spec-bench"].write(drafting))
    found = IMPORTS["spec-bench"].read(file, "unnamed")
    assert (found.rounds["accepted"] + 1).sum() == len(trace.tokens)
    assert found.counts["rounds"].sum() == drafting.replay.visits.sum()
    assert found.counts["drafter"].to_list() == ["fixed:drafter-0"]


@pytest.mark.parametrize(
    ("name", "item", "message"),
    [
        ("vllm", {"id": 1}, r"entry 1: field \"metrics.speculative_decoding\" is missing"),
        ("vllm", vllm(per_step_accepted=[1, 0, 1]), "num_accepted_draft_tokens.*add up to 2"),
        ("vllm", vllm(per_step_accepted=[4, 0, 0]), "4 accepted of 3 drafted"),
        ("vllm", vllm(per_step_accepted=[4]), "have 1 and 3 entries"),
        ("vllm", vllm(per_step_accepted=[1.5, 0, 0]), "not a list of counts"),
        ("vllm", vllm(per_step_propensity=[0.5, 0, 1]), r"per_step_propensity\"\[1\] is 0"),
        ("vllm", "{", "is no JSON"),
        ("aiperf", {"metadata": {}}, "no line holds a SpecDecodeAcceptanceRecord"),
        ("prometheus", "sglang:spec_accept_length 2.5", "a mean over an unknown number"),
        ("prometheus", "process_cpu_seconds 3", "no engine that speculates"),
        ("prometheus", "what?", "line 1: is no line of Prometheus"),
        ("prometheus", METRICS.replace("60.0", "much"), "line 3: 'much' is no number"),
        ("prometheus", METRICS.replace("300.0", "NaN"), "draft_tokens is NaN, not a count"),
        ("prometheus", METRICS.replace("300.0", "300.5"), "line 5: .*is 300.5, not a count"),
        ("prometheus", METRICS.replace(" 40.0", " -1"), "is -1, not a count"),
        ("prometheus", METRICS + METRICS, "line 11: .*drafts with the same labels is there twice"),
        (
            "prometheus",
            METRICS.replace('engine="1",model_name="a b"', 'model_name="c}"'),
            r"counts of several models, a b, c\}",
        ),
        (
            "prometheus",
            METRICS.replace('position="1"', 'position="999999999999"'),
            "label position is not 0 to 1",
        ),
        ("prometheus", METRICS.replace(" 80.0", " 200"), "240 by position|contradict each other"),
        ("prometheus", METRICS.replace("120.0", "320"), "320 accepted of 300 tokens"),
        (
            "prometheus",
            METRICS.replace("vllm:spec_decode_num_accepted_tokens_total", "x"),
            "accepted_tokens is missing",
        ),
        (
            "vllm",
            vllm(per_step_accepted=None, acceptance_histogram=[1, 1]),
            "histogram.* adds up to 2 rounds, the request has 3",
        ),
        (
            "vllm",
            vllm(per_step_accepted=None, acceptance_histogram={"0": 1, "1": 2}),
            "adds up to 2 accepted, the request has 4",
        ),
        ("vllm", vllm(per_step_accepted=None, acceptance_histogram={"-1": 3}), "is not by counts"),
        ("vllm", vllm(per_step_accepted=None, acceptance_histogram="many"), "not a list of counts"),
        ("vllm", vllm(per_step_accepted=None, num_draft_tokens=3), "4 accepted of 3 drafted"),
        ("spec-bench", {"question_id": 1, "choices": [[]]}, "accept_lengths"),
        ("spec-bench", {"question_id": 1, "choices": [{}]}, "accept_lengths"),
        ("spec-bench", {"choices": [{"accept_lengths": [0]}]}, "without a token"),
    ],
)
def test_other_logs_are_refused_by_name(name, item, message, file):
    with pytest.raises(HedgespecError, match=message):
        read(name, file, item)


def logged(requests: int, seed: int = 0) -> list[dict]:
    """A policy that likes drafter a where it is good: a plain mean flatters it."""
    rng, items = np.random.default_rng(seed), []
    for number in range(requests):
        steps = {
            name: []
            for name in (
                "per_step_accepted",
                "per_step_drafted",
                "per_step_drafter",
                "per_step_propensity",
            )
        }
        for _ in range(20):
            easy = rng.random() < 0.5
            chance = 0.9 if easy else 0.2
            chosen = "a" if rng.random() < chance else "b"
            good = (0.8 if easy else 0.1) if chosen == "a" else 0.5
            for name, value in zip(
                steps,
                (int(rng.random() < good), 1, chosen, chance if chosen == "a" else 1 - chance),
                strict=True,
            ):
                steps[name].append(value)
        items.append({"id": str(number), "metrics": {"speculative_decoding": steps}})
    return items


def test_propensities_undo_the_policys_liking(file):
    found = read("vllm", file, *logged(300))
    estimates = {one.drafter: one for one in off_policy(found.rounds)}
    for drafter, truth in (("a", 1.45), ("b", 1.5)):
        one = estimates[drafter]
        assert one.low < truth < one.high
        assert one.high - one.low < 0.2
    plain = {
        row["drafter"]: 1 + row["accepted"] / row["rounds"]
        for row in found.counts.iter_rows(named=True)
    }
    assert plain["a"] > estimates["a"].high, "without them it would look better than it is"


def test_without_propensities_nothing_is_estimated(file, tmp_path, capsys):
    items = logged(5)
    for item in items:
        del item["metrics"]["speculative_decoding"]["per_step_propensity"]
    found = read("vllm", file, *items)
    assert off_policy(found.rounds) == []
    assert main(["import", "vllm", str(file), "--out", str(tmp_path / "out")]) == 0
    assert "not to be compared" in capsys.readouterr().out
    kept = pl.read_parquet(tmp_path / "out" / "rounds.parquet")
    assert len(kept) == 100
    assert json.loads((tmp_path / "out" / "import.json").read_text())["format"] == "vllm"
    assert main(["import", "vllm", str(file), "--out", str(tmp_path / "out")]) == 1
    read("vllm", file, *logged(5))
    assert main(["import", "vllm", str(file)]) == 0
    assert "off policy" in capsys.readouterr().out
