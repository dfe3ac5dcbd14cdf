"""Fills the tables of docs/findings.md from the results of the default grid: `make findings`.

    hedgespec sim --grid default --out results/sim
    python -m benchmarks.findings [RESULTS]

The trace methods-t1 is too large to be bundled (12 MB); the results of its replay are in
benchmarks/methods-t1, and docs/findings.md says how both are made.

Numbers in brackets are the intervals of `hedgespec.results.statistics`, paired by question.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks.pages import ROOT, Quantity, Said, fill
from hedgespec.analysis.results import USUAL_FEEDBACK, USUAL_LOSS, QueryResults, ResultSet
from hedgespec.results.keys import RunKey
from hedgespec.results.labels import FIXED, QUEUED, PoolLabel, fixed
from hedgespec.results.markdown import markdown
from hedgespec.results.schema import TABLES
from hedgespec.results.statistics import mean_estimate
from hedgespec.results.store import Results, read_provenance, read_table
from hedgespec.selectors import BUILT_IN

DOCUMENT = ROOT / "docs" / "findings.md"
REPLAYED = Path(__file__).parent / "methods-t1"
FULL = ("hedge", "normalhedge")
WARM, HOT = "domain-mix-t0.7", "domain-mix-t1"
METHODS, METHODS_HOT = "methods-t0", "methods-t1"
# Rules that differ at temperature 1, and draft lengths at which they could be run.
RULES = {"sampling": 8, "block": 8, "onehot": 8, "gumbel": 8, "multi:4": 3, "multi-without:4": 3,
         "kseq:4": 3, "tree:medusa": 5, "tree": 8}
GENERALIST = fixed("generalist")
REGRET, ROUNDS = "regret", "rounds"  # per query


@dataclass(frozen=True)
class Run:
    """A selector with its settings on a trace: its key, and a column of the trace's answers."""

    key: RunKey
    column: int
    answers: QueryResults

    def values(self, measure: str = REGRET) -> np.ndarray:
        """Regret or rounds of each query, (Q)."""
        table: np.ndarray = getattr(self.answers, measure)
        return table[:, self.column]

    @property
    def mat(self) -> float:
        """Tokens by rounds of all answers, mean over seeds."""
        return float(self.answers.settings["mat"][self.column])

    @property
    def tokens_per_second(self) -> float:
        """Estimated from the trace's costs, over mean seconds."""
        return float(self.answers.settings["tokens_per_second"][self.column])


class Sweep:
    """Runs on different traces, looked up by setting; `said` is what is said of them."""

    def __init__(self, *results: Results):
        self._sets = {trace: found for one in results for found in [ResultSet(one)]
                      for trace in found.traces}
        self.said = Said()

    def run(self, trace: str, selector: str, *, feedback: str | None = None,
            loss: str | None = None, draft_length: int = 5, arm_lengths: str = "",
            carry: int | None = None, rule: str | None = None) -> Run:
        """The run of these settings; feedback, loss and rule None are the defaults."""
        answers = self._sets[trace].answers(trace)
        rows = answers.settings.with_row_index("column").filter(
            pl.col("selector") == selector,
            pl.col("feedback").is_in([feedback] if feedback else USUAL_FEEDBACK),
            pl.col("loss").is_in([loss] if loss else USUAL_LOSS),
            pl.col("draft_length") == draft_length, pl.col("arm_lengths") == arm_lengths,
            pl.col("rule").is_in([rule] if rule else ["sampling", "greedy"]),
            pl.col("carry").eq_missing(carry))
        assert len(rows) == 1, (trace, selector, feedback, loss, rule, len(rows))
        [key] = RunKey.of_rows(rows)
        return Run(key, rows["column"][0], answers)

    def selectors(self, trace: str) -> list[str]:
        """All that were run on a trace, in order."""
        rows = self._sets[trace].answers(trace).settings
        return rows["selector"].unique(maintain_order=True).to_list()

    def interval(self, run: Run, minus: Run | None = None, *, measure: str = REGRET,
                 digits: int = 1) -> str:
        """The mean over queries, perhaps less that of another run, and its interval."""
        values = run.values(measure) - (0 if minus is None else minus.values(measure))
        quantity = Quantity(measure, run.key, minus and minus.key)
        return self.said.cell(quantity, mean_estimate(values[:, None], run.answers.question),
                              f"{{:+.{digits}f}}")


