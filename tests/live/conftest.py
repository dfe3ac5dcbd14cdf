"""The target of the tests in this room."""

import pytest


@pytest.fixture(scope="module")
def target(tiny_models: dict[str, str]):
    """The tiny target on the CPU, in float32 as live decoding has it."""
    pytest.importorskip("torch")
    from hedgespec.models.target import load_model

    return load_model(tiny_models["target"], "cpu", "float32")
