"""Golden numbers of the bundled traces. They change only if the traces or the science change."""

from dataclasses import replace
from functools import cache

import polars as pl
import pytest

from hedgespec.bundled import DATA, trace_folder, trace_names
from hedgespec.simulator import Results, SweepSettings, run_sweep
from tests.helpers.marks import slow_but

pytestmark = pytest.mark.filterwarnings("ignore:ucbspec, exp3spec. own feedback and loss")

# Rounds of seed 0, K = 5; made by `hedgespec sim --seeds 1 --mode replayed`.
GOLDEN = {
    "domain-mix-t0": {
        "fixed:generalist": 24906.0,
        "fixed:expert-python": 24129.0,
        "fixed:expert-math": 25774.0,
        "fixed:expert-biology": 23099.0,
        "fixed:expert-medicine": 22819.0,
        "fixed:expert-law": 22686.0,
        "fixed:expert-sql": 22898.0,
        "fixed:expert-translation": 24130.0,
        "fixed:small-math": 46168.0,
        "fixed:small-python": 47542.0,
        "fixed:prompt-lookup": 19559.0,
        "best-fixed": 14175.0,
        "oracle": 11844.0,
        "uniform": 23765.0,
        "hedge": 14563.0,
        "normalhedge": 14351.0,
        "ucbspec": 18518.0,
        "exp3spec": 20265.0,
        "none": 53555.0,
    },
    "domain-mix-t0.7": {
        "fixed:generalist": 22086.0,
        "fixed:expert-python": 20893.0,
        "fixed:expert-math": 21909.0,
        "fixed:expert-biology": 21188.0,
        "fixed:expert-medicine": 21108.0,
        "fixed:expert-law": 20837.0,
        "fixed:expert-sql": 20315.0,
        "fixed:expert-translation": 21473.0,
        "fixed:small-math": 34660.0,
        "fixed:small-python": 35059.0,
        "fixed:prompt-lookup": 21460.0,
        "best-fixed": 14277.0,
        "oracle": 11707.0,
        "uniform": 21407.0,
        "hedge": 14714.0,
        "normalhedge": 14407.0,
        "ucbspec": 18499.0,
        "exp3spec": 19692.0,
        "none": 37581.0,
    },
    "domain-mix-t1": {
        "fixed:generalist": 6586.0,
        "fixed:expert-python": 6997.0,
        "fixed:expert-math": 6947.0,
        "fixed:expert-biology": 6993.0,
        "fixed:expert-medicine": 6995.0,
        "fixed:expert-law": 6963.0,
        "fixed:expert-sql": 7031.0,
        "fixed:expert-translation": 6833.0,
        "fixed:small-math": 8905.0,
        "fixed:small-python": 9117.0,
        "fixed:prompt-lookup": 9367.0,
        "best-fixed": 5887.0,
        "oracle": 4825.0,
        "uniform": 7248.0,
        "hedge": 6156.0,
        "normalhedge": 6015.0,
        "ucbspec": 7060.0,
        "exp3spec": 7119.0,
        "none": 10446.0,
    },
    "methods-t0": {
        "fixed:generalist": 8523.0,
        "fixed:expert-python": 7897.0,
        "fixed:expert-math": 8155.0,
        "fixed:expert-law": 8210.0,
        "fixed:expert-sql": 7805.0,
        "fixed:expert-translation": 8117.0,
        "fixed:parallel": 9392.0,
        "fixed:redrafter": 8134.0,
        "fixed:prompt-lookup": 6147.0,
        "best-fixed": 4600.0,
        "oracle": 3454.0,
        "uniform": 7097.0,
        "hedge": 4741.0,
        "normalhedge": 4673.0,
        "ucbspec": 5797.0,
        "exp3spec": 6508.0,
        "none": 13423.0,
    },
    "rephrased-t0.7": {
        "fixed:generalist": 5105.0,
        "fixed:expert-python": 4706.0,
        "fixed:expert-math": 5024.0,
        "fixed:expert-biology": 5075.0,
        "fixed:expert-medicine": 4944.0,
        "fixed:expert-law": 4836.0,
        "fixed:expert-sql": 4525.0,
        "fixed:expert-translation": 5021.0,
        "fixed:small-math": 7704.0,
        "fixed:small-python": 7853.0,
        "fixed:prompt-lookup": 5015.0,
        "best-fixed": 3438.0,
        "oracle": 2759.0,
        "uniform": 5062.0,
        "hedge": 3618.0,
        "normalhedge": 3557.0,
        "ucbspec": 4609.0,
        "exp3spec": 4750.0,
        "none": 8513.0,
    },
    "spec-bench-t0": {
        "fixed:generalist": 5363.0,
        "fixed:expert-python": 5253.0,
        "fixed:expert-math": 5366.0,
        "fixed:expert-biology": 5259.0,
        "fixed:expert-medicine": 5477.0,
        "fixed:expert-law": 5048.0,
        "fixed:expert-sql": 5262.0,
        "fixed:expert-translation": 5390.0,
        "fixed:small-math": 9112.0,
        "fixed:small-python": 9577.0,
        "fixed:prompt-lookup": 4664.0,
        "best-fixed": 3753.0,
        "oracle": 2899.0,
        "uniform": 5333.0,
        "hedge": 3978.0,
        "normalhedge": 3947.0,
        "ucbspec": 4813.0,
        "exp3spec": 5006.0,
        "none": 10639.0,
    },
    "spec-bench-t0.7": {
        "fixed:generalist": 1816.0,
        "fixed:expert-python": 1782.0,
        "fixed:expert-math": 1774.0,
        "fixed:expert-biology": 1798.0,
        "fixed:expert-medicine": 1866.0,
        "fixed:expert-law": 1809.0,
        "fixed:expert-sql": 1853.0,
        "fixed:expert-translation": 1893.0,
        "fixed:small-math": 2760.0,
        "fixed:small-python": 2877.0,
        "fixed:prompt-lookup": 2056.0,
        "best-fixed": 1444.0,
        "oracle": 1161.0,
        "uniform": 1910.0,
        "hedge": 1547.0,
        "normalhedge": 1478.0,
        "ucbspec": 1792.0,
        "exp3spec": 1841.0,
        "none": 3065.0,
    },
    "spec-bench-t1": {
        "fixed:generalist": 1863.0,
        "fixed:expert-python": 1981.0,
        "fixed:expert-math": 1933.0,
        "fixed:expert-biology": 1929.0,
        "fixed:expert-medicine": 1986.0,
        "fixed:expert-law": 1972.0,
        "fixed:expert-sql": 2011.0,
        "fixed:expert-translation": 1956.0,
        "fixed:small-math": 2499.0,
        "fixed:small-python": 2553.0,
        "fixed:prompt-lookup": 2447.0,
        "best-fixed": 1696.0,
        "oracle": 1429.0,
        "uniform": 2048.0,
        "hedge": 1842.0,
        "normalhedge": 1755.0,
        "ucbspec": 2017.0,
        "exp3spec": 2020.0,
        "none": 2788.0,
    },
    # Of the 1.5B target.
    "coder-long-t0.7": {
        "fixed:generalist": 18856.0,
        "fixed:generalist-mixed": 13295.0,
        "fixed:expert-python": 16271.0,
        "fixed:expert-math": 16950.0,
        "fixed:expert-sql": 17353.0,
        "fixed:expert-law": 18722.0,
        "fixed:expert-translation": 19021.0,
        "fixed:prompt-lookup": 13488.0,
        "fixed:half": 5612.0,
        "fixed:early-exit-14": 24666.0,
        "fixed:early-exit-21": 19090.0,
        "best-fixed": 5612.0,
        "oracle": 5375.0,
        "uniform": 13715.0,
        "hedge": 5666.0,
        "normalhedge": 5641.0,
        "ucbspec": 6995.0,
        "exp3spec": 7662.0,
        "none": 25209.0,
    },
    "coder-mix-t0": {
        "fixed:generalist": 20217.0,
        "fixed:generalist-mixed": 10946.0,
        "fixed:expert-python": 16997.0,
        "fixed:expert-math": 18084.0,
        "fixed:expert-sql": 17401.0,
        "fixed:expert-law": 18629.0,
        "fixed:expert-translation": 19847.0,
        "fixed:prompt-lookup": 20576.0,
        "fixed:half": 7795.0,
        "fixed:early-exit-14": 30275.0,
        "fixed:early-exit-21": 21249.0,
        "best-fixed": 7795.0,
        "oracle": 6766.0,
        "uniform": 15043.0,
        "hedge": 8188.0,
        "normalhedge": 8144.0,
        "ucbspec": 11521.0,
        "exp3spec": 12044.0,
        "none": 31724.0,
    },
    "coder-mix-t0.7": {
        "fixed:generalist": 19512.0,
        "fixed:generalist-mixed": 12095.0,
        "fixed:expert-python": 17155.0,
        "fixed:expert-math": 17811.0,
        "fixed:expert-sql": 17598.0,
        "fixed:expert-law": 18617.0,
        "fixed:expert-translation": 19523.0,
        "fixed:prompt-lookup": 20293.0,
        "fixed:half": 7541.0,
        "fixed:early-exit-14": 27697.0,
        "fixed:early-exit-21": 20342.0,
        "best-fixed": 7540.0,
        "oracle": 6918.0,
        "uniform": 15170.0,
        "hedge": 7824.0,
        "normalhedge": 7741.0,
        "ucbspec": 11553.0,
        "exp3spec": 12216.0,
        "none": 28947.0,
    },
    "coder-mix-t1": {
        "fixed:generalist": 3347.0,
        "fixed:generalist-mixed": 2463.0,
        "fixed:expert-python": 3233.0,
        "fixed:expert-sql": 3085.0,
        "fixed:expert-math": 3146.0,
        "fixed:expert-law": 3399.0,
        "fixed:expert-translation": 3458.0,
        "fixed:prompt-lookup": 3606.0,
        "fixed:half": 1338.0,
        "fixed:early-exit-14": 4621.0,
        "fixed:early-exit-21": 3415.0,
        "best-fixed": 1338.0,
        "oracle": 1255.0,
        "uniform": 2784.0,
        "hedge": 1373.0,
        "normalhedge": 1360.0,
        "ucbspec": 2130.0,
        "exp3spec": 2197.0,
        "none": 4799.0,
    },
    "coder-rephrased-t0.7": {
        "fixed:generalist": 7561.0,
        "fixed:generalist-mixed": 4498.0,
        "fixed:expert-python": 6648.0,
        "fixed:expert-math": 6802.0,
        "fixed:expert-sql": 6510.0,
        "fixed:expert-law": 7117.0,
        "fixed:expert-translation": 7629.0,
        "fixed:prompt-lookup": 6976.0,
        "fixed:half": 2786.0,
        "fixed:early-exit-14": 10782.0,
        "fixed:early-exit-21": 7670.0,
        "best-fixed": 2786.0,
        "oracle": 2581.0,
        "uniform": 5658.0,
        "hedge": 2901.0,
        "normalhedge": 2845.0,
        "ucbspec": 4220.0,
        "exp3spec": 4499.0,
        "none": 11179.0,
    },
}