def read_tables(folder: Path) -> Results:
    """The results in a folder, or what of them was kept."""
    summary, per_query, curves, answer = (
        read_table(folder, table.name) if (folder / table.file).exists() else table.empty()
        for table in TABLES)
    return Results(summary, per_query, curves, answer, read_provenance(folder))


def learners(sweep: Sweep) -> str:
    """Regret of every learner on the domain mix at each temperature."""
    traces, there = ("domain-mix-t0", WARM, HOT), set(sweep.selectors(WARM))
    names = [name for name in (*BUILT_IN, "router", "best-single") if name in there]
    names.sort(key=lambda name: sweep.run(WARM, name).values().mean())
    return markdown(["selector", *(f"regret, {trace}" for trace in traces)], [
        [name, *(sweep.interval(sweep.run(trace, name)) for trace in traces)] for name in names])


def estimators(sweep: Sweep) -> str:
    """Paired differences of losses and estimators to `length` with `gamma`."""
    losses = [f"{kind}:{estimator}" for kind in ("length", "hybrid:0.5", "seconds")
              for estimator in ("gamma", "rb", "realised")][1:]
    return _against(sweep, [*losses, "accept", "length:gamma:prefill"], "loss", "length:gamma")


def delays(sweep: Sweep) -> str:
    """Paired differences of feedback settings to `queued`."""
    settings = ["foresight", "rounds:1", "rounds:2", "rounds:4", "rounds:8", "censored", "bold",
                "round"]
    return _against(sweep, settings, "feedback", QUEUED)


def skipping(sweep: Sweep) -> str:
    """Regret and speed when only every M-th round is evaluated."""
    rows = []
    for every in (1, 2, 4, 8, 16):
        cells = [str(every)]
        for selector in FULL:
            always = sweep.run(WARM, selector)
            run = sweep.run(WARM, selector, feedback=f"every:{every}") if every > 1 else always
            cells.append(sweep.interval(run, always) if every > 1
                         else f"{run.values().mean():+.1f} in all")
            cells.append(f"{run.tokens_per_second:.1f}")
        rows.append(cells)
    header = [cell for name in FULL for cell in (f"{name}: more regret", "tokens/s")]
    return markdown(["every", *header], rows)


def pools(sweep: Sweep) -> str:
    """Regret against the number of drafters."""
    names = ("normalhedge", "hedge", "ucbspec", "exp3spec", "uniform")
    return markdown(["N", *names], [
        [str(size), *(sweep.interval(sweep.run(str(PoolLabel(WARM, size)), name))
                      for name in names)]
        for size in (2, 4, 8, 16, 32, 64)])


def router(sweep: Sweep) -> str:
    """Regret of the router and of NormalHedge, and their difference."""
    rows = []
    for trace, name in (("domain-mix-t0", "router"), (WARM, "router"), (HOT, "router"),
                        ("rephrased-t0.7", f"router:{WARM}"), ("spec-bench-t0", "router")):
        routed, online = sweep.run(trace, name), sweep.run(trace, "normalhedge")
        rows.append([trace, sweep.interval(routed), sweep.interval(online),
                     sweep.interval(routed, online)])
    return markdown(["trace", "router", "normalhedge", "router - normalhedge"], rows)


def carried(sweep: Sweep) -> str:
    """Regret of learners that go on from query to query, beside fresh ones."""
    names = ("normalhedge", "hedge", "fixed-share", "ucbspec", "exp3spec")
    return markdown(["selector", "fresh at each query", "carried over"], [
        [name, sweep.interval(sweep.run(WARM, name)),
         sweep.interval(sweep.run(WARM, name, carry=0))] for name in names])


def lengths(sweep: Sweep) -> str:
    """MAT and regret by draft length."""
    rows = []
    names = ("normalhedge", "hedge", "ucbspec")
    for length in range(1, 6):
        best = sweep.run(WARM, "best-fixed", draft_length=length)
        mat = (best.answers.tokens / best.values(ROUNDS)).mean()
        rows.append([str(length), f"{mat:.2f}", *(
            sweep.interval(sweep.run(WARM, name, draft_length=length)) for name in names)])
    rows.append(["1, 3 or 5 as arms", f"{mat:.2f}", *(
        sweep.interval(sweep.run(WARM, name, arm_lengths="1 3 5")) for name in names)])
    return markdown(["K", "MAT of the best fixed", *names], rows)


