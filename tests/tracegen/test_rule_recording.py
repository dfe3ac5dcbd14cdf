"""Statistics of verification rules: recorded, kept in what is made of a trace, replayed."""

import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

torch = pytest.importorskip("torch")

from hedgespec.cli import main  # noqa: E402
from hedgespec.errors import HedgespecError  # noqa: E402
from hedgespec.simulator import SweepSettings, run_sweep  # noqa: E402
from hedgespec.tracegen.record import RecordSettings, record  # noqa: E402
from hedgespec.traces import Trace, read_trace  # noqa: E402
from hedgespec.traces.resize_pool import resize_pool  # noqa: E402
from hedgespec.traces.subset import write_subset  # noqa: E402
from tests.helpers.brute_force import brute_force, prompt_of  # noqa: E402
from tests.helpers.tiny import save_questions  # noqa: E402

RULES = ("gumbel", "multi:2", "multi-without:2", "kseq:3")


@pytest.fixture(scope="module")
def settings(tiny_models, tmp_path_factory) -> RecordSettings:
    folder = tmp_path_factory.mktemp("recording")
    return RecordSettings(
        target=tiny_models["target"],
        prompts=save_questions(folder / "questions.jsonl", 4),
        out=folder / "trace",
        name="tiny",
        costs=False,
        max_new_tokens=12,
        precision="full",
        drafters=(f"lm:{tiny_models['drafter']}", "early-exit:3", "prompt-lookup:2"),
        rules=RULES,
    )


@pytest.fixture(scope="module")
def recorded(settings) -> Trace:
    record(settings)
    return read_trace(settings.out)


def test_recorded_statistics_are_what_the_full_distributions_say(recorded, settings, tiny_models):
    answers = dict(
        zip(
            recorded.queries["query_id"],
            np.split(recorded.tokens, recorded.offsets[1:-1]),
            strict=True,
        )
    )
    query_id = recorded.queries["query_id"][0]
    prompt = prompt_of(settings, query_id, {k: v.tolist() for k, v in answers.items()})
    text = [*prompt, *answers[query_id].tolist()]
    p = brute_force(tiny_models["target"], text, len(prompt), 1.0)
    for arm, q in enumerate(
        [
            brute_force(tiny_models["drafter"], text, len(prompt), 1.0),
            brute_force(tiny_models["target"], text, len(prompt), 1.0, layers=3),
        ]
    ):
        for row, x in enumerate(answers[query_id]):
            waiting = (
                np.maximum(p[row][None] / p[row][:, None], q[row][None] / q[row][:, None])
            ).sum(axis=1)
            left, gamma, a = p[row], 0.0, 0.0
            for _ in range(2):
                both = np.minimum(left, q[row])
                a += (1 - gamma) * both[x] / p[row][x]
                gamma += (1 - gamma) * both.sum()
                left = np.maximum(left - q[row], 0) / np.maximum(left - q[row], 0).sum()
            for name, value in (
                ("gamma.gumbel", (1 / waiting).sum()),
                ("a.gumbel", 1 / waiting[x] / p[row][x]),
                ("gamma.multi:2", gamma),
                ("a.multi:2", a),
            ):
                assert recorded.rules[name][row, 0, arm] == pytest.approx(value, abs=2e-4), name


def test_recording_rules_leaves_everything_else_as_it_is(recorded, settings, tmp_path):
    plain = replace(settings, out=tmp_path / "plain", rules=())
    record(plain)
    manifest = json.loads((plain.out / "manifest.json").read_text())
    assert manifest["version"] == 3, "prompt lookup says what it proposes"
    assert manifest["rules"] == []
    document = json.loads((settings.out / "manifest.json").read_text())
    assert document["version"] == 3
    assert document["rules"] == [{"name": name, "levels": None, "id": ""} for name in RULES]
    found, whole = (
        pl.read_parquet(folder / "tokens-00000.parquet") for folder in (plain.out, settings.out)
    )
    assert_frame_equal(found, whole.select(found.columns))
    assert len(whole.columns) == len(found.columns) + 2 * len(RULES) * 3


