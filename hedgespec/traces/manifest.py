"""manifest.json: what was recorded, with which models and settings, and the hash of each file."""

import json
import re
from collections.abc import Callable
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from hedgespec.bundled import trace_names
from hedgespec.errors import TraceError, arg, did_you_mean
from hedgespec.files import has_control, read_json, write_text
from hedgespec.traces.costs import Costs, DrafterCosts, Spread, TargetCosts
from hedgespec.traces.gap import check_gap
from hedgespec.traces.schema import (
    BOUNDS,
    FORMAT,
    MANIFEST,
    MAX_DRAFT_LENGTH,
    MAX_TREE_LEVELS,
    OPTIONAL_STATISTICS,
    PRECISIONS,
    RECORDING,
    SHA256_PATTERN,
    TRACE_NAME_RULE,
    VERSION,
    is_drafter_name,
    is_rule_name,
    is_trace_name,
)

EARLY_EXIT = "early-exit"  # kind of drafters that are the target's own first layers
TARGET_LAYERS = "target_layers"  # in the field "recording": number of the target's layers
_HASH = re.compile(SHA256_PATTERN)


@dataclass(frozen=True)
class TargetInfo:
    """The model whose text was recorded; hashes are hex sha256, None of what a server ran."""

    id: str
    weights_sha256: str | None
    tokenizer_sha256: str | None
    vocabulary_size: int


@dataclass(frozen=True)
class DrafterInfo:
    """One drafter. `depths` is 1 for a prefix-only drafter, else the number of draft depths;
    `statistics` are those of OPTIONAL_STATISTICS that were recorded of it."""

    name: str
    kind: str
    id: str
    weights_sha256: str | None
    depths: int = 1
    statistics: tuple[str, ...] = ()

    @property
    def exit_layer(self) -> int | None:
        """The target's layers that an early exit runs, as its `id` says; None for others."""
        found = re.fullmatch(rf"{EARLY_EXIT}:([1-9]\d{{0,3}})", self.id)
        return int(found[1]) if found and self.kind == EARLY_EXIT else None


@dataclass(frozen=True)
class SamplingInfo:
    """How the target wrote its text. Temperature 0 is greedy; top_p 1 and top_k 0 are off."""

    temperature: float
    top_p: float
    top_k: int
    seed: int
    max_new_tokens: int


@dataclass(frozen=True)
class FileInfo:
    """Hash and number of rows of one Parquet file."""

    sha256: str
    rows: int


@dataclass(frozen=True)
class RuleInfo:
    """A verification rule whose statistics were recorded.

    `levels` are those of its draft trees, None if it has none; `id` says how they were made.
    """

    name: str
    levels: int | None = None
    id: str = ""


@dataclass(frozen=True)
class Manifest:
    """The whole manifest. `draft_length` is the simulator's default K; `costs` may not have been
    measured. `rules` are those that needed statistics of their own."""

    name: str
    created: str
    target: TargetInfo
    drafters: list[DrafterInfo]
    sampling: SamplingInfo
    draft_length: int
    precision: str
    device: str
    dtype: str
    queries: int
    tokens: int
    files: dict[str, FileInfo]
    versions: dict[str, str] = field(default_factory=dict)
    recording: dict[str, Any] = field(default_factory=dict)
    costs: Costs | None = None
    rules: list[RuleInfo] = field(default_factory=list)

    @property
    def drafter_names(self) -> list[str]:
        """Names of the drafters in column order."""
        return [drafter.name for drafter in self.drafters]

    @property
    def target_layers(self) -> int | None:
        """Number of the target's layers, if it was recorded."""
        found = self.recording.get(TARGET_LAYERS)
        return found if isinstance(found, int) and not isinstance(found, bool) else None

    def save(self, folder: Path) -> None:
        """Write manifest.json atomically; its presence makes the folder a trace.

        It is of the first version that has the fields it needs: `rules` came with 2, `statistics`
        of drafters with 3, bounds of gamma and targets without hashes with 4.
        """
        statistics = {name for drafter in self.drafters for name in drafter.statistics}
        served = None in (self.target.weights_sha256, self.target.tokenizer_sha256)
        more = bool(statistics) or served
        version = (
            VERSION if served or statistics & {*BOUNDS} else 3 if more else 2 if self.rules else 1
        )
        document = {"format": FORMAT, "version": version, **asdict(self)}
        if version == 1:
            del document["rules"]
        for drafter in document["drafters"] if not more else ():
            del drafter["statistics"]
        write_text(folder / MANIFEST, json.dumps(document, indent=1) + "\n")


