"""Words and phrases that CONTRIBUTING gives up do not stand in README, pages and help texts."""

import re
from pathlib import Path

import pytest

from hedgespec.cli import COMMANDS, make_parser

ROOT = Path(__file__).parents[2]
PAGES = {
    path.name: path.read_text(encoding="utf-8")
    for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"))
}
LIST = re.search(r"<!-- phrases -->\n(.*?)<!-- end -->", PAGES["CONTRIBUTING.md"], re.DOTALL)[0]
PHRASES = re.findall(r"^- \"(.+?)\"", LIST, re.MULTILINE)


def texts():
    """Pages without the list itself, and the help text of each command."""
    found = {**PAGES, "CONTRIBUTING.md": PAGES["CONTRIBUTING.md"].replace(LIST, "")}
    _, commands = make_parser(list(COMMANDS))
    return {
        **found,
        **{f"{name} --help": one.format_help() for name, one in commands.choices.items()},
    }


@pytest.fixture(scope="module")
def plain():
    return {name: " ".join(re.sub(r"[>*]", "", text).split()) for name, text in texts().items()}


def test_there_is_a_list():
    assert len(PHRASES) >= 12


@pytest.mark.parametrize("phrase", PHRASES)
def test_a_phrase_of_the_list_is_nowhere(plain, phrase):
    found = [
        name
        for name, text in plain.items()
        if re.search(rf"\b{re.escape(phrase)}\b", text, re.IGNORECASE)
    ]
    assert not found


def test_numbers_agree_with_their_nouns(plain):
    """No "1 settings", nor "1 traces"."""
    for name, text in plain.items():
        found = re.search(
            r"(?<![-\d.,:])(?<![-+] )1 (settings|traces|queries|rounds|questions|runs)\b", text
        )
        assert not found, f"{name}: {found[0]}"


def test_the_readme_is_short():
    assert len(PAGES["README.md"].splitlines()) < 90
