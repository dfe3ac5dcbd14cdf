"""The verdict on a trace: which policy that can be run is fastest, by how much, and how sure.

The best of many settings looks better on the questions that it was chosen by than it is. So it is
chosen by one half of the questions and measured on the other, both ways, for many halves (repeated
cross-fitting: Chernozhukov et al., "Double/debiased machine learning", 2018, definition 3.2).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from hedgespec.analysis.results import ResultSet
from hedgespec.results.labels import NONE, SelectorLabel, fixed
from hedgespec.results.overview import rate_text
from hedgespec.results.statistics import (
    LEVEL,
    Estimate,
    by_question,
    holm,
    mat_gain,
    may_be_marked,
)
from hedgespec.results.store import Results

SPLITS = 100  # each into two halves
SPEED, LENGTH = "tokens/s", "tokens/round"
COLUMNS = (
    "trace",
    "questions",
    "what to do",
    "its rate",
    "over the best alone",
    "over no drafting",
    "how sure",
)
_NAMED = 4  # settings that are named in a sentence
_DO_NOT = "do not draft"
_NO_COSTS = "no costs, so judged by tokens per round, of which no drafting makes 1"
_NO_DRAFTS = (NONE, fixed(NONE))  # also where it is an arm beside others
HOW = (
    f"Settings were chosen by one half of the questions and measured on the other, {SPLITS} "
    f"times both ways. In brackets: {100 * LEVEL:.0f} % intervals over questions, paired. "
    "Settings are told apart at 5 % after Holm's correction."
)


@dataclass(frozen=True)
class Choice:
    """The best of several settings: `label` of the one that halves chose most often, the share of
    halves that did, and its tokens per second or round (`rate`) on the questions they left.

    `cost` (G) are the seconds or rounds of each question under what the other halves chose.
    """

    label: str
    column: int
    share: float
    rate: float
    cost: np.ndarray


@dataclass(frozen=True)
class Verdict:
    """What is best on a trace, judged by `unit`: SPEED, or LENGTH where there are no costs.

    `single` is the best fixed drafter, chosen alike, `none` no drafting; None where they were not
    run. `labels` (S) and `cost` (G, S) are of all settings that can be run, as in `Choice`, of
    `tokens` tokens in all.
    """

    unit: str
    labels: list[str]
    cost: np.ndarray
    tokens: int
    best: Choice
    single: Choice | None
    none: Choice | None

    @property
    def questions(self) -> int:
        """Number of questions."""
        return len(self.cost)

    @property
    def settings(self) -> int:
        """Number of settings that can be run."""
        return len(self.labels)

    @cached_property
    def second(self) -> tuple[str, float] | None:
        """The best of the settings that the halves did not choose, and its rate."""
        others = [place for place in range(self.settings) if place != self.best.column]
        if not others:
            return None
        found = _choice(self.labels, self.cost, self.tokens, others)
        return found.label, found.rate

    @property
    def tested(self) -> bool:
        """Whether there are questions enough to tell settings apart."""
        return may_be_marked(self.questions, max(1, self.settings - 1))

    @cached_property
    def alike(self) -> list[str] | None:
        """The settings that are not shown to differ from the best, cheapest first (Holm over all).

        None where nothing is tested.
        """
        if not self.tested:
            return None
        p = _gain(self.cost, self.cost[:, self.best.column]).p
        p[self.best.column] = np.nan
        close = np.flatnonzero(holm(p) >= 1 - LEVEL)
        return [self.labels[place] for place in close[np.argsort(self.cost[:, close].sum(axis=0))]]

    @cached_property
    def over_single(self) -> Estimate | None:
        """Gain in percent of the best over the best fixed drafter, paired by question; None over
        itself."""
        same = self.single is not None and self.single.label == self.best.label
        return None if same else self.gain(self.best, self.single)

    @cached_property
    def over_none(self) -> Estimate | None:
        """The same over no drafting, but not in rounds over one token a round."""
        return self._over_nothing(self.best)

    def gains(self, one: Choice) -> tuple[Estimate | None, Estimate | None]:
        """Of a choice over the best fixed drafter and, in seconds, over no drafting."""
        if one is self.best:
            return self.over_single, self.over_none
        return self.gain(one, self.single), self._over_nothing(one)

    def _over_nothing(self, one: Choice) -> Estimate | None:
        return self.gain(one, self.none) if self.unit == SPEED else None

    def gain(self, one: Choice, other: Choice | None) -> Estimate | None:
        """Gain in percent of one choice over another; None over itself or nothing."""
        if other is None or one.label == other.label:
            return None
        return _gain(one.cost[:, None], other.cost)

    @cached_property
    def advised(self) -> Choice:
        """The best where it is shown to beat no drafting and the best fixed drafter, else these:
        where nothing is shown to be better, the simpler is advised, no drafting above all. A fixed
        drafter that is not shown to beat no drafting is not."""
        if self.best.label == NONE:
            return self.best
        if self.none is not None and not self._pays(self.best):
            return self.none
        if self.single is not None and not self._beats_single and self._pays(self.single):
            return self.single
        return self.best

    def _pays(self, one: Choice) -> bool:
        """Whether a choice is shown to beat no drafting, or need not be: it was not run."""
        gain = self.over_none if one is self.best else self._over_nothing(one)
        return gain is None or bool(gain.low[0] > 0)

    @property
    def _beats_single(self) -> bool:
        gain = self.over_single  # None of a best that is this drafter itself
        return gain is None or (self.tested and bool(gain.low[0] > 0))

    @property
    def advice(self) -> str:
        """What to do, in a few words; nothing is advised of one setting alone."""
        label = self.advised.label
        if self.settings == 1:
            return f"only {_named(label)} was run"
        return _DO_NOT if label == NONE else f"use {_named(label)}"

    @property
    def told(self) -> str:
        """The advice with its rate."""
        return f"{self.advice}, {_rate(self.advised.rate, self.unit)}"

    @property
    def lacking(self) -> str:
        """What was not run, so that it is not known whether it is better; empty for nothing."""
        alone = ["a drafter alone"] * (self.single is None)
        return " or ".join([*alone, *["no drafting"] * (self.none is None and self.unit == SPEED)])


def verdict(run: ResultSet, trace: str, unit: str) -> Verdict | None:
    """The verdict on a trace of `run` by SPEED or LENGTH.

    None where nothing that can be run was run on it, or the results do not say what can be.
    """
    answers = run.answers(trace)
    per_query = answers.seconds if unit == SPEED else answers.rounds
    there = able(answers.settings, per_query)
    if not len(there):
        return None
    cost, tokens = by_question(per_query[:, there], answers.question), answers.tokens.sum()
    selectors = answers.settings["selector"].gather(there).to_list()
    labels = [
        NONE if selector in _NO_DRAFTS else label
        for selector, label in zip(
            selectors, answers.settings["label"].gather(there).to_list(), strict=True
        )
    ]
    singles = [
        place
        for place, name in enumerate(selectors)
        if SelectorLabel.parse(name).arm not in (None, NONE)
    ]
    nones = [place for place, name in enumerate(labels) if name == NONE]
    return Verdict(
        unit,
        labels,
        cost,
        tokens,
        _choice(labels, cost, tokens, range(len(there))),
        _choice(labels, cost, tokens, singles) if singles else None,
        _choice(labels, cost, tokens, nones) if nones else None,
    )


def able(settings: pl.DataFrame, per_query: np.ndarray) -> np.ndarray:
    """Columns of the settings that can be run; of an exact and a replayed one the exact.

    Not drafting is one setting, whatever the draft lengths and rules it was run beside.
    """
    rows = (
        settings.with_columns(
            known=~np.isnan(per_query).any(axis=0),
            once=pl.when(pl.col("selector").is_in(_NO_DRAFTS))
            .then(pl.lit(NONE))
            .otherwise("label"),
        )
        .with_row_index("column")
        .filter("runnable", "known")
    )
    return (
        rows.sort("mode", pl.col("label") != NONE, maintain_order=True)
        .unique(["once"], keep="first", maintain_order=True)["column"]
        .sort()
        .to_numpy()
    )


def _choice(labels: Sequence[str], cost: np.ndarray, tokens: int, among: Sequence[int]) -> Choice:
    """The cheapest of the columns `among` of `cost` (G, S), chosen and measured in halves."""
    found, times = held_out(cost[:, among])
    # Of settings that were chosen equally often the cheaper one.
    winner = among[np.lexsort((cost[:, among].sum(axis=0), -times))[0]]
    return Choice(
        labels[winner], winner, float(times.max() / times.sum()), float(tokens / found.sum()), found
    )


def held_out(
    cost: np.ndarray, splits: int = SPLITS, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Cost (G) of each question under the column of `cost` (G, S) that is cheapest on a half of
    the questions that it is not in, mean over halves; and how many halves chose each column (S).

    One question, which has no other half, is chosen by itself.
    """
    count, width = cost.shape
    if count < 2:
        cheapest = cost.sum(axis=0).argmin()
        return cost[:, cheapest], np.bincount([cheapest], minlength=width)
    rng = np.random.default_rng(seed)
    first = np.argsort(rng.random((splits, count)), axis=1) < count // 2
    total, times = np.zeros(count), np.zeros(width, dtype=np.int64)
    for half in (first, ~first):
        chosen = (half.astype(float) @ cost).argmin(axis=1)
        total += np.where(half, 0.0, cost[:, chosen].T).sum(axis=0)
        times += np.bincount(chosen, minlength=width)
    return total / splits, times