# The same with the trees of methods-t0, K = 8.
GOLDEN_TREES = {
    "fixed:generalist": 6374.0,
    "fixed:parallel": 7344.0,
    "fixed:redrafter": 7125.0,
    "fixed:prompt-lookup": 5757.0,
    "best-fixed": 3394.0,
    "oracle": 2584.0,
    "uniform": 5358.0,
    "hedge": 3592.0,
    "normalhedge": 3538.0,
    "ucbspec": 4571.0,
    "exp3spec": 4969.0,
}

CORE = ("domain-mix-t0", "domain-mix-t0.7", "methods-t0")  # on which `make check` replays
TRACES = slow_but(CORE, GOLDEN)


@cache
def swept(trace: str) -> Results:
    found = run_sweep(
        [trace_folder(trace)],
        SweepSettings(losses=("length",), seeds=1, threads=2, mode="replayed"),
    )
    return replace(found, summary=_of_length(found.summary), per_query=_of_length(found.per_query))


def _of_length(table: pl.DataFrame) -> pl.DataFrame:
    """The rows whose losses are those of the golden numbers: the default is another one."""
    return table.filter(pl.col("loss").is_in(["length:gamma", "emitted", "none"]))


@pytest.mark.parametrize("trace", TRACES)
def test_rounds_of_every_selector(trace):
    rows = swept(trace).summary
    found = dict(zip(rows["selector"], rows["rounds"], strict=True))
    assert found == GOLDEN[trace]


