"""The site is built without a warning: no dead link or anchor, every page in the navigation."""

import re
from pathlib import Path

import pytest

import hedgespec

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Where it is built. mkdocs counts its warnings itself."""
    pytest.importorskip("mkdocs")
    pytest.importorskip("mkdocstrings")
    from mkdocs.commands.build import build
    from mkdocs.config import load_config

    folder = tmp_path_factory.mktemp("site")
    build(load_config(str(ROOT / "mkdocs.yml"), site_dir=str(folder), strict=True))
    return folder


def test_the_start_page_has_the_numbers_of_the_readme(site):
    """Which another test compares with the bundled traces."""
    page = (site / "index.html").read_text(encoding="utf-8")
    rows = re.search(
        r"<!-- table -->\n(.*?)<!-- end -->", (ROOT / "README.md").read_text(), re.DOTALL
    )[1].splitlines()[2:]
    assert len(rows) > 5
    for row in rows:
        for cell in row.strip("| ").split(" | "):
            assert f">{cell}</td>" in page, cell


def test_the_site_needs_nothing_from_elsewhere(site):
    for page in site.glob("*.html"):
        text = page.read_text(encoding="utf-8")
        loaded = re.findall(r'<(?:script|img)[^>]*src="([^"]*)', text)
        loaded += re.findall(r'<link[^>]*stylesheet" href="([^"]*)', text)
        assert loaded
        assert not [one for one in loaded if one.startswith(("http", "//"))], page


def test_every_public_name_is_in_the_reference(site):
    page = (site / "reference.html").read_text(encoding="utf-8")
    for name in hedgespec.__all__:
        if name != "__version__":
            assert re.search(rf'id="hedgespec\.[\w.]*\b{name}"', page), name