def _gain(cost: np.ndarray, base: np.ndarray) -> Estimate:
    """Of `cost` (G, M), which has a row per question, over `base` (G)."""
    questions = np.arange(len(cost))
    return mat_gain(cost, base, questions)


@dataclass(frozen=True)
class Judged:
    """A trace under some costs: what it is, and its verdicts in words, by seconds before rounds.

    `length` is the draft length of all settings, None where they have several.
    """

    trace: str
    about: str
    speed: Verdict | None
    rounds: Verdict
    length: int | None = None

    @property
    def sentences(self) -> list[str]:
        """What to do and what else is as good; of rounds, where seconds are known, one line."""
        if self.speed is None:
            return _sentences(self.rounds)
        best = self.rounds.best
        return [
            *_sentences(self.speed),
            *self._shorter,
            f"In rounds the best is {_named(best.label)}: {_result(self.rounds, best)}.",
        ]

    @property
    def _shorter(self) -> list[str]:
        """What to try where drafts are too dear, and all were of one length."""
        dear = self.speed is not None and self.speed.advice == _DO_NOT
        if not dear or self.length is None or self.length < 2:
            return []
        lengths = " ".join(map(str, sorted({1, 2, self.length})))
        return [
            "Shorter drafts were not tried; they cost less where a pass takes longer with each "
            f"token it reads: --draft-length {lengths}, with another --out."
        ]

    @property
    def cells(self) -> list[str]:
        """The same in a line of a table with the heads COLUMNS."""
        found = self.speed or self.rounds
        gains = zip(found.gains(found.advised), (found.single, found.none), strict=True)
        return [
            self.trace,
            str(found.questions),
            found.advice,
            _rate(found.advised.rate, found.unit),
            *(_over_or_why_not(found, gain, than) for gain, than in gains),
            _how_sure(found),
        ]