def load_manifest(folder: Path) -> Manifest:
    """Read and check manifest.json.

    Raises TraceError if it is missing, no JSON, of another format or version, or has a missing,
    unknown or wrongly typed field.
    """
    path = folder / MANIFEST
    if not folder.is_dir():
        bundled = str(folder) in trace_names()
        raise TraceError(
            f"{folder}: no such trace directory"
            + (
                "; hedgespec.read_trace reads the bundled trace of this name"
                if bundled
                else did_you_mean(str(folder), trace_names())
            )
        )
    if not path.is_file():
        unfinished = (folder / RECORDING).is_file()
        hint = (
            f"the recording is unfinished: record again as before, with {arg('resume', True)}"
            if unfinished
            else "a trace directory holds manifest.json, queries.parquet and token shards"
        )
        raise TraceError(f"{folder}: no {MANIFEST}; {hint}")
    document = read_json(path, TraceError)
    if not isinstance(document, dict) or document.pop("format", None) != FORMAT:
        raise TraceError(f'{path}: field "format" is not "{FORMAT}": this is not a trace')
    version = document.pop("version", None)
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise TraceError(f'{path}: field "version" is {version!r}, not a positive integer')
    if version > VERSION:
        raise TraceError(
            f"{path}: trace format version {version} is newer than the {VERSION} that this "
            "hedgespec reads; upgrade hedgespec"
        )
    manifest: Manifest = _build(Manifest, document, path, "")
    _check_values(manifest, path)
    return manifest


def parse_costs(document: object, path: Path) -> Costs:
    """Costs from JSON. Raises TraceError naming the first field that is wrong."""
    costs: Costs = _build(Costs, document, path, "costs.")
    for wrong, message in _cost_faults(costs, list(costs.drafters)):
        if wrong:
            raise TraceError(f"{path}: {message}")
    return costs


_PLAIN: dict[Any, tuple[type, ...]] = {
    str: (str,),
    int: (int,),
    float: (int, float),
    str | None: (str, type(None)),
    int | None: (int, type(None)),
    float | None: (int, float, type(None)),
}


def _build(cls: type, document: Any, path: Path, where: str) -> Any:
    """Turn a JSON object into the dataclass `cls`, naming the first field that does not fit."""
    if not isinstance(document, dict):
        raise TraceError(f'{path}: field "{where}" is not an object')
    known = {item.name: item for item in fields(cls)}
    for name in document:
        if name not in known:
            raise TraceError(f'{path}: unknown field "{where}{_shown(name, str)}"')
    values = {}
    for name, item in known.items():
        label = f"{where}{name}"
        if name not in document:
            if item.default is MISSING and item.default_factory is MISSING:
                raise TraceError(f'{path}: field "{label}" is missing')
            continue
        values[name] = _convert(item.type, document[name], path, label)
    return cls(**values)


def _convert(kind: Any, value: Any, path: Path, label: str) -> Any:
    if kind in _PLAIN:
        if not isinstance(value, _PLAIN[kind]) or isinstance(value, bool):
            raise TraceError(f'{path}: field "{label}" has the wrong type: {_shown(value)}')
        if isinstance(value, str) and has_control(value):
            raise TraceError(f'{path}: field "{label}" holds a control character: {_shown(value)}')
        if kind in (float, float | None) and isinstance(value, int | float):
            return _float(value, path, label)
        return value
    if kind == tuple[str, ...]:
        if not isinstance(value, list):
            raise TraceError(f'{path}: field "{label}" is not a list')
        return tuple(
            _convert(str, item, path, f"{label}[{number}]") for number, item in enumerate(value)
        )
    if kind in (TargetInfo, SamplingInfo, TargetCosts):
        return _build(kind, value, path, f"{label}.")
    if kind == Costs | None:
        return None if value is None else _build(Costs, value, path, f"{label}.")
    lists: dict[Any, type] = {
        list[DrafterInfo]: DrafterInfo,
        list[RuleInfo]: RuleInfo,
        "list[Costs]": Costs,
    }
    if kind in lists:
        if kind == "list[Costs]" and value and "conditions[" in label:
            raise TraceError(f'{path}: field "{label}": conditions have none of their own')
        if not isinstance(value, list):
            raise TraceError(f'{path}: field "{label}" is not a list')
        return [
            _build(lists[kind], item, path, f"{label}[{number}].")
            for number, item in enumerate(value)
        ]
    if not isinstance(value, dict):
        raise TraceError(f'{path}: field "{label}" is not an object')
    entries = {
        dict[str, FileInfo]: FileInfo,
        dict[str, DrafterCosts]: DrafterCosts,
        dict[str, Spread]: Spread,
    }
    if kind in entries:
        return {
            name: _build(entries[kind], item, path, f"{label}.{name}.")
            for name, item in value.items()
        }
    if kind == dict[str, float]:
        return {
            name: _convert(float, item, path, f"{label}.{name}") for name, item in value.items()
        }
    return value


