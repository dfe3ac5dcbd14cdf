"""The page of a report in a real browser; skipped where no Chromium is installed."""

import base64
import re
from pathlib import Path

import polars as pl
import pytest

from hedgespec.analysis.figures import FIGURES
from hedgespec.analysis.figures.looks import COLOURS, look
from hedgespec.analysis.report import Request, write_report
from hedgespec.results import statistics
from hedgespec.results.store import Results, read_results
from tests.helpers.made_results import make_results

COLUMN = "[...document.querySelectorAll('#table tbody tr')].map(row => row.cells[{}].textContent)"
MEASURES = "[...document.querySelectorAll('[data-kind=gains] .measures button')]"
TOLD = "document.querySelector('#told.shown')?.textContent ?? ''"


def test_browser_notices_errors_and_requests(browser, tmp_path):
    """What the next tests find nothing of would be found."""
    bad = tmp_path / "bad.html"
    bad.write_text("<img src='http://nowhere.example/x.png'><script>missing()</script>")
    browser.open(bad.as_uri())
    assert "http://nowhere.example/x.png" in browser.asked
    assert any("ReferenceError" in said for said in browser.said)


def test_page_opens_without_error_and_without_a_request(browser, page):
    browser.open(page.as_uri())
    drawn = browser.run(
        "[...document.querySelectorAll('figure')].filter("
        "one => one.querySelector('svg')).map(one => one.dataset.kind)"
    )
    assert drawn == [name for name in FIGURES if name != "load"]
    assert browser.said == []
    assert [address for address in browser.asked if address != page.as_uri()] == []


def test_what_to_do_stands_first(browser, page):
    browser.open(page.as_uri())
    assert browser.run("document.querySelector('section h2').textContent") == "What to do"
    said = browser.run("document.querySelector('section strong').textContent")
    assert said.startswith("Use learner-")
    assert browser.run(
        "document.querySelector('section strong').getBoundingClientRect().bottom < innerHeight / 2"
    )


def test_page_is_small_and_its_names_are_text(browser, page):
    """The default grid has eight traces; of them one is drawn at a time, so nodes are as many."""
    assert page.stat().st_size < 400_000
    browser.open(page.as_uri())
    assert browser.run("document.querySelectorAll('*').length") < 3000
    assert "learner-01" in browser.run(
        "[...document.querySelectorAll('[data-kind=regret] svg text')].map(one => one.textContent)"
    )
    assert browser.run("find('drafter-2')")  # what Ctrl-F does


def test_page_forbids_requests(browser, page, tmp_path):
    changed = tmp_path / "changed.html"
    changed.write_text(
        page.read_text().replace("<main", "<img src='http://nowhere.example/x.png'><main")
    )
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


def test_contents_and_first_columns_stay_in_sight(browser, page):
    browser.open(page.as_uri())
    browser.run("document.getElementById('tables').scrollIntoView()")
    assert browser.run("document.querySelector('nav a').getBoundingClientRect().bottom") > 0
    assert browser.run("getComputedStyle(document.querySelector('td.fixed')).position") == "sticky"
    assert browser.run("document.querySelector('th.fixed').textContent") == "selector"


def test_a_measure_is_switched_by_keyboard_in_every_figure_that_has_it(browser, page):
    browser.open(page.as_uri())
    assert browser.run(f"{MEASURES}.map(one => one.textContent)") == [
        "tokens/s",
        "MAT",
        "rounds",
        "regret",
    ]
    browser.run(f"{MEASURES}[3].focus()")
    browser.press("Enter")
    title = "document.querySelector('[data-kind={}] h3').textContent"
    assert browser.run(title.format("gains")).startswith("regret of the learners")
    assert browser.run(title.format("drafters")).startswith("regret against")
    assert browser.run("document.activeElement.textContent") == "regret"  # the focus stays


def test_the_legend_hides_a_selector_in_every_figure(browser, page):
    browser.open(page.as_uri())
    count = (
        "[...document.querySelectorAll('figure svg text')]"
        ".filter(one => one.textContent === 'learner-01').length"
    )
    assert browser.run(count) > 3
    browser.run(
        "[...document.querySelectorAll('.legend button')]"
        ".find(one => one.textContent === 'learner-01').focus()"
    )
    browser.press("Enter")
    assert browser.run(count) == 0
    assert browser.run("document.activeElement.getAttribute('aria-pressed')") == "false"
    browser.press("Enter")
    assert browser.run(count) > 3