def test_each_recorded_rule_is_replayed(recorded, settings):
    results = run_sweep(
        [settings.out],
        SweepSettings(
            selectors=("fixed:early-exit-3", "fixed:prompt-lookup", "hedge", "exp3spec"),
            seeds=1,
            rules=("sampling", "onehot", "block", *RULES),
            draft_lengths=(3,),
        ),
    )
    mat = {
        (row["rule"], row["selector"]): row["mat"] for row in results.summary.iter_rows(named=True)
    }
    assert len(mat) == 7 * 4
    for rule in ("block", "multi:2", "multi-without:2"):
        assert mat[rule, "fixed:early-exit-3"] >= mat["sampling", "fixed:early-exit-3"] - 1e-6
    # What proposes one token for sure gains nothing from trying it again.
    for rule in ("onehot", "block", "multi:2"):
        assert mat[rule, "fixed:prompt-lookup"] == pytest.approx(
            mat["sampling", "fixed:prompt-lookup"], rel=1e-5
        )


def test_validate_and_subset_keep_the_rules(recorded, settings, tmp_path, capsys):
    assert main(["validate", str(settings.out)]) == 0
    assert "; rule gumbel; rule multi:2" in capsys.readouterr().out
    write_subset(settings.out, tmp_path / "cut", per_domain=1)
    cut = read_trace(tmp_path / "cut")
    assert [rule.name for rule in cut.manifest.rules] == list(RULES)
    assert set(cut.rules) == set(recorded.rules)
    kept = recorded.queries["query_id"].is_in(cut.queries["query_id"].implode()).to_numpy()
    rows = np.repeat(kept, np.diff(recorded.offsets))
    np.testing.assert_array_equal(cut.rules["a.kseq:3"], recorded.rules["a.kseq:3"][rows])


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        (("block",), "rules='block': nothing to record"),
        (("tree",), "trees=('dynamic',)"),
        (("gumbel", "gumbel"), "names a rule twice"),
        (("multi",), "needs a number of candidates"),
        (("typical",), "unknown rule 'typical'"),
    ],
)
def test_bad_rules_are_told_before_anything_is_recorded(settings, tmp_path, rules, message):
    with pytest.raises(HedgespecError) as caught:
        record(replace(settings, rules=rules, out=tmp_path / "none"))
    assert message in str(caught.value)
    assert not (tmp_path / "none").exists()


def test_larger_pools_take_the_rules_along(recorded):
    more = resize_pool(recorded, 5, seed=0)
    copied = more.manifest.drafter_names[3].split(".")[0]
    original = recorded.manifest.drafter_names.index(copied)
    factor = more.gamma[:, 0, 3].sum() / recorded.gamma[:, 0, original].sum()
    np.testing.assert_allclose(
        more.rules["a.gumbel"][:, 0, 3],
        factor * recorded.rules["a.gumbel"][:, 0, original],
        rtol=1e-4,
    )


def test_sim_takes_rules_and_arms(recorded, settings, tmp_path, capsys):
    out = tmp_path / "out"
    assert (
        main(
            [
                "sim",
                "--traces",
                str(settings.out),
                "--out",
                str(out),
                "--seeds",
                "1",
                "--selectors",
                "hedge",
                "ucbspec",
                "--rule",
                "block",
                "gumbel",
            ]
        )
        == 0
    )
    assert set(pl.read_parquet(out / "summary.parquet")["rule"]) == {"block", "gumbel"}
    assert (
        main(
            [
                "sim",
                "--traces",
                str(settings.out),
                "--out",
                str(out),
                "--seeds",
                "1",
                "--selectors",
                "hedge",
                "best-fixed",
                "--arms",
                "all@block*3",
                "lm@gumbel",
            ]
        )
        == 1
    )
    assert "--arms lm@gumbel: expected DRAFTER[@RULE][*K]" in capsys.readouterr().err
    assert (
        main(
            [
                "sim",
                "--traces",
                str(settings.out),
                "--out",
                str(out),
                "--seeds",
                "1",
                "--selectors",
                "hedge",
                "--arms",
                "all@block*3",
                "early-exit-3@gumbel",
                "--force",
            ]
        )
        == 0
    )
    row = pl.read_parquet(out / "summary.parquet").row(0, named=True)
    assert row["rule"] == "block+gumbel"
    assert row["arm_lengths"] == "all@block*3 early-exit-3@gumbel"
    assert (
        main(
            [
                "sim",
                "--traces",
                str(settings.out),
                "--out",
                str(out),
                "--pool",
                "9",
                "--rule",
                "block",
            ]
        )
        == 1
    )
    assert "weakened copies of drafters have no statistics of rule block" in capsys.readouterr().err
