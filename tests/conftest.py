"""Fixtures: compiled kernels go to one cache per clone, models are tiny. And which cases run."""

import gc
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from tests.helpers.made_up_devices import MadeUpDevices

# Kernels compiled by the tests stay out of the user's cache but are shared between tests. They lie
# in the clone: what is run from there must not be another user's, as in a shared /tmp.
os.environ.setdefault(
    "HEDGESPEC_CACHE", str(Path(__file__).resolve().parents[1] / ".pytest_cache" / "hedgespec")
)

# The same examples each time, whatever else the machine does: `make fuzz` is for other ones.
settings.register_profile(
    "tests", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("tests")

# Libraries and compiled code are many objects that stay: not looked through as often as by default.
gc.set_threshold(50_000, 20, 100)

EVERY_CASE = "--every-case"
ONE_IN = 3  # odd, so that both values of a parameter that has two come


def pytest_addoption(parser: pytest.Parser) -> None:
    """An option for the cases that are left out."""
    parser.addoption(
        EVERY_CASE,
        action="store_true",
        help=f"of tests marked matrix run all cases, not one in {ONE_IN}",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Of tests marked matrix, whose cases are alike, leave one case in ONE_IN."""
    if config.getoption(EVERY_CASE):
        return
    seen: Counter[str] = Counter()
    kept, left_out = [], []
    for item in items:
        name = item.nodeid.partition("[")[0]
        matrix = item.get_closest_marker("matrix") is not None
        (left_out if matrix and seen[name] % ONE_IN else kept).append(item)
        seen[name] += 1
    config.hook.pytest_deselected(items=left_out)
    items[:] = kept


def pytest_collection_finish() -> None:
    """What libraries and tests are made of stays: no collection of garbage looks through it again."""
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def functions_on_disk() -> None:
    """Learners, and what they are made of, are compiled once, not in each run."""
    from tests.helpers.kernel_cache import keep_functions_on_disk

    keep_functions_on_disk()


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """For models so small that they only lose by sharing their work."""
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Folders of a random target, a drafter of the same tokenizer and one of another."""
    pytest.importorskip("torch")
    from tests.helpers.tiny import save_tiny_model

    folder = tmp_path_factory.mktemp("models")
    save_tiny_model(folder / "target", seed=0, layers=4)
    save_tiny_model(folder / "drafter", seed=1, layers=2)
    save_tiny_model(folder / "other", seed=2, layers=2, extra_words=5)
    return {name: str(folder / name) for name in ("target", "drafter", "other")}


@pytest.fixture
def made_up_devices(monkeypatch: pytest.MonkeyPatch) -> "MadeUpDevices":
    """Two devices that are made up, to be entered; the device "split" is both of them."""
    pytest.importorskip("torch")
    from tests.helpers.made_up_devices import split_over_two

    return split_over_two(monkeypatch)