def test_every_bundled_trace_has_golden_numbers():
    assert set(GOLDEN) == set(trace_names())


@pytest.mark.slow
def test_rounds_with_draft_trees():
    common = {
        "rules": ("tree",),
        "draft_lengths": (8,),
        "seeds": 1,
        "threads": 2,
        "mode": "replayed",
    }
    results = run_sweep(
        [DATA / "traces" / "methods-t0"],
        [
            SweepSettings(tuple(GOLDEN_TREES), **common),
            SweepSettings(("hedge", "normalhedge"), losses=("length",), **common),
        ],
    )
    rows = _of_length(results.summary)
    found = {row["selector"]: row["rounds"] for row in rows.iter_rows(named=True)}
    assert found == GOLDEN_TREES


@pytest.mark.slow
def test_a_tree_beats_the_chain_of_eight_for_every_head():
    """EAGLE-2's claim (2406.16858)."""
    heads = ("fixed:generalist", "fixed:expert-math", "fixed:parallel", "fixed:redrafter")
    rounds = {
        rule: run_sweep(
            [DATA / "traces" / "methods-t0"],
            SweepSettings(selectors=heads, rules=(rule,), draft_lengths=(8,)),
        )
        .summary["rounds"]
        .to_numpy()
        for rule in ("greedy", "tree")
    }
    assert (rounds["tree"] < 0.9 * rounds["greedy"]).all()


