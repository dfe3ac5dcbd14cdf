"""Reads the sweeps of a TOML file."""

import tomllib
from dataclasses import fields
from pathlib import Path
from typing import Any

from hedgespec.bundled import trace_folder
from hedgespec.errors import HedgespecError
from hedgespec.simulator.sweep import SweepSettings

# Keys of the file and the settings that they are; lists may also be given as one value.
_LISTS = {"selectors": ("selectors", str), "feedback": ("feedbacks", str),
          "loss": ("losses", str), "estimator": ("estimators", str),
          "draft_length": ("draft_lengths", int), "pool": ("pools", int),
          "arm_lengths": ("arm_lengths", int), "arms": ("arms", str), "rule": ("rules", str)}
_SINGLE = {"prefill": bool, "carry": int, "mode": str, "seeds": int, "answer": str}


def read_grid(path: Path, threads: int) -> list[SweepSettings]:
    """Read a TOML file: settings at the top, `traces` among them, that each [[run]] may change.

    Trace folders are relative to the file; names of bundled traces will do. Raises HedgespecError
    naming the key that is unknown or of the wrong type.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise HedgespecError(f"{path}: cannot be read as TOML ({error})") from error
    runs = document.pop("run", [{}])
    if not isinstance(runs, list) or not all(isinstance(run, dict) for run in runs):
        raise HedgespecError(f"{path}: runs are written as [[run]]")
    return [_settings({**document, **run}, threads, path) for run in runs]


def _settings(values: dict[str, Any], threads: int, where: Path) -> SweepSettings:
    chosen: dict[str, Any] = {"threads": threads}
    for key, value in values.items():
        if key == "traces":
            chosen[key] = tuple(_folder(where, trace)
                                for trace in _list(value, str, f"{where}: {key}"))
        elif key in _LISTS:
            name, kind = _LISTS[key]
            chosen[name] = tuple(_list(value, kind, f"{where}: {key}"))
        elif key in _SINGLE:
            if type(value) is not _SINGLE[key]:
                raise HedgespecError(f"{where}: {key} = {value!r} has the wrong type")
            chosen[key] = value
        else:
            known = ", ".join(["traces", *_LISTS, *_SINGLE])
            raise HedgespecError(f"{where}: unknown key {key!r}; known are {known}")
    assert set(chosen) <= {item.name for item in fields(SweepSettings)}
    return SweepSettings(**chosen)


def _folder(grid: Path, trace: str) -> Path:
    beside = grid.parent / trace
    return beside if beside.exists() else trace_folder(trace)


def _list(value: Any, kind: type, where: str) -> list[Any]:
    values = value if isinstance(value, list) else [value]
    if not all(type(item) is kind for item in values):
        raise HedgespecError(f"{where} = {value!r} has the wrong type")
    return values
