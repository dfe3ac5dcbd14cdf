"""Fills the tables of docs/findings.md from the results of the default grid: `make findings`.

    hedgespec sim --grid default --out results/sim
    python -m benchmarks.findings [RESULTS]

The trace methods-t1 is too large to be bundled (12 MB); the results of its replay are in
benchmarks/methods-t1, and docs/findings.md says how both are made.

Numbers in brackets are 95 % bootstrap intervals over answers; differences are paired by answer.
"""

import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from hedgespec.analysis.tables import read_results
from hedgespec.selectors import BUILT_IN

DOCUMENT = Path(__file__).parent.parent / "docs" / "findings.md"
REPLAYED = Path(__file__).parent / "methods-t1"
DRAWS = 4000
FULL = ("hedge", "normalhedge")
WARM, HOT = "domain-mix-t0.7", "domain-mix-t1"
METHODS, METHODS_HOT = "methods-t0", "methods-t1"
# Rules that differ at temperature 1, and draft lengths at which they could be run.
RULES = {"sampling": 8, "block": 8, "onehot": 8, "gumbel": 8, "multi:4": 3, "multi-without:4": 3,
         "kseq:4": 3, "tree:medusa": 5, "tree": 8}


class Sweep:
    """Per-query results of sweeps over different traces, looked up by setting."""

    def __init__(self, *folders: Path):
        self._rows, self._summary = (
            pl.concat([read_results(folder, table) for folder in folders], how="diagonal_relaxed")
            for table in ("per_query", "summary"))

    def values(self, trace: str, selector: str, column: str = "regret_rounds", *,
               feedback: str | None = None, loss: str | None = None, draft_length: int = 5,
               arm_lengths: str = "", carry: int | None = None, rule: str | None = None
               ) -> np.ndarray:
        """A column (Q), averaged over seeds; feedback, loss and rule None are the defaults."""
        rows = self._select(self._rows, trace, selector, feedback, loss, draft_length, arm_lengths,
                            carry, rule).group_by("query").agg(pl.col(column).mean()).sort("query")
        assert len(rows), (trace, selector, feedback, loss, rule)
        return rows[column].to_numpy()

    def selectors(self, trace: str) -> list[str]:
        """All that were run on a trace, in order."""
        rows = self._summary.filter(pl.col("trace") == trace)
        return rows["selector"].unique(maintain_order=True).to_list()

    def tokens_per_second(self, trace: str, selector: str, feedback: str | None = None) -> float:
        """Estimated from the trace's costs, mean over seeds."""
        rows = self._select(self._summary, trace, selector, feedback, None, 5, "", None, None)
        return float(rows["tokens_per_second"].mean())

    def mat(self, trace: str, selector: str, rule: str | None, draft_length: int) -> float:
        """Tokens by rounds of all answers, mean over seeds."""
        rows = self._select(self._summary, trace, selector, None, None, draft_length, "", None,
                            rule)
        return float(rows["mat"].mean())

    @staticmethod
    def _select(rows: pl.DataFrame, trace: str, selector: str, feedback: str | None,
                loss: str | None, draft_length: int, arm_lengths: str, carry: int | None,
                rule: str | None) -> pl.DataFrame:
        usual_feedback = ["queued", "chosen", "none", "hindsight", "prompt"]
        usual_loss = ["length:gamma", "emitted", "none"]
        return rows.filter(
            pl.col("trace") == trace, pl.col("selector") == selector,
            pl.col("feedback").is_in([feedback] if feedback else usual_feedback),
            pl.col("loss").is_in([loss] if loss else usual_loss),
            pl.col("draft_length") == draft_length, pl.col("arm_lengths") == arm_lengths,
            pl.col("rule").is_in([rule] if rule else ["sampling", "greedy"]),
            pl.col("carry").eq_missing(carry))


def interval(values: np.ndarray, digits: int = 1) -> str:
    """Mean over answers (Q) and its bootstrap interval."""
    draws = np.random.default_rng(0).integers(len(values), size=(DRAWS, len(values)))
    low, high = np.quantile(values[draws].mean(axis=1), (0.025, 0.975))
    return f"{values.mean():+.{digits}f} ({low:+.{digits}f} to {high:+.{digits}f})"


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table whose first column is text and the others numbers."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def learners(sweep: Sweep) -> str:
    """Regret of every learner on the domain mix at each temperature."""
    traces = ("domain-mix-t0", WARM, HOT)
    names = [*BUILT_IN, "router", "best-single"]
    names.sort(key=lambda name: sweep.values(WARM, name).mean())
    return markdown(["selector", *(f"regret, {trace}" for trace in traces)], [
        [name, *(interval(sweep.values(trace, name)) for trace in traces)] for name in names])


