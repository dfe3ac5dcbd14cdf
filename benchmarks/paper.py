"""Makes the tables of docs/claims.md: which of the paper's claims hold on which target.

    python -m benchmarks.paper          replays the bundled traces of each of TARGETS, a minute

A claim is a difference, paired by question, and the sign that it should have. Its cell has the
difference with its interval, and what follows: the claim holds, does not, or cannot be told. The
claims are those of Not-a-Bandit (arXiv 2510.20064), made there of other targets.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from benchmarks.findings import LEARNERS, LOSSES, Run, Sweep, above_fastest, shown
from benchmarks.pages import ROOT, fill
from hedgespec.bundled import costs_file, trace_folder, trace_names
from hedgespec.costs.estimate import of_drafters
from hedgespec.costs.file import load_costs
from hedgespec.results.labels import FIXED, QUEUED, PoolLabel, fixed
from hedgespec.results.markdown import markdown
from hedgespec.results.statistics import (
    Estimate,
    crossed_estimate,
    gain_difference,
    mat_gain,
    mean_estimate,
)
from hedgespec.simulator import SweepSettings, run_sweep
from hedgespec.traces.subset import write_subset

PAGE = ROOT / "docs" / "claims.md"
LEARNER, BANDITS, SPARING, DELAY = "normalhedge", ("ucbspec", "exp3spec"), "batch:16", "rounds:4"
EXPERT, MIXED, GENERALIST = "expert-", "generalist-mixed", "generalist"
FEW, POOL_SEEDS = 2, tuple(range(8))
HOLDS, WRONG, OPEN, ABSENT = "holds", "does not hold", "cannot be told", "not recorded"
SECONDS, ROUNDS, REGRET = "seconds", "rounds", "regret"


@dataclass(frozen=True)
class Target:
    """A target's bundled traces: a mix of domains, the same in other words, and long answers.

    With `costs`, the name of bundled ones, of their drafters alone, and under them.
    """

    name: str
    mix: str
    rephrased: str
    long: str | None = None
    costs: str | None = None

    @cached_property
    def sweep(self) -> Sweep:
        """All replays that the claims need."""
        return Sweep(run_sweep([], self._runs()))

    @cached_property
    def _made(self) -> TemporaryDirectory[str]:
        return TemporaryDirectory()  # removed with the target

    @cached_property
    def _folders(self) -> dict[str, Path]:
        """Where its traces are, by name; with `costs` they are made, of fewer drafters."""
        folders = {
            name: trace_folder(name) for name in (self.mix, self.rephrased, self.long) if name
        }
        if self.costs is None:
            return folders
        costs, made = load_costs(costs_file(self.costs)), Path(self._made.name)
        for name, folder in folders.items():
            write_subset(
                folder,
                made / name,
                drafters=list(costs.drafters),
                costs_of_drafters=lambda _, kept: of_drafters(costs, kept),
            )
        return {name: made / name for name in folders}

    def _runs(self) -> list[SweepSettings]:
        def on(trace: str, *selectors: str, **settings: Any) -> SweepSettings:
            folders = (self._folders[trace],)
            return SweepSettings(selectors=selectors, traces=folders, seeds=5, **settings)

        runs = [
            on(self.mix, "default", "router"),
            on(self.mix, LEARNER, feedbacks=(DELAY, SPARING)),
            on(self.mix, LEARNER, *BANDITS, pools=(FEW,), pool_seeds=POOL_SEEDS),
            on(self.rephrased, LEARNER, self.router),
        ]
        if self.long is not None:
            runs += [on(self.long, "default"), on(self.long, LEARNER, feedbacks=(SPARING,))]
        return runs

    @property
    def router(self) -> str:
        """The selector that chooses by prompt, trained on the mix."""
        return f"router:{self._folders[self.mix]}"

    def run(self, selector: str, feedback: str | None = None, trace: str | None = None) -> Run:
        """A selector's run, on the mix if no other trace is named."""
        return self.sweep.run(trace or self.mix, selector, feedback=feedback)

    def drafters(self, start: str = "") -> list[str]:
        """Those of the mix whose names begin so."""
        return [
            name.removeprefix(FIXED)
            for name in self.sweep.selectors(self.mix)
            if name.startswith(FIXED + start)
        ]


LARGER = ("coder-mix-t0.7", "coder-rephrased-t0.7", "coder-long-t0.7")
# Those whose traces are bundled; another one is a line more.
TARGETS = (
    Target("SmolLM2-135M", "domain-mix-t0.7", "rephrased-t0.7"),
    Target("Qwen2.5-Coder-1.5B", *LARGER),
    Target("the 1.5B, heads and lookup alone", *LARGER, costs="qwen2.5-coder-1.5b-h200"),
)


@dataclass(frozen=True)
class Claim:
    """What is said of a difference that `measure` finds, None where a target's traces cannot say.

    `unit` is the difference's, `sign` the one that it should have.
    """

    words: str
    unit: str
    sign: int
    measure: Callable[[Target], Estimate | None]

    def cell(self, target: Target) -> str:
        """The difference on a target, with its interval, and whether the claim holds."""
        found = self.measure(target)
        return ABSENT if found is None else f"{shown(found)}: {verdict(found, self.sign)}"


