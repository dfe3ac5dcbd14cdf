"""The commands of docs/engines.md run as they stand, against made-up servers."""

import json

import pytest

pytest.importorskip("httpx")

from hedgespec.cli import main
from tests.helpers.served import TinyModel, serving
from tests.helpers.shell_commands import commands_of

TARGET = TinyModel(1)


@pytest.mark.slow
def test_every_command_of_the_page_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "question.jsonl").write_text(
        "\n".join(
            json.dumps({"question_id": number, "category": "some", "turns": [f"w{number} w8"]})
            for number in range(3)
        )
    )
    (tmp_path / "responses.jsonl").write_text(
        json.dumps(
            {
                "metrics": {
                    "speculative_decoding": {
                        "per_step_accepted": [1, 0],
                        "per_step_drafted": [2, 2],
                    }
                }
            }
        )
    )
    (tmp_path / "metrics.txt").write_text(
        "\n".join(
            f"vllm:spec_decode_num_{name}_total 5"
            for name in ("drafts", "draft_tokens", "accepted_tokens")
        )
    )
    with serving("vllm", TARGET) as target, serving("vllm", TinyModel(2, near=TARGET)) as drafter:
        found = commands_of(
            "engines.md",
            {"http://127.0.0.1:8000": target.address, "http://127.0.0.1:8001": drafter.address},
        )
        assert len(found) == 12
        for words in found:
            more = ["--max-new-tokens", "16"] if words[0] == "record" else []
            more += ["--seeds", "1", "--selectors", "uniform"] if words[0] == "sim" else []
            assert main([*words, *more]) == 0, words
