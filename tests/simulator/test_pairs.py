"""One setting that makes no sense for one learner does not refuse a whole command."""

import pytest

from hedgespec.cli import main
from hedgespec.errors import HedgespecError
from hedgespec.simulator import Replayer, SweepSettings
from hedgespec.simulator.runs import jobs_of
from tests.helpers.synthetic import write_trace


@pytest.fixture(scope="module")
def replayer(tmp_path_factory) -> Replayer:
    return Replayer(write_trace(tmp_path_factory.mktemp("trace")))


def settled(replayer, selectors, **settings) -> set[tuple[str, str | None, str | None]]:
    return {
        (job.chooser.label, job.feedback and job.feedback.label, job.loss and job.loss.label)
        for job in jobs_of(replayer, SweepSettings(selectors, **settings))
    }


def test_bandits_keep_their_own_feedback_and_loss(replayer):
    with pytest.warns(UserWarning, match="^ucbspec: own feedback and loss, whatever is asked for"):
        found = settled(
            replayer, ("ucbspec", "hedge"), losses=("accept", "length"), feedbacks=("every:4",)
        )
    assert found == {
        ("ucbspec", None, None),
        ("hedge", "every:4", "accept"),
        ("hedge", "every:4", "length:gamma"),
    }


def test_pairs_that_make_no_sense_are_left_out_and_said(replayer):
    with pytest.warns(
        UserWarning, match="^left out, as they make no sense: hedge with censored and accept$"
    ):
        found = settled(
            replayer,
            ("hedge", "fixed:drafter-0"),
            losses=("accept", "length"),
            feedbacks=("queued", "censored"),
        )
    assert found == {
        ("fixed:drafter-0", None, None),
        ("hedge", "queued", "accept"),
        ("hedge", "queued", "length:gamma"),
        ("hedge", "censored", "length:gamma"),
    }


@pytest.mark.parametrize(
    ("selectors", "settings"),
    [
        (("ucbspec",), {"losses": ("accept",)}),
        (("hedge",), {"losses": ("accept",), "feedbacks": ("queued", "censored")}),
        (("ucbspec", "exp3spec", "fixed:drafter-0"), {"feedbacks": ("every:4",)}),
        ((), {"losses": ("accept",), "feedbacks": ("censored",)}),
    ],
)
def test_one_named_selector_and_what_leaves_nothing_are_refused(replayer, selectors, settings):
    with pytest.raises(HedgespecError, match="makes no sense for it"):
        settled(replayer, selectors, **settings)


@pytest.mark.parametrize(
    "options",
    [["--loss", "accept"], ["--feedback", "every:16"], ["--feedback", "censored"], ["--prefill"]],
)
def test_the_default_selectors_take_what_is_documented(tmp_path, capsys, options):
    folder = tmp_path / "trace"
    write_trace(folder)
    assert (
        main(
            [
                "sim",
                "--traces",
                str(folder),
                "--seeds",
                "1",
                *options,
                "--out",
                str(tmp_path / "out"),
            ]
        )
        == 0
    )
    said = capsys.readouterr()
    assert said.err.count("own feedback and loss, whatever is asked for") == 1