def test_values_are_told_under_the_pointer_and_by_arrow_keys(browser, page):
    browser.open(page.as_uri())
    browser.run("document.querySelector('[data-kind=gains] svg').focus()")
    browser.press("ArrowRight")
    first = browser.run(TOLD)
    assert re.match(r"learner-\d+\ntokens/s above best-single's, %: [\d.]+ \([\d.]+ to", first)
    browser.press("ArrowRight")
    assert browser.run(TOLD) not in ("", first)
    browser.run("document.querySelector('[data-kind=gains] svg').blur()")
    assert browser.run(TOLD) == ""
    place = browser.run(
        "(box => [box.x, box.y])(document.querySelector('[data-kind=gains] svg path[transform]')"
        ".getBoundingClientRect())"
    )
    browser.send("Input.dispatchMouseEvent", type="mouseMoved", x=place[0] + 2, y=place[1] + 2)
    assert browser.run(TOLD) == first


def test_the_trace_chosen_is_that_of_every_figure_and_table(browser, tmp_path, monkeypatch):
    monkeypatch.setattr(statistics, "DRAWS", 200)
    monkeypatch.setattr("hedgespec.analysis.report.FIGURES", {"gains": FIGURES["gains"]})
    results = make_results(tmp_path / "results", traces=("mix", "</script>other"))
    written = write_report(Request([results]), tmp_path, ["x"], "0", processes=1)
    browser.open(written.page.as_uri())
    browser.run(
        "{ const select = document.querySelector('#controls select');"
        " select.value = '</script>other'; select.dispatchEvent(new Event('change')); }"
    )
    assert "</script>other" in browser.run("document.querySelector('figure h3').textContent")
    assert set(browser.run(COLUMN.format(0))) == {"</script>other"}
    assert browser.said == []


def test_tables_are_filtered_turned_and_sorted_by_keyboard(browser, page):
    browser.open(page.as_uri())
    browser.run(
        "[...document.querySelectorAll('#table th button')]"
        ".find(one => one.textContent === 'MAT').focus()"
    )
    column = browser.run("document.activeElement.closest('th').cellIndex")
    for key, direction, sign in (("Enter", "ascending", 1), (" ", "descending", -1)):
        browser.press(key)
        assert browser.run("document.activeElement.closest('th').getAttribute('aria-sort')") == (
            direction
        )
        values = [
            float(re.match(r"[\d.]+", text)[0]) for text in browser.run(COLUMN.format(column))
        ]
        assert values == sorted(values, reverse=sign < 0)
        assert len(set(values)) > 5
    browser.run("document.querySelector('[type=search]').focus()")
    browser.send("Input.insertText", text="LEARNER-02")
    names = browser.run(COLUMN.format(1))
    assert names
    assert all(name.startswith("learner-02") for name in names)
    assert browser.said == []


def test_a_point_leads_to_its_answer_or_says_how_to_keep_it(browser, page):
    browser.open(page.as_uri())
    places = (
        "MARKS.dots(DATA.kinds.answers.drawings[0].panels[0], rowsOf(DATA.kinds.answers"
        ".drawings[0].panels[0].columns), 620).places"
    )
    area = "document.querySelector('[data-kind=answers] svg')"
    for query, said in (
        ("q3", ""),
        ("q4", "Its rounds are not on this page: replay with this version"),
    ):
        browser.run(f"{area}.scrollIntoView({{ block: 'center' }})")
        browser.run(f"{area}.focus()")
        steps = browser.run(f"{places}.findIndex(one => one.query === '{query}')") + 1
        browser.run(
            f"for (let i = 0; i < {steps}; i += 1) {area}.dispatchEvent("
            "new KeyboardEvent('keydown', { key: 'ArrowRight' }))"
        )
        assert f"query {query} (domain-" in browser.run(TOLD)
        browser.press("Enter")
        assert said in browser.run(TOLD)
        top = browser.run("document.getElementById('answer').getBoundingClientRect().top")
        assert (abs(top) < 30) == (query == "q3")
        browser.open(page.as_uri())


