"""Runs the fuzzers in turn: python -m tests.fuzz.run --seconds 600; `make fuzz`.

Trials run in processes of their own, some at a time, so that one that aborts or hangs is a finding
too. A finding is named by its fuzzer and seed: `--only NAME --seed N --trials 1` does it again.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections import Counter
from importlib import import_module
from pathlib import Path
from time import monotonic, time

import numpy as np

from benchmarks.pages import ROOT, fill

FUZZERS = {  # module with `trial(rng, folder)`: what is broken
    "tests.fuzz.learners": "user learners",
    "tests.fuzz.trace_files": "bytes and fields of a trace",
    "tests.fuzz.mutations": "files of traces and results, hashes made to agree",
    "tests.fuzz.checkpoints": "checkpoints of heads and models",
    "tests.fuzz.killed_recordings": "recordings killed at a random moment",
    "tests.fuzz.killed_sims": "`hedgespec sim` killed at a random moment",
}
PAGE = ROOT / "docs" / "design.md"
BATCH_SECONDS = 20.0  # of trials in one process
HANGS = 240.0  # seconds after which a process is a finding
_DONE, _BEGUN = "done ", "trial "


def main(arguments: list[str] | None = None) -> int:
    """Run, print findings and counts, and with --page write the counts; 1 if there are findings."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m tests.fuzz.run")
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument(
        "--seed",
        type=int,
        default=int(time()) // 86400 * 10_000,
        help="of the first trial (default: others every day)",
    )
    parser.add_argument("--only", choices=list(FUZZERS))
    parser.add_argument("--trials", type=int, help="in this process, instead of for some seconds")
    parser.add_argument("--page", action="store_true", help=f"write the counts to {PAGE.name}")
    options = parser.parse_args(arguments)
    if options.trials:
        return _batch(options.only, options.seed, options.trials, np.inf)
    counts, findings = _run(options)
    table = _table(counts, options.seconds)
    print(table)
    for finding in findings:
        print(finding)
    if options.page:
        fill(PAGE, {"fuzz": table})
    return 1 if findings else 0


def _run(options: argparse.Namespace) -> tuple[dict[str, Counter[str]], list[str]]:
    """What came of the trials of each fuzzer, and the findings."""
    names = [options.only] if options.only else list(FUZZERS)
    counts: dict[str, Counter[str]] = {name: Counter() for name in names}
    spent = dict.fromkeys(names, 0.0)
    findings: list[str] = []
    next_seed = dict.fromkeys(names, options.seed)
    ends = monotonic() + options.seconds
    while monotonic() < ends:
        name = min(names, key=lambda one: spent[one])  # all get the same time
        started = monotonic()
        lines, said = _in_process(name, next_seed[name], min(BATCH_SECONDS, ends - started))
        spent[name] += monotonic() - started
        outcomes = [line.removeprefix(_DONE) for line in lines if line.startswith(_DONE)]
        begun = sum(line.startswith(_BEGUN) for line in lines)
        counts[name].update(outcomes)
        next_seed[name] += max(1, begun)
        if said is not None:
            counts[name]["finding"] += 1
            findings.append(f"FINDING {name} --seed {next_seed[name] - 1}: {said}")
            print(findings[-1], flush=True)
    return counts, findings


def _in_process(name: str, seed: int, seconds: float) -> tuple[list[str], str | None]:
    """The lines of a batch, and what went wrong in its last trial."""
    code = (
        f"from tests.fuzz.run import _batch; raise SystemExit(_batch({name!r}, {seed}, 10**9, "
        f"{seconds}))"
    )
    try:
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds + HANGS,
            errors="replace",
        )
    except subprocess.TimeoutExpired as error:
        return (error.stdout or b"").decode(errors="replace").splitlines(), "it hangs"
    lines = done.stdout.splitlines()
    if done.returncode == 0:
        return lines, None
    return lines, f"status {done.returncode}: {' | '.join(done.stderr.splitlines()[-6:])}"


def _batch(name: str, seed: int, trials: int, seconds: float) -> int:
    """Trials with seeds `seed`, `seed` + 1, ... until the seconds are over; raises at a finding."""
    trial, ends = import_module(name).trial, monotonic() + seconds
    for number in range(seed, seed + trials):
        print(f"{_BEGUN}{number}", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            outcome = trial(np.random.default_rng(number), Path(folder))
        print(f"{_DONE}{outcome}", flush=True)
        if monotonic() > ends:
            break
    return 0


def _table(counts: dict[str, Counter[str]], seconds: float) -> str:
    rows = [
        f"One run of {seconds:.0f} seconds on {os.cpu_count()} cores:",
        "",
        "| what is broken | trials | what came of them | findings |",
        "|---|---:|---|---:|",
    ]
    for name, found in counts.items():
        outcomes = ", ".join(
            f"{count} {outcome}" for outcome, count in sorted(found.items()) if outcome != "finding"
        )
        rows.append(f"| {FUZZERS[name]} | {found.total()} | {outcomes} | {found['finding']} |")
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    raise SystemExit(main())
