"""Errors that name arguments, right in Python and at the shell."""

import ast
import pickle
from pathlib import Path

import pytest

import hedgespec
from hedgespec.cli import main
from hedgespec.errors import HedgespecError, arg, at_shell, did_you_mean

PACKAGE = Path(hedgespec.__file__).parent


@pytest.mark.parametrize(
    ("named", "python", "shell"),
    [
        (arg("draft_length"), "draft_length", "--draft-length"),
        (arg("mode", "auto"), "mode='auto'", "--mode auto"),
        (arg("seeds", 0), "seeds=0", "--seeds 0"),
        (arg("costs", False), "costs=False", "--no-costs"),
        (arg("resume", True), "resume=True", "--resume"),
        (arg("costs", Path("a b")), "costs='a b'", "--costs a b"),
        (arg("rules", ("gumbel", "block")), "rules=('gumbel', 'block')", "--rules gumbel block"),
    ],
)
def test_an_argument_is_named_as_its_reader_knows_it(named, python, shell):
    error = HedgespecError(f"{named} is wrong, unlike {arg('seed')}")
    assert str(error) == f"{python} is wrong, unlike seed"
    assert error.worded(at_shell) == f"{shell} is wrong, unlike --seed"
    assert pickle.loads(pickle.dumps(error)).worded(at_shell) == error.worded(at_shell)


def test_what_another_package_says_is_cut(tmp_path):
    foreign = " ".join(f"word{number}" for number in range(100_000))
    error = HedgespecError(f"file.json: cannot be read ({foreign}); make it again")
    assert len(str(error)) == len(error.worded(at_shell)) == 2000
    assert str(error).startswith("file.json: cannot be read (word0 word1")
    assert str(error).endswith("word99999); make it again")


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["sim", "--seeds", "0"], "--seeds must be at least 1, not 0"),
        (["sim", "--mode", "bogus"], "--mode must be one of auto, exact, replayed, not 'bogus'"),
        (["sim", "--arms", "nobody"], "--arms nobody: expected DRAFTER"),
        (["sim", "--costs", "nowhere"], "--costs nowhere: not readable as JSON"),
        (
            ["sim", "--selectors", "ucbspec", "--loss", "accept"],
            "--loss accept makes no sense for it",
        ),
        (
            ["sim", "--draft-length", "3", "--arm-lengths", "2"],
            "give --draft-length or --arm-lengths, not both",
        ),
        (["sim", "--pool", "0"], "--pool must be at least 1, not 0"),
        (
            ["sim", "--traces", "domain-mix-t0.7", "--rule", "gumbel"],
            "hedgespec traces --spec-bench",
        ),
        (["synthetic", "iid", "--seed", "-1"], "--seed must be at least 0, not -1"),
        (["synthetic", "idd"], "did you mean 'iid'?"),
        (["subset", "nowhere", "--per-domain", "0"], "--per-domain must be at least 1, not 0"),
        (["synthetic", "iid", "--tokens", "0"], "--tokens must be at least 1, not 0"),
    ],
)
def test_the_shell_is_told_its_options(tmp_path, capsys, command, message):
    assert main([*command, "--out", str(tmp_path / "out")]) == 1
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (
            ["record", "--rules", "tree"],
            "draft trees are recorded with --trees, as in --trees dynamic",
        ),
        (["record", "--top-p", "0"], "--top-p must lie in (0, 1], not 0"),
        (["zoo", "--zoo-temperature", "0"], "--zoo-temperature must be positive, not 0.0"),
        (["zoo", "--seed", "-1"], "--seed must be at least 0, not -1"),
        (["record", "--max-new-tokens", "0"], "--max-new-tokens must be at least 1, not 0"),
        (["zoo", "--domains", "sql", "--small", "law"], "--small law: not among --domains"),
    ],
)
def test_options_called_otherwise_than_their_argument(tmp_path, capsys, command, message):
    pytest.importorskip("torch")
    place = "--zoo" if command[0] == "zoo" else "--out"
    assert main([*command, place, str(tmp_path / "out"), "--device", "cpu"]) == 1
    assert message in capsys.readouterr().err


def raised_texts(path: Path) -> list[str]:
    """Every string in a `raise` of a file."""
    return [
        part.value
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Raise)
        for part in ast.walk(node)
        if isinstance(part, ast.Constant) and isinstance(part.value, str)
    ]


def test_no_error_outside_the_command_line_speaks_of_its_options():
    """They name arguments, with `arg`; only the command line knows the options that set them."""
    found = {
        path: raised_texts(path)
        for path in PACKAGE.rglob("*.py")
        if PACKAGE / "cli" not in path.parents
    }
    assert sum(map(len, found.values())) > 200
    assert not [
        (path, text)
        for path, texts in found.items()
        for text in texts
        if text.startswith("--") or " --" in text
    ]


def test_a_near_name_is_suggested():
    assert did_you_mean("hegde", ["hedge", "uniform"]) == "; did you mean 'hedge'?"
    assert did_you_mean("magic", ["hedge", "uniform"]) == ""