def judge(run: ResultSet) -> list[Judged]:
    """The verdicts on the recorded traces of `run` on which anything was run that can be run."""
    found = []
    for trace in run.traces:
        rounds = verdict(run, trace, LENGTH) if run.pool(trace) is None else None
        if rounds is not None:
            timed = not np.isnan(run.answers(trace).seconds).all()
            found.append(
                Judged(
                    trace,
                    _about(run, trace, rounds.questions),
                    verdict(run, trace, SPEED) if timed else None,
                    rounds,
                    _one_length(run.summary.filter(pl.col("trace") == trace)),
                )
            )
    return found


def _one_length(summary: pl.DataFrame) -> int | None:
    """The draft length of all settings of a trace; None of several, or of arms with their own."""
    lengths = summary["draft_length"].unique().to_list()
    return lengths[0] if len(lengths) == 1 and (summary["arm_lengths"] == "").all() else None


def judge_all(results: Results) -> list[Judged]:
    """The same under every costs and batch that there are."""
    first = ResultSet(results)
    found = {
        (one.trace, one.about): one for basis in first.bases for one in judge(first.under(basis))
    }
    return list(found.values())


def summed_up(found: Sequence[Judged]) -> list[str]:
    """Several traces in two sentences: what to do on how many, the most first, and how sure it is."""
    chosen = [one.speed or one.rounds for one in found]
    if all(one.settings == 1 for one in chosen):
        return [_how_often(chosen), "There is nothing to compare it with in these results."]
    sure = sum(one.advised is one.best and one.alike == [] for one in chosen if one.settings > 1)
    if not sure:
        return [_how_often(chosen), "On each of them something else may be as good."]
    rest = "; on the rest something else may be as good" * (sure < len(chosen))
    return [
        _how_often(chosen),
        f"On {sure} of {len(chosen)} all other settings are shown to be worse{rest}.",
    ]


