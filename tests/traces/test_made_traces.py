"""Traces made from others or from nothing: `hedgespec subset` and `hedgespec synthetic`."""

import numpy as np
import polars as pl
import pytest

from hedgespec.cli import main, synthetic
from hedgespec.errors import HedgespecError
from hedgespec.rules import parse_rule
from hedgespec.simulator import Replayer, SweepSettings, run_sweep
from hedgespec.traces import read_trace
from hedgespec.traces.resize_pool import resize_pool
from hedgespec.traces.subset import write_subset
from hedgespec.traces.synthetic import KINDS, write_synthetic
from tests.helpers.synthetic import write_trace


def test_a_subset_holds_the_first_queries_of_each_domain_unchanged(tmp_path):
    whole = write_trace(tmp_path / "whole", lengths=(5, 6, 7, 8, 9), depths=(6, 1, 6))
    write_subset(tmp_path / "whole", tmp_path / "part", per_domain=1, depths=3, name="part")
    part = read_trace(tmp_path / "part")
    assert part.queries["query_id"].to_list() == ["q0", "q1"]
    assert [drafter.depths for drafter in part.manifest.drafters] == [3, 1, 3]
    assert part.manifest.recording["subset_of"] == {
        "name": whole.manifest.name,
        "queries": 5,
        "tokens": 35,
        "depths": 6,
    }
    assert part.manifest.name == "part" != whole.manifest.name
    np.testing.assert_array_equal(part.tokens, whole.tokens[:11])
    np.testing.assert_array_equal(part.gamma, whole.gamma[:11, :3])
    run = [Replayer(trace, 3).run_exact("fixed:drafter-0").visits for trace in (whole, part)]
    np.testing.assert_array_equal(run[0][:11], run[1])


def test_a_whole_subset_is_the_trace(tmp_path):
    whole = write_trace(tmp_path / "whole", depths=(2, 1, 1))
    write_subset(tmp_path / "whole", tmp_path / "part")
    part = read_trace(tmp_path / "part")
    assert part.queries.equals(whole.queries)
    for name in ("log_p", "log_q", "gamma", "match", "p_top"):
        np.testing.assert_array_equal(getattr(part, name), getattr(whole, name))


def test_bad_subsets_are_told(tmp_path, capsys):
    write_trace(tmp_path / "whole")
    for options, message in (({"per_domain": 0}, "at least 1"), ({"depths": 1}, "at least 2")):
        with pytest.raises(HedgespecError, match=message):
            write_subset(tmp_path / "whole", tmp_path / "part", **options)
    assert not (tmp_path / "part").exists()
    command = ["subset", str(tmp_path / "whole"), "--out", str(tmp_path / "part")]
    assert main(command) == 0
    assert main(command) == 1
    assert "already holds a whole trace" in capsys.readouterr().err


def test_help_lists_the_synthetic_kinds():
    for name, meaning in KINDS.items():
        assert f"{name:12}{meaning}" in synthetic.EPILOG


@pytest.mark.parametrize("kind", KINDS)
def test_synthetic_traces_are_valid_labelled_and_consistent(tmp_path, kind):
    out = tmp_path / "made"
    assert (
        main(
            [
                "synthetic",
                kind,
                "--out",
                str(out),
                "--queries",
                "20",
                "--tokens",
                "400",
                "--drafters",
                "4",
            ]
        )
        == 0
    )
    trace = read_trace(out)
    assert trace.name == f"synthetic-{kind}"
    assert all(name.startswith("synthetic-") for name in trace.manifest.drafter_names)
    assert trace.manifest.recording["synthetic"] == {"kind": kind, "seed": 0}
    a = parse_rule("sampling").realised(trace, 1)
    assert np.abs(a.mean(axis=0) - trace.gamma.mean(axis=0)).max() < 0.03
    assert set(np.unique(a)) == {0.0, 1.0}


@pytest.mark.slow
def test_synthetic_kinds_have_what_they_promise(tmp_path):
    for kind in KINDS:
        write_synthetic(tmp_path / kind, kind, 20, 640, 4, seed=1)
    switching = read_trace(tmp_path / "switching").gamma[:, 0].reshape(-1, 64, 4).mean(axis=1)
    assert len(set(switching.argmax(axis=1))) == 4
    correlated = np.corrcoef(read_trace(tmp_path / "correlated").gamma[:, 0].T)
    independent = np.corrcoef(read_trace(tmp_path / "iid").gamma[:, 0].T)
    assert correlated[0, 1] > 0.5 > 0.1 > abs(independent[0, 1])
    trace = read_trace(tmp_path / "domains")
    means = (
        pl.DataFrame(
            {
                "domain": trace.queries["domain"].to_numpy().repeat(640),
                **{str(arm): trace.gamma[:, 0, arm] for arm in range(4)},
            }
        )
        .group_by("domain")
        .mean()
        .sort("domain")
    )
    for number in range(3):
        home = means.row(number, named=True)
        assert home[str(number)] > home["3"] > home[str((number + 1) % 3)]
    overall = trace.gamma[:, 0].mean(axis=0)
    assert overall.argmax() == 3, "nobody beats the generalist on average"


