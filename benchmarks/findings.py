"""Makes docs/findings.md from results and benchmarks/findings.md.in: `make findings`.

    hedgespec sim --grid default --out results/sim
    hedgespec sim --grid benchmarks/findings.toml --out results/findings
    hedgespec sim --grid benchmarks/losses.toml --costs NAME --out results/losses-NAME
    python -m benchmarks.findings [RESULTS]

the last but one for each NAME of COSTS. A section is a function that makes a table, with its name
in SECTIONS, and words in the template, whose numbers are the table's cells (benchmarks/prose.py);
what words claim of an order is a function in benchmarks/claims.py. The trace methods-t1 is too
large to be bundled (12 MB); the results of its replay are in benchmarks/methods-t1, and
docs/findings.md says how both are made.

Numbers in brackets are the intervals of `hedgespec.results.statistics`, paired by question.
"""

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks.claims import CHECKS
from benchmarks.pages import ROOT, Quantity, Said
from benchmarks.prose import Cells, written
from hedgespec.analysis.results import USUAL_FEEDBACK, QueryResults, ResultSet, usual_losses
from hedgespec.files import write_text
from hedgespec.results.keys import RunKey
from hedgespec.results.labels import CHOSEN, FIXED, QUEUED, PoolLabel, fixed
from hedgespec.results.markdown import markdown
from hedgespec.results.schema import ROUNDS_OF, TABLES
from hedgespec.results.statistics import (
    Estimate,
    crossed_estimate,
    mat_estimate,
    mat_gain,
    mean_estimate,
    mean_gain,
)
from hedgespec.results.store import Results, read_provenance, read_table
from hedgespec.selectors import BUILT_IN

DOCUMENT = ROOT / "docs" / "findings.md"
TEMPLATE = Path(__file__).parent / "findings.md.in"
REPLAYED = Path(__file__).parent / "methods-t1"
FULL = ("hedge", "normalhedge")
COLD, WARM, HOT = "domain-mix-t0", "domain-mix-t0.7", "domain-mix-t1"
ZOO = "smollm2-135m-zoo-h100"  # the traces' own too
COSTS = (ZOO, "llama-3.1-8b-h100")
LOSSES = (
    "length:gamma",
    "accept",
    "hybrid:0.5:gamma",
    "seconds:gamma",
    "visit:gamma",
    "visit-seconds:gamma",
)
LEARNERS = ("normalhedge", "ftl", "hedge")  # of benchmarks/losses.toml
SPARING = "batch:16"
POOLS = {2: 8, 4: 8, 8: 8, 16: 8, 32: 3, 64: 3}  # drafters, and pools of benchmarks/findings.toml
ORDERS = range(8)
LOOKUP = "prompt-lookup"
METHODS, METHODS_HOT = "methods-t0", "methods-t1"
# Rules that differ at temperature 1, and draft lengths at which they could be run.
RULES = {
    "sampling": 8,
    "block": 8,
    "onehot": 8,
    "gumbel": 8,
    "multi:4": 3,
    "multi-without:4": 3,
    "kseq:4": 3,
    "tree:medusa": 5,
    "tree": 8,
}
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
        self._usage = [one.per_query for one in results]
        self._sets = {
            trace: found for one in results for found in [ResultSet(one)] for trace in found.traces
        }
        self.said = Said()

    def run(
        self,
        trace: str,
        selector: str,
        *,
        feedback: str | None = None,
        loss: str | None = None,
        draft_length: int = 5,
        arm_lengths: str = "",
        carry: int | None = None,
        rule: str | None = None,
    ) -> Run:
        """The run of these settings; feedback, loss and rule None are the defaults.

        The kept results of methods-t1 are of loss `length`, the default when they were made.
        """
        answers = self._sets[trace].answers(trace)
        rows = answers.settings.with_row_index("column").filter(
            pl.col("selector") == selector,
            pl.col("feedback").is_in([feedback] if feedback else USUAL_FEEDBACK),
            pl.col("loss").is_in([loss] if loss else self._losses(trace, feedback)),
            pl.col("draft_length") == draft_length,
            pl.col("arm_lengths") == arm_lengths,
            pl.col("rule").is_in([rule] if rule else ["sampling", "greedy"]),
            pl.col("carry").eq_missing(carry),
        )
        assert len(rows) == 1, (trace, selector, feedback, loss, rule, len(rows))
        [key] = RunKey.of_rows(rows)
        return Run(key, rows["column"][0], answers)

    def _losses(self, trace: str, feedback: str | None) -> list[str]:
        timed = self._sets[trace].answers(trace).settings["tokens_per_second"].null_count() == 0
        usual = usual_losses(feedback or QUEUED, timed)
        return ["length:gamma", *usual[1:]] if trace == METHODS_HOT else usual

    @property
    def traces(self) -> list[str]:
        """All of them."""
        return list(self._sets)

    def share_of(self, run: Run, drafter: str) -> float:
        """Of a run's rounds, those of a drafter."""
        [rows] = [
            found
            for table in self._usage
            if len(
                found := table.filter(
                    *(pl.col(name).eq_missing(value) for name, value in asdict(run.key).items())
                )
            )
        ]
        rounds: float = rows[f"{ROUNDS_OF}{drafter}"].sum() / rows["rounds"].sum()
        return rounds

    def selectors(self, trace: str) -> list[str]:
        """All that were run on a trace, in order."""
        rows = self._sets[trace].answers(trace).settings
        return rows["selector"].unique(maintain_order=True).to_list()

    def interval(
        self, run: Run, minus: Run | None = None, *, measure: str = REGRET, digits: int = 1
    ) -> str:
        """The mean over queries, perhaps less that of another run, and its interval."""
        values = run.values(measure) - (0 if minus is None else minus.values(measure))
        quantity = Quantity(measure, run.key, minus and minus.key)
        return self.said.cell(
            quantity, mean_estimate(values[:, None], run.answers.question), f"{{:+.{digits}f}}"
        )


