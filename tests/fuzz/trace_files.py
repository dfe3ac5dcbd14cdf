"""A trace with random bytes, or a field of its manifest, changed: refused, or read as before."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from hedgespec.errors import HedgespecError
from hedgespec.simulator import Replayer
from hedgespec.traces import read_trace
from tests.fuzz.killing import check_line
from tests.helpers.synthetic import write_trace

VALUES: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    1,
    2**31,
    10**30,
    1.5,
    math.inf,
    "",
    "x",
    "../x",
    "=1",
    "\x00",
    [],
    {},
    [1],
    {"a": 1},
)


def trial(rng: np.random.Generator, folder: Path) -> str:
    """Break one, read it, and replay what could be read."""
    trace = write_trace(folder / "trace", lengths=(20, 5))
    if rng.random() < 0.5:
        _change_bytes(rng, folder / "trace")
    else:
        _change_field(rng, folder / "trace" / "manifest.json")
    try:
        found = read_trace(folder / "trace")
        Replayer(found).run("uniform", 0)
    except HedgespecError as error:
        check_line(error)
        return "refused"
    np.testing.assert_array_equal(found.tokens, trace.tokens)
    np.testing.assert_array_equal(found.gamma, trace.gamma)
    return "read as before"


def _change_bytes(rng: np.random.Generator, folder: Path) -> None:
    files = sorted(path for path in folder.iterdir() if path.suffix == ".parquet")
    path = files[rng.integers(len(files))]
    text = bytearray(path.read_bytes())
    for _ in range(rng.integers(1, 4)):
        text[rng.integers(len(text))] ^= int(rng.integers(1, 256))
    if rng.random() < 0.3:
        del text[int(rng.integers(len(text))) :]
    path.write_bytes(text)


def _change_field(rng: np.random.Generator, path: Path) -> None:
    document = json.loads(path.read_text())
    place: Any = document
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = keys[rng.integers(len(keys))]
        if isinstance(place[key], dict | list) and place[key] and rng.random() < 0.7:
            place = place[key]
            continue
        if rng.random() < 0.2:
            del place[key]
        else:
            place[key] = VALUES[rng.integers(len(VALUES))]
        break
    path.write_text(json.dumps(document))
