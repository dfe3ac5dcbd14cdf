"""Every command that a page, a help text or a docstring tells can be given as it stands."""

import argparse
import ast
import importlib
import importlib.util
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from hedgespec.cli import COMMANDS, MODULES, make_parser

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    str(path.relative_to(ROOT))
    for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"))
    if path.name != "CHANGELOG.md"
)
SOURCES = sorted(
    str(path.relative_to(ROOT))
    for folder in ("hedgespec", "examples", "benchmarks")
    for path in (ROOT / folder).rglob("*.py")
)
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
_INLINE = re.compile(r"`(hedgespec [^`]+)`")
_COMMENT = re.compile(r"\s(?:#|\s{2,}\S).*")  # behind a command, after two spaces or a #
_NONE_OF_OURS = {  # of other programs, named beside ours
    "--help",
    "--port",
    "--api-key",
    "--max-logprobs",
    "--logprobs-mode",
    "--speculative-config",
    "--model-path",
    "--nproc-per-node",
    "--index-url",
    "--every-case",
    "--per-request-spec-decode-metrics",
}


@cache
def parser() -> argparse.ArgumentParser:
    """With the options of every command."""
    return make_parser(list(COMMANDS))[0]


def options_of(command: str) -> set[str]:
    [commands] = [
        action for action in parser()._actions if isinstance(action, argparse._SubParsersAction)
    ]
    return set(commands.choices[command]._option_string_actions)


def shell_lines(text: str) -> list[str]:
    """Lines of a text that begin as a command of ours does, long ones joined."""
    lines = re.sub(r"\\\n\s*", " ", text).splitlines()
    starts = (re.sub(r"^\s*(?:\$ |\w+=\S+ )*", "", line) for line in lines)
    return [line for line in starts if re.match(r"hedgespec [a-z-]+( |$)", line)]


def blocks_of(text: str) -> list[str]:
    """Commands in the blocks of a page, or set in by four: to be given as they stand."""
    blocks = [block for language, block in _BLOCK.findall(text) if language in ("", "sh")]
    blocks += re.findall(r"(?:^ {4,}\S.*\n?)+", _BLOCK.sub("", text), re.MULTILINE)
    return [line for block in blocks for line in shell_lines(block)]


def quoted_in(text: str) -> list[str]:
    """Commands that prose names, perhaps without all that they need."""
    return [" ".join(found.split()) for found in _INLINE.findall(_BLOCK.sub("", text))]


def words_of(command: str) -> Iterator[list[str]]:
    """The words of a command, or of several in a line, without a comment."""
    for one in re.split(r" && | \| | & *", _COMMENT.sub("", command)):
        words = shlex.split(one)
        if words[:1] == ["hedgespec"] and words[1:] and not words[1].isupper():
            yield [word for word in words[1:] if word != "..."]


def check_block(command: str) -> None:
    """Refuse what the parser does not take; `...` stands for anything."""
    for words in words_of(command):
        if "--help" in words or words[0].startswith("--"):
            continue
        try:
            _, unknown = parser().parse_known_args(list(map(_number, words)))
        except SystemExit:
            raise AssertionError(f"{command!r} cannot be given") from None
        assert not unknown, f"{command!r}: {unknown}"


def check_quoted(command: str) -> None:
    """Refuse a command that is none of ours, and an option that is not the command's."""
    for words in words_of(command):
        options = {word.partition("=")[0] for word in words if word.startswith("--")}
        if words[0].startswith("--"):
            assert options <= set(parser()._option_string_actions), command
        else:
            assert words[0] in COMMANDS, command
            assert options <= options_of(words[0]), command


def _number(word: str) -> str:
    """A number for the letter that stands for one."""
    return "1" if word in ("N", "K", "B", "M", "T", "I/N") else word


def _command(name: str) -> argparse.ArgumentParser:
    [commands] = [
        action for action in parser()._actions if isinstance(action, argparse._SubParsersAction)
    ]
    found: argparse.ArgumentParser = commands.choices[name]
    return found


