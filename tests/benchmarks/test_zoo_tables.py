"""The tables of a kept zoo in the docs are its own, and what is said of them is so."""

import json

import pytest

from benchmarks import zoo_tables
from benchmarks.pages import marked
from benchmarks.zoo_tables import KEPT, PAGE

ZOO = json.loads(KEPT.read_text(encoding="utf-8"))
TABLE = ZOO["tokens_per_round"]
HOMES = {name: name.removeprefix("expert-") for name in TABLE if name.startswith("expert-")}


@pytest.mark.parametrize("name", zoo_tables.SECTIONS)
def test_the_docs_have_the_tables_of_the_file(name):
    assert marked(PAGE.read_text(encoding="utf-8"), name) == zoo_tables.tables()[name]


def test_what_the_docs_say_of_the_mixed_generalist_and_of_experts():
    assert len(HOMES) == 5
    for expert, home in HOMES.items():
        assert TABLE["generalist-mixed"][home] >= TABLE[expert][home] > TABLE["generalist"][home]
    steps = {name: points[-1]["step"] for name, points in ZOO["curves"].items()}
    assert {steps[expert] for expert in HOMES} == {112}
    assert (steps["generalist"], steps["generalist-mixed"]) == (675, 5 * 112)
    text = PAGE.read_text(encoding="utf-8")
    assert "409 s on two" in text
    assert sum(ZOO["seconds"].values()) == pytest.approx(409, abs=1)
    assert round(sum(ZOO["answer_tokens"].values()) / 1e6, 1) == 3.6
