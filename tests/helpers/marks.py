"""Which of a test's parameters `make check` runs."""

from collections.abc import Iterable
from typing import Any

import pytest


def slow_but(quick: Iterable[Any], values: Iterable[Any]) -> list[Any]:
    """The values of a parametrization, all but the `quick` ones marked slow."""
    quick, values = list(quick), list(values)
    assert set(quick) < set(values), "what is quick is there, and not alone"
    return [
        value if value in quick else pytest.param(value, marks=pytest.mark.slow) for value in values
    ]
