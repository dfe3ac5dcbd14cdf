"""What an index page shows, and what the archives hold."""

import re
import runpy
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
_TARGET = re.compile(r"\]\(([^)]*)\)")


@pytest.fixture(scope="module")
def index_page():
    """The function of setup.py, which builds nothing when it is imported."""
    pytest.importorskip("setuptools")
    return runpy.run_path(str(ROOT / "setup.py"))["index_page"]


def test_without_a_public_address_an_index_page_has_no_link_that_leads_nowhere(index_page):
    shown = index_page(README, None)
    assert all(link.startswith("https://") for link in _TARGET.findall(shown))
    assert "docs/regret.png" not in shown
    for words in ("start here", "contributing", "Not-a-Bandit, arXiv 2510.20064"):
        assert words in shown


def test_with_one_every_link_leads_there(index_page):
    shown = index_page(README, "https://example.org/hedgespec")
    links = _TARGET.findall(shown)
    assert len(links) == len(_TARGET.findall(README))
    assert all(link.startswith("https://") for link in links)
    assert "https://example.org/hedgespec/raw/main/docs/regret.png" in links
    assert "https://example.org/hedgespec/blob/main/docs/live.md#speed" in links


def test_files_that_the_build_names_are_there():
    for line in (ROOT / "MANIFEST.in").read_text().splitlines():
        verb, _, rest = line.partition(" ")
        if verb == "include":
            for name in rest.split():
                assert (ROOT / name).is_file(), name
        elif verb == "recursive-include":
            assert (ROOT / rest.split()[0]).is_dir(), line


def test_pages_that_the_package_names_are_there_and_in_the_wheel():
    named = {
        page
        for path in (ROOT / "hedgespec").rglob("*.py")
        for page in re.findall(r"(?<![\w/])docs/[a-z-]+\.md", path.read_text("utf-8"))
    }
    assert len(named) > 10
    files = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    [patterns] = [
        globs
        for folder, globs in files["tool"]["setuptools"]["data-files"].items()
        if folder.endswith("/docs")
    ]
    put = {str(path.relative_to(ROOT)) for one in patterns for path in ROOT.glob(one)}
    assert named <= put
    assert {"docs/index.md", "docs/regret.png"} <= put


def test_extras_are_those_that_errors_and_pages_name():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    pages = [*ROOT.glob("docs/*.md"), *ROOT.glob("*.md"), *(ROOT / "hedgespec").rglob("*.py")]
    named = {
        extra
        for path in pages
        for extra in re.findall(r"(?:hedgespec|\.)\[([a-z]+)\]", path.read_text("utf-8"))
    }
    assert {"models", "servers"} <= named <= project["optional-dependencies"].keys()
    assert {"ray", "pandas"} <= project["optional-dependencies"].keys()
