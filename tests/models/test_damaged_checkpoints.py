"""Damaged checkpoints work or are refused in one line; heads cost no more than they hold."""

import json
import struct
import warnings

import pytest

torch = pytest.importorskip("torch")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from hedgespec.errors import HedgespecError  # noqa: E402
from hedgespec.models.drafters import make_drafters  # noqa: E402
from hedgespec.models.heads.eagle import load_head  # noqa: E402
from hedgespec.models.heads.recurrent import load_redrafter  # noqa: E402
from tests.helpers.damaged_checkpoints import recurrent, try_damage, try_damaged_model  # noqa: E402
from tests.helpers.head_zoo import DRAFT_VOCABULARY, VOCABULARY, eagle3, flat  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("damaged")


@settings(max_examples=100, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**48))
def test_a_damaged_head_works_or_is_refused(target, place, seed):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        folder = place / f"head-{seed}"
        if not folder.exists():
            try_damage(seed, place, target)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**48))
def test_a_damaged_model_works_or_is_refused(target, place, tiny_models, seed):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if not (place / f"model-{seed}").exists():
            try_damaged_model(seed, place, tiny_models["drafter"], target)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(tmp_path, value):
    shape, other = flat(), recurrent()
    shape.tensors["fc.weight"][3, 4] = value
    other.tensors["rnn_u.weight"] = torch.full((32, 32), value)
    for load, one in ((load_head, shape), (load_redrafter, other)):
        with pytest.raises(HedgespecError, match="weight' holds NaN or infinite numbers as"):
            load(one.save(tmp_path / load.__name__))


def test_weights_that_overflow_in_half_precision_are_refused(tmp_path):
    shape = flat()
    shape.tensors["fc.weight"][0, 0] = 1e6
    load_head(shape.save(tmp_path))
    with pytest.raises(HedgespecError, match="as float16; stored it does not: try dtype='float32'"):
        load_head(tmp_path, torch.float16)


KNOWN = torch.arange(DRAFT_VOCABULARY)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"d2t": torch.full_like(KNOWN, 2**62)}, "points outside"),
        ({"d2t": -KNOWN, "t2d": torch.arange(VOCABULARY) < 1}, "names a token of the target twice"),
        ({"d2t": torch.zeros_like(KNOWN)}, "name different tokens"),
        ({"d2t": None, "t2d": None}, "'d2t' is missing"),
        ({"lm_head.weight": None}, "'lm_head.weight' is missing, and the head knows 40 of 63"),
        ({"layers.0.mlp.up_proj.weight": torch.ones(1)}, "under another name too"),
        ({"fc.weight": torch.zeros(32, 96, dtype=torch.int64)}, "'fc.weight' is of type int64"),
        ({"fc.weight": torch.zeros(32, 96, dtype=torch.float8_e4m3fn)}, "of type float8_e4m3fn"),
    ],
)
def test_tensors_that_cannot_be_right_are_named(tmp_path, changes, message):
    tensors = eagle3() | changes
    shape = flat({name: tensor for name, tensor in tensors.items() if tensor is not None})
    with pytest.raises(HedgespecError, match=message):
        load_head(shape.save(tmp_path))


def test_nothing_is_allocated_on_the_word_of_a_header(tmp_path):
    """Tensors of a petabyte: in a header, and as a view of one number."""
    flat().save(tmp_path / "header")
    header = json.dumps(
        {"fc.weight": {"dtype": "F32", "shape": [1 << 24, 1 << 24], "data_offsets": [0, 1 << 50]}}
    ).encode()
    (tmp_path / "header" / "model.safetensors").write_bytes(
        struct.pack("<Q", len(header)) + header + b"\0" * 64
    )
    with pytest.raises(HedgespecError, match="weights cannot be read"):
        load_head(tmp_path / "header")
    (tmp_path / "view").mkdir()
    (tmp_path / "view" / "config.json").write_text(json.dumps(flat().config))
    tensors = eagle3() | {"fc.weight": torch.zeros(1).expand(1 << 24, 1 << 24)}
    torch.save(tensors, tmp_path / "view" / "pytorch_model.bin")
    with pytest.raises(HedgespecError, match=r"'fc.weight' is larger than what is stored of it"):
        load_head(tmp_path / "view")


def test_a_folder_without_a_head_is_told(target, tmp_path):
    for kind in ("eagle", "parallel", "redrafter"):
        with pytest.raises(HedgespecError, match=r"none: no such folder"):
            make_drafters([f"{kind}:{tmp_path / 'none'}"], target)
