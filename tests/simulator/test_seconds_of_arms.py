"""Seconds by drafter: what a replay takes more where one drafter's costs are more."""

from dataclasses import replace

import numpy as np
import pytest

from hedgespec.bundled import trace_folder
from hedgespec.costs.file import with_costs
from hedgespec.costs.parts import DRAFT, READING, TARGET, with_drafter
from hedgespec.selectors.feedback import parse_feedback
from hedgespec.simulator.replayer import Replayer
from hedgespec.traces import TraceReader

MORE = 1e-3
RUNS = {
    "exact": lambda replayer: replayer.run_exact("hedge"),
    "uniform": lambda replayer: replayer.run_exact("uniform"),
    "each round": lambda replayer: replayer.run("hedge", 1),
    "seldom": lambda replayer: replayer.run("hedge", 1, parse_feedback("batch:16")),
    "some": lambda replayer: replayer.run("ftl", 1, parse_feedback("limited:2")),
    "bandit": lambda replayer: replayer.run("ucbspec", 1),
    "alone": lambda replayer: replayer.run_exact("fixed:prompt-lookup"),
    "none": lambda replayer: replayer.run_exact("none"),
}


@pytest.fixture(scope="module")
def trace():
    """Of its drafters prompt lookup drafts now more, now less."""
    return TraceReader(trace_folder("spec-bench-t1")).read(np.arange(4))


def costs_of(trace, together, begins, reads):
    """Its costs, with or without evaluation in one batch, what precedes drafts, and long texts."""
    costs = trace.manifest.costs
    most = {"24": 3.0}
    drafters = {
        name: replace(
            one,
            begin=3e-4 if begins and number % 2 else None,
            reads={width: times * one.evaluate for width, times in most.items()} if reads else {},
        )
        for number, (name, one) in enumerate(costs.drafters.items())
    }
    whole = costs.evaluate_all if together else None
    return replace(
        costs,
        drafters=drafters,
        evaluate_all=whole,
        reads={width: 2.5 * times / 3 * whole for width, times in most.items()}
        if reads and whole
        else {},
    )


@pytest.mark.parametrize(
    ("together", "begins", "reads"),
    [(False, False, False), (True, False, False), (True, True, True), (False, True, True)],
)
@pytest.mark.parametrize("lengths", [(), (0, 2, 5)], ids=["drafters", "arms"])
def test_one_drafters_seconds_are_what_it_takes_more(trace, together, begins, reads, lengths):
    costs = costs_of(trace, together, begins, reads)
    replayer = Replayer(with_costs(trace, costs), arm_lengths=lengths)
    names = np.array([name or "" for name in replayer.arms.drafter_names(trace)])
    for kind, made in RUNS.items():
        if lengths and kind == "alone":
            continue  # is no arm then
        run = made(replayer)
        spent = replayer.per_query(replayer.seconds(run)[0])
        for part, seconds in zip((DRAFT, READING), replayer.seconds_of_arms(run), strict=True):
            for name in costs.drafters:
                times = {DRAFT: 1.0, TARGET: 1.0, READING: 1.0, part: 1 + MORE}
                other = replayer.under(with_drafter(costs, name, times))
                more = (other.per_query(other.seconds(run)[0]) - spent) / MORE
                np.testing.assert_allclose(
                    seconds[:, names == name].sum(axis=1),
                    more,
                    rtol=1e-6,
                    atol=1e-9,
                    err_msg=f"{kind}, {part} {name}",
                )
        assert (kind == "none") == (not np.any(replayer.seconds_of_arms(run)[0]))


def test_what_no_drafter_reads_alone_is_read_in_one_batch(trace):
    """Before each round but a text's first, of the costs with which that takes less."""
    costs = costs_of(trace, together=True, begins=False, reads=False)
    replayer = Replayer(with_costs(trace, costs))
    run = replayer.run("hedge", 1)
    spent = replayer.per_query(replayer.seconds(run)[0])
    doubled = replace(costs, evaluate_all=2 * costs.evaluate_all)
    assert doubled.evaluate_all > sum(one.evaluate for one in costs.drafters.values())
    more = replayer.under(doubled)
    alone = more.seconds_of_arms(run)[1].sum(axis=1)
    evaluated = replayer.per_query(run.evaluated)
    batch = evaluated * costs.evaluate_all
    assert batch.min() > 0
    np.testing.assert_allclose(
        more.per_query(more.seconds(run)[0]) - spent,
        alone - batch - replayer.seconds_of_arms(run)[1].sum(axis=1),
        atol=1e-9,
    )
