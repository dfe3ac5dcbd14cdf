"""The commands of the pages for tasks run in their order; models have their tests elsewhere."""

import json
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from hedgespec.bundled import bundled_traces, trace_folder
from hedgespec.cli import main
from hedgespec.files import sha256_file

DOCS = Path(__file__).parents[2] / "docs"
SMALL = {"domain-mix-t0.7": "spec-bench-t1", "spec-bench-t0.7": "spec-bench-t0"}
OTHERS = (
    "pip",
    "hedgespec record",
    "hedgespec live",
    "hedgespec profile",
    "hedgespec --print",
    "hedgespec validate my-trace",
    "hedgespec sim --traces my-trace",
    "hedgespec report results/sim",
    "hedgespec sim --grid default",
)


def commands(page: str) -> list[str]:
    """Lines of a page's blocks of shell, with small traces for large ones."""
    text = (DOCS / page).read_text(encoding="utf-8")
    for large, small in SMALL.items():
        text = text.replace(large, small)
    return [
        " ".join(line.split())
        for block in re.findall(r"^```sh\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
        for line in block.replace("\\\n", " ").splitlines()
    ]


@pytest.mark.slow
@pytest.mark.parametrize("page", ["index.md", "policy.md", "machines.md"])
def test_commands_of_a_task_run_in_their_order(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    run = [line for line in commands(page) if not line.startswith(OTHERS)]
    assert len(run) >= 2
    for line in run:
        words = shlex.split(line)[1:]
        if words[0] == "report":
            words += ["--formats"]  # pictures take longest
        if words[0] == "sim":
            words += ["--seeds", "1"]
        assert main(words) == 0, line
        assert capsys.readouterr().out.strip(), line


@pytest.mark.slow
def test_the_python_of_the_start_page_and_the_readme_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for page in (DOCS / "index.md", DOCS.parent / "README.md"):
        text = page.read_text(encoding="utf-8").replace("domain-mix-t0.7", "spec-bench-t1")
        [block] = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
        exec(block, {})
        assert "normalhedge" in capsys.readouterr().out
        assert (tmp_path / "regret.png").is_file()


@pytest.mark.slow
def test_the_grid_of_the_page_on_results_runs(tmp_path, capsys):
    page = (
        (DOCS / "results.md")
        .read_text(encoding="utf-8")
        .replace("domain-mix-t0.7", "spec-bench-t1")
    )
    [grid] = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    (tmp_path / "sweep.toml").write_text(grid.replace("seeds = 20", "seeds = 1"), encoding="utf-8")
    out = str(tmp_path / "out")
    assert main(["sim", "--grid", str(tmp_path / "sweep.toml"), "--out", out]) == 0
    assert "spec-bench-t1" in capsys.readouterr().out


def errors_of_gamma(trace: Path) -> tuple[pl.DataFrame, pl.DataFrame]:
    """What the page on reports computes: a drafter's answer in each row, and all of them together."""
    page = (DOCS / "reading.md").read_text(encoding="utf-8")
    [block] = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    named = block.replace("domain-mix-t0.7", str(trace))
    assert str(trace) in named
    variables: dict[str, pl.DataFrame] = {}
    exec(named, variables)
    return variables["told"].sort(pl.col("errors").abs(), descending=True), variables["whole"]


def test_wrong_gammas_stand_out_as_the_page_says_and_no_bundled_ones_do(tmp_path):
    for trace in bundled_traces():
        manifest = json.loads((trace / "manifest.json").read_text("utf-8"))
        if manifest["sampling"]["temperature"] == 0:
            continue
        told, whole = errors_of_gamma(trace)
        assert len(whole) == sum(drafter["depths"] for drafter in manifest["drafters"])
        assert told["errors"].abs().max() < 4, trace
        assert whole["errors"].abs().max() < 4, trace
    wrong = tmp_path / "trace"
    shutil.copytree(trace_folder("domain-mix-t0.7"), wrong)
    raise_gammas(wrong, "expert-sql@2", query=37)
    assert main(["validate", str(wrong)]) == 0
    told, _ = errors_of_gamma(wrong)
    first = told.row(0, named=True)
    assert (first["drafter"], first["query"]) == ("expert-sql@2", 37)
    assert first["file"] == "tokens-00000.parquet"
    assert first["errors"] < -4 < told["errors"][1:].min()


def test_gammas_that_are_a_little_too_small_show_in_their_sum_and_are_refused(tmp_path, capsys):
    wrong = tmp_path / "trace"
    shutil.copytree(trace_folder("domain-mix-t0.7"), wrong)
    column = pl.col("gamma/generalist@1")
    change(wrong, lambda table: table.with_columns((column * 0.9).cast(pl.Float32)))
    _, whole = errors_of_gamma(wrong)
    assert whole.filter(drafter="generalist@1")["errors"][0] > 4
    assert main(["validate", str(wrong)]) == 1
    assert "gamma/generalist@1" in capsys.readouterr().err


def raise_gammas(trace: Path, drafter: str, query: int) -> None:
    """Bring an answer's gammas near the most that is possible."""
    gap = (pl.col("log_p").exp() - pl.col(f"log_q/{drafter}").exp()).abs()
    column = pl.col(f"gamma/{drafter}")
    higher = pl.max_horizontal(column, 0.9 * (1 - gap)).cast(pl.Float32)
    changed = pl.when(pl.col("query") == query).then(higher).otherwise(column)
    change(trace, lambda table: table.with_columns(changed.alias(column.meta.output_name())))


def change(trace: Path, how: Callable[[pl.DataFrame], pl.DataFrame]) -> None:
    """Change the tokens of a trace, and the hash in line with that."""
    path = trace / "tokens-00000.parquet"
    how(pl.read_parquet(path)).write_parquet(path)
    manifest = json.loads((trace / "manifest.json").read_text("utf-8"))
    manifest["files"][path.name]["sha256"] = sha256_file(path)
    (trace / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