def rules(sweep: Sweep) -> str:
    """What full information saves under each rule, in rounds of an answer."""
    others = (GENERALIST, "ucbspec", "exp3spec")
    rows = []
    for trace, rule, length in (
            *((trace, rule, 5) for trace in (WARM, HOT)
              for rule in ("sampling", "block", "onehot")),
            (METHODS, "greedy", 8), (METHODS, "tree", 8),
            *((METHODS_HOT, rule, length) for rule, length in RULES.items())):
        run = {name: sweep.run(trace, name, draft_length=length, rule=rule)
               for name in (*FULL, *others)}
        rows.append([f"{trace}, {rule}, K = {length}", f"{run['normalhedge'].mat:.2f}",
                     *(sweep.interval(run[other], run[name]) for name in FULL
                       for other in others)])
    header = [f"{other} - {name}" for name in FULL for other in others]
    return markdown(["trace and rule", "MAT, normalhedge", *header], rows)


def hot_rules(sweep: Sweep) -> str:
    """Mean accepted tokens under each rule at temperature 1, by drafter."""
    return markdown(
        ["drafter or selector", *(f"{rule}, K = {length}" for rule, length in RULES.items())],
        [[name.removeprefix(FIXED), *(
            f"{sweep.run(METHODS_HOT, name, draft_length=length, rule=rule).mat:.2f}"
            for rule, length in RULES.items())]
         for name in _drafters_and_selectors(sweep, METHODS_HOT)])


def hot_trees(sweep: Sweep) -> str:
    """Rounds of an answer at temperature 1 that a tree saves against chains, by drafter."""
    return markdown(["drafter or selector", "sampled chain of 8", "onehot chain of 8"], [
        [name.removeprefix(FIXED), *(_saved_by_tree(sweep, METHODS_HOT, name, rule)
                                     for rule in ("sampling", "onehot"))]
        for name in _drafters_and_selectors(sweep, METHODS_HOT)])


def trees(sweep: Sweep) -> str:
    """Mean accepted tokens of chains of eight and of trees, by drafter."""
    rows = []
    for name in _drafters_and_selectors(sweep, METHODS):
        mats = [sweep.run(METHODS, name, draft_length=8, rule=rule).mat
                for rule in ("greedy", "tree")]
        rows.append([name.removeprefix(FIXED), *(f"{mat:.2f}" for mat in mats),
                     _saved_by_tree(sweep, METHODS, name, "greedy")])
    return markdown(["drafter or selector", "chain of 8", "tree of 60", "rounds saved"], rows)


def _saved_by_tree(sweep: Sweep, trace: str, name: str, rule: str) -> str:
    """Rounds of an answer by which a chain of eight under a rule is above the tree."""
    chain, tree = (sweep.run(trace, name, draft_length=8, rule=one) for one in (rule, "tree"))
    return sweep.interval(chain, tree, measure=ROUNDS)


def _drafters_and_selectors(sweep: Sweep, trace: str) -> list[str]:
    return [*(name for name in sweep.selectors(trace) if name.startswith(FIXED)),
            "best-fixed", "uniform", "hedge", "normalhedge", "ucbspec", "exp3spec"]


def _against(sweep: Sweep, settings: Sequence[str], axis: str, usual: str) -> str:
    """Paired differences of regret to the usual setting, for the learners on two traces."""
    places = [(trace, name) for trace in (WARM, HOT) for name in FULL]
    base = [sweep.run(trace, name) for trace, name in places]
    rows = [[f"{usual}: regret", *(sweep.interval(run) for run in base)]]
    rows += [[setting, *(sweep.interval(sweep.run(trace, name, **{axis: setting}), run, digits=2)
                         for (trace, name), run in zip(places, base, strict=True))]
             for setting in settings]
    return markdown([axis, *(f"{name}, {trace}" for trace, name in places)], rows)


SECTIONS: dict[str, Callable[[Sweep], str]] = {
    item.__name__: item
    for item in (learners, estimators, delays, skipping, pools, router, carried, lengths,
                 rules, trees, hot_rules, hot_trees)}


def main() -> None:
    """Rewrite docs/findings.md."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "results/sim")
    sweep = Sweep(read_tables(folder), read_tables(REPLAYED))
    fill(DOCUMENT, {name: make(sweep) for name, make in SECTIONS.items()})


if __name__ == "__main__":
    main()
