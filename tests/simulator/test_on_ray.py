"""A sweep on a Ray cluster of this machine: nodes and drivers that die lose nothing."""

import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from hedgespec.api import simulate
from hedgespec.results.store import PARTS_FOLDER, RUN_FILE, read_results
from hedgespec.simulator import SweepSettings, run_sweep
from hedgespec.traces.synthetic import write_synthetic

ray = pytest.importorskip("ray")
pytestmark = pytest.mark.slow
UNITS = 210
GRID = "seeds = 2\nmode = 'replayed'\nselectors = [{}]\n"


@pytest.fixture
def cluster():
    """Two nodes of one core each, beside one that only knows them."""
    from ray.cluster_utils import Cluster

    found = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    yield found, [found.add_node(num_cpus=1) for _ in range(2)]
    found.shutdown()


def parts(out: Path) -> list[str]:
    """The keys of the jobs whose tables are kept."""
    return [
        key
        for path in (out / PARTS_FOLDER).glob("*.json")
        if path.name != RUN_FILE
        for key in json.loads(path.read_text())["rows"]
    ]


def wait_for(out: Path, driver: subprocess.Popen, count: int) -> None:
    """Until so many units are kept, of a driver that runs."""
    end = time.time() + 240
    while len(parts(out)) < count:
        assert driver.poll() is None, driver.stderr.read()
        assert time.time() < end
        time.sleep(0.05)


def test_a_node_and_the_driver_die_in_a_sweep(tmp_path, cluster):
    nodes, (first, _) = cluster
    write_synthetic(tmp_path / "trace", "iid", queries=60, tokens=500, drafters=4)
    selectors = [f"hedge:eta={(number + 1) / 100}" for number in range(UNITS)]
    (tmp_path / "grid.toml").write_text(
        "traces = ['trace']\n" + GRID.format(", ".join(f"'{selector}'" for selector in selectors))
    )
    out = tmp_path / "out"
    command = [
        sys.executable,
        "-m",
        "hedgespec",
        "sim",
        "--grid",
        str(tmp_path / "grid.toml"),
        "--ray",
        nodes.address,
        "--out",
        str(out),
    ]

    def driver() -> subprocess.Popen:
        return subprocess.Popen(
            command,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "COLUMNS": "100"},
        )

    running = driver()
    wait_for(out, running, 20)
    nodes.remove_node(first, allow_graceful=False)
    wait_for(out, running, len(parts(out)) + 20)  # the other node goes on
    running.kill()
    running.wait()
    assert 40 <= len(parts(out)) < UNITS
    nodes.add_node(num_cpus=1)
    kept = {path.name: path.stat().st_mtime_ns for path in (out / PARTS_FOLDER).glob("*.json")}
    done = driver()
    assert done.wait(200) == 0, done.stderr.read()
    assert len(parts(out)) == len(set(parts(out))) == UNITS, "each unit once"
    again = {path.name: path.stat().st_mtime_ns for path in (out / PARTS_FOLDER).glob("*.json")}
    del kept[RUN_FILE]
    assert kept.items() <= again.items(), "nothing is done twice"

    found = read_results(out)
    plain = simulate(tmp_path / "trace", selectors, seeds=2, mode="replayed")
    for (table, one), (_, other) in zip(found.tables(), plain.tables(), strict=True):
        keys = [name for name in table.keys if name in one.columns]
        one, other = (rows.drop(table.timed).sort(keys) for rows in (one, other))
        assert one.equals(other), table.name


def joined_late(nodes, said, sweep):
    """What a sweep finds on a cluster that a node joins once something is said."""
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(sweep)
        end = time.time() + 120
        while not said.list and not running.done() and time.time() < end:
            time.sleep(0.1)
        nodes.add_node(num_cpus=1)  # not from the thread: a node ends with what started it
        return running.result(120)


def test_a_cluster_that_gives_no_core_is_told(tmp_path, monkeypatch):
    from ray.cluster_utils import Cluster

    from hedgespec.simulator import on_ray

    monkeypatch.setattr(on_ray, "_PATIENCE", 2.0)
    write_synthetic(tmp_path / "trace", "iid", queries=4, tokens=50, drafters=2)
    sweep = partial(run_sweep, [tmp_path / "trace"], SweepSettings(("hedge", "uniform"), seeds=2))
    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    try:
        with pytest.warns(UserWarning, match="after . s: 0 of its 0 cores are free") as said:
            found = joined_late(nodes, said, partial(sweep, place=on_ray.OnRay(nodes.address)))
    finally:
        nodes.shutdown()
    assert found.per_query.equals(sweep().per_query)
