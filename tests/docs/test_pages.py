"""Pages made from code say the same of the same quantity, and what the code says."""

from collections.abc import Callable
from functools import cache

import numpy as np
import polars as pl
import pytest

from benchmarks import experiment, findings
from benchmarks.experiment import Answers, comparisons
from benchmarks.findings import (
    GENERALIST,
    REGRET,
    WARM,
    ZOO,
    Inputs,
    Sweep,
    learners,
    router,
)
from benchmarks.pages import Quantity, Said, contradictions
from hedgespec.analysis.figures import gains
from hedgespec.analysis.figures import router as router_figure
from hedgespec.analysis.report_tables import settings_data
from hedgespec.analysis.results import ResultSet
from hedgespec.analysis.study import Study
from hedgespec.bundled import bundled_traces
from hedgespec.results import statistics
from hedgespec.results.keys import RunKey
from hedgespec.results.labels import BEST_FIXED, BEST_SINGLE, FIXED
from hedgespec.results.statistics import Estimate
from hedgespec.results.store import Results
from hedgespec.simulator import SweepSettings, run_sweep

GAIN = "gain in MAT, %"


@pytest.fixture(scope="module")
def results() -> Results:
    """What the tables of learners, of routers and of the zoo are made from."""
    folders = {folder.name: folder for folder in bundled_traces()}
    mixes = tuple(folders[name] for name in ("domain-mix-t0", WARM, "domain-mix-t1"))
    others = (folders["rephrased-t0.7"], folders["spec-bench-t0"])
    return run_sweep(
        [],
        [
            SweepSettings(selectors=("default", BEST_SINGLE, "router"), traces=mixes),
            SweepSettings(selectors=("normalhedge", "router", f"router:{WARM}"), traces=others),
        ],
    )


@cache
def under_accept() -> Results:
    """NormalHedge under the other loss of the table of routers."""
    return run_sweep(
        bundled_traces(), SweepSettings(selectors=("normalhedge",), losses=("accept",))
    )


def inputs_of(results: Results) -> Inputs:
    return Inputs(Sweep(results), Sweep(results), {ZOO: Sweep(under_accept())})


def said_by_findings(results: Results) -> Said:
    inputs = inputs_of(results)
    learners(inputs)
    router(inputs)
    return inputs.sweep.said


def said_by_zoo(results: Results) -> Said:
    answers = Answers(results, WARM)
    comparisons(answers)
    return answers.said


def said_by_report(results: Results) -> Said:
    """What a report's table of settings, its figure of routers and its findings on gains say."""
    run, said = ResultSet(results), Said()
    study = Study.of(run, [], ["normalhedge", "hedge", "ucbspec"], BEST_SINGLE)
    for trace in study.traces:
        rows = settings_data(study, trace)
        for key, row in zip(RunKey.of_rows(rows), rows.iter_rows(named=True), strict=True):
            said[Quantity(REGRET, key)] = row["regret"], row["regret_low"], row["regret_high"]
    keys = {(key.trace, key.selector): key for key in RunKey.of_rows(run.settings)}
    for row in pl.concat(figure.data for figure in router_figure.draw(study)).iter_rows(named=True):
        more = np.array([row[f"difference{end}"] for end in ("", "_low", "_high")])
        pair = keys[row["trace"], row["selector"]], keys[row["trace"], row["router"]]
        said[Quantity(REGRET, *pair)] = tuple(more)
        said[Quantity(REGRET, *pair[::-1])] = tuple(-more[[0, 2, 1]])
    better = [
        name
        for name in run.answers(WARM).settings["selector"]
        if name.startswith(f"{FIXED}expert-")
    ] + [BEST_FIXED]
    for name in better:
        first = next(gains.draw(Study.of(run, [WARM], [name], GENERALIST)))
        [claim] = first.claims
        said[Quantity(GAIN, keys[WARM, name], keys[WARM, GENERALIST])] = (
            claim.value,
            claim.low,
            claim.high,
        )
    return said


PAGES = {"findings": said_by_findings, "zoo": said_by_zoo, "report": said_by_report}


@pytest.fixture(scope="module")
def said(results) -> dict[str, Said]:
    return {name: read(results) for name, read in PAGES.items()}


def test_pages_agree_on_every_quantity_that_two_of_them_state(said):
    shared = {
        (one, other): len(said[one].keys() & said[other].keys())
        for one in said
        for other in said
        if one < other
    }
    # Regret of 7 selectors on three traces, and of 5 routers: each beside NormalHedge, and the
    # difference. Seven experts, and the best fixed drafter, against the generalist.
    assert shared == {
        ("findings", "report"): 3 * 7 + 2 * 2 + 5,
        ("findings", "zoo"): 0,
        ("report", "zoo"): 8,
    }
    for one, other in shared:
        assert contradictions(said[one], said[other]) == []


@pytest.mark.parametrize(
    ("page", "beside"),
    [("findings", "report"), ("zoo", "report"), ("report", "findings"), ("report", "zoo")],
)
def test_a_page_that_used_other_draws_would_be_found(results, said, monkeypatch, page, beside):
    monkeypatch.setattr(statistics, "DRAWS", 2_000)
    odd = contradictions(PAGES[page](results), said[beside])
    # All but ends at one and the same query, if most queries have the same regret.
    assert len(odd) > 0.9 * len(said[page].keys() & said[beside].keys())


def within_domains(domain: np.ndarray) -> Callable[..., Estimate]:
    """The gain of one selector whose queries are drawn within each domain (Q)."""

    def gain(rounds: np.ndarray, base: np.ndarray, questions: np.ndarray) -> Estimate:
        if len(rounds) != len(domain):  # on some of the queries only
            return statistics.mat_gain(rounds, base, questions)
        sums = sum(
            statistics.resampled_sums(np.column_stack([base, rounds])[domain == one])
            for one in np.unique(domain)
        )
        draws = 100 * (sums[:, :1] / sums[:, 1:] - 1)
        low, high = np.quantile(draws, (0.025, 0.975), axis=0)
        return Estimate(
            100 * (base.sum() / rounds.sum(axis=0) - 1), low, high, low, len(base), len(base)
        )

    return gain


def test_a_page_whose_estimator_draws_within_domains_would_be_found(results, said, monkeypatch):
    domain = ResultSet(results).answers(WARM).domain
    monkeypatch.setattr(experiment, "mat_gain", within_domains(domain))
    odd = said_by_zoo(results)
    assert len(contradictions(odd, said["report"])) == 8
    [narrower] = [
        quantity
        for quantity in odd
        if quantity.run.selector == f"{FIXED}expert-python" and not quantity.queries
    ]
    assert odd[narrower][1] > 0 > said["zoo"][narrower][1]  # another verdict on one quantity


def test_findings_have_the_rows_that_the_bundled_traces_give(results):
    page = findings.DOCUMENT.read_text(encoding="utf-8")
    inputs = inputs_of(results)
    for table in (learners, router):
        header, rule, *rows = table(inputs).splitlines()
        assert len(rows) >= 5
        for line in (header, rule, *rows):
            assert f"{line}\n" in page, "run `make findings`"
