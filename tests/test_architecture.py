"""Arrows point one way, and replaying needs neither torch nor a GPU."""

import ast
import os
import subprocess
import sys
from collections import Counter
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from tests.helpers.synthetic import write_trace

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "hedgespec"
TESTS = ROOT / "tests"
SHARED = {"errors", "options", "files", "bundled", "command", "version", "gguf_header", "remote"}
ALLOWED = {  # who may import whom
    "traces": {"results"},
    "results": set(),
    "rules": {"traces"},
    "selectors": {"results"},
    "models": {"traces", "rules"},
    "costs": {"traces", "selectors", "models"},
    "simulator": {"traces", "rules", "selectors", "costs", "results"},
    "tracegen": {"traces", "rules", "models", "costs", "results"},
    "live": {"traces", "rules", "selectors", "models", "costs", "tracegen", "results"},
    "zoo": {"traces", "models", "costs", "tracegen", "results"},
    "bridges": {"traces", "selectors", "models", "simulator", "tracegen", "results"},
    "analysis": {"results"},
}


@cache
def nodes(path: Path) -> list[ast.Import | ast.ImportFrom | ast.ClassDef]:
    """The imports and classes of a file; it is parsed once for all tests."""
    return [
        node
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom | ast.ClassDef)
    ]


def imported(path: Path) -> set[str]:
    """Names that a file imports, with their modules: of "from a import b" both a and a.b."""
    found = set()
    for node in nodes(path):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found


def imports(path: Path) -> set[str]:
    """Parts of hedgespec that a file imports."""
    return {name.split(".")[1] for name in imported(path) if name.startswith("hedgespec.")}


@pytest.mark.parametrize("part", ALLOWED)
def test_imports_point_one_way(part):
    for path in (PACKAGE / part).rglob("*.py"):
        assert imports(path) <= ALLOWED[part] | {part} | SHARED, path


def test_no_files_import_each_other_in_a_circle():
    """Imports for types alone count too; what a package's face hands on does not."""
    files = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts): path
        for path in PACKAGE.rglob("*.py")
        if path.stem != "__init__"
    }
    graph = {name: imported(path) & files.keys() - {name} for name, path in files.items()}
    assert sum(map(len, graph.values())) > 500
    TopologicalSorter(graph).prepare()  # raises CycleError with the files of a circle


def test_every_part_of_the_package_has_its_arrows_stated():
    parts = {path.name for path in PACKAGE.iterdir() if path.is_dir()} - {"__pycache__", "data"}
    assert parts == set(ALLOWED) | {"cli"}


def test_no_two_public_classes_have_one_name():
    homes = Counter(
        node.name
        for path in PACKAGE.rglob("*.py")
        for node in nodes(path)
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    )
    assert len(homes) > 200
    assert not [name for name, count in homes.items() if count > 1]


def test_no_test_imports_from_another():
    """What two test modules need stands in tests/helpers or in a conftest.py."""
    for path in TESTS.rglob("*.py"):
        parts = {part for name in imported(path) for part in name.split(".")}
        assert not {part for part in parts if part.startswith("test_")}, path


@pytest.mark.slow
def test_sim_runs_where_torch_cannot_be_imported(tmp_path):
    for name in ("torch", "transformers", "ray"):
        (tmp_path / f"{name}.py").write_text("raise ImportError('blocked by the test')")
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}"}
    out = tmp_path / "out"
    trace = write_trace(tmp_path / "trace")
    command = [
        sys.executable,
        "-m",
        "hedgespec",
        "sim",
        "--seeds",
        "1",
        "--out",
        str(out),
        "--traces",
        str(trace.folder),
        "--selectors",
        "uniform",
    ]
    subprocess.run(command, check=True, env=environment, capture_output=True)
    done = subprocess.run(
        [sys.executable, "-m", "hedgespec", "record"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "recording needs it: pip install 'hedgespec[models]'" in done.stderr


def test_standard_selectors_module_is_not_shadowed():
    code = "import selectors, subprocess, asyncio; print(selectors.DefaultSelector)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, capture_output=True)
