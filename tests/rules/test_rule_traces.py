"""Traces with statistics of verification rules: recorded, written, read, checked, cut, replayed."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

torch = pytest.importorskip("torch")

from hedgespec.cli import main  # noqa: E402
from hedgespec.errors import HedgespecError, TraceError  # noqa: E402
from hedgespec.rules import parse_rule  # noqa: E402
from hedgespec.simulator import Replayer, SweepSettings, run_sweep  # noqa: E402
from hedgespec.tracegen.record import RecordSettings, record  # noqa: E402
from hedgespec.traces import RuleInfo, Trace, TraceWriter, read_trace  # noqa: E402
from hedgespec.traces.resize_pool import resize_pool  # noqa: E402
from hedgespec.traces.schema import DRAFTER_STATISTICS, QUERY_COLUMNS, TOKEN_COLUMNS  # noqa: E402
from hedgespec.traces.subset import write_subset  # noqa: E402
from tests.helpers.brute_force import brute_force, prompt_of  # noqa: E402
from tests.helpers.real_decoding import TinyPair  # noqa: E402
from tests.helpers.rule_decoding import Trees, all_texts  # noqa: E402
from tests.helpers.synthetic import write_trace  # noqa: E402
from tests.helpers.tiny import save_questions  # noqa: E402

RULES = ("gumbel", "multi:2", "multi-without:2", "kseq:3")


@pytest.fixture(scope="module")
def settings(tiny_models, tmp_path_factory) -> RecordSettings:
    folder = tmp_path_factory.mktemp("recording")
    return RecordSettings(
        target=tiny_models["target"], prompts=save_questions(folder / "questions.jsonl", 4),
        out=folder / "trace", name="tiny", costs=False, max_new_tokens=12, precision="full",
        drafters=(f"lm:{tiny_models['drafter']}", "early-exit:3", "prompt-lookup:2"), rules=RULES)


@pytest.fixture(scope="module")
def recorded(settings) -> Trace:
    record(settings)
    return read_trace(settings.out)


def tables(trace: Trace) -> tuple[pl.DataFrame, pl.DataFrame]:
    """A trace of prefix-only drafters as the tables of its files."""
    lengths = np.diff(trace.offsets)
    count = len(lengths)
    queries = pl.DataFrame({
        "query": range(count), "query_id": [f"q{i}" for i in range(count)],
        "source": ["made"] * count, "domain": ["made"] * count, "prompt_sha256": ["0" * 64] * count,
        "prompt_tokens": [1] * count, "output_tokens": lengths, "finish_reason": ["eos"] * count,
        "prompt_embedding": [[0.0]] * count}, schema=QUERY_COLUMNS)
    columns = {"query": np.repeat(np.arange(count), lengths),
               "position": np.concatenate([np.arange(length) for length in lengths]),
               "token": trace.tokens, "log_p": trace.log_p.astype(np.float32)}
    statistics = {name: getattr(trace, name) for name in DRAFTER_STATISTICS} | trace.rules
    for name, values in statistics.items():
        for arm, drafter in enumerate(trace.manifest.drafter_names):
            for level in range(values.shape[1]):
                column = f"{name}/{drafter}" + (f"@{level + 1}" if name.startswith("mass.") else "")
                own = values[:, level, arm]
                columns[column] = own.astype(np.float32) if own.dtype == np.float64 else own
    return queries, pl.DataFrame(columns, schema_overrides=TOKEN_COLUMNS)


def write(trace: Trace, folder: Path, change=lambda tokens: tokens) -> Trace:
    queries, tokens = tables(trace)
    writer = TraceWriter(folder, {})
    writer.write_batch("all", queries, change(tokens))
    target = replace(trace.manifest.target, weights_sha256="0" * 64, tokenizer_sha256="0" * 64)
    writer.finish(replace(trace.manifest, target=target))
    return read_trace(folder)


@pytest.fixture(scope="module")
def made() -> Trace:
    """All texts of three tokens, with trees and Gumbel coupling."""
    pair = TinyPair.random(2, 4, 3, 2)
    return all_texts(pair, 2, (parse_rule("gumbel"),), Trees(pair, 2, nodes=5, width=3))[0]


def test_recorded_statistics_are_what_the_full_distributions_say(recorded, settings, tiny_models):
    answers = dict(zip(recorded.queries["query_id"], np.split(
        recorded.tokens, recorded.offsets[1:-1]), strict=True))
    query_id = recorded.queries["query_id"][0]
    prompt = prompt_of(settings, query_id, {k: v.tolist() for k, v in answers.items()})
    text = [*prompt, *answers[query_id].tolist()]
    p = brute_force(tiny_models["target"], text, len(prompt), 1.0)
    for arm, q in enumerate([
            brute_force(tiny_models["drafter"], text, len(prompt), 1.0),
            brute_force(tiny_models["target"], text, len(prompt), 1.0, layers=3)]):
        for row, x in enumerate(answers[query_id]):
            waiting = (np.maximum(p[row][None] / p[row][:, None], q[row][None] / q[row][:, None])
                       ).sum(axis=1)
            left, gamma, a = p[row], 0.0, 0.0
            for _ in range(2):
                both = np.minimum(left, q[row])
                a += (1 - gamma) * both[x] / p[row][x]
                gamma += (1 - gamma) * both.sum()
                left = np.maximum(left - q[row], 0) / np.maximum(left - q[row], 0).sum()
            for name, value in (("gamma.gumbel", (1 / waiting).sum()),
                                ("a.gumbel", 1 / waiting[x] / p[row][x]),
                                ("gamma.multi:2", gamma), ("a.multi:2", a)):
                assert recorded.rules[name][row, 0, arm] == pytest.approx(value, abs=2e-4), name


def test_recording_rules_leaves_everything_else_as_it_is(recorded, settings, tmp_path):
    plain = replace(settings, out=tmp_path / "plain", rules=())
    record(plain)
    manifest = json.loads((plain.out / "manifest.json").read_text())
    assert manifest["version"] == 1
    assert "rules" not in manifest
    document = json.loads((settings.out / "manifest.json").read_text())
    assert document["version"] == 2
    assert document["rules"] == [{"name": name, "levels": None, "id": ""} for name in RULES]
    found, whole = (pl.read_parquet(folder / "tokens-00000.parquet")
                    for folder in (plain.out, settings.out))
    assert_frame_equal(found, whole.select(found.columns))
    assert len(whole.columns) == len(found.columns) + 2 * len(RULES) * 3


def test_each_recorded_rule_is_replayed(recorded, settings):
    results = run_sweep([settings.out], SweepSettings(
        selectors=("fixed:early-exit-3", "fixed:prompt-lookup", "hedge", "exp3spec"), seeds=1,
        rules=("sampling", "onehot", "block", *RULES), draft_lengths=(3,)))
    mat = {(row["rule"], row["selector"]): row["mat"]
           for row in results.summary.iter_rows(named=True)}
    assert len(mat) == 7 * 4
    for rule in ("block", "multi:2", "multi-without:2"):
        assert mat[rule, "fixed:early-exit-3"] >= mat["sampling", "fixed:early-exit-3"] - 1e-6
    # What proposes one token for sure gains nothing from trying it again.
    for rule in ("onehot", "block", "multi:2"):
        assert mat[rule, "fixed:prompt-lookup"] == pytest.approx(
            mat["sampling", "fixed:prompt-lookup"], rel=1e-5)


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


@pytest.mark.parametrize(("rules", "message"), [
    (("block",), "--rules block: nothing to record"), (("tree",), "--trees dynamic"),
    (("gumbel", "gumbel"), "names a rule twice"), (("multi",), "wants the number of candidates"),
    (("typical",), "unknown rule 'typical'"),
])
def test_bad_rules_are_told_before_anything_is_recorded(settings, tmp_path, rules, message):
    with pytest.raises(HedgespecError) as caught:
        record(replace(settings, rules=rules, out=tmp_path / "none"))
    assert message in str(caught.value)
    assert not (tmp_path / "none").exists()


def test_traces_with_trees_are_read_as_written(made, tmp_path):
    trace = write(made, tmp_path / "trace")
    for name, values in made.rules.items():
        np.testing.assert_array_equal(trace.rules[name], values)
        assert trace.rules[name].dtype == values.dtype
    assert trace.manifest.rules == [RuleInfo("gumbel"), RuleInfo("tree", 2)]
    assert main(["validate", str(tmp_path / "trace")]) == 0
    np.testing.assert_array_equal(Replayer(trace, rule="tree").expected_rounds,
                                  Replayer(made, rule="tree").expected_rounds)


ANYWHERE, P = pl.lit(True), pl.col("log_p").exp()


@pytest.mark.parametrize(("where", "values", "message"), [
    (ANYWHERE, {"a.gumbel/d1": 1.5}, "must lie in [0, 1]"),
    (ANYWHERE, {"gamma.gumbel/d0": np.nan}, "must lie in [0, 1]"),
    (ANYWHERE, {"gamma.gumbel/d0": 0.0}, "is below p(x) a(x) of the emitted token"),
    (P * pl.col("a.gumbel/d0") > 1.1 - pl.col("gamma.gumbel/d0"), {"a.gumbel/d0": 0.0},
     "is above 1 - p(x) (1 - a(x)) of the emitted token"),
    (pl.col("a.gumbel/d0") > 0, {"log_q/d0": -np.inf, "gamma/d0": 0.0},
     'is positive though "log_q/d0" says that the token was no proposal'),
    (ANYWHERE, {"depth.tree/d0": 3}, "is deeper than the 2 levels"),
    (ANYWHERE, {"nodes.tree/d0": 0}, 'is more than the nodes drafted, "nodes.tree/d0"'),
    (ANYWHERE, {"mass.tree/d1@1": 1.01}, "must lie in [0, 1]"),
    (pl.col("depth.tree/d1") == 0, {"mass.tree/d1@2": 0.5},
     "is positive though the text left the tree before"),
    (pl.col("position") == 2, {"depth.tree/d0": 2}, "runs beyond the end of the answer"),
])
def test_what_cannot_be_is_told(made, tmp_path, where, values, message):
    def change(tokens: pl.DataFrame) -> pl.DataFrame:
        return tokens.with_columns(
            pl.when(where).then(pl.lit(value, tokens[column].dtype)).otherwise(column).alias(column)
            for column, value in values.items())

    with pytest.raises(TraceError) as caught:
        write(made, tmp_path / "trace", change)
    assert message in str(caught.value)


@pytest.mark.parametrize(("rules", "message"), [
    ([{"name": "Bad"}], "rule name 'Bad' cannot be one"), ([{"levels": 3}], '"rules[0].name"'),
    ([{"name": "tree", "levels": 0}], "levels must lie in 1..255"),
    ([{"name": "gumbel"}, {"name": "gumbel"}], "names a rule twice"),
    ([{"name": "gumbel"}], 'column "gamma.gumbel/drafter-0" is missing'),
])
def test_bad_rules_in_a_manifest_are_told(tmp_path, rules, message):
    write_trace(tmp_path / "trace")
    path = tmp_path / "trace" / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"rules": rules, "version": 2}))
    with pytest.raises(TraceError) as caught:
        read_trace(tmp_path / "trace")
    assert message in str(caught.value)


def test_pools_of_other_sizes_take_the_rules_along_where_they_can(made, recorded, tmp_path):
    fewer = resize_pool(made, 1, seed=0)
    assert fewer.rules["depth.tree"].shape[2] == 1
    with pytest.raises(HedgespecError, match=r"whose draft trees \(tree\) would be others"):
        resize_pool(made, 3, seed=0)
    more = resize_pool(recorded, 5, seed=0)
    copied = more.manifest.drafter_names[3].split(".")[0]
    original = recorded.manifest.drafter_names.index(copied)
    factor = more.gamma[:, 0, 3].sum() / recorded.gamma[:, 0, original].sum()
    np.testing.assert_allclose(more.rules["a.gumbel"][:, 0, 3],
                               factor * recorded.rules["a.gumbel"][:, 0, original], rtol=1e-4)


def test_sim_takes_rules_and_arms(recorded, settings, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["sim", "--traces", str(settings.out), "--out", str(out), "--seeds", "1",
                 "--selectors", "hedge", "ucbspec", "--rule", "block", "gumbel"]) == 0
    assert set(pl.read_parquet(out / "summary.parquet")["rule"]) == {"block", "gumbel"}
    assert main(["sim", "--traces", str(settings.out), "--out", str(out), "--seeds", "1",
                 "--selectors", "hedge", "best-fixed", "--arms", "all@block*3", "lm@gumbel"]) == 1
    assert "--arms lm@gumbel: want DRAFTER[@RULE][*K]" in capsys.readouterr().err
    assert main(["sim", "--traces", str(settings.out), "--out", str(out), "--seeds", "1",
                 "--selectors", "hedge", "--arms", "all@block*3", "early-exit-3@gumbel"]) == 0
    row = pl.read_parquet(out / "summary.parquet").row(0, named=True)
    assert row["rule"] == "block+gumbel"
    assert row["arm_lengths"] == "all@block*3 early-exit-3@gumbel"
    assert main(["sim", "--traces", str(settings.out), "--out", str(out), "--pool", "9", "--rule",
                 "block"]) == 1
    assert "weakened copies of drafters have no statistics of rule block" in capsys.readouterr().err
