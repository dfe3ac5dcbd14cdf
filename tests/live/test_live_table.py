"""The measured tables of live decoding in the docs are those of their files."""

import json
import re
from pathlib import Path

import pytest

pytest.importorskip("torch")

from benchmarks.live import tables
from benchmarks.pages import marked
from benchmarks.prose import Cells
from benchmarks.second_target import replayed
from hedgespec.results.labels import FIXED

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "live.md").read_text(encoding="utf-8")


def _result(name):
    return json.loads((ROOT / "benchmarks" / name).read_text(encoding="utf-8"))


def _rows(result):
    return {row["policy"]: row for row in result["rows"]}


RESULT, LARGER = _result("live-h100.json"), _result("live-coder-h200.json")
COPIES = _result("live-copies-h200.json")
ROWS = _rows(RESULT)


@pytest.mark.parametrize(
    ("name", "result"), [("live", RESULT), ("live-coder", LARGER), ("live-copies", COPIES)]
)
def test_the_docs_have_the_table_of_the_file(name, result):
    found = re.search(rf"<!-- {name} -->\n(.*?)<!-- end -->", PAGE, re.DOTALL)
    assert found
    assert found[1] == tables(result)


def test_replays_are_as_near_to_what_was_measured_as_the_docs_say():
    replayed = [row for row in RESULT["rows"] if "replayed_mat" in row]
    assert len(replayed) == 18
    for row in replayed:
        assert row["replayed_mat"] == pytest.approx(row["mat"], rel=0.0220)
        assert row["replayed_evaluations"] == row["evaluations"]
        assert row["replayed_tokens_per_second"] == pytest.approx(
            row["tokens_per_second"], rel=0.104
        )


def test_replays_of_drafters_that_copy_are_as_near_as_the_docs_say():
    replayed = [row for row in COPIES["rows"] if "replayed_mat" in row]
    assert len(replayed) == 4
    assert "Replays have MAT within 0.2 %, tokens per second within 3.6 %, and evaluations" in PAGE
    for row in replayed:
        assert row["replayed_mat"] == pytest.approx(row["mat"], rel=0.0025)
        assert row["replayed_evaluations"] == row["evaluations"]
        assert row["replayed_tokens_per_second"] == pytest.approx(
            row["tokens_per_second"], rel=0.0365
        )


def test_the_docs_name_what_was_fastest_and_what_replays_get_wrong():
    fastest = max(
        (name for name in ROWS if name != "best fixed per answer"),
        key=lambda name: ROWS[name]["tokens_per_second"],
    )
    assert fastest == "fixed:generalist-mixed"
    assert RESULT["chosen"] == "normalhedge@batch:16@3"
    for name, (low, _) in RESULT["chosen_over"].items():
        slower = name.startswith("fixed:") or name in ("uniform", "ucbspec", "exp3spec")
        if slower and name != "fixed:generalist-mixed":
            assert low > 1
    for name, row in ROWS.items():
        beyond = row.get("replayed_tokens_per_second", 0) / row["tokens_per_second"]
        if name.startswith("fixed:"):
            assert beyond < 1
        if name in ("hedge", "normalhedge", "ftl@eliminate:0.5,0.0625"):
            assert beyond > 1
    assert (
        ROWS["normalhedge"]["tokens_per_second"]
        < 0.82 * (ROWS["normalhedge@batch:16"]["tokens_per_second"])
    )
    more = _milliseconds(ROWS["normalhedge"]) - _milliseconds(ROWS["fixed:generalist"])
    assert f"took {more:.2f} ms more than" in PAGE