def estimators(sweep: Sweep) -> str:
    """Paired differences of losses and estimators to `length` with `gamma`."""
    losses = [f"{kind}:{estimator}" for kind in ("length", "hybrid:0.5", "seconds")
              for estimator in ("gamma", "rb", "realised")][1:]
    return _against(sweep, [*losses, "accept", "length:gamma:prefill"], "loss", "length:gamma")


def delays(sweep: Sweep) -> str:
    """Paired differences of feedback settings to `queued`."""
    settings = ["oracle", "rounds:1", "rounds:2", "rounds:4", "rounds:8", "censored", "bold",
                "round"]
    return _against(sweep, settings, "feedback", "queued")


def skipping(sweep: Sweep) -> str:
    """Regret and speed when only every M-th round is evaluated."""
    rows = []
    for every in (1, 2, 4, 8, 16):
        feedback = f"every:{every}" if every > 1 else "queued"
        cells = [str(every)]
        for selector in FULL:
            regret = sweep.values(WARM, selector, feedback=feedback)
            cells.append(interval(regret - sweep.values(WARM, selector)) if every > 1
                         else f"{regret.mean():+.1f} in all")
            cells.append(f"{sweep.tokens_per_second(WARM, selector, feedback):.1f}")
        rows.append(cells)
    header = [cell for name in FULL for cell in (f"{name}: more regret", "tokens/s")]
    return markdown(["every", *header], rows)


def pools(sweep: Sweep) -> str:
    """Regret against the number of drafters."""
    names = ("normalhedge", "hedge", "ucbspec", "exp3spec", "uniform")
    return markdown(["N", *names], [
        [str(size), *(interval(sweep.values(f"{WARM}.n{size}", name)) for name in names)]
        for size in (2, 4, 8, 16, 32, 64)])


def router(sweep: Sweep) -> str:
    """Regret of the router and of NormalHedge, and their difference."""
    rows = []
    for trace, name in (("domain-mix-t0", "router"), (WARM, "router"), (HOT, "router"),
                        ("rephrased-t0.7", f"router:{WARM}"), ("spec-bench-t0", "router")):
        routed, online = sweep.values(trace, name), sweep.values(trace, "normalhedge")
        rows.append([trace, interval(routed), interval(online), interval(routed - online)])
    return markdown(["trace", "router", "normalhedge", "router - normalhedge"], rows)


def carried(sweep: Sweep) -> str:
    """Regret of learners that go on from query to query, beside fresh ones."""
    names = ("normalhedge", "hedge", "fixed-share", "ucbspec", "exp3spec")
    return markdown(["selector", "fresh at each query", "carried over"], [
        [name, interval(sweep.values(WARM, name)), interval(sweep.values(WARM, name, carry=0))]
        for name in names])


def lengths(sweep: Sweep) -> str:
    """MAT and regret by draft length."""
    rows = []
    names = ("normalhedge", "hedge", "ucbspec")
    for length in range(1, 6):
        best = sweep.values(WARM, "best-fixed", "mat", draft_length=length).mean()
        rows.append([str(length), f"{best:.2f}", *(
            interval(sweep.values(WARM, name, draft_length=length)) for name in names)])
    rows.append(["1, 3 or 5 as arms", f"{best:.2f}", *(
        interval(sweep.values(WARM, name, arm_lengths="1 3 5")) for name in names)])
    return markdown(["K", "MAT of the best fixed", *names], rows)


