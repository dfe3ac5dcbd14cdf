"""An unknown name of any kind is answered with the nearest one; bundled traces go by name."""

import pytest

from hedgespec.api import figure
from hedgespec.bundled import trace_names
from hedgespec.cli import main
from hedgespec.errors import HedgespecError
from hedgespec.zoo.settings import ExperimentSettings
from tests.helpers.faulty_learners import learner
from tests.helpers.synthetic import write_trace


@pytest.fixture(scope="module")
def trace(tmp_path_factory):
    folder = tmp_path_factory.mktemp("names") / "trace"
    write_trace(folder)
    return str(folder)


def told(capsys, *arguments: str) -> str:
    try:
        status = main(list(arguments))
    except SystemExit as left:  # argparse
        status = int(left.code) - 1
    assert status == 1
    return capsys.readouterr().err.strip().splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (["simm"], "sim"),
        (["sim", "--selektors", "hedge"], "--selectors"),
        (["sim", "--selectors", "Hedge"], "hedge"),
        (["sim", "--selectors", "hedge:eeta=1"], "eta"),
        (["sim", "--selectors", "fixed:drafter1"], "drafter-1"),
        (["sim", "--selectors", "best-fixd"], "best-fixed"),
        (["sim", "--rule", "sampeling"], "sampling"),
        (["sim", "--loss", "lenght"], "length"),
        (["sim", "--estimator", "gama"], "gamma"),
        (["sim", "--feedback", "quued"], "queued"),
        (["sim", "--feedback", "evry:4"], "every"),
        (["sim", "--mode", "exakt"], "exact"),
        (["sim", "--arms", "drafter1*2"], "drafter-1"),
        (["sim", "--costs", "llama-3.1-8b-h10"], "llama-3.1-8b-h100"),
        (["sim", "--selectors", "router:spec-bench-t2"], "spec-bench-t1"),
        (["synthetic", "iidd", "--out", "nowhere"], "iid"),
        (["zoo", "--loss", "kll"], "kl"),
        (["traces", "lst"], "list"),
        (["subset", "spec-bench-t2", "--out", "nowhere"], "spec-bench-t1"),
        (["validate", "spec-bench-t2"], "spec-bench-t1"),
    ],
)
def test_the_nearest_name_is_suggested(trace, tmp_path, monkeypatch, capsys, arguments, meant):
    monkeypatch.chdir(tmp_path)
    if arguments[0] == "sim":
        arguments = [*arguments, "--traces", trace]
    assert f"did you mean {meant!r}?" in told(capsys, *arguments)


def test_a_bundled_trace_that_is_not_there_is_told_from_its_neighbours(capsys):
    assert "did you mean 'spec-bench-t1'?" in told(capsys, "sim", "--traces", "spec-bench-t2")


def test_figures_and_learners_of_a_file(tmp_path, capsys):
    with pytest.raises(HedgespecError, match="did you mean 'regret'"):
        figure(tmp_path, "regrets")
    (tmp_path / "mine.py").write_text(learner())
    assert "did you mean 'LEARNER'?" in told(
        capsys, "sim", "--selectors", f"{tmp_path / 'mine.py'}:LERNER"
    )


def test_bundled_traces_are_listed(capsys):
    assert main(["traces", "list"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in trace_names())


@pytest.mark.parametrize("temperatures", [("1000",), ("-1",), ("nan",), ("0.7", "0.7")])
def test_temperatures_are_refused_before_a_zoo_is_made(capsys, temperatures):
    assert "--temperatures" in told(capsys, "traces", "--temperatures", *temperatures)


def test_temperatures_are_refused_in_python():
    with pytest.raises(HedgespecError, match="temperatures=1000"):
        ExperimentSettings(None, temperatures=(1000.0,)).check()


def test_ctrl_c_while_a_command_is_imported_is_told_in_a_line(capsys, monkeypatch):
    def pressed(name: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("hedgespec.cli.import_module", pressed)
    assert main(["validate"]) == 130
    assert capsys.readouterr().err == "hedgespec: interrupted\n"
