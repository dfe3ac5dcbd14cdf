"""Sweeps from a TOML file."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hedgespec.bundled import DEFAULT_GRID
from hedgespec.errors import HedgespecError, arg, did_you_mean
from hedgespec.options import option_fields, read_settings
from hedgespec.simulator.settings import OutputSettings, SweepSettings

_DEFAULTS = SweepSettings()
_COMMON = ("traces", "costs", "batches")  # lists that may be given beside a grid


@dataclass(frozen=True)
class Grid:
    """The runs of a file, and where it says that results go, if it does."""

    file: Path
    runs: list[SweepSettings]
    out: Path | None = None

    def with_options(self, given: Mapping[str, Any]) -> "Grid":
        """The same with some settings in every run.

        Raises HedgespecError for those that the runs of a grid are there to vary.
        """
        for item in option_fields(SweepSettings):
            if item.name in given and item.several and item.name not in _COMMON:
                raise HedgespecError(
                    f"{arg(item.name)} beside {arg('grid')} would override what the runs of "
                    f"{self.file} vary: set {item.key} in the file, or leave {arg('grid')} out"
                )
        return replace(self, runs=[replace(run, **given) for run in self.runs])


def read_grid(path: Path, defaults: SweepSettings = _DEFAULTS) -> Grid:
    """Read a TOML file: settings at the top that each [[run]] may change, and `out`.

    The keys are the options of `hedgespec sim`. Paths are relative to the file; names of bundled
    traces and costs will do. Raises HedgespecError naming the key that is unknown or wrong.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        meant = "" if path.exists() else did_you_mean(str(path), [DEFAULT_GRID])
        raise HedgespecError(f"{path}: cannot be read as TOML ({error}){meant}") from error
    runs = document.pop("run", [{}])
    if not isinstance(runs, list) or not all(isinstance(run, dict) for run in runs):
        raise HedgespecError(f"{path}: runs are written as [[run]]")
    if not runs:
        raise HedgespecError(
            f"{path}: there is no run; without the key run, the settings at the top are one"
        )
    out = None
    if "out" in document:
        out = read_settings(OutputSettings(), {"out": document.pop("out")}, path).out
    return Grid(path, [read_settings(defaults, {**document, **run}, path) for run in runs], out)
