"""Counters of vLLM in Prometheus' text, as its /metrics gives it; SGLang's gauges are refused."""

import re
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from hedgespec.bridges.imports.contract import COUNTS, Import, Imported
from hedgespec.bridges.json_lines import text_of
from hedgespec.errors import HedgespecError

# Name, labels, value; behind it OpenMetrics may have a time and an exemplar.
_LINE = re.compile(r"([a-zA-Z_:][\w:]*)(?:\{(.*?)\})?\s+([^\s{}]+)(?:\s+[-+.\deE]+)?(?:\s+#.*)?")
_LABEL = re.compile(r'([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"')
_DRAFTS, _DRAFTED, _ACCEPTED = (
    f"vllm:spec_decode_num_{name}" for name in ("drafts", "draft_tokens", "accepted_tokens")
)
_AT = f"{_ACCEPTED}_per_pos"
_VLLM = (_DRAFTS, _DRAFTED, _ACCEPTED, _AT)
_SGLANG = "sglang:spec_accept_length"

_Series = tuple[str, frozenset[tuple[str, str]]]


def read(path: Path, drafter: str) -> Imported:
    """Sums over engines. Refused are SGLang's gauge, a mean of unknown weight, several models,
    whose drafters are others, and two scrapes in one file, whose counts hold each other."""
    found: dict[_Series, int] = {}
    for where, name, labels, text in _samples(path):
        if name == _SGLANG:
            raise HedgespecError(
                f"{where}: {name} is {text}, a mean over an unknown number of "
                "rounds; nothing else of speculation is in it, so there is "
                "nothing to import"
            )
        if name in _VLLM:
            series = (name, frozenset(labels.items()))
            if series in found:
                raise HedgespecError(
                    f"{where}: {name} with the same labels is there twice: two "
                    "scrapes in one file; keep the later one"
                )
            found[series] = _count(text, where, name)
    _check_one_model(found, path)
    return Imported(None, _counts(found, path, drafter))


def _samples(path: Path) -> Iterator[tuple[str, str, dict[str, str], str]]:
    """Place, name, labels and value of each line."""
    for number, line in enumerate(text_of(path).split("\n"), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        where, match = f"{path}: line {number}", _LINE.fullmatch(line.strip())
        if match is None:
            raise HedgespecError(f"{where}: is no line of Prometheus' text")
        yield (
            where,
            match[1].removesuffix("_total"),
            dict(_LABEL.findall(match[2] or "")),
            match[3],
        )


def _count(text: str, where: str, name: str) -> int:
    try:
        value = float(text)
    except ValueError as error:
        raise HedgespecError(f"{where}: {text!r} is no number") from error
    if not 0 <= value < 2**53 or value != int(value):
        raise HedgespecError(f"{where}: {name} is {text}, not a count")
    return int(value)


def _check_one_model(found: dict[_Series, int], path: Path) -> None:
    models = sorted({dict(labels).get("model_name", "") for _, labels in found})
    if len(models) > 1:
        raise HedgespecError(
            f"{path}: counts of several models, {', '.join(models)}, which "
            "have different drafters; keep the lines of one"
        )


def _counts(found: dict[_Series, int], path: Path, drafter: str) -> pl.DataFrame:
    sums = {
        name: sum(value for (other, _), value in found.items() if other == name)
        for name in {name for name, _ in found}
    }
    if _DRAFTS not in sums:
        raise HedgespecError(
            f"{path}: has neither {_DRAFTS} nor {_SGLANG}: no engine that speculates wrote it"
        )
    for name in (_DRAFTED, _ACCEPTED):
        if name not in sums:
            raise HedgespecError(f"{path}: {name} is missing")
    drafts = sums[_DRAFTS]
    if not drafts:
        raise HedgespecError(f"{path}: {_DRAFTS} is 0: nothing was drafted")
    at = _by_position(found, path)
    if (
        sums[_ACCEPTED] > sums[_DRAFTED]
        or max(at, default=0) > drafts
        or (at and sum(at) != sums[_ACCEPTED])
    ):
        raise HedgespecError(
            f"{path}: {sums[_ACCEPTED]} accepted of {sums[_DRAFTED]} tokens in {drafts} drafts, "
            f"{at} by position: they contradict each other; was it scraped while the engine "
            "counted? Scrape it when it is idle"
        )
    return pl.DataFrame(
        [
            {
                "drafter": drafter,
                "rounds": drafts,
                "drafted": sums[_DRAFTED],
                "accepted": sums[_ACCEPTED],
                "accepted_at": [count / drafts for count in at],
            }
        ],
        schema=COUNTS,
    )


def _by_position(found: dict[_Series, int], path: Path) -> list[int]:
    """Accepted tokens at the first, second, ... place of a draft."""
    at: dict[str, int] = {}
    for (name, labels), value in found.items():
        if name == _AT:
            position = dict(labels).get("position", "")
            at[position] = at.get(position, 0) + value
    positions = list(map(str, range(len(at))))
    if set(positions) != set(at):
        raise HedgespecError(
            f"{path}: {_AT}: the label position is not 0 to {len(at) - 1}, each once"
        )
    return [at[position] for position in positions]


IMPORT = Import("prometheus", "what /metrics of vLLM gives; SGLang's gauges are refused", read)
