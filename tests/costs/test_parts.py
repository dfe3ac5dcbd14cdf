"""What seconds are made of: parts that grow with their own costs."""

from dataclasses import fields

import numpy as np
import pytest

from hedgespec.costs.file import with_costs
from hedgespec.costs.parts import PART_OF, PARTS, doubled, scaled
from hedgespec.selectors.feedback import parse_feedback
from hedgespec.selectors.learning import parse_loss
from hedgespec.simulator import Replayer
from hedgespec.traces import Costs, DrafterCosts, TargetCosts
from tests.helpers.synthetic import write_trace

COSTS = Costs(
    "test",
    "float32",
    256,
    5,
    TargetCosts(0.02, 0.03),
    {
        f"drafter-{arm}": DrafterCosts(0.001 * (arm + 1), 0.005, 0.002, 0.004 if arm else None)
        for arm in range(3)
    },
    evaluate_all=0.005,
    overhead=0.0003,
    evaluation_overhead=0.0007,
    widths={"3": 0.024},
    evaluate_together={"2": 0.0035},
)
RUNS = [
    ("none", None),
    ("fixed:drafter-1", None),
    ("ucbspec", None),
    ("hedge", "queued"),
    ("hedge", "batch:4"),
    ("ftl", "eliminate:2,0.1"),
    ("ftl", "limited:2"),
]


@pytest.fixture(scope="module")
def replayer(tmp_path_factory):
    return Replayer(with_costs(write_trace(tmp_path_factory.mktemp("trace") / "t"), COSTS))


def test_every_number_of_costs_is_of_a_part_or_known_to_be_of_none():
    known = {
        "device",
        "dtype",
        "context",
        "draft_length",
        "drafters",
        "overhead",
        "evaluation_overhead",
        "part_overhead",
        "spread",
        "engine",
        "made",
        "batch",
        "conditions",
        "kind",
    }
    names = {item.name for holder in (Costs, DrafterCosts) for item in fields(holder)}
    assert names <= known | PART_OF.keys()


@pytest.mark.parametrize(("selector", "feedback"), RUNS)
def test_parts_grow_with_their_costs_and_add_up(replayer, selector, feedback):
    """The same decisions under costs moved apart, even where the cheaper of two ways to evaluate is
    taken."""
    run = replayer.run(
        selector,
        1,
        None if feedback is None else parse_feedback(feedback),
        None if feedback is None else parse_loss("accept"),
    )
    times = dict(zip(PARTS, (3.0, 0.25, 7.0), strict=True))
    once = replayer.seconds(run)[0]
    found = {part: replayer.under(doubled(COSTS, part)).seconds(run)[0] - once for part in PARTS}
    rest = once - sum(found.values())
    overheads = COSTS.overhead * run.visits + COSTS.evaluation_overhead * run.evaluated
    assert rest == pytest.approx(overheads, abs=1e-12)
    moved = replayer.under(scaled(COSTS, times)).seconds(run)[0]
    assert moved == pytest.approx(rest + sum(times[part] * found[part] for part in PARTS))
    assert np.all(found["target"][run.visits > 0] > 0)