def verdict(found: Estimate, sign: int) -> str:
    """Whether a difference has the sign, by its interval."""
    low, high = sorted((sign * found.low[0], sign * found.high[0]))
    return HOLDS if low > 0 else WRONG if high < 0 else OPEN


def gain(one: Run, other: Run, measure: str = ROUNDS) -> Estimate:
    """By how many percent one has more tokens in a round, or in a second, than the other."""
    return mat_gain(one.values(measure)[:, None], other.values(measure), one.answers.question)


def at_home(other: str, target: Target) -> Estimate | None:
    """Experts over another drafter, each on the questions of its own domain."""
    if other not in target.drafters():
        return None
    base = target.run(fixed(other))
    rounds, domains = base.values(ROUNDS), base.answers.domain
    own, homes = rounds.copy(), np.zeros(len(rounds), dtype=bool)
    for expert in target.drafters(EXPERT):
        home = domains == expert.removeprefix(EXPERT)
        own[home] = target.run(fixed(expert)).values(ROUNDS)[home]
        homes |= home
    return mat_gain(own[homes, None], rounds[homes], base.answers.question[homes])


def everywhere(other: str, target: Target) -> Estimate | None:
    """One expert, in the mean over them, over another drafter on all questions."""
    if other not in target.drafters():
        return None
    base = target.run(fixed(other))
    rounds = np.mean(
        [target.run(fixed(expert)).values(ROUNDS) for expert in target.drafters(EXPERT)], axis=0
    )
    return mat_gain(rounds[:, None], base.values(ROUNDS), base.answers.question)


def over(
    other: str,
    measure: str,
    target: Target,
    *,
    feedback: str | None = None,
    long: bool = False,
) -> Estimate | None:
    """NormalHedge over a drafter or selector, on the mix or on long answers."""
    if (long and target.long is None) or (
        other.startswith(FIXED) and other.removeprefix(FIXED) not in target.drafters()
    ):
        return None
    trace = target.long if long else target.mix
    return gain(target.run(LEARNER, feedback, trace), target.run(other, None, trace), measure)


def growth(learner: str, target: Target, beyond: str | None = None) -> Estimate:
    """Regret of an answer with all drafters less that with two of them, drawn eight times; less
    the same of the learner `beyond`."""
    grown = _grown(learner, target) - (0 if beyond is None else _grown(beyond, target))
    return crossed_estimate(grown, target.run(learner).answers.question)


def _grown(learner: str, target: Target) -> np.ndarray:
    """By answer and pool of two."""
    pools = [
        target.sweep.run(str(PoolLabel(target.mix, FEW, seed)), learner).values()
        for seed in POOL_SEEDS
    ]
    grown: np.ndarray = target.run(learner).values()[:, None] - np.column_stack(pools)
    return grown


def delayed(target: Target) -> Estimate:
    """Regret of NormalHedge whose losses come four rounds late, less UCBSpec's."""
    late, bandit = target.run(LEARNER, DELAY), target.run(BANDITS[0])
    return mean_estimate((late.values() - bandit.values())[:, None], late.answers.question)


def routed(rephrased: bool, target: Target) -> Estimate:
    """NormalHedge over the router: on the mix, by routers of other questions, or on the same
    questions in other words, by one of the mix."""
    trace, router = (target.rephrased, target.router) if rephrased else (target.mix, "router")
    return gain(target.run(LEARNER, None, trace), target.run(router, None, trace))


def longer(other: str, target: Target) -> Estimate | None:
    """By how many points the gain in MAT is larger on long answers than on the mix."""
    if target.long is None:
        return None
    parts = []
    for trace in (target.long, target.mix):
        base, one = target.run(other, None, trace), target.run(LEARNER, None, trace)
        parts.append(
            (np.column_stack([base.values(ROUNDS), one.values(ROUNDS)]), one.answers.question)
        )
    (long, long_questions), (mix, questions) = parts
    return gain_difference(long, mix, long_questions, questions)


