"""The commands of the pages for tasks run in their order; models have their tests elsewhere."""

import re
import shlex
from pathlib import Path

import pytest

from hedgespec.cli import main

DOCS = Path(__file__).parents[2] / "docs"
SMALL = {"domain-mix-t0.7": "spec-bench-t1", "spec-bench-t0.7": "spec-bench-t0"}
OTHERS = ("pip", "hedgespec record", "hedgespec live", "hedgespec profile", "hedgespec --print",
          "hedgespec validate my-trace", "hedgespec sim --traces my-trace",
          "hedgespec report results/sim", "hedgespec sim --grid default")


def commands(page: str) -> list[str]:
    """Lines of a page's blocks of shell, with small traces for large ones."""
    text = (DOCS / page).read_text(encoding="utf-8")
    for large, small in SMALL.items():
        text = text.replace(large, small)
    return [" ".join(line.split())
            for block in re.findall(r"^```sh\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
            for line in block.replace("\\\n", " ").splitlines()]


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
