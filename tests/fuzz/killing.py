"""Processes killed at a random moment."""

import os
import subprocess
import sys
from pathlib import Path
from time import monotonic

from benchmarks.pages import ROOT


def run(*arguments: str, cache: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run Python with these arguments to the end."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=_environment(cache),
        timeout=200,
        check=False,
    )


def run_killed(seconds: float, *arguments: str, cache: Path | None = None) -> bool:
    """Run, and kill it after some seconds; whether it was still running."""
    process = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=_environment(cache),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return True
    return False


def seconds_of(*arguments: str, cache: Path | None = None) -> float:
    """How long it takes when it is left alone."""
    started = monotonic()
    done = run(*arguments, cache=cache)
    assert done.returncode == 0, done.stderr
    return monotonic() - started


def check_told(done: subprocess.CompletedProcess[str]) -> bool:
    """Whether it ended well; if not it must have said why in one line."""
    if done.returncode == 0:
        return True
    assert done.returncode == 1, f"status {done.returncode}: {done.stderr[-500:]}"
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr[-500:]
    return False


def check_line(error: Exception) -> None:
    """A refusal is one line."""
    assert "\n" not in str(error), str(error)


def _environment(cache: Path | None) -> dict[str, str]:
    return {**os.environ, **({} if cache is None else {"HEDGESPEC_CACHE": str(cache)})}