@pytest.mark.parametrize("page", PAGES)
def test_commands_of_a_page_can_be_given(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    for command in blocks_of(text):
        check_block(command)
    for command in quoted_in(text):
        check_quoted(command)


@pytest.mark.parametrize("page", PAGES)
def test_replays_of_a_page_have_a_folder_of_their_own(page):
    """In results/sim a reader has the results of the last one, which are not replaced."""
    for command in blocks_of((ROOT / page).read_text(encoding="utf-8")):
        for words in words_of(command):
            if words[0] == "sim" and len(words) > 1 and "--dry-run" not in words:
                assert "--out" in words, command


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_of_a_help_text_can_be_given_and_its_options_are_there(command):
    text = _command(command).format_help()
    for line in shell_lines(text):
        check_block(line)
    for quoted in quoted_in(text):
        check_quoted(quoted)
    # What is another command's stands in quotes, behind its name.
    prose = re.sub(r"(?m)^\s*hedgespec (?:.*\\\n)*.*", "", text)
    prose = re.sub(r"`[^`]*`|formats, and what each loses:(?s:.*?)\n\n", "", prose)
    for option in re.findall(r"(?<![\w-])--[a-z][a-z-]*[a-z]", prose):
        assert option in options_of(command) | _NONE_OF_OURS, f"{command} --help: {option}"


def test_options_that_pages_name_are_options_of_some_command():
    known = {option for command in COMMANDS for option in options_of(command)} | {
        option for action in parser()._actions for option in action.option_strings
    }
    for page in PAGES:
        text = _BLOCK.sub("", (ROOT / page).read_text(encoding="utf-8"))
        text = re.sub(r"(?m)^ {4,}.*$", "", text)
        for quoted in re.findall(r"`(--[a-z][^`]*)`", text):
            option = re.match(r"--[a-z][a-z-]*", quoted)[0]
            assert option in known | _NONE_OF_OURS | options_of_benchmarks(), f"{page}: {option}"


@cache
def options_of_benchmarks() -> set[str]:
    return {
        option
        for path in (ROOT / "benchmarks").glob("*.py")
        for option in re.findall(r'"(--[a-z-]+)"', path.read_text(encoding="utf-8"))
    }


def docstrings() -> Iterator[tuple[str, str]]:
    """Each docstring, with the file it stands in."""
    for source in SOURCES:
        for node in ast.walk(ast.parse((ROOT / source).read_text(encoding="utf-8"))):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                yield source, ast.get_docstring(node) or ""


def test_commands_of_docstrings_can_be_given():
    for source, text in docstrings():
        try:
            for command in blocks_of(text):
                check_block(command)
            for command in quoted_in(text):
                check_quoted(command)
        except AssertionError as error:
            raise AssertionError(f"{source}: {error}") from error


@pytest.mark.parametrize("page", PAGES)
def test_python_blocks_parse_and_what_they_import_of_ours_is_there(page):
    for language, block in _BLOCK.findall((ROOT / page).read_text(encoding="utf-8")):
        if language != "python":
            continue
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("hedgespec"):
                if importlib.util.find_spec("torch") is None:
                    continue
                module = importlib.import_module(node.module)
                for alias in node.names:
                    assert hasattr(module, alias.name), f"{page}: {node.module}.{alias.name}"


def test_python_in_docstrings_parses():
    found = 0
    for _, text in docstrings():
        for block in re.findall(r"(?:^ {4,}\S.*\n?|^\n)+", text, re.MULTILINE):
            if re.search(r"^\s*import ", block, re.MULTILINE):
                ast.parse("\n".join(line[4:] for line in block.splitlines()))
                found += 1
    assert found


@pytest.mark.parametrize("page", PAGES)
def test_targets_of_make_and_modules_that_a_page_names_are_there(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"(?:^|`| {4})make ([a-z-]+)", text, re.MULTILINE)) <= targets
    for module in re.findall(r"python -m ((?:benchmarks|tests|hedgespec)[\w.]*)", text):
        assert importlib.util.find_spec(module), f"{page}: {module}"


def test_each_command_has_a_module():
    for name in COMMANDS:
        assert importlib.util.find_spec(f"hedgespec.cli.{MODULES.get(name, name)}")


def test_the_commands_of_the_second_targets_script_can_be_given():
    live = pytest.importorskip("benchmarks.live")
    said = subprocess.run(
        ["sh", ROOT / "benchmarks" / "second_target.sh", "a/model", "out"],
        check=True,
        text=True,
        capture_output=True,
        env={**os.environ, "PYTHON": "echo"},
    ).stdout.splitlines()
    zoo, decoded, traces = (line.removeprefix("-m ").split() for line in said)
    for words in (zoo, traces):
        check_block(" ".join(words))
    assert decoded[0] == "benchmarks.live"
    options = live.make_parser().parse_args(decoded[1:])
    for policy in options.policies:
        live.Policy.parse(policy)
    assert [one.split("=")[0] for one in options.drafter] == [
        "generalist",
        "generalist-mixed",
        *(f"expert-{domain}" for domain in options.domains if domain != "general"),
        "prompt-lookup",
    ]


@pytest.mark.parametrize(
    ("page", "file"),
    [
        ("write-a-rule.md", "hedgespec/rules/top.py"),
        ("write-a-drafter.md", "hedgespec/models/drafters/repeat.py"),
    ],
)
def test_code_that_a_page_puts_into_the_package_passes_lint(page, file):
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    [block] = [block for language, block in _BLOCK.findall(text) if language == "python"]
    ruff = [sys.executable, "-m", "ruff", "check", "--stdin-filename", file, "-"]
    done = subprocess.run(ruff, input=block, text=True, capture_output=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stdout
    for node in ast.walk(ast.parse(block)):
        if isinstance(node, ast.FunctionDef):
            untyped = [arg.arg for arg in node.args.args if arg.annotation is None]
            assert untyped in ([], ["self"]), f"{node.name}: mypy wants all types"
            assert node.returns or node.name == "__init__", f"{node.name}: mypy wants all types"
