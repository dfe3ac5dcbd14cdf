"""Exports say what replays find, in the words of each engine."""

import json

import numpy as np
import pytest

from hedgespec.bridges.exports import EXPORTS
from hedgespec.bridges.policy import ExportSettings, drafting_of
from hedgespec.cli import main
from hedgespec.errors import HedgespecError
from hedgespec.simulator import Replayer
from hedgespec.simulator.measures import Measures
from tests.helpers.synthetic import write_trace

LENGTHS = (40, 1, 7, 90, 60, 33)


@pytest.fixture(scope="module")
def trace(tmp_path_factory):
    return write_trace(tmp_path_factory.mktemp("export") / "trace", lengths=LENGTHS)


@pytest.fixture(scope="module")
def fixed(trace):
    return drafting_of(trace, ExportSettings("fixed:drafter-1", draft_length=4))


def test_a_fixed_drafters_rates_are_those_of_the_tables(trace, fixed):
    replayer = Replayer(trace, 4)
    expected = Measures(replayer).acceptance(1)
    np.testing.assert_allclose(fixed.marginal, expected.at, atol=1e-12)
    np.testing.assert_allclose(fixed.conditional, expected.given, atol=1e-12)
    np.testing.assert_allclose(fixed.mat, sum(LENGTHS) / replayer.expected_rounds[:, 1].sum())
    assert fixed.drafting == 1


def test_a_policys_rates_lie_between_those_of_its_drafters(trace):
    found = {
        policy: drafting_of(trace, ExportSettings(policy, draft_length=4, seeds=20))
        for policy in ("fixed:drafter-0", "fixed:drafter-2", "normalhedge", "uniform")
    }
    best, worst = found["fixed:drafter-0"], found["fixed:drafter-2"]
    for policy in ("normalhedge", "uniform"):
        assert (worst.marginal < found[policy].marginal).all()
        assert (found[policy].marginal < best.marginal).all()
    # Of a policy that is replayed: the tokens of its rounds, counted.
    replayer = Replayer(trace, 4)
    rounds = [replayer.run(replayer.chooser("ucbspec"), seed).visits.sum() for seed in range(3)]
    counted = drafting_of(trace, ExportSettings("ucbspec", draft_length=4, seeds=3))
    np.testing.assert_allclose(counted.mat, sum(LENGTHS) / np.mean(rounds))


def test_engines_read_marginal_rates_and_lengths(fixed):
    written = json.loads(EXPORTS["vllm"].write(fixed))
    rates = written["synthetic_acceptance_rates"]
    np.testing.assert_allclose(rates, fixed.marginal, atol=1e-6)
    assert written["num_speculative_tokens"] == len(rates) == 4
    assert sorted(rates, reverse=True) == rates
    words = EXPORTS["llama.cpp"].write(fixed).split()
    assert words[:3] == ["--spec-draft-n-max", "4", "--spec-synth-rates"]
    np.testing.assert_allclose([float(rate) for rate in words[3].split(",")], rates, atol=1e-5)
    length = 1 + sum(rates)
    for name, variable, less in (
        ("sglang", "SGLANG_SIMULATE_ACC_LEN", 0),
        ("tensorrt-llm", "TLLM_SPEC_DECODE_FORCE_NUM_ACCEPTED_TOKENS", 1),
    ):
        key, _, value = EXPORTS[name].write(fixed).strip().partition("=")
        assert key == variable
        assert float(value) == pytest.approx(length - less, abs=1e-3)


def test_a_profile_has_both_kinds_of_rates_and_checks_them(fixed):
    profile = json.loads(EXPORTS["speculation-profile"].write(fixed))
    np.testing.assert_allclose(
        np.cumprod(profile["conditional_accept_rates"][:1]),
        profile["marginal_accept_rates"][:1],
        atol=0.06,
    )
    assert profile["schema_version"] == "1.0"
    assert profile["draft_checkpoint"]["id"] == "test:1"
    assert all(check["passed"] for check in profile["validation"].values())
    assert profile["mean_accept_length"] == pytest.approx(1 + fixed.marginal.sum(), abs=1e-5)


def test_spec_bench_has_each_questions_rounds(trace):
    found = drafting_of(trace, ExportSettings("normalhedge", draft_length=4))
    answers = [json.loads(line) for line in EXPORTS["spec-bench"].write(found).splitlines()]
    assert [one["choices"][0]["new_tokens"] for one in answers] == [[each] for each in LENGTHS]
    for one in answers:
        choice = one["choices"][0]
        assert sum(choice["accept_lengths"]) == sum(choice["new_tokens"])
        assert len(choice["accept_lengths"]) == sum(choice["decoding_steps"])
        assert choice["wall_time"] == []
    rounds = sum(len(one["choices"][0]["accept_lengths"]) for one in answers)
    assert rounds == found.replay.visits.sum()


def test_what_never_drafts_is_refused(trace):
    with pytest.raises(HedgespecError, match="drafts nothing"):
        drafting_of(trace, ExportSettings("none"))


@pytest.mark.parametrize("name", EXPORTS)
def test_the_command_writes_each_and_says_what_is_lost(name, trace, tmp_path, capsys):
    out = tmp_path / "out"
    assert (
        main(
            [
                "export",
                name,
                str(trace.folder),
                "--policy",
                "uniform",
                "--seeds",
                "1",
                "--out",
                str(out),
            ]
        )
        == 0
    )
    assert out.read_text()
    assert f"lost: {EXPORTS[name].loses}" in capsys.readouterr().err