MAT, SPEED, PER_ANSWER = "MAT, %", "tokens/s, %", "rounds an answer"
CLAIMS = (
    Claim("experts beat the generalist at home", MAT, 1, partial(at_home, GENERALIST)),
    Claim("experts beat the mixed generalist at home", MAT, 1, partial(at_home, MIXED)),
    Claim("one expert alone is behind the generalist", MAT, -1, partial(everywhere, GENERALIST)),
    Claim("one expert alone is behind the mixed generalist", MAT, -1, partial(everywhere, MIXED)),
    Claim("NormalHedge beats the generalist", MAT, 1, partial(over, fixed(GENERALIST), ROUNDS)),
    Claim(
        f"NormalHedge, {SPARING}, beats the generalist",
        SPEED,
        1,
        partial(over, fixed(GENERALIST), SECONDS, feedback=SPARING),
    ),
    Claim("NormalHedge beats the mixed generalist", MAT, 1, partial(over, fixed(MIXED), ROUNDS)),
    Claim(
        f"NormalHedge, {SPARING}, beats the mixed generalist",
        SPEED,
        1,
        partial(over, fixed(MIXED), SECONDS, feedback=SPARING),
    ),
    *(
        claim
        for bandit in BANDITS
        for claim in (
            Claim(f"NormalHedge beats {bandit}", MAT, 1, partial(over, bandit, ROUNDS)),
            Claim(
                f"NormalHedge, evaluated each round, beats {bandit}",
                SPEED,
                1,
                partial(over, bandit, SECONDS),
            ),
            Claim(
                f"NormalHedge, {SPARING}, beats {bandit}",
                SPEED,
                1,
                partial(over, bandit, SECONDS, feedback=SPARING),
            ),
        )
    ),
    Claim(
        f"NormalHedge, {SPARING}, beats not drafting",
        SPEED,
        1,
        partial(over, "none", SECONDS, feedback=SPARING),
    ),
    Claim(
        "ucbspec's regret grows from two drafters to all",
        PER_ANSWER,
        1,
        partial(growth, BANDITS[0]),
    ),
    Claim(
        "it grows by more than NormalHedge's",
        PER_ANSWER,
        1,
        partial(growth, BANDITS[0], beyond=LEARNER),
    ),
    Claim(
        f"with losses late ({DELAY}) NormalHedge has less regret than ucbspec",
        PER_ANSWER,
        -1,
        delayed,
    ),
    Claim(
        "a router by prompt is ahead of NormalHedge on questions like its own",
        MAT,
        -1,
        partial(routed, False),
    ),
    Claim("it is behind on the same questions in other words", MAT, 1, partial(routed, True)),
    Claim(
        "NormalHedge beats ucbspec on long answers",
        MAT,
        1,
        partial(over, BANDITS[0], ROUNDS, long=True),
    ),
    Claim("by more than on the mix", "points of MAT, %", 1, partial(longer, BANDITS[0])),
)


def claims(targets: tuple[Target, ...] = TARGETS) -> str:
    """Markdown: a row for each claim."""
    return markdown(
        ["claim", "difference in", *(target.name for target in targets)],
        [
            [claim.words, claim.unit, *(claim.cell(target) for target in targets)]
            for claim in CLAIMS
        ],
        range(2 + len(targets)),
    )


# Not-a-Bandit's own figures, chains and trees as EAGLE drafts, batch 1, FP16: MAT, tokens/s.
PAPER = {
    "Llama-3.1-8B": {
        "generalist": (5.69, 74.34),
        "ucbspec": (5.09, 68.89),
        "exp3spec": (4.86, 65.22),
        "full information": (7.15, 90.41),
    },
    "Qwen3-8B": {"generalist": (4.23, 47.53), "full information": (6.37, 69.44)},
    "Qwen3-32B": {"generalist": (2.88, 20.76), "full information": (6.21, 40.41)},
}
# What stands in each row of these: a selector, and its feedback.
METHODS = {
    "no drafting": ("none", None),
    "generalist": (fixed(GENERALIST), None),
    "mixed generalist": (fixed(MIXED), None),
    "uniform": ("uniform", None),
    "ucbspec": ("ucbspec", None),
    "exp3spec": ("exp3spec", None),
    "full information": (LEARNER, None),
    f"full information, {SPARING}": (LEARNER, SPARING),
    "best fixed of each answer": ("best-fixed", None),
}


def figures(targets: tuple[Target, ...] = TARGETS) -> str:
    """Markdown: MAT and tokens/s of each method, on these targets and in the paper."""
    rows = []
    for method, (selector, feedback) in METHODS.items():
        row = [method]
        for target in targets:
            there = (
                not selector.startswith(FIXED) or selector.removeprefix(FIXED) in target.drafters()
            )
            row += _pair(
                *((run := target.run(selector, feedback)).mat, run.tokens_per_second)
                if there
                else ()
            )
        rows.append(
            row + [cell for known in PAPER.values() for cell in _pair(*known.get(method, ()))]
        )
    header = [
        cell
        for name in (
            *(target.name for target in targets),
            *(f"{name} (the paper's)" for name in PAPER),
        )
        for cell in (f"{name}: MAT", f"{name}: tokens/s")
    ]
    return markdown(["method", *header], rows)


def losses(target: str = "Qwen2.5-Coder-1.5B") -> str:
    """Markdown: what learners make of each loss on all bundled traces of the larger target."""
    traces = tuple(trace_folder(name) for name in trace_names() if name.startswith("coder-"))
    runs = [
        SweepSettings(
            selectors=LEARNERS,
            traces=traces,
            feedbacks=(QUEUED, SPARING),
            losses=tuple(dict.fromkeys(LOSSES)),
            seeds=3,
        ),
        SweepSettings(selectors=("fastest-fixed",), traces=traces),
    ]
    return above_fastest({target: Sweep(run_sweep([], runs))}, [target])


def _pair(*values: float) -> list[str]:
    """MAT and tokens/s, or nothing twice."""
    return (
        [f"{value:.{digits}f}" for value, digits in zip(values, (2, 1), strict=True)]
        if values
        else ["", ""]
    )


if __name__ == "__main__":
    fill(PAGE, {"figures": figures(), "claims": claims(), "losses": losses()})
