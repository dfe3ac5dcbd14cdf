"""The verdict: chosen on one half of the questions, measured on the other."""

import html
import io
import re
from dataclasses import dataclass

import numpy as np
import polars as pl
import pytest
from rich.console import Console

from hedgespec.analysis.results import ResultSet
from hedgespec.analysis.verdict import (
    LENGTH,
    SPEED,
    Judged,
    Verdict,
    held_out,
    judge,
    judge_all,
    print_verdicts,
    summed_up,
    verdict,
)
from hedgespec.cli import main
from hedgespec.costs.file import save_costs
from hedgespec.results.statistics import SMALL
from hedgespec.results.store import read_results
from hedgespec.traces import Costs, DrafterCosts, TargetCosts
from tests.helpers.made_results import make_results
from tests.helpers.synthetic import write_trace

TOKENS = 100


@dataclass
class Answers:
    """What a verdict looks at, of answers of TOKENS tokens each."""

    settings: pl.DataFrame
    seconds: np.ndarray
    question: np.ndarray

    @property
    def tokens(self) -> np.ndarray:
        return np.full(len(self.question), TOKENS)

    @property
    def rounds(self) -> np.ndarray:
        return self.seconds


@dataclass
class Run:
    """A run with one trace."""

    found: Answers

    def answers(self, trace: str) -> Answers:
        return self.found


def judged(
    seconds: dict[str, np.ndarray], question: np.ndarray | None = None, unable: tuple[str, ...] = ()
) -> Verdict | None:
    names = list(seconds)
    settings = pl.DataFrame(
        {
            "selector": names,
            "label": names,
            "mode": "exact",
            "runnable": [name not in unable for name in names],
        }
    )
    columns = np.column_stack(list(seconds.values()))
    numbers = np.arange(len(columns)) if question is None else question
    return verdict(Run(Answers(settings, columns, numbers)), "one", SPEED)


def sentences(found: Verdict) -> list[str]:
    return Judged("one", "", found, found).sentences[:-1]


def around(mean: float, seed: int, questions: int = 40) -> np.ndarray:
    return mean + np.random.default_rng(seed).normal(0, 0.05, questions)