@pytest.mark.parametrize("trace", TRACES)
def test_the_papers_order_holds_on_real_text(trace):
    """Full information above bandits above chance; nobody above the switching oracle."""
    rows = swept(trace).summary
    mat = dict(zip(rows["selector"], rows["mat"], strict=True))
    assert mat["oracle"] > mat["normalhedge"] > mat["hedge"] > mat["ucbspec"]
    assert mat["ucbspec"] > mat["exp3spec"] > mat["uniform"]
    best = max(value for name, value in mat.items() if name.startswith("fixed:"))
    assert mat["best-fixed"] >= best


def test_choosing_matters_on_the_domain_mix():
    """Every expert is far ahead of the generalist at home, and so is the best of each query."""
    rows = swept("domain-mix-t0.7").per_query
    by_domain = rows.group_by("selector", "domain").agg(
        pl.col("tokens").sum() / pl.col("rounds").sum()
    )
    mat = {(selector, domain): value for selector, domain, value in by_domain.iter_rows()}
    experts = [name for name in rows["selector"].unique() if name.startswith("fixed:expert-")]
    assert len(experts) == 7
    for expert in experts:
        home = expert.removeprefix("fixed:expert-")
        assert mat[expert, home] > 1.15 * mat["fixed:generalist", home], expert
    rounds = dict(rows.group_by("selector").agg(pl.col("rounds").sum()).iter_rows())
    assert rounds["fixed:generalist"] > 1.35 * rounds["best-fixed"]


def test_full_information_is_near_the_best_fixed_drafter_on_long_answers():
    rows = swept("domain-mix-t0.7").per_query.filter(pl.col("tokens") > 200)
    rounds = dict(rows.group_by("selector").agg(pl.col("rounds").sum()).iter_rows())
    for learner in ("normalhedge", "hedge"):
        assert rounds[learner] < 1.03 * rounds["best-fixed"], learner
    for bandit in ("ucbspec", "exp3spec"):
        assert rounds[bandit] > 1.15 * rounds["best-fixed"], bandit
