"""Compiled kernels on disk: damaged, hostile or out of reach, they are compiled anew."""

import gc
import os
import pickle
import shutil
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from hedgespec.selectors import CHOSEN, kernel_cache, parse_selector
from hedgespec.selectors.feedback import parse_feedback
from hedgespec.selectors.kernel_cache import kept_name, kernel_folder
from hedgespec.simulator import Replayer
from hedgespec.simulator.kernels import (
    _compiled_copy,
    drawing_kernel,
    exact_kernel,
    is_compiled,
    selector_kernel,
)
from tests.helpers.marks import slow_but
from tests.helpers.synthetic import write_trace

PLAYS = np.array([[0.5, 0.5], [0.0, 1.0], [1.0, 0.0]])


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    """A cache that holds one kernel."""
    place = tmp_path_factory.mktemp("made") / "cache"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEDGESPEC_CACHE", str(place))
        drawn()
    return place


@pytest.fixture
def folder(cache, tmp_path, monkeypatch) -> Iterator[Path]:
    """The folder of a copy of the cache, which is used by a process that has not read from it."""
    shutil.copytree(cache, tmp_path / "cache")
    monkeypatch.setenv("HEDGESPEC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(kernel_cache, "_WARNED", kernel_cache.Event())
    _compiled_copy.cache_clear()
    yield tmp_path / "cache" / "kernels"
    _compiled_copy.cache_clear()


def drawn() -> list[int]:
    """What the kernel gives in a process that has not compiled it."""
    _compiled_copy.cache_clear()
    return drawing_kernel()(0, 0, 0, 3, PLAYS).tolist()


def of_kernel(folder: Path) -> Path:
    """The file of the kernel; what it calls may be kept beside it."""
    [kept] = folder.glob(f"{kept_name(drawing_kernel())}.*.kept")
    return kept


def one_warning() -> str:
    """The only one; what other tests left open is collected, and warns, before."""
    gc.collect()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        drawn()
        drawn()
    [told] = [str(one.message) for one in caught]
    return told


def loaded(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What is unpickled from now on."""
    found: list[bytes] = []
    real = pickle.loads
    monkeypatch.setattr(pickle, "loads", lambda data: found.append(data) or real(data))
    return found


def test_a_kernel_is_found_again(folder, monkeypatch):
    kept = of_kernel(folder)
    assert kept.stat().st_mode & 0o077 == 0
    assert folder.stat().st_mode & 0o022 == 0
    read = loaded(monkeypatch)
    drawn()
    assert len(read) == 1
    assert is_compiled(drawing_kernel())


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-1] + bytes([data[-1] ^ 1]),
        pytest.param(lambda data: data[: len(data) // 2], marks=pytest.mark.slow),
        pytest.param(lambda data: b"", marks=pytest.mark.slow),
        pytest.param(lambda data: pickle.dumps("another thing"), marks=pytest.mark.slow),
    ],
)
def test_damaged_bytes_are_never_unpickled_but_made_anew(folder, monkeypatch, damage):
    kept = of_kernel(folder)
    before, expected = kept.read_bytes(), drawn()
    kept.write_bytes(damage(before))
    read = loaded(monkeypatch)
    assert "damaged; they are compiled anew" in one_warning()
    assert len(read) == 1, "only what was made anew"
    assert drawn() == expected


def test_the_text_of_a_kernel_is_compared_and_never_run(folder, tmp_path):
    [text] = folder.glob("*.py")
    before, expected = text.read_text(), drawn()
    text.write_text(f"open({str(tmp_path / 'owned')!r}, 'w')\n" + before)
    assert drawn() == expected
    assert not (tmp_path / "owned").exists()
    assert text.read_text() == before


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_what_others_may_write_is_not_read(folder, monkeypatch):
    kept = of_kernel(folder)
    for path, mode in ((folder, 0o777), (kept, 0o666)):
        before = path.stat().st_mode
        path.chmod(mode)
        monkeypatch.setattr(kernel_cache, "_WARNED", kernel_cache.Event())
        monkeypatch.setattr(pickle, "loads", lambda _: pytest.fail("unpickled"))
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            drawn()
        monkeypatch.undo()
        monkeypatch.setenv("HEDGESPEC_CACHE", str(folder.parent))
        assert "other users may write there" in str(caught[0].message)
        path.chmod(before)


def test_a_folder_that_is_a_link_is_not_used(folder, tmp_path):
    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")
    assert "not a plain file or folder" in one_warning()


@pytest.mark.parametrize("place", slow_but(["a file"], ["a file", "/dev/null/x", "\0"]))
def test_no_place_for_a_cache_is_one_warning(folder, tmp_path, monkeypatch, place):
    expected = drawn()
    (tmp_path / "a file").write_text("")
    if "\0" not in place:
        monkeypatch.setenv("HEDGESPEC_CACHE", str(tmp_path / place))
    else:  # no home either
        monkeypatch.delenv("HEDGESPEC_CACHE")
        monkeypatch.setattr(Path, "home", lambda: (_ for _ in ()).throw(RuntimeError("no home")))
    assert "they are compiled anew" in one_warning()
    assert kernel_folder() is None
    assert drawn() == expected


@pytest.mark.parametrize(
    "label", slow_but(["hedge"], ["hedge", "fixed-share", "adahedged", "ucbspec"])
)
def test_no_kernel_holds_the_text_of_an_error_about_shapes(label, tmp_path):
    # numba's, of assigning an array to an array: a third of a kernel, and of the time it takes.
    replayer = Replayer(write_trace(tmp_path / "trace"))
    configured, limited = parse_selector(label), parse_feedback("limited:1")
    kernels = [selector_kernel(configured)]
    replayer.run(label, 0)
    if configured.selector.feedback != CHOSEN:
        replayer.run_exact(label)
        replayer.run(label, 0, limited)
        kernels += [exact_kernel(configured), selector_kernel(configured, limited)]
    for kernel in kernels:
        kept = list(kernel_folder().glob(f"{kept_name(kernel)}.*.kept"))
        assert kept
        assert not any(b"cannot assign slice" in one.read_bytes() for one in kept)


@pytest.mark.slow
def test_live_decoding_finds_a_selector_on_disk_whatever_its_settings(tmp_path, monkeypatch):
    """Two settings in one process, and two more in a process after it: compiled once."""
    monkeypatch.setenv("HEDGESPEC_CACHE", str(tmp_path / "cache"))
    program = """
import numpy as np
from hedgespec.selectors import parse_selector
from hedgespec.selectors.feedback import parse_feedback
from hedgespec.selectors.learning import parse_loss
from hedgespec.selectors.online import OnlineSelector

chosen = parse_selector("normalhedge")
made = [OnlineSelector(chosen, 3, length, parse_feedback(feedback), parse_loss(loss),
                       round_seconds=np.array([1.0, 2.0, 4.0]))
        for length, feedback, loss in (%s)]
step = made[0]._step
assert all(one._step is step for one in made)
print(len(step.signatures), sum(step.stats.cache_hits.values()))
"""
    settings = (
        '(2, "queued", "accept"), (5, "every:4", "seconds")',
        '(3, "rounds:2", "visit"), (4, "batch:8", "length")',
    )
    said = [
        subprocess.run(
            [sys.executable, "-c", program % one], capture_output=True, text=True, check=True
        ).stdout.split()
        for one in settings
    ]
    assert said == [["1", "0"], ["1", "1"]]