@dataclass(frozen=True, eq=False)
class Inputs:
    """Results that the page is made from: of the default grid and what was kept, of the grid that
    only this page needs, and of benchmarks/losses.toml under each costs."""

    sweep: Sweep
    more: Sweep
    costs: Mapping[str, Sweep]


def shown(estimate: Estimate, form: str = "{:+.1f}") -> str:
    """An estimate of one value, and its interval."""
    return Said().cell(Quantity("", None), estimate, form)  # type: ignore[arg-type]


def read_tables(folder: Path) -> Results:
    """The results in a folder, or what of them was kept."""
    summary, per_query, curves, answer = (
        read_table(folder, table.name) if (folder / table.file).exists() else table.empty()
        for table in TABLES
    )
    return Results(summary, per_query, curves, answer, read_provenance(folder))


def learners(inputs: Inputs) -> str:
    """Regret of every learner on the domain mix at each temperature."""
    sweep = inputs.sweep
    traces, there = (COLD, WARM, HOT), set(sweep.selectors(WARM))
    names = [name for name in (*BUILT_IN, "router", "best-single") if name in there]
    names.sort(key=lambda name: sweep.run(WARM, name).values().mean())
    return markdown(
        ["selector", "learns from", *traces],
        [
            [
                name,
                _kind(sweep.run(WARM, name)),
                *(sweep.interval(sweep.run(trace, name)) for trace in traces),
            ]
            for name in names
        ],
        (0, 1),
    )


def _kind(run: Run) -> str:
    """What a selector learns from, in a word."""
    return {QUEUED: "all drafters", CHOSEN: "its own rounds"}.get(run.key.feedback, "–")


@cache
def losses_in_seconds(inputs: Inputs) -> str:
    """Percent by which tokens/s are above the fastest fixed drafter's, mean over all traces."""
    return above_fastest(inputs.costs, COSTS)