def test_an_answer_names_each_change_of_drafter(browser, page):
    browser.open(page.as_uri())
    tokens = browser.run(
        "[...document.querySelectorAll('.answer span')].map(one => "
        "[one.title.match(/round (\\d+), ([^,]*),/).slice(1), one.className,"
        " one.dataset.drafter ?? null])"
    )
    assert len(tokens) == 200
    before = None
    for i, ((number, drafter), kind, named) in enumerate(tokens):
        assert (named or "")[2:] == ("" if drafter == before else drafter)
        before = drafter
        last = i == 199 or tokens[i + 1][0][0] != number
        assert (kind == "own") == last


def test_bars_of_a_table_have_one_scale_whatever_the_columns_are_wide(browser, page):
    browser.open(page.as_uri())
    matrix = browser.run("DATA.tables.findIndex(one => one.name === 'learner-by-setting-mix')")
    browser.run(f"turn({{ shown: {matrix} }})")
    bars = browser.run(
        "[...document.querySelectorAll('#table .bar')].map(bar => "
        "[parseFloat(bar.parentElement.textContent), bar.offsetWidth])"
    )
    assert len(bars) == 12
    assert len({round(width / value) for value, width in bars}) == 1


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


def test_a_figure_on_the_page_has_its_colour_in_the_file(browser, page, written):
    """The same name has one colour on the page and on paper."""
    browser.open(page.as_uri())
    shown = browser.run(
        "(text => getComputedStyle(text).fill.match(/\\d+/g).map(Number))([...document"
        ".querySelectorAll('[data-kind=regret] .name')].find("
        "one => one.textContent === 'learner-00'))"
    )
    light = COLOURS[look("learner-00").colour][0]
    assert shown == [int(light[i : i + 2], 16) for i in (1, 3, 5)]