def test_the_docs_say_what_the_table_of_the_larger_target_says():
    rows = _rows(LARGER)
    text = " ".join(PAGE[PAGE.index("<!-- live-coder -->") :].split())
    mixed, chosen = rows["fixed:generalist-mixed"], rows["normalhedge@batch:64"]
    bandits = [rows["ucbspec"], rows["exp3spec"]]
    learners = [row for name, row in rows.items() if "hedge" in name or name.startswith("ftl")]
    faster = max(bandits, key=_speed)
    assert (LARGER["chosen"], faster["policy"]) == (chosen["policy"], "ucbspec")
    assert max(learners, key=_speed) is chosen
    trees, chains = (rows[f"normalhedge@batch:16, {shape}, eager"] for shape in ("trees", "chains"))
    assert trees["answers"] == chains["answers"] == 3
    for words in (
        "{:.2f} times the tokens per second of plain decoding, {:.2f} times those of UCBSpec, the "
        "faster bandit, and {:.2f} times those of the mixed generalist".format(
            *(_speed(chosen) / _speed(other) for other in (rows["autoregressive"], faster, mixed))
        ),
        f"NormalHedge takes {_milliseconds(rows['normalhedge']):.2f} ms if it evaluates in each "
        f"round and {_milliseconds(rows['normalhedge@batch:16']):.2f} with `batch:16`, a round of "
        f"the mixed generalist {_milliseconds(mixed):.2f}.",
        f"gives {_speed(rows['best fixed per answer']) / _speed(mixed):.2f} times its speed",
        f"MAT {trees['mat']:.2f} there, chains {chains['mat']:.2f}, and "
        f"{_speed(trees) / _speed(chains):.2f} times the tokens per second of chains",
        f"was measured at {1e3 * LARGER['costs']['draft']['prompt-lookup']:.2f} ms",
    ):
        assert words in text
    fixed = [row for name, row in rows.items() if name.startswith("fixed:")]
    answers = range(len(mixed["seconds_of_answers"]))
    first = [
        max(
            fixed,
            key=lambda row: row["tokens_of_answers"][number] / row["seconds_of_answers"][number],
        )
        is mixed
        for number in answers
    ]
    assert sum(first) > len(first) / 2
    assert {row["answers"] for name, row in rows.items() if name.startswith("generate")} == {1}


def test_replays_of_other_questions_agree_with_it_as_the_docs_say():
    cells = Cells.read(marked(PAGE, "live-coder-replay"))
    rows = _rows(LARGER)
    for name in cells.names:
        assert cells.value(name, "MAT live") == pytest.approx(rows[name]["mat"], abs=0.005)
        assert cells.value(name, "tokens/s live") == round(_speed(rows[name]))
        assert float(cells.cell(name, "difference").rstrip("%")) == pytest.approx(
            100 * (cells.value(name, "tokens/s replayed") / _speed(rows[name]) - 1), abs=0.15
        )
    apart = max(abs(cells.value(name, "difference")) for name in cells.names)
    assert f"agree within {apart:.1f} % for all of these policies" in " ".join(PAGE.split())


def test_replays_of_its_own_answers_agree_with_it_as_pages_say():
    rows = {row["policy"]: row for row in LARGER["rows"] if "replayed_mat" in row}
    for row in rows.values():
        assert row["replayed_evaluations"] == row["evaluations"]
    lookup = rows.pop("fixed:prompt-lookup")
    mat, speed = (
        100 * max(abs(_apart(row, what)) for row in rows.values())
        for what in ("mat", "tokens_per_second")
    )
    slow = -100 * _apart(lookup, "tokens_per_second")
    page = " ".join(PAGE.split())
    assert (
        f"For {len(rows)} policies MAT agrees within {mat:.1f} %, tokens per second within "
        f"{speed:.1f} %. Of the nineteenth, prompt lookup alone, tokens per second are {slow:.1f} % "
        "too low" in page
    )
    readme = " ".join((ROOT / "README.md").read_text().split())
    assert (
        f"MAT within {mat:.1f} % and tokens per second within {speed:.1f} % for {len(rows)} of "
        f"{len(rows) + 1} policies" in readme
    )


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["fixed:generalist-mixed", "normalhedge@batch:16"])
def test_the_replays_of_the_docs_can_be_made_again(policy):
    cells = Cells.read(marked(PAGE, "live-coder-replay"))
    pool = [name.removeprefix(FIXED) for name in _rows(LARGER) if name.startswith(FIXED)]
    mat, speed = replayed(policy, pool, LARGER["draft_length"])
    assert f"{mat:.2f}" == cells.cell(policy, "MAT replayed")
    assert f"{speed:.0f}" == cells.cell(policy, "tokens/s replayed")


def _apart(row, what) -> float:
    """A replay from what was measured, as a share of it."""
    return row[f"replayed_{what}"] / row[what] - 1


def _speed(row) -> float:
    return row["tokens_per_second"]


def _milliseconds(row) -> float:
    """Of a round."""
    return 1e3 * sum(row["seconds_of_answers"]) / sum(row["rounds_of_answers"])