def above_fastest(sweeps: Mapping[str, Sweep], names: Iterable[str]) -> str:
    """The same of sweeps by name, each with LEARNERS under all LOSSES and with `fastest-fixed`."""
    return markdown(
        ["costs, feedback, learner", *map(_short, LOSSES)],
        [
            [
                f"{name}, {feedback}, {learner}",
                *(shown(_above_fastest(sweeps[name], learner, feedback, loss)) for loss in LOSSES),
            ]
            for name in names
            for feedback in (QUEUED, SPARING)
            for learner in LEARNERS
        ],
    )


def losses_behind(inputs: Inputs) -> str:
    """By how many points each loss is behind the best one of each row of the table before."""
    rows = Cells.read(losses_in_seconds(inputs))
    names = list(map(_short, LOSSES))
    values = np.array([rows.values(name) for name in names])
    behind = values.max(axis=0) - values
    feedback = np.array([SPARING in name for name in rows.names])
    return markdown(
        ["loss", "mean", f"mean, {SPARING}", "most"],
        [
            [name, f"{mine.mean():.2f}", f"{mine[feedback].mean():.2f}", f"{mine.max():.2f}"]
            for name, mine in zip(names, behind, strict=True)
        ],
    )


def losses_in_rounds(inputs: Inputs) -> str:
    """Regret of NormalHedge in rounds under each loss, by trace, under the costs of ZOO."""
    sweep = inputs.costs[ZOO]
    return markdown(
        ["trace", *map(_short, LOSSES)],
        [
            [
                trace,
                *(sweep.interval(sweep.run(trace, "normalhedge", loss=loss)) for loss in LOSSES),
            ]
            for trace in sweep.traces
        ],
    )


def _short(loss: str) -> str:
    return loss.removesuffix(":gamma")


def _above_fastest(sweep: Sweep, learner: str, feedback: str, loss: str) -> Estimate:
    by_question = [
        _against_fastest(sweep, trace, learner, feedback, loss) for trace in sweep.traces
    ]
    return mean_gain(by_question)