@pytest.mark.parametrize(
    ("kind", "sizes", "message"),
    [
        ("chaos", (1, 1, 1, 0), "unknown kind 'chaos'"),
        ("iid", (0, 1, 1, 0), "^queries must be at least 1"),
        ("iid", (1, 1, -2, 0), "^drafters must be at least 1"),
        ("iid", (1, 1, 1, -1), "^seed must be at least 0"),
    ],
)
def test_bad_synthetic_traces_are_told(tmp_path, kind, sizes, message):
    with pytest.raises(HedgespecError, match=message):
        write_synthetic(tmp_path / "made", kind, *sizes)


def test_one_synthetic_drafter_is_enough(tmp_path):
    for kind in KINDS:
        write_synthetic(tmp_path / kind, kind, 2, 10, 1, seed=0)
        assert read_trace(tmp_path / kind).gamma.shape == (20, 1, 1)


def test_a_smaller_pool_is_a_subset_and_a_larger_one_adds_weaker_copies(tmp_path):
    trace = write_trace(tmp_path / "trace", depths=(2, 1, 1))
    small = resize_pool(trace, 2, seed=0)
    names = trace.manifest.drafter_names
    places = [names.index(name) for name in small.manifest.drafter_names]
    assert len(places) == 2
    np.testing.assert_array_equal(small.log_q, trace.log_q[:, :, places])
    large = resize_pool(trace, 20, seed=0)
    assert large.manifest.drafter_names[:3] == names
    assert len(set(large.manifest.drafter_names)) == 20
    np.testing.assert_array_equal(large.gamma[:, :, :3], trace.gamma)
    a, original = (parse_rule("sampling").realised(one, 1) for one in (large, trace))
    for arm in range(3, 20):
        copied = [
            place
            for place, name in enumerate(names)
            if large.manifest.drafter_names[arm].startswith(f"{name}.")
        ]
        factor = large.gamma[0, 0, arm] / trace.gamma[0, 0, copied[0]]
        assert 0.5 <= factor <= 0.95
        np.testing.assert_allclose(a[:, :, arm], factor * original[:, :, copied[0]], rtol=1e-4)
        np.testing.assert_allclose(
            large.gamma[:, :, arm], factor * trace.gamma[:, :, copied[0]], rtol=1e-5
        )
    expected = Replayer(large, 2).expected_rounds.sum(axis=0)
    assert expected.argmin() < 3, "copies are weaker"


def test_bad_pools_are_told(tmp_path):
    greedy = write_trace(tmp_path / "greedy", temperature=0)
    with pytest.raises(HedgespecError, match="do not exist at temperature 0"):
        resize_pool(greedy, 4, seed=0)
    assert resize_pool(greedy, 2, seed=0).name == "synthetic.n2"
    with pytest.raises(HedgespecError, match=r"^drafters must be at least 1"):
        resize_pool(greedy, 0, seed=0)


def test_seeds_draw_other_pools_whose_names_say_so(tmp_path):
    trace = write_trace(tmp_path / "trace")
    pools = [resize_pool(trace, 6, seed) for seed in range(4)]
    assert [pool.name for pool in pools] == [
        "synthetic.n6",
        *(f"synthetic.n6s{seed}" for seed in (1, 2, 3)),
    ]
    assert len({tuple(pool.manifest.drafter_names) for pool in pools}) == 4
    found = run_sweep(
        [tmp_path / "trace"], SweepSettings(("hedge",), pools=(2,), pool_seeds=(0, 3), seeds=1)
    ).summary
    assert found["trace"].to_list() == ["synthetic.n2", "synthetic.n2s3"]
    with pytest.raises(HedgespecError, match="pool_seeds draw the drafters of pools"):
        run_sweep([tmp_path / "trace"], SweepSettings(("hedge",), pool_seeds=(1,)))


@pytest.mark.slow
def test_pools_are_a_dimension_of_sweeps(tmp_path):
    write_trace(tmp_path / "trace")
    assert (
        main(
            [
                "sim",
                "--traces",
                str(tmp_path / "trace"),
                "--pool",
                "2",
                "5",
                "--selectors",
                "hedge",
                "--out",
                str(tmp_path / "out"),
            ]
        )
        == 0
    )
    summary = pl.read_parquet(tmp_path / "out" / "summary.parquet")
    assert summary["trace"].to_list() == ["synthetic.n2", "synthetic.n5"]


def test_a_subset_can_be_replayed_at_its_own_draft_length(tmp_path):
    write_trace(tmp_path / "whole", depths=(1, 6), closeness=(0.9, 0.5))
    for depths, longest in ((6, 5), (3, 3)):
        write_subset(tmp_path / "whole", tmp_path / f"part-{depths}", depths=depths)
        part = read_trace(tmp_path / f"part-{depths}")
        assert part.manifest.draft_length == longest
        Replayer(part)
    with pytest.raises(HedgespecError, match="no drafter of trace synthetic has more than 6"):
        write_subset(tmp_path / "whole", tmp_path / "part", depths=7)
    write_subset(tmp_path / "whole", tmp_path / "all", per_domain=10**23)


@pytest.mark.parametrize(
    "size",
    [
        {"queries": 10**9},
        {"drafters": 10**23},
        {"seed": 2**80},
        {"seed": -1},
        {"tokens": 1.5},
        {"queries": True},
    ],
)
def test_sizes_out_of_range_are_told(tmp_path, size):
    with pytest.raises(HedgespecError, match=f"{next(iter(size))}.* must "):
        write_synthetic(tmp_path / "trace", "iid", **size)
    assert not (tmp_path / "trace").exists()