def _how_often(found: Sequence[Verdict]) -> str:
    """What to do on how many traces, and its least and greatest gain over no drafting."""
    groups: dict[str, list[Verdict]] = {}
    for one in found:
        groups.setdefault(one.advice, []).append(one)
    (advice, alike), *others = ranked = sorted(groups.items(), key=lambda group: -len(group[1]))
    if not others:
        gains = _gains_over_none(alike)
        return (
            f"{_upper(advice)} on all {len(found)} traces"
            + f", {gains} over no drafting" * bool(gains)
            + "."
        )
    named = []
    for advice, some in ranked[:_NAMED]:
        gains = _gains_over_none(some)
        named.append(f"{advice} on {len(some)}" + f" ({gains})" * bool(gains))
    rest = sum(len(some) for _, some in ranked[_NAMED:])
    named += [f"something else on {rest}"] * bool(rest)
    gained = "; in brackets is the gain over no drafting" * bool(_gains_over_none(found))
    return f"It depends on the trace: of {len(found)}, {', '.join(named)}{gained}."


def _gains_over_none(found: Sequence[Verdict]) -> str:
    """The least and the greatest gain over no drafting of what is advised; empty without any."""
    gains = [gain.value[0] for one in found if (gain := one.gains(one.advised)[1]) is not None]
    if not gains:
        return ""
    least, most = (f"{end:+.1f}" for end in (min(gains), max(gains)))
    return f"{least}{f' to {most}' * (most != least)} %"


def print_verdicts(found: Sequence[Judged], console: Console) -> None:
    """Print what to do on each trace, what was judged, and how; of several traces last in short."""
    for one in found:
        console.print(f"\n[bold]{escape(one.trace)}[/]: {escape(one.about)}", highlight=False)
        for number, sentence in enumerate(one.sentences):
            shown = escape(sentence) if number else _marked(sentence)
            console.print(Padding(shown, (0, 0, 0, 2)), highlight=False)
    if len(found) > 1:
        table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
        for head in COLUMNS:
            table.add_column(head, overflow="fold")
        for one in found:
            table.add_row(*map(escape, one.cells))
        console.print(table)
        console.print(_marked(" ".join(summed_up(found))), highlight=False)
    if found:
        console.print(f"\n{HOW}", highlight=False)


def _marked(text: str) -> str:
    """What to do, up to the colon, in bold."""
    advice, colon, rest = text.partition(": ")
    return f"[bold]{escape(advice)}[/]{escape(colon + rest)}"


def _about(run: ResultSet, trace: str, questions: int) -> str:
    targets = [
        f"target {one['target']}"
        for one in run.provenance["traces"]
        if one["name"] == trace and "target" in one
    ]
    parts = [*targets, f"{run.drafters(trace)} drafters", f"{questions} questions"]
    whose = run.whose_seconds([trace])
    return f"{', '.join(parts)}; {f'tokens/s estimated from {whose}' if whose else _NO_COSTS}"


