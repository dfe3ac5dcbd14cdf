"""The page of a report in a real browser; skipped where no Chromium is installed."""

from pathlib import Path

import pytest

from hedgespec.cli import main
from hedgespec.results import statistics
from tests.helpers.browser import Browser, installed
from tests.helpers.made_results import make_results

COLUMN = ("[...document.querySelector('table').rows].slice(1)"
          ".map(row => row.cells[{}].dataset.value)")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    results = make_results(folder / "results")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(statistics, "DRAWS", 200)
        assert main(["report", str(results), "--out", str(folder)]) == 0
    return folder / "report.html"


@pytest.fixture
def browser(tmp_path):
    program = installed()
    if program is None:
        pytest.skip("no Chromium is installed: apt-get install chromium")
    started = Browser(program, tmp_path / "profile")
    yield started
    started.close()


def test_browser_notices_errors_and_requests(browser, tmp_path):
    """What the next tests find nothing of would be found."""
    bad = tmp_path / "bad.html"
    bad.write_text("<img src='http://nowhere.example/x.png'><script>missing()</script>")
    browser.open(bad.as_uri())
    assert "http://nowhere.example/x.png" in browser.asked
    assert any("ReferenceError" in said for said in browser.said)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_opens_without_error_and_without_a_request(browser, page, scheme):
    browser.media(scheme)
    browser.open(page.as_uri())
    assert browser.run("document.querySelectorAll('figure svg').length") >= 8
    assert browser.said == []
    assert [address for address in browser.asked if address != page.as_uri()] == []


def test_page_forbids_requests(browser, page, tmp_path):
    changed = tmp_path / "changed.html"
    changed.write_text(page.read_text().replace(
        "<main", "<img src='http://nowhere.example/x.png'><main"))
    browser.open(changed.as_uri())
    assert any("Content Security Policy" in said for said in browser.said)


def test_anchors_lead_to_what_they_name(browser, page):
    browser.open(page.as_uri())
    names = browser.run("[...document.querySelectorAll('a[href^=\"#\"]')].map(a => a.hash)")
    assert len(set(names)) > 8
    for number, name in enumerate(names):
        browser.run(f"document.querySelectorAll('a[href^=\"#\"]')[{number}].click()")
        assert browser.run("location.hash") == name
        top = browser.run(f"document.getElementById('{name[1:]}').getBoundingClientRect().top")
        assert -1 <= top < browser.run("innerHeight")


def test_tables_are_sorted_by_keyboard(browser, page):
    browser.open(page.as_uri())
    # From the start of the page, with the tab key alone, to the header "MAT" of the first table.
    focused = "document.activeElement.closest('th')?.textContent"
    presses = 0
    while browser.run(focused) != "MAT":
        browser.press("Tab")
        presses += 1
        assert presses < 200
    column = browser.run("document.activeElement.closest('th').cellIndex")
    order = "document.activeElement.closest('th').getAttribute('aria-sort')"
    for key, direction, sign in (("Enter", "ascending", 1), (" ", "descending", -1)):
        browser.press(key)
        assert browser.run(order) == direction
        values = [float(value) for value in browser.run(COLUMN.format(column))]
        assert values == sorted(values, reverse=sign < 0)
        assert len(set(values)) > 5
    browser.press("Tab")
    assert browser.run(focused) == "regret"
    browser.press("Enter")
    assert browser.run("document.querySelectorAll('th[aria-sort]').length") == 1
    assert browser.said == []


def test_first_tab_offers_to_skip_the_contents(browser, page):
    browser.open(page.as_uri())
    browser.press("Tab")
    assert browser.run("document.activeElement.className") == "skip"
    browser.press("Enter")
    assert browser.run("location.hash") == "#main"


def test_colours_follow_the_reader_and_print_is_light(browser, page):
    paper = "getComputedStyle(document.body).backgroundColor"
    browser.open(page.as_uri())
    browser.media("dark")
    dark = browser.run(paper)
    browser.media("light")
    light = browser.run(paper)
    assert dark != light
    browser.media("dark", "print")
    assert browser.run(paper) == light


@pytest.mark.parametrize(("medium", "width"), [("print", 718), ("screen", 1280)])
def test_nothing_is_wider_than_paper_or_a_laptop(browser, page, medium, width):
    """718 pixels are an A4 page within margins of 1 cm; tables scroll on the screen."""
    browser.media("light", medium)
    browser.window(width, 900)
    browser.open(page.as_uri())
    outside = "svg, p" if medium == "screen" else "svg, p, table"
    assert browser.run(f"[...document.querySelectorAll('{outside}')].filter("
                       "one => one.getBoundingClientRect().right > innerWidth + 1).length") == 0
    assert browser.run("document.documentElement.scrollWidth") <= width