def _against_fastest(
    sweep: Sweep, trace: str, learner: str, feedback: str, loss: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    run = sweep.run(trace, learner, feedback=feedback, loss=loss)
    return (
        run.values("seconds"),
        sweep.run(trace, "fastest-fixed").values("seconds"),
        run.answers.question,
    )


def estimators(inputs: Inputs) -> str:
    """Paired differences of losses and estimators to `length` with `gamma`."""
    losses = [
        f"{kind}:{estimator}"
        for kind in ("length", "hybrid:0.5", "seconds", "visit", "visit-seconds")
        for estimator in ("gamma", "rb", "realised")
    ][1:]
    return _against(
        inputs.sweep,
        [*losses, "accept", "length:gamma:prefill"],
        "loss",
        "length:gamma",
        (COLD, WARM, HOT),
    )


def drafters(inputs: Inputs) -> str:
    """What losses compare drafters by, and what comes of them."""
    sweep, rows = inputs.sweep, []
    for name in sweep.selectors(WARM):
        if name.startswith(FIXED):
            run = sweep.run(WARM, name)
            eal, seconds = (
                run.answers.settings[column][run.column] for column in ("eal", "seconds_per_token")
            )
            rows.append(
                [
                    name.removeprefix(FIXED),
                    f"{run.mat:.3f}",
                    f"{eal:.3f}",
                    f"{run.tokens_per_second:.1f}",
                    f"{1 / seconds:.1f}",
                ]
            )
    return markdown(["drafter", "MAT", "mean EAL", "tokens/s", "tokens/s by loss seconds"], rows)


def delays(inputs: Inputs) -> str:
    """Paired differences of feedback settings to `queued`."""
    settings = ["foresight", "rounds:1", "rounds:2", "rounds:4", "rounds:8", "bold", "round"]
    return _against(inputs.sweep, settings, "feedback", QUEUED)


def cut(inputs: Inputs) -> str:
    """What cutting the sums of loss `length` off costs; no other loss is cut."""
    sweep = inputs.sweep
    return markdown(
        ["trace and learner", "length, queued", "length, censored: more"],
        [
            [
                f"{trace}, {name}",
                sweep.interval(queued := sweep.run(trace, name, loss="length:gamma")),
                sweep.interval(sweep.run(trace, name, feedback="censored"), queued),
            ]
            for trace in (WARM, HOT)
            for name in FULL
        ],
    )


def skipping(inputs: Inputs) -> str:
    """Regret and speed when fewer rounds are evaluated."""
    sweep, rows = inputs.sweep, []
    for feedback in (QUEUED, "every:2", "every:4", "every:8", "every:16", "batch:4", SPARING):
        runs = [sweep.run(WARM, name, feedback=feedback) for name in FULL]
        rows.append(
            [
                feedback,
                *(
                    cell
                    for run, name in zip(runs, FULL, strict=True)
                    for cell in (
                        sweep.interval(run, sweep.run(WARM, name) if feedback != QUEUED else None),
                        f"{100 * run.values('evaluations').sum() / run.values(ROUNDS).sum():.0f}",
                        f"{run.tokens_per_second:.1f}",
                    )
                ),
            ]
        )
    header = [
        cell
        for name in FULL
        for cell in (
            f"{name}: regret, or more",
            f"{name}: % of rounds evaluated",
            f"{name}: tokens/s",
        )
    ]
    return markdown(["feedback", *header], rows)


def pools(inputs: Inputs) -> str:
    """Regret against the number of drafters, over pools and questions."""
    names = ("normalhedge", "hedge", "ucbspec", "exp3spec", "uniform")
    rows = []
    for size, seeds in POOLS.items():
        cells = [f"{size}", str(seeds)]
        for name in names:
            runs = [
                inputs.more.run(str(PoolLabel(WARM, size, seed)), name) for seed in range(seeds)
            ]
            cells.append(
                shown(
                    crossed_estimate(
                        np.column_stack([one.values() for one in runs]), runs[0].answers.question
                    )
                )
            )
        rows.append(cells)
    return markdown(["N", "pools", *names], rows)


def router(inputs: Inputs) -> str:
    """Regret of the router and of NormalHedge, and their difference, under two losses."""
    rows = []
    sweep, losses = inputs.sweep, inputs.costs[ZOO]
    for trace, name in (
        (COLD, "router"),
        (WARM, "router"),
        (HOT, "router"),
        ("rephrased-t0.7", f"router:{WARM}"),
        ("spec-bench-t0", "router"),
    ):
        routed = sweep.run(trace, name)
        online = [sweep.run(trace, "normalhedge"), losses.run(trace, "normalhedge", loss="accept")]
        rows.append(
            [
                trace,
                sweep.interval(routed),
                *(
                    cell
                    for run in online
                    for cell in (sweep.interval(run), sweep.interval(routed, run))
                ),
            ]
        )
    return markdown(
        [
            "trace",
            "router",
            "normalhedge",
            "router - normalhedge",
            "normalhedge, accept",
            "router - that",
        ],
        rows,
    )


def carried(inputs: Inputs) -> str:
    """Regret of learners that go on from query to query in several orders, beside fresh ones."""
    rows = []
    for name in ("normalhedge", "hedge", "fixed-share", "ucbspec", "exp3spec"):
        runs = [inputs.more.run(WARM, name, carry=order) for order in ORDERS]
        means = [run.values().mean() for run in runs]
        lookup = [100 * inputs.more.share_of(run, LOOKUP) for run in runs]
        rows.append(
            [
                name,
                inputs.sweep.interval(inputs.sweep.run(WARM, name)),
                shown(
                    crossed_estimate(
                        np.column_stack([run.values() for run in runs]), runs[0].answers.question
                    )
                ),
                f"{min(means):+.1f}",
                f"{max(means):+.1f}",
                f"{min(lookup):.0f}",
                f"{max(lookup):.0f}",
            ]
        )
    return markdown(
        [
            "selector",
            "fresh at each question",
            "carried over",
            "best order",
            "worst order",
            "% lookup, least",
            "% lookup, most",
        ],
        rows,
    )


def singles(inputs: Inputs) -> str:
    """What single drafters have, used throughout."""
    sweep = inputs.sweep
    return markdown(
        ["drafter", "regret"],
        [
            [name.removeprefix(FIXED), sweep.interval(sweep.run(WARM, name))]
            for name in ("best-single", fixed(LOOKUP))
        ],
    )


def lengths(inputs: Inputs) -> str:
    """MAT and regret by draft length."""
    sweep, rows = inputs.sweep, []
    names = ("normalhedge", "hedge", "ucbspec")
    for length in range(1, 6):
        best = sweep.run(WARM, "best-fixed", draft_length=length)
        rows.append(
            [
                str(length),
                f"{best.mat:.2f}",
                *(sweep.interval(sweep.run(WARM, name, draft_length=length)) for name in names),
            ]
        )
    best = sweep.run(WARM, "best-fixed", arm_lengths="1 3 5")
    rows.append(
        [
            "1, 3 or 5 as arms",
            f"{best.mat:.2f}",
            *(sweep.interval(sweep.run(WARM, name, arm_lengths="1 3 5")) for name in names),
        ]
    )
    return markdown(["K", "MAT of the best fixed", *names], rows)


def in_seconds(inputs: Inputs) -> str:
    """Tokens/s of policies under each costs, and how far they are above the fastest single."""
    header = [cell for costs in COSTS for cell in (f"{costs}: tokens/s", f"{costs}: %")]
    return markdown(
        ["policy", *header],
        [
            [
                name if feedback is None else f"{name}, {feedback}",
                *(cell for costs in COSTS for cell in _speed(inputs.costs[costs], name, feedback)),
            ]
            for name, feedback in POLICIES
        ],
    )


POLICIES = (
    ("fastest-fixed", None),
    ("normalhedge", SPARING),
    ("ftl", SPARING),
    ("hedge", SPARING),
    ("normalhedge", QUEUED),
    ("ucbspec", None),
    ("exp3spec", None),
    ("fastest-single", None),
    ("best-single", None),
)


def _speed(sweep: Sweep, name: str, feedback: str | None) -> tuple[str, str]:
    run, single = sweep.run(WARM, name, feedback=feedback), sweep.run(WARM, "fastest-single")
    seconds, question = run.values("seconds")[:, None], run.answers.question
    gain = mat_gain(seconds, single.values("seconds"), question)
    return (shown(mat_estimate(run.answers.tokens, seconds, question), "{:.1f}"), shown(gain))


def rules(inputs: Inputs) -> str:
    """What full information saves under each rule, in rounds of an answer."""
    sweep, others = inputs.sweep, (GENERALIST, "ucbspec", "exp3spec")
    rows = []
    for trace, rule, length in (
        *((trace, rule, 5) for trace in (WARM, HOT) for rule in ("sampling", "block", "onehot")),
        (METHODS, "greedy", 8),
        (METHODS, "tree", 8),
        *((METHODS_HOT, rule, length) for rule, length in RULES.items()),
    ):
        run = {name: _of_rule(inputs, trace, name, length, rule) for name in (*FULL, *others)}
        rows.append(
            [
                f"{trace}, {rule}, K = {length}",
                f"{run['normalhedge'].mat:.2f}",
                *(sweep.interval(run[other], run[name]) for name in FULL for other in others),
            ]
        )
    header = [f"{other} - {name}" for name in FULL for other in others]
    return markdown(["trace and rule", "MAT, normalhedge", *header], rows)


def hot_rules(inputs: Inputs) -> str:
    """Mean accepted tokens under each rule at temperature 1, by drafter."""
    sweep = inputs.sweep
    return markdown(
        ["drafter or selector", *(f"{rule}, K = {length}" for rule, length in RULES.items())],
        [
            [
                name.removeprefix(FIXED),
                *(
                    f"{sweep.run(METHODS_HOT, name, draft_length=length, rule=rule).mat:.2f}"
                    for rule, length in RULES.items()
                ),
            ]
            for name in _drafters_and_selectors(sweep, METHODS_HOT)
        ],
    )


def hot_trees(inputs: Inputs) -> str:
    """Rounds of an answer at temperature 1 that a tree saves against chains, by drafter."""
    sweep = inputs.sweep
    return markdown(
        ["drafter or selector", "sampled chain of 8", "onehot chain of 8"],
        [
            [
                name.removeprefix(FIXED),
                *(
                    _saved_by_tree(inputs, METHODS_HOT, name, rule)
                    for rule in ("sampling", "onehot")
                ),
            ]
            for name in _drafters_and_selectors(sweep, METHODS_HOT)
        ],
    )


def trees(inputs: Inputs) -> str:
    """Mean accepted tokens of chains of eight and of trees, by drafter."""
    sweep, rows = inputs.sweep, []
    for name in _drafters_and_selectors(sweep, METHODS):
        mats = [_of_rule(inputs, METHODS, name, 8, rule).mat for rule in ("greedy", "tree")]
        rows.append(
            [
                name.removeprefix(FIXED),
                *(f"{mat:.2f}" for mat in mats),
                _saved_by_tree(inputs, METHODS, name, "greedy"),
            ]
        )
    return markdown(["drafter or selector", "chain of 8", "tree of 60", "rounds saved"], rows)


def _of_rule(inputs: Inputs, trace: str, name: str, length: int, rule: str) -> Run:
    """A selector under a rule; learners of losses have `length`, for rounds are compared."""
    if name in FULL and trace != METHODS_HOT:
        return inputs.more.run(trace, name, draft_length=length, rule=rule, loss="length:gamma")
    return inputs.sweep.run(trace, name, draft_length=length, rule=rule)


def _saved_by_tree(inputs: Inputs, trace: str, name: str, rule: str) -> str:
    """Rounds of an answer by which a chain of eight under a rule is above the tree."""
    chain, tree = (_of_rule(inputs, trace, name, 8, one) for one in (rule, "tree"))
    return inputs.sweep.interval(chain, tree, measure=ROUNDS)


def _drafters_and_selectors(sweep: Sweep, trace: str) -> list[str]:
    return [
        *(name for name in sweep.selectors(trace) if name.startswith(FIXED)),
        "best-fixed",
        "uniform",
        "hedge",
        "normalhedge",
        "ucbspec",
        "exp3spec",
    ]


def _against(
    sweep: Sweep,
    settings: Sequence[str],
    axis: str,
    usual: str,
    traces: Sequence[str] = (WARM, HOT),
) -> str:
    """Paired differences of regret to the usual setting, for the learners."""
    places = [(trace, name) for trace in traces for name in FULL]
    base = [sweep.run(trace, name, **{axis: usual}) for trace, name in places]
    rows = [[usual, *(sweep.interval(run) for run in base)]]
    rows += [
        [
            setting,
            *(
                sweep.interval(sweep.run(trace, name, **{axis: setting}), run, digits=2)
                for (trace, name), run in zip(places, base, strict=True)
            ),
        ]
        for setting in settings
    ]
    return markdown([axis, *(f"{name}, {trace}" for trace, name in places)], rows)


SECTIONS: dict[str, Callable[[Inputs], str]] = {
    item.__name__: item
    for item in (
        learners,
        losses_in_seconds,
        losses_behind,
        losses_in_rounds,
        drafters,
        estimators,
        in_seconds,
        delays,
        cut,
        skipping,
        pools,
        router,
        carried,
        singles,
        lengths,
        rules,
        trees,
        hot_rules,
        hot_trees,
    )
}


def main() -> None:
    """Rewrite docs/findings.md."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "results")
    inputs = Inputs(
        Sweep(read_tables(folder / "sim"), read_tables(REPLAYED)),
        Sweep(read_tables(folder / "findings")),
        {costs: Sweep(read_tables(folder / f"losses-{costs}")) for costs in COSTS},
    )
    tables = {name: make(inputs) for name, make in SECTIONS.items()}
    write_text(DOCUMENT, written(TEMPLATE.read_text(encoding="utf-8"), tables, CHECKS))


if __name__ == "__main__":
    main()
