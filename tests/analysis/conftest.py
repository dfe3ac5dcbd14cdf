"""One made-up run and its report, for all tests of reports."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from hedgespec.analysis.results import ResultSet
from hedgespec.analysis.study import Study
from hedgespec.cli import main
from hedgespec.results import statistics
from tests.helpers.browser import Browser, installed
from tests.helpers.made_results import make_results


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_results(tmp_path_factory.mktemp("results"))


@pytest.fixture(scope="session")
def study(results: Path) -> Study:
    return Study.of(ResultSet(results), [], [], None)


@pytest.fixture(scope="session")
def written(results: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a report."""
    out = tmp_path_factory.mktemp("report")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(statistics, "DRAWS", 200)
        assert main(["report", str(results), "--out", str(out), "--formats", "pdf", "png"]) == 0
    return out


@pytest.fixture(scope="session")
def page(written: Path) -> Path:
    return written / "report.html"


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    program = installed()
    if program is None:
        pytest.skip("no Chromium is installed: apt-get install chromium")
    started = Browser(program, tmp_path_factory.mktemp("profile"))
    yield started
    started.close()


@pytest.fixture
def browser(chromium: Browser) -> Browser:
    """A browser that has said and asked for nothing, with a laptop's window, light."""
    chromium.said.clear()
    chromium.asked.clear()
    chromium.media("light")
    chromium.window(1280, 900)
    return chromium
