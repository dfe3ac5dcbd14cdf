"""Labels: what is printed is read again, and what is no label is told."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hedgespec.errors import HedgespecError
from hedgespec.results.labels import (
    FIXED,
    ArmLabel,
    LossLabel,
    PoolLabel,
    QueryLabel,
    SelectorLabel,
    fixed,
    join_arms,
    join_parameters,
    join_terms,
    questions,
    shortest,
    split_arms,
    split_parameters,
    split_terms,
)

DRAFTERS = st.from_regex(r"[a-z0-9][a-z0-9._-]*", fullmatch=True)
RULES = st.from_regex(r"[a-z][a-z-]*(:[a-z0-9][a-z0-9.-]*)?", fullmatch=True)
NAMES = st.from_regex(r"[a-z][a-z0-9-]*", fullmatch=True)
VALUES = st.floats(allow_nan=False).map(shortest)
PARAMETERS = st.lists(st.tuples(st.from_regex(r"[a-z_]+", fullmatch=True), VALUES), min_size=1)
TEXT = st.text(min_size=1)
ARMS = st.builds(ArmLabel, DRAFTERS, st.just("") | RULES, st.none() | st.integers(1, 10_000))


@given(
    st.lists(st.tuples(NAMES, st.just("") | st.from_regex(r"[^+]+", fullmatch=True)), min_size=1)
)
def test_terms(terms):
    assert split_terms(join_terms(terms)) == terms


@given(PARAMETERS)
def test_parameters(values):
    assert split_parameters(join_parameters(values)) == values


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_keep_every_bit(value):
    assert float(shortest(value)) == value


@given(ARMS)
def test_arms(arm):
    assert ArmLabel.parse(str(arm)) == arm


@given(st.lists(ARMS | st.integers(1, 10_000)))
def test_lists_of_arms(arms):
    assert split_arms(join_arms(arms)) == [str(arm) for arm in arms]


@given(
    st.one_of(
        st.builds(SelectorLabel, NAMES, st.none() | PARAMETERS.map(join_parameters)),
        st.builds(SelectorLabel, st.just(FIXED[:-1]), ARMS.map(str)),
        st.builds(SelectorLabel, st.just("router"), st.none() | TEXT),
        st.builds(
            SelectorLabel,
            st.from_regex(r"[A-Za-z_]\w*", fullmatch=True),
            st.none() | PARAMETERS.map(join_parameters),
            st.from_regex(r"([a-z]{1,3}/)?[a-z@*]{1,9}\.py", fullmatch=True),
        ),
    )
)
def test_selectors(label):
    assert SelectorLabel.parse(str(label)) == label


@given(
    st.builds(
        LossLabel,
        NAMES.filter(str.isalpha),
        st.none() | st.floats(0, 1),
        st.sampled_from(["", "gamma", "rb", "realised"]),
        st.booleans(),
    )
)
def test_losses(label):
    assert LossLabel.parse(str(label)) == label


@given(st.builds(PoolLabel, TEXT, st.integers(1, 10_000), st.integers(0, 10_000)))
def test_pools(label):
    assert PoolLabel.parse(str(label)) == label


@given(
    st.builds(
        QueryLabel,
        NAMES.filter(lambda name: not name.endswith("-rephrased")),
        st.integers(0, 99),
        st.booleans(),
    )
)
def test_queries(label):
    assert QueryLabel.parse(str(label)) == label


@pytest.mark.parametrize(
    ("text", "arm", "trace"),
    [
        ("fixed:a@kseq:4*12", "a@kseq:4*12", None),
        ("fixed:", "", None),
        ("fixed", None, None),
        ("router:domain-mix-t0", None, "domain-mix-t0"),
        ("router:", None, None),
        ("router:/data/a.py:b", None, "/data/a.py:b"),
        ("router", None, None),
        ("my.py:router:x=1", None, None),
        ("hedge:eta=0.1", None, None),
    ],
)
def test_what_a_selector_always_takes_and_what_a_router_learns_from(text, arm, trace):
    label = SelectorLabel.parse(text)
    assert (label.arm, label.trace) == (arm, trace)
    assert label.routes == text.startswith("router")
    assert str(label) == text
    if arm is not None:
        assert fixed(arm) == text


@pytest.mark.parametrize("text", ["", "a**3", "a*0", "a*03", "@tree", "a@", "a@b@c"])
def test_what_is_no_arm(text):
    assert ArmLabel.parse(text) is None


@pytest.mark.parametrize(
    "text", ["", "length:gamma:rb", "hybrid:0.5.1", "length:prefill:gamma", "Length", "length:"]
)
def test_what_is_no_loss(text):
    with pytest.raises(HedgespecError, match="expected KIND"):
        LossLabel.parse(text)


def test_a_trace_as_it_was_recorded_is_no_pool():
    assert PoolLabel.parse("domain-mix-t0.7") is None
    assert PoolLabel.parse("domain-mix-t0.7.n64") == PoolLabel("domain-mix-t0.7", 64)


def test_turns_and_other_words_belong_to_one_question():
    assert questions(["81", "82", "81/1", "81-rephrased", "81-rephrased/1", "83"]) == [
        0,
        1,
        0,
        0,
        0,
        2,
    ]


def test_ids_that_only_look_like_turns_are_questions_of_their_own():
    assert questions(["HumanEval/0", "HumanEval/1", "HumanEval/2"]) == [0, 1, 2]