def rules(sweep: Sweep) -> str:
    """What full information saves under each rule, in rounds of an answer."""
    others = ("fixed:generalist", "ucbspec", "exp3spec")
    rows = []
    for trace, rule, length in (
            *((trace, rule, 5) for trace in (WARM, HOT)
              for rule in ("sampling", "block", "onehot")),
            (METHODS, "greedy", 8), (METHODS, "tree", 8),
            *((METHODS_HOT, rule, length) for rule, length in RULES.items())):
        regret = {name: sweep.values(trace, name, draft_length=length, rule=rule)
                  for name in (*FULL, *others)}
        rows.append([f"{trace}, {rule}, K = {length}",
                     f"{sweep.mat(trace, 'normalhedge', rule, length):.2f}",
                     *(interval(regret[other] - regret[name]) for name in FULL
                       for other in others)])
    header = [f"{other} - {name}" for name in FULL for other in others]
    return markdown(["trace and rule", "MAT, normalhedge", *header], rows)


def hot_rules(sweep: Sweep) -> str:
    """Mean accepted tokens under each rule at temperature 1, by drafter."""
    return markdown(
        ["drafter or selector", *(f"{rule}, K = {length}" for rule, length in RULES.items())],
        [[name.removeprefix("fixed:"), *(f"{sweep.mat(METHODS_HOT, name, rule, length):.2f}"
                                         for rule, length in RULES.items())]
         for name in _drafters_and_selectors(sweep, METHODS_HOT)])


def hot_trees(sweep: Sweep) -> str:
    """Rounds of an answer at temperature 1 that a tree saves against chains, by drafter."""
    return markdown(["drafter or selector", "sampled chain of 8", "onehot chain of 8"], [
        [name.removeprefix("fixed:"), *(interval(
            sweep.values(METHODS_HOT, name, "rounds", draft_length=8, rule=rule)
            - sweep.values(METHODS_HOT, name, "rounds", draft_length=8, rule="tree"))
            for rule in ("sampling", "onehot"))]
        for name in _drafters_and_selectors(sweep, METHODS_HOT)])


def _drafters_and_selectors(sweep: Sweep, trace: str) -> list[str]:
    return [*(name for name in sweep.selectors(trace) if name.startswith("fixed:")),
            "best-fixed", "uniform", "hedge", "normalhedge", "ucbspec", "exp3spec"]


def trees(sweep: Sweep) -> str:
    """Mean accepted tokens of chains of eight and of trees, by drafter."""
    rows = []
    for name in _drafters_and_selectors(sweep, METHODS):
        chain, tree = (sweep.values(METHODS, name, "rounds", draft_length=8, rule=rule)
                       for rule in ("greedy", "tree"))
        mats = [sweep.mat(METHODS, name, rule, 8) for rule in ("greedy", "tree")]
        rows.append([name.removeprefix("fixed:"), *(f"{mat:.2f}" for mat in mats),
                     interval(chain - tree)])
    return markdown(["drafter or selector", "chain of 8", "tree of 60", "rounds saved"], rows)


def _against(sweep: Sweep, settings: Sequence[str], axis: str, usual: str) -> str:
    """Paired differences of regret to the usual setting, for the learners on two traces."""
    places = [(trace, name) for trace in (WARM, HOT) for name in FULL]
    base = [sweep.values(trace, name, **{axis: usual}) for trace, name in places]
    rows = [[f"{usual}: regret", *(interval(values) for values in base)]]
    rows += [[setting, *(interval(sweep.values(trace, name, **{axis: setting}) - values, 2)
                         for (trace, name), values in zip(places, base, strict=True))]
             for setting in settings]
    return markdown([axis, *(f"{name}, {trace}" for trace, name in places)], rows)


SECTIONS: dict[str, Callable[[Sweep], str]] = {
    item.__name__: item
    for item in (learners, estimators, delays, skipping, pools, router, carried, lengths,
                 rules, trees, hot_rules, hot_trees)}


def fill(text: str, sweep: Sweep) -> str:
    """The document with each marked table made anew."""
    for name, make in SECTIONS.items():
        marked = re.compile(rf"(?<=<!-- {name} -->\n).*?(?=<!-- end -->)", re.DOTALL)
        assert marked.search(text), f"no table marked {name}"
        table = make(sweep)
        text = marked.sub(lambda _: table, text, count=1)  # noqa: B023
    return text


def main() -> None:
    """Rewrite docs/findings.md."""
    sweep = Sweep(Path(sys.argv[1] if len(sys.argv) > 1 else "results/sim"), REPLAYED)
    DOCUMENT.write_text(fill(DOCUMENT.read_text(encoding="utf-8"), sweep), encoding="utf-8")


if __name__ == "__main__":
    main()