@pytest.fixture(scope="module")
def first_screens(page, results, tmp_path_factory) -> dict[str, Path]:
    """Reports whose first screens differ: of one trace, of several with long names, of one setting on
    each, of few questions, and of two runs."""
    shapes = {
        "several": {"traces": tuple(f"{LONG_NAME}_{i}" for i in range(6))},
        "alone": {"traces": ("one", "other"), "learners": 1},
        "few": {"queries": 5},
    }
    folder = tmp_path_factory.mktemp("screens")
    runs: dict[str, list[Path | Results]] = {
        name: [make_results(folder / name, **shape)] for name, shape in shapes.items()
    }
    runs["several"] = [with_long_names(folder / "several")]
    runs["alone"] = [one_setting(folder / "alone")]
    runs["two"] = [results, make_results(folder / "slower", faster=0.8)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(statistics, "DRAWS", 200)
        patch.setattr("hedgespec.analysis.report.FIGURES", {})
        patch.setattr("hedgespec.analysis.figures.differences.DRAWN", {})
        return {"one": page} | {
            name: write_report(
                Request(some), folder / f"{name}-report", ["x"], "0", processes=1
            ).page
            for name, some in runs.items()
        }


def one_setting(folder: Path) -> Results:
    """The results of a folder with one learner at its usual setting only."""
    found = read_results(folder)
    usual = (pl.col("selector") == "learner-00") & (pl.col("feedback") == "queued")
    found.summary, found.per_query = found.summary.filter(usual), found.per_query.filter(usual)
    return found


def with_long_names(folder: Path) -> Results:
    """The results of a folder with learners that have long names, without a place to break them."""
    found = read_results(folder)
    longer = pl.col("selector").str.replace(
        "learner-", "our_learner_of_last_year_in_all_its_length_"
    )
    for name in ("summary", "per_query", "curves", "answer"):
        setattr(found, name, getattr(found, name).with_columns(longer))
    return found


LONG_NAME = "support_mails_of_the_second_quarter_answered_by_llama_3_1_8b_instruct_at_0.7"
SCREENS = ("one", "several", "alone", "few", "two")


@pytest.mark.parametrize("name", SCREENS)
@pytest.mark.parametrize("size", [(1440, 900), (800, 1100), (390, 844)])
def test_the_first_screen_holds_the_verdict_and_nothing_scrolls_sideways(
    browser, first_screens, name, size
):
    width, height = size
    browser.window(width, height)
    browser.open(first_screens[name].as_uri())
    assert browser.run("document.documentElement.scrollWidth") <= width
    box = browser.run("document.querySelector('.verdict')?.getBoundingClientRect().right ?? 0")
    assert box <= width
    if width < 640:  # the table is folded
        assert browser.run(
            "(box => !box || box.scrollWidth <= box.clientWidth)("
            "document.querySelector('.verdict'))"
        )
    verdict = browser.run(
        "(box => [box.left, box.right, box.bottom])([...document.querySelectorAll('main p')].find("
        "one => /^(Use|Do not|Only|It depends)/.test(one.textContent)).getBoundingClientRect())"
    )
    assert verdict[0] >= 0
    assert verdict[1] <= width
    assert verdict[2] <= height
    sizes = browser.run(
        "[...document.querySelectorAll('section:first-of-type :is(p, td, li)')].map("
        "one => parseFloat(getComputedStyle(one).fontSize))"
    )
    assert min(sizes) >= 12


@pytest.mark.parametrize("name", SCREENS)
def test_no_cell_of_the_verdicts_is_empty(browser, first_screens, name):
    browser.open(first_screens[name].as_uri())
    cells = browser.run("[...document.querySelectorAll('.verdict td')].map(one => one.textContent)")
    assert len(cells) == {"several": 42, "alone": 14}.get(name, 0)
    assert "" not in cells
    notes = browser.run("document.querySelector('section').textContent")
    assert ("The table has 95% intervals" in notes) == any("%" in cell for cell in cells)


@pytest.mark.parametrize("name", SCREENS)
def test_no_line_breaks_within_an_interval_or_before_a_percent_sign(browser, first_screens, name):
    browser.open(first_screens[name].as_uri())
    said = browser.run("document.querySelector('main section').textContent")
    assert not re.findall(r"\([+-][\d.]+ to|\d %", said)


@pytest.mark.parametrize("name", ["several", "one"])
def test_the_first_screen_says_whose_seconds_they_are(browser, first_screens, name):
    browser.open(first_screens[name].as_uri())
    place = browser.run(
        "[...document.querySelectorAll('main .note')].find("
        "one => /estimate.* A GPU/.test(one.textContent)).getBoundingClientRect().bottom"
    )
    assert place < browser.run("innerHeight")


@pytest.mark.parametrize("width", [390, 800, 1280])
def test_nothing_is_wider_than_the_window(browser, page, width):
    """Tables scroll within their frame."""
    browser.window(width, 900)
    browser.open(page.as_uri())
    assert (
        browser.run(
            "[...document.querySelectorAll('svg, p, h1, h2, h3')].filter(one => "
            "!one.closest('.legend, .scroll') && "
            "one.getBoundingClientRect().right > innerWidth + 1).length"
        )
        == 0
    )
    assert browser.run("document.documentElement.scrollWidth") <= width


def test_print_has_few_pages_each_with_its_heads(browser, page):
    browser.media("light", "")  # as the browser prints
    browser.open(page.as_uri())
    pdf = base64.b64decode(
        browser.send("Page.printToPDF", paperWidth=8.27, paperHeight=11.69)["data"]
    )
    assert 3 < len(re.findall(rb"/Type\s*/Page\b", pdf)) < 25
    assert browser.run("document.querySelectorAll('#paper-tables tr').length") == 0  # folded again
    browser.run("unfold()")
    browser.media("light", "print")
    assert browser.run(
        "[...document.querySelectorAll('#paper-tables thead')].every("
        "one => getComputedStyle(one).display === 'table-header-group'"
        " && getComputedStyle(one).breakInside === 'avoid'"
        " && getComputedStyle(one.rows[1].cells[0]).position === 'static')"
    )
    tables = browser.run("document.querySelectorAll('#paper-tables table').length")
    assert tables == browser.run("DATA.tables.filter(ofTrace).length") == 5
    rows = browser.run("document.querySelectorAll('#paper-tables tbody tr').length")
    assert (
        rows
        == browser.run(
            "DATA.tables.filter(ofTrace).reduce("
            "(sum, one) => sum + chosenRows(one, true).length, 0)"
        )
        > 20
    )


def test_without_scripts_the_page_says_where_the_figures_are(page: Path):
    assert "figures/, the tables in tables/" in re.search(
        r"<noscript>(.*?)</noscript>", page.read_text(), re.DOTALL
    )[1].replace("\n", " ")
