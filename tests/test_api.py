"""The public API: docs/api.md as it stands, and what it promises beside."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import hedgespec
from hedgespec.errors import HedgespecError
from hedgespec.selectors import built_in
from hedgespec.selectors.feedback import parse_feedback
from hedgespec.simulator import Replayer, SweepSettings, run_sweep
from tests.helpers.synthetic import write_trace

ROOT = Path(__file__).parents[1]
BLOCKS = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "api.md").read_text(), re.DOTALL)


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The names after the first two blocks of the page, run where it says nothing of folders."""
    import os

    before = Path.cwd()
    os.chdir(tmp_path_factory.mktemp("page"))
    names: dict = {}
    try:
        for block in BLOCKS[:2]:
            exec(block, names)
        names["folder"] = Path.cwd()
    finally:
        os.chdir(before)
    return names


@pytest.fixture(scope="module")
def trace(tmp_path_factory):
    return write_trace(tmp_path_factory.mktemp("trace") / "trace", lengths=(40, 30))


@pytest.mark.slow
def test_the_page_runs_in_fifteen_lines(page):
    lines = [line for line in BLOCKS[0].splitlines() if line.strip()]
    assert len(lines) <= 15
    assert set(page["results"].summary["selector"]) == {
        "normalhedge",
        "hedge:eta=0.05",
        "ucbspec",
        "best-fixed",
    }
    for made in ("regret.png", "my-report/report.html", "my-results/summary.parquet"):
        assert (page["folder"] / made).is_file()
    assert page["page"].name == "report.html"


@pytest.mark.slow
def test_a_learner_of_ones_own_is_what_the_page_says(page):
    table = page["mine"].overview().sort("selector")
    rows = {row["selector"]: row["rounds"] for row in table.to_dicts()}
    assert rows["recent:keep=1"] == rows["ftl"] != rows["recent"]


def test_results_are_those_of_the_simulator(trace):
    one = hedgespec.simulate(trace, ["hedge", "uniform"], seeds=2, feedbacks="every:2")
    other = run_sweep(
        [trace.folder],
        SweepSettings(
            selectors=("hedge", "uniform"), seeds=2, feedbacks=(parse_feedback("every:2"),)
        ),
    )
    assert one.per_query.equals(other.per_query)
    assert one.summary.drop("rounds_per_second").equals(other.summary.drop("rounds_per_second"))
    found = hedgespec.replay(trace, "hedge", seed=1, feedback="every:2", loss="accept")
    wanted = Replayer(trace).run("hedge", 1, parse_feedback("every:2"), found.loss)
    np.testing.assert_array_equal(found.choice, wanted.choice)
    assert found.loss.label == "accept"


def test_tables_are_frames_and_come_back(trace, tmp_path):
    results = hedgespec.simulate(trace, "uniform")
    assert "uniform" in results._repr_html_()
    results.save(tmp_path / "out")
    again = hedgespec.read_results(tmp_path / "out")
    assert again.summary.equals(results.summary)
    assert hedgespec.read_trace(trace.folder).name == trace.name
    assert "domain-mix-t0.7" in hedgespec.trace_names()


def test_pandas_on_request(trace):
    results = hedgespec.simulate(trace, "uniform")
    pandas = pytest.importorskip("pandas")
    frame = results.to_pandas("per_query")
    assert isinstance(frame, pandas.DataFrame)
    assert frame["rounds"].tolist() == results.per_query["rounds"].to_list()
    with pytest.raises(HedgespecError, match="table='rounds': there are summary"):
        results.to_pandas("rounds")


def test_a_grid_is_run_with_overrides(trace, tmp_path):
    grid = tmp_path / "grid.toml"
    grid.write_text(f'traces = ["{trace.folder}"]\nseeds = 3\n[[run]]\nselectors = ["ucbspec"]\n')
    results = hedgespec.sweep(grid, seeds=2)
    assert sorted(results.summary["seed"]) == [0, 1]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda trace: hedgespec.read_trace("domain-mx-t0.7"), "did you mean 'domain-mix-t0.7'"),
        (lambda trace: hedgespec.simulate(trace, "hegde"), "did you mean 'hedge'"),
        (lambda trace: hedgespec.simulate(trace, "hedge", seed=3), "did you mean 'seeds'"),
        (
            lambda trace: hedgespec.simulate(trace, "hedge", seeds=0),
            "seeds must be at least 1, not 0",
        ),
        (
            lambda trace: hedgespec.simulate(trace, "hedge", feedbacks="sometimes"),
            "unknown feedback",
        ),
        (lambda trace: hedgespec.simulate(trace, "hedge", losses="none"), "unknown loss"),
        (
            lambda trace: hedgespec.replay(trace, "ucbspec", feedback="bold"),
            "feedback='bold' makes no sense for it",
        ),
        (
            lambda trace: hedgespec.configure("hedge", rate=1),
            "unknown parameter 'rate'; it has: eta",
        ),
        (lambda trace: hedgespec.configure("hedge", eta="fast"), "is not a number"),
        (
            lambda trace: hedgespec.figure(hedgespec.simulate(trace, "uniform"), "regrets"),
            "did you mean 'regret'",
        ),
    ],
)
def test_errors_name_the_argument(trace, call, message):
    with pytest.raises(HedgespecError) as error:
        call(trace)
    assert message in str(error.value)
    assert "--" not in str(error.value)


def test_a_selector_with_the_name_of_a_built_in_one_is_refused():
    from dataclasses import replace

    with pytest.raises(HedgespecError, match="a built-in one has that name"):
        hedgespec.configure(replace(built_in("hedge"), name="ftl"))


def test_a_trace_made_in_memory_says_that_it_has_no_folder(trace):
    from dataclasses import replace

    with pytest.raises(HedgespecError, match="use replay"):
        hedgespec.simulate(replace(trace, folder=None), "uniform")


def test_figures_are_matplotlibs(trace):
    from matplotlib.figure import Figure

    results = hedgespec.simulate(trace, ["uniform", "hedge", "fixed:drafter-0", "best-fixed"])
    assert isinstance(hedgespec.figure(results), Figure)
    assert {"regret", "gains", "pareto"} <= hedgespec.figure_names().keys()
    with pytest.raises(HedgespecError, match="number=9"):
        hedgespec.figure(results, number=9)


def test_the_package_can_be_imported_without_torch_or_numba():
    code = (
        "import sys, hedgespec; assert hedgespec.__version__; dir(hedgespec); "
        "assert not {'torch', 'numba', 'polars'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_every_public_name_is_there_and_explained():
    for name in hedgespec.__all__:
        found = getattr(hedgespec, name)
        if name not in ("__version__", "compiled"):
            assert found.__doc__, name
    assert (Path(hedgespec.__file__).parent / "py.typed").is_file()
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        hedgespec.nothing  # noqa: B018


@pytest.mark.slow
def test_models_in_memory_decode_as_the_page_says(tiny_models):
    transformers = pytest.importorskip("transformers")
    model = transformers.AutoModelForCausalLM.from_pretrained(tiny_models["target"])
    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny_models["target"])
    names: dict = {"hedgespec": hedgespec}
    exec(BLOCKS[2], names)
    text, mat = names["decode"](model, tokenizer)
    assert text
    assert mat >= 1


def test_tables_are_polars(trace):
    assert isinstance(hedgespec.simulate(trace, "uniform").curves, pl.DataFrame)