def _float(value: float, path: Path, label: str) -> float:
    try:
        return float(value)
    except OverflowError as error:
        raise TraceError(f'{path}: field "{label}" is too large: {_shown(value)}') from error


def _shown(value: object, write: Callable[[object], str] = repr) -> str:
    """A value in an error, however long it is."""
    text = write(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _check_values(manifest: Manifest, path: Path) -> None:
    """Ranges and consistency of single fields."""
    names = manifest.drafter_names
    sampling = manifest.sampling
    hashes = [
        manifest.target.weights_sha256,
        manifest.target.tokenizer_sha256,
        *(drafter.weights_sha256 for drafter in manifest.drafters),
        *(info.sha256 for info in manifest.files.values()),
    ]
    faults = [
        (not is_trace_name(manifest.name), f'field "name": {TRACE_NAME_RULE}'),
        (
            any(text is not None and not _HASH.fullmatch(text) for text in hashes),
            "a sha256 is not 64 hexadecimal digits",
        ),
        (not names, 'field "drafters" is empty'),
        (len(set(names)) < len(names), 'field "drafters" names a drafter twice'),
        (
            not 1 <= manifest.draft_length <= MAX_DRAFT_LENGTH,
            f'field "draft_length" must lie in 1..{MAX_DRAFT_LENGTH}',
        ),
        (
            manifest.precision not in PRECISIONS,
            f'field "precision" must be one of {", ".join(PRECISIONS)}',
        ),
        (
            not 0 <= sampling.temperature < float("inf"),
            'field "sampling.temperature" must be >= 0 and finite',
        ),
        (not 0 < sampling.top_p <= 1, 'field "sampling.top_p" must lie in (0, 1]'),
        (sampling.top_k < 0 or sampling.seed < 0, 'field "sampling": top_k and seed must be >= 0'),
        (
            max(sampling.top_k, sampling.seed, sampling.max_new_tokens) >= 2**63,
            'field "sampling": top_k, seed and max_new_tokens must be below 2^63',
        ),
        (
            not all(1 <= info.rows < 2**32 for info in manifest.files.values()),
            'field "files": a table has no row, or too many',
        ),
        (sampling.max_new_tokens < 1, 'field "sampling.max_new_tokens" must be at least 1'),
        (manifest.queries < 1 or manifest.tokens < 1, "the trace holds no query or no token"),
        (
            max(manifest.queries, manifest.tokens) >= 2**63,
            'field "queries" or "tokens" must be below 2^63',
        ),
        (
            not 1 <= manifest.target.vocabulary_size < 2**32,
            'field "target.vocabulary_size" must be positive and below 2^32',
        ),
    ]
    for drafter in manifest.drafters:
        faults.append(
            (
                not is_drafter_name(drafter.name),
                f'drafter name {drafter.name!r} may hold only a-z, 0-9, ".", "_" and "-"',
            )
        )
        faults.append(
            (
                not 1 <= drafter.depths <= MAX_DRAFT_LENGTH,
                f"drafter {drafter.name}: depths must lie in 1..{MAX_DRAFT_LENGTH}",
            )
        )
        faults.append(
            (
                len(set(drafter.statistics)) < len(drafter.statistics)
                or not set(drafter.statistics) <= OPTIONAL_STATISTICS.keys(),
                f"drafter {drafter.name}: statistics must be different ones of "
                f"{', '.join(OPTIONAL_STATISTICS)}",
            )
        )
        faults.append(
            (
                len({*BOUNDS} & {*drafter.statistics}) == 1,
                f"drafter {drafter.name}: statistics must have both of "
                f"{', '.join(BOUNDS)}, or neither",
            )
        )
    for rule in manifest.rules:
        faults.append((not is_rule_name(rule.name), f"rule name {rule.name!r} cannot be one"))
        faults.append(
            (
                rule.levels is not None and not 1 <= rule.levels <= MAX_TREE_LEVELS,
                f"rule {rule.name}: levels must lie in 1..{MAX_TREE_LEVELS}",
            )
        )
    rules = [rule.name for rule in manifest.rules]
    faults.append((len(set(rules)) < len(rules), 'field "rules" names a rule twice'))
    if manifest.costs is not None:
        faults += _cost_faults(manifest.costs, names)
    for wrong, message in faults:
        if wrong:
            raise TraceError(f"{path}: {message}")
    check_gap(manifest.recording, manifest.dtype, path)


def _cost_faults(costs: Costs, names: list[str], field: str = "costs") -> list[tuple[bool, str]]:
    """What may be wrong with the field "costs" of a trace with drafters `names`."""
    seconds = {"target": asdict(costs.target)}
    seconds |= {
        f"drafters.{name}": {
            part: value for part, value in asdict(item).items() if part not in ("kind", "reads")
        }
        for name, item in costs.drafters.items()
    }
    tokens = {"widths": costs.widths, "reads": costs.reads}
    tokens |= {f"drafters.{name}.reads": item.reads for name, item in costs.drafters.items()}
    seconds |= {**tokens, "evaluate_together": costs.evaluate_together}
    seconds |= {
        f"spread.{name}": {"low": item.low, "high": item.high}
        for name, item in costs.spread.items()
    }
    faults = [
        (
            sorted(costs.drafters) != sorted(names),
            f'field "{field}.drafters" must name the trace\'s drafters',
        ),
        *(
            (
                not all(re.fullmatch(r"[1-9]\d{0,4}", key) for key in known),
                f'field "{field}.{name}": keys are numbers of '
                f"{'tokens' if name in tokens else 'drafters'}, 1 to 99999",
            )
            for name, known in (*tokens.items(), ("evaluate_together", costs.evaluate_together))
        ),
        *(
            (getattr(costs, name) < 1, f'field "{field}.{name}" must be at least 1')
            for name in ("context", "batch")
        ),
        *(
            (getattr(costs, name) >= 2**63, f'field "{field}.{name}" must be below 2^63')
            for name in ("context", "batch")
        ),
        (
            costs.evaluate_all is not None and not 0 < costs.evaluate_all < float("inf"),
            f'field "{field}.evaluate_all" must be positive and finite seconds, or null, not '
            f"{costs.evaluate_all!r}",
        ),
        *(
            (
                not 0 <= getattr(costs, name) < float("inf"),
                f'field "{field}.{name}" must be finite seconds >= 0, not {getattr(costs, name)!r}',
            )
            for name in ("overhead", "evaluation_overhead", "part_overhead")
            if getattr(costs, name) is not None
        ),
        (
            not 1 <= costs.draft_length <= MAX_DRAFT_LENGTH,
            f'field "{field}.draft_length" must lie in 1..{MAX_DRAFT_LENGTH}',
        ),
    ]
    faults += [
        (
            not 0 < value < float("inf"),
            f'field "{field}.{where}.{name}" must be positive and finite seconds, not {value!r}',
        )
        for where, item in seconds.items()
        for name, value in item.items()
        if value is not None
    ]
    return faults + _condition_faults(costs, field)


def _condition_faults(costs: Costs, field: str) -> list[tuple[bool, str]]:
    """What may be wrong with the conditions: they are of the same drafters, each of its own."""
    places = [(one.batch, one.context) for one in costs.measured]
    faults = [
        (
            len(set(places)) < len(places),
            f'field "{field}.conditions": two are of one batch and context',
        )
    ]
    for number, one in enumerate(costs.conditions):
        where = f"{field}.conditions[{number}]"
        faults.append(
            (
                one.draft_length != costs.draft_length,
                f'field "{where}.draft_length" must be {costs.draft_length}',
            )
        )
        faults += _cost_faults(one, list(costs.drafters), where)
    return faults