def _sentences(found: Verdict) -> list[str]:
    """What to do; why not the best, if that is another; what comes next; what is not known."""
    advice, advised, best = found.advice, found.advised, found.best
    chosen = f"{100 * best.share:.0f} % of the halves chose it" + (
        ", and what the others chose is in these numbers" if best.share < 1 else ""
    )
    told = [
        f"{_upper(advice)}: {_result(found, advised)}"
        + f"; {chosen}" * (advised is best and found.settings > 1)
        + "."
    ]
    if found.settings == 1:
        return [
            *told,
            "Nothing else that can be run is in these results"
            + (f", so they do not say whether {found.lacking} is better" if found.lacking else "")
            + ".",
        ]
    if advised is not best:
        told.append(f"{_over(found)}; {chosen}.")
    if found.lacking:
        told.append(f"Whether {found.lacking} is better is not known: it was not run.")
    if found.second is not None:
        label, rate = found.second
        instead = "To draft" if best.label == NONE else f"Without {_named(best.label)}"
        told.append(
            f"{instead}, the choice would be {_named(label)}, {_rate(rate, found.unit)}. "
            f"{_told_apart(found)}"
        )
    return told


def _result(found: Verdict, one: Choice) -> str:
    """The rate of a choice, and its gains."""
    told, (over_single, over_none) = _rate(one.rate, found.unit), found.gains(one)
    if over_single is not None and found.single is not None:
        told += (
            f", {_percent(over_single)} over {_named(found.single.label)}, the "
            f"{'fastest' if found.unit == SPEED else 'best'} alone"
        )
    if over_none is not None:
        told += f", {_percent(over_none)} over no drafting"
    return told


def _over(found: Verdict) -> str:
    """Why the best is not advised."""
    best, advised = found.best, found.advised
    gain, than = found.gain(best, advised), "no drafting" if advised.label == NONE else "it"
    why = (
        "is not shown to be better"
        if found.tested
        else f"{found.questions} questions are too few to show that it is better"
    )
    told = f"{_upper(_named(best.label))} makes {_rate(best.rate, found.unit)}"
    if gain is not None:
        told += f", {_percent(gain)} over {than}"
    return f"{told}, and {why}" if found.tested else f"{told}; {why}"


def _how_sure(found: Verdict) -> str:
    """What is shown and what is not, in a cell of a table."""
    if found.advised is not found.best:
        gain = found.gain(found.best, found.advised)
        change = f"{_percent(gain)}, " if gain is not None else ""
        return f"{_named(found.best.label)}: {change}not shown to be better"
    if found.lacking:
        return f"{found.lacking}: not run"
    if found.alike is None:
        return "too few questions to tell others from it"
    if not found.alike:
        return "all others are shown to be worse"
    more = len(found.alike) - 1
    return f"not told apart from {found.alike[0]}" + f" and {more} more" * (more > 0)


def _over_or_why_not(found: Verdict, gain: Estimate | None, than: Choice | None) -> str:
    """The gain of what is advised over another choice, or why there is none, in a cell of a table."""
    if gain is not None:
        return _percent(gain)
    if than is None:
        return "not run"
    return "itself" if than.label == found.advised.label else "no costs"


def _told_apart(found: Verdict) -> str:
    if found.alike is None:
        return f"{found.questions} questions are too few to tell settings apart."
    if not found.alike:
        others = found.settings - 1
        return (
            "The other setting is shown to be worse."
            if others == 1
            else f"All {others} other settings are shown to be worse."
        )
    more = len(found.alike) - _NAMED
    return (
        f"Corrected for all {found.settings} settings, not told apart from {_named(found.best.label)}"
        f": {', '.join(found.alike[:_NAMED])}" + f" and {more} more" * (more > 0) + "."
    )


def _named(label: str) -> str:
    arm = SelectorLabel.parse(label).arm
    if label == NONE:
        return "no drafting"
    return label if arm is None else f"the drafter {arm}"


def _upper(text: str) -> str:
    """At a sentence's begin; a learner's name stays as it is written."""
    ours = text.startswith(("the ", "no ", "use ", "only ", "do "))
    return text[0].upper() + text[1:] if ours else text


def _rate(rate: float, unit: str) -> str:
    return f"{rate_text(rate) if unit == SPEED else f'{rate:.3f}'} {unit}"


def _percent(gain: Estimate) -> str:
    ends = "" if np.isnan(gain.low[0]) else f" ({gain.low[0]:+.1f} to {gain.high[0]:+.1f})"
    return f"{gain.value[0]:+.1f} %{ends}"