def plain_held_out(cost: np.ndarray, splits: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """`held_out`, a question and a half at a time."""
    count, width = cost.shape
    order = np.argsort(np.random.default_rng(seed).random((splits, count)), axis=1)
    total, times = np.zeros(count), np.zeros(width, dtype=int)
    for split in range(splits):
        half = [g for g in range(count) if order[split, g] < count // 2]
        other = [g for g in range(count) if g not in half]
        for choosing, measured in ((half, other), (other, half)):
            sums = [sum(cost[g, s] for g in choosing) for s in range(width)]
            chosen = sums.index(min(sums))
            times[chosen] += 1
            for g in measured:
                total[g] += cost[g, chosen] / splits
    return total, times


@pytest.mark.parametrize("count", [2, 3, 9])
def test_halves_choose_and_the_others_measure(count):
    cost = np.random.default_rng(count).integers(1, 50, (count, 4)).astype(float)
    expected, times = plain_held_out(cost, splits=7, seed=3)
    found, counted = held_out(cost, splits=7, seed=3)
    np.testing.assert_allclose(found, expected)
    assert counted.tolist() == times.tolist()


def test_the_best_of_many_alike_is_not_flattered():
    """Forty settings of one mean: the least sum lies below it, the verdict's does not."""
    naive, honest = [], []
    for seed in range(60):
        cost = np.random.default_rng(seed).normal(1, 0.2, (24, 40))
        naive.append(cost.sum(axis=0).min() / len(cost))
        honest.append(held_out(cost)[0].mean())
    assert np.mean(naive) < 0.93
    assert abs(np.mean(honest) - 1) < 0.02


def test_a_learner_that_is_faster_is_named_with_its_gains():
    found = judged(
        {
            "none": around(4, 0),
            "fixed:a": around(2, 1),
            "fixed:b": around(3, 2),
            "hedge": around(1, 3),
            "ucb": around(1.5, 4),
        }
    )
    assert (found.best.label, found.best.share, found.single.label) == ("hedge", 1.0, "fixed:a")
    assert found.best.rate == pytest.approx(TOKENS, rel=0.05)
    assert found.over_single.value[0] == pytest.approx(100, abs=6)
    assert found.over_none.value[0] == pytest.approx(300, abs=12)
    assert (found.second[0], found.alike, found.advice) == ("ucb", [], "use hedge")


def test_what_cannot_be_run_is_no_choice():
    found = judged({"fixed:a": around(2, 1), "oracle": around(1, 2)}, unable=("oracle",))
    assert (found.best.label, found.settings, found.second) == ("fixed:a", 1, None)
    assert judged({"oracle": around(1, 2)}, unable=("oracle",)) is None


@pytest.mark.parametrize(
    ("seconds", "advice"),
    [
        ({"none": 1, "fixed:a": 2, "hedge": 1.5}, "do not draft"),
        ({"none": 3, "fixed:a": 1, "hedge": 1.5}, "use the drafter a"),
        ({"none": 3, "fixed:a": 2, "router": 1}, "use router"),
        ({"fixed:a": 2, "hedge": 1}, "use hedge"),
        ({"hedge": 1, "ucb": 2}, "use hedge"),
    ],
)
def test_the_advice_is_what_is_fastest(seconds, advice):
    found = judged({name: around(mean, seed) for seed, (name, mean) in enumerate(seconds.items())})
    assert found.advice == advice


def test_the_simpler_is_advised_where_nothing_is_shown_to_be_better():
    noise = np.random.default_rng(0).normal(0, 1, (2, 40))
    noise -= noise.mean(axis=1, keepdims=True)
    found = judged({"none": around(30, 0), "fixed:a": 10 + noise[0], "hedge": 9.7 + noise[1]})
    assert (found.advice, found.advised.label) == ("use the drafter a", "fixed:a")
    assert "fixed:a" in found.alike
    told = sentences(found)
    assert told[0].startswith(f"Use the drafter a: {TOKENS / 10:.2f} tokens/s, +")
    assert re.match(
        r"hedge makes \S+ tokens/s, \S+ % \(.*\) over it, and is not shown to be "
        "better",
        told[1],
    )
    found = judged({"none": 10 + noise[0], "hedge": 9.7 + noise[1]})
    assert (found.advice, found.advised.rate) == ("do not draft", pytest.approx(TOKENS / 10))
    told = sentences(found)
    assert told[0] == f"Do not draft: {TOKENS / 10:.2f} tokens/s."
    assert "over no drafting, and is not shown to be better" in told[1]
    assert "Whether a drafter alone is better is not known" in told[2]


@pytest.mark.parametrize("questions", [SMALL - 1, 40])
def test_no_drafting_is_advised_where_it_is_the_fastest_of_all(questions):
    """However few questions there are: a drafter that is slower was advised for nine."""
    seconds = {"none": around(10, 0), "fixed:a": around(15, 1), "hedge": around(20, 2)}
    found = judged(seconds, np.arange(40) % questions)
    assert (found.best.label, found.advice) == ("none", "do not draft")
    assert sentences(found)[0].startswith("Do not draft: ")
    assert "makes" not in sentences(found)[1]


def test_a_drafter_that_does_not_pay_is_not_advised_in_the_place_of_a_learner_that_does():
    """Too few questions to tell the two apart."""
    seconds = {"none": around(10, 0), "fixed:a": around(12, 1), "hedge": around(8, 2)}
    found = judged(seconds, np.arange(40) % (SMALL - 1))
    assert not found.tested
    assert found.advice == "use hedge"


def test_a_table_says_of_what_is_advised_what_it_makes_and_why_not_the_best():
    seconds = {"none": around(10, 0), "fixed:a": around(12, 1), "hedge": around(10, 2)}
    speed = judged(seconds)
    trace, questions, advice, rate, over_single, over_none, rest = Judged(
        "one", "", speed, speed
    ).cells
    assert (trace, questions, advice) == ("one", "40", "do not draft")
    assert rate == f"{TOKENS * 40 / seconds['none'].sum():.2f} tokens/s"
    assert over_single.startswith("+2")
    assert over_none == "itself"
    assert speed.best.label == "none" or rest.startswith("hedge: ")


def test_one_setting_alone_is_compared_with_nothing():
    found = sentences(judged({"hedge": around(1, 0)}))
    assert "so they do not say whether a drafter alone or no drafting is better" in found[1]
    assert "halves" not in " ".join(found)


def test_one_setting_alone_is_not_advised():
    """Nothing says that it is better than anything."""
    alone = judged({"hedge": around(1, 0)})
    assert alone.advice == "only hedge was run"
    assert sentences(alone)[0].startswith("Only hedge was run: ")
    assert Judged("one", "", alone, alone).cells[2:] == [
        "only hedge was run",
        f"{100 * TOKENS / alone.cost[:, 0].sum() * 0.4:.1f} tokens/s",
        "not run",
        "not run",
        "a drafter alone or no drafting: not run",
    ]


def test_a_drafter_that_is_the_best_is_not_said_to_be_better_than_itself():
    """Halves of few questions may choose another setting, so its two rates differ."""
    few = judged({"fixed:a": np.full(5, 2.0), "hedge": np.array([1.0, 2.3, 2.3, 2.3, 2.3])})
    assert not few.tested
    assert few.best.label == few.single.label == "fixed:a"
    assert few.best.rate != few.single.rate
    assert few.advised is few.best
    told = " ".join(sentences(few))
    assert told.count("tokens/s") == 2  # its rate, and that of the choice without it
    assert "to show that it is better" not in told


def several(*traces: dict[str, np.ndarray]) -> list[Judged]:
    found = [judged(seconds) for seconds in traces]
    return [Judged("one", "", one, one) for one in found]


def test_traces_are_summed_up_by_what_to_do_the_most_first():
    drafts = {"none": around(10, 0), "fixed:a": around(8, 1), "hedge": around(4, 2)}
    idle = {"none": around(4, 0), "fixed:a": around(8, 1), "hedge": around(10, 2)}
    faster = drafts | {"hedge": around(2, 3)}
    first, sure = summed_up(several(idle, drafts, faster))
    gains = sorted(f"{one.over_none.value[0]:+.1f}" for one in (judged(drafts), judged(faster)))
    assert first == (
        f"It depends on the trace: of 3, use hedge on 2 ({gains[0]} to {gains[1]} %), "
        "do not draft on 1; in brackets is the gain over no drafting."
    )
    assert sure == "On 3 of 3 all other settings are shown to be worse."
    close = idle | {"fixed:a": idle["none"] + np.random.default_rng(5).normal(0, 0.05, 40)}
    first, sure = summed_up(several(drafts, close))
    assert sure.startswith("On 1 of 2 all other settings are shown to be worse; on the rest ")
    assert summed_up(several(close, close))[1] == "On each of them something else may be as good."
    assert summed_up(several(drafts, drafts))[0] == (
        f"Use hedge on all 2 traces, {gains[0]} % over no drafting."
    )
    assert summed_up(several({"hedge": around(4, 2)}, {"hedge": around(5, 2)})) == [
        "Only hedge was run on all 2 traces.",
        "There is nothing to compare it with in these results.",
    ]


def test_no_more_is_named_in_a_sum_than_can_be_read():
    alone = [{f"learner-{i}": around(4, i), "none": around(10, 0)} for i in range(8)]
    first, _ = summed_up(several(*alone))
    assert first.count("use learner-") == 4
    assert ", something else on 4; " in first


def test_few_questions_tell_nothing_apart():
    """Many queries may be turns of few questions."""
    many = {"fixed:a": around(2, 1), "hedge": around(1, 2)}
    assert judged(many).alike == []
    few = judged(many, np.arange(40) % (SMALL - 1))
    assert (few.questions, few.alike, few.advice) == (SMALL - 1, None, "use the drafter a")
    assert f"{SMALL - 1} questions are too few to show that it is better" in sentences(few)[1]


def test_the_verdict_of_results_says_what_was_judged(tmp_path):
    [found] = judge(ResultSet(make_results(tmp_path)))
    assert found.trace == "mix"
    assert found.about.startswith(
        "target a-model, 3 drafters, 24 questions; tokens/s estimated from costs of A GPU"
    )
    assert found.speed.unit == SPEED
    assert found.rounds.unit == LENGTH
    assert found.sentences[0].startswith("Use learner-")
    assert found.sentences[-1].startswith("In rounds the best is ")
    text = io.StringIO()
    print_verdicts(judge_all(read_results(tmp_path)), Console(file=text, width=500))
    assert found.sentences[0] in text.getvalue()
    assert found.cells[:3] == ["mix", "24", found.speed.advice]


def test_several_traces_are_summed_up_in_a_table(tmp_path):
    text = io.StringIO()
    print_verdicts(
        judge_all(read_results(make_results(tmp_path, traces=("mix", "other")))),
        Console(file=text, width=200),
    )
    *_, last = re.findall(r"^ ?(?:mix|other) .*$", text.getvalue(), re.MULTILINE)
    assert re.match(r" ?other +24 +use learner-\S+ +[\d.]+ tokens/s +\+[\d.]+ % \(.*\) ", last)


def test_the_report_sums_several_traces_up_at_the_terminals_end_as_on_its_page(tmp_path, capsys):
    folder = make_results(tmp_path, traces=("mix", "other"))
    said = " ".join(summed_up(judge_all(read_results(folder))))
    assert main(["report", str(folder), "--out", str(tmp_path / "report"), "--formats"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert said in printed.partition(" other 24 ")[2]  # behind the table
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    text = html.unescape(re.sub(r"<[^>]+>", " ", page))
    assert said in " ".join(text.split()).replace(" :", ":")


def test_results_that_do_not_say_what_can_be_run_get_no_verdict(tmp_path):
    results = read_results(make_results(tmp_path))
    results.summary = results.summary.with_columns(runnable=pl.lit(None, dtype=pl.Boolean))
    assert judge(ResultSet(results)) == []


def test_shorter_drafts_are_named_where_those_tried_do_not_pay(tmp_path, capsys):
    """On a machine whose passes take longer with each token it may be right to draft fewer."""
    folder = tmp_path / "trace"
    write_trace(folder, lengths=(40,) * 12)
    dear = DrafterCosts(0.001, 0.005, 0.001)
    save_costs(
        tmp_path / "costs.json",
        Costs(
            "test",
            "float32",
            256,
            5,
            TargetCosts(0.02, 0.3),
            {f"drafter-{arm}": dear for arm in range(3)},
        ),
    )
    command = [
        "sim",
        "--traces",
        str(folder),
        "--costs",
        str(tmp_path / "costs.json"),
        "--selectors",
        "none",
        "fixed:drafter-0",
        "--out",
        str(tmp_path / "out"),
    ]
    assert main(command) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert re.search(r"Do not draft: [\d.]+ tokens/s", told)
    found = re.search(
        r"Shorter drafts were not tried;.*?: (--draft-length [\d ]+), with another", told
    )
    assert main([*command[:-1], str(tmp_path / "other"), *found[1].split()]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "K = 1" in told
    assert "Shorter drafts" not in told
    [found] = judge(ResultSet(tmp_path / "other"))
    assert found.speed.labels.count("none") == 1, "it is the same whatever the draft length"
    assert found.speed.settings == 4
    assert (found.speed.best.label, found.speed.advice) == ("none", "do not draft")
    assert main([*command[:-1], str(tmp_path / "arms"), "--arms", "none", "all*2"]) == 1
    assert (
        main(
            [
                *command[:6],
                "none",
                "fixed:none",
                "fixed:drafter-0*2",
                "--arms",
                "none",
                "all*2",
                "--out",
                str(tmp_path / "arms"),
            ]
        )
        == 0
    )
    [found] = judge(ResultSet(tmp_path / "arms"))
    assert "3 drafters" in found.about, "not drafting is an arm and no drafter"
    assert found.speed.labels == ["none", "fixed:drafter-0*2"]
    assert found.speed.advice == "do not draft"


def test_the_rate_of_what_halves_chose_is_not_taken_for_that_of_the_one_named():
    """Where some halves chose another, the number is of their choices too."""
    noise = np.random.default_rng(1).normal(0, 1, (2, 40))
    noise -= noise.mean(axis=1, keepdims=True)
    mixed = judged({"fixed:a": 10 + noise[0], "hedge": 10.05 + noise[1]})
    clear = judged({"fixed:a": around(2, 1), "hedge": around(1, 2)})
    for found, share in (
        (mixed, "what the others chose is in these numbers."),
        (clear, "100 % of the halves chose it."),
    ):
        assert Judged("one", "", found, found).sentences[0].endswith(share)
    assert mixed.best.share < 1
