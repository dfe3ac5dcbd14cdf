"""Colours: told apart with any kind of colour vision, readable, and the same in every report."""

from itertools import combinations

import numpy as np
import pytest

from hedgespec.analysis.figures import looks
from hedgespec.analysis.figures.looks import COLOURS, SERIES, look
from hedgespec.analysis.html import page_data
from hedgespec.selectors.registry import BASELINES, BUILT_IN, CONTEXTUAL
from tests.helpers.colour_vision import VISION, ciede2000, lab, linear


@pytest.mark.parametrize(
    ("one", "two", "expected"),
    [
        ((50, 2.6772, -79.7751), (50, 0, -82.7485), 2.0425),
        ((50, 2.5, 0), (50, 0, -2.5), 4.3065),
        ((50, -1, 2), (50, 0, 0), 2.3669),
        ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
        ((22.7233, 20.0904, -46.6940), (23.0331, 14.9730, -42.5619), 2.0373),
        ((2.0776, 0.0795, -1.1350), (0.9033, -0.0636, -0.5514), 0.9082),
    ],
)
def test_ciede2000_is_that_of_its_published_pairs(one, two, expected):
    assert ciede2000(np.array(one), np.array(two)) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("vision", VISION)
@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_eight_colours_are_told_apart_with_any_colour_vision(theme, vision):
    seen = [lab(COLOURS[name][theme], vision) for name in SERIES]
    assert min(ciede2000(one, two) for one, two in combinations(seen, 2)) >= 10


def contrast(one: str, two: str) -> float:
    """WCAG's contrast ratio of two colours."""
    bright = [linear(colour) @ [0.2126, 0.7152, 0.0722] + 0.05 for colour in (one, two)]
    return max(bright) / min(bright)


@pytest.mark.parametrize("name", [name for name in COLOURS if name not in ("line", "paper")])
def test_labels_can_be_read_light_and_dark(name):
    for colour, paper in zip(COLOURS[name], COLOURS["paper"], strict=True):
        assert contrast(colour, paper) >= 4.5


def test_a_name_has_its_look_whatever_stands_beside_it():
    alone, beside = (
        page_data([], names, {}, [], {})["looks"]
        for names in (["my-learner"], ["a", "my-learner", "hedge"])
    )
    assert alone["my-learner"] == beside["my-learner"]


def test_learners_that_are_run_by_default_have_eight_colours():
    names = ["normalhedge", "hedge", "ucbspec", "exp3spec", "uniform", "router", "best-single"]
    assert len({look(name).colour for name in names}) == len(names)


def test_every_learner_has_a_look_of_its_own():
    names = [*BUILT_IN, *BASELINES, *CONTEXTUAL]
    assert len({look(name) for name in names}) == len(names)


def test_a_drafter_alone_or_none_never_looks_like_a_learner():
    drafters = {look(f"fixed:{name}") for name in looks._DRAFTERS} | {look("none")}
    assert len(drafters) == len(looks._DRAFTERS) + 1
    learners = [*BUILT_IN, *BASELINES, *(f"learner-{number:03}" for number in range(200))]
    assert not drafters & {look(name) for name in learners if name != "none"}


def test_a_name_of_a_user_never_looks_like_one_that_is_in_most_figures():
    listed = {look(name) for name in ("normalhedge", "hedge", "router", "generalist")}
    assert not listed & {look(f"learner-{number:02}") for number in range(100)}


def test_what_is_of_one_drafter_or_learner_has_one_colour():
    for one, other in (
        ("expert-law", "fixed:expert-law"),
        ("hedge", "hedge:eta=0.5"),
        ("expert-law", "fixed:expert-law@tree*3"),
        ("router", "router:other"),
    ):
        assert look(one).colour == look(other).colour
    assert look("hedge:eta=0.5") != look("hedge:eta=0.25")
