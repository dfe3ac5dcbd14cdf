"""Reports: statistics, figures at their final size, the page, errors. Results are made up here."""

import base64
import json
import re
import shutil
import sys
import warnings
import zlib
from html.parser import HTMLParser
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import polars as pl
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Text

from hedgespec import __version__
from hedgespec.analysis import moved_costs
from hedgespec.analysis.comparison import METRICS, compare
from hedgespec.analysis.figures import FIGURES, answer_length, differences, pareto
from hedgespec.analysis.figures import answer as answer_figure
from hedgespec.analysis.figures.paper import Paper, plot, spread, styled
from hedgespec.analysis.figures.style import Claim, Drawing, arm_label, short
from hedgespec.analysis.html import csv
from hedgespec.analysis.overview import whose_seconds
from hedgespec.analysis.pieces import read_vocabulary
from hedgespec.analysis.report import Request, findings, write_report
from hedgespec.analysis.report_tables import (
    Cell,
    ReportTable,
    domain_tables,
    drafter_table,
    matrix_table,
    overview_table,
    settings_data,
)
from hedgespec.analysis.results import ResultSet
from hedgespec.analysis.saving import FigureSaver
from hedgespec.analysis.study import MOST_LEARNERS, Study
from hedgespec.cli import main
from hedgespec.errors import NothingComparedError
from hedgespec.results import statistics
from hedgespec.results.keys import SETTING
from hedgespec.results.statistics import (
    gain_difference,
    holm,
    mat_difference,
    mat_estimate,
    mat_gain,
    mean_estimate,
    resampled_sums,
)
from hedgespec.results.store import read_results
from tests.helpers.colour_vision import linear
from tests.helpers.gguf import gguf_tokenizer, save_gguf_header
from tests.helpers.made_results import DRAFTERS, ROUND, make_results
from tests.helpers.seals import seal_results

ROOT = Path(__file__).parents[2]
IMAGES = Path(__file__).parent / "images"


@pytest.fixture(scope="module")
def drawn(study: Study) -> list[Drawing]:
    return drawings(study)


def drawings(study: Study) -> list[Drawing]:
    return [drawing for kind in FIGURES.values() for drawing in kind.draw(study)]


def plotted(drawing: Drawing, width: float | None = None) -> Figure:
    with styled():
        return plot(drawing, width)


def data_of(page: Path) -> dict[str, Any]:
    """What the script of a page draws from."""
    found = re.search(r'id="data">(.*?)</script>', page.read_text(), re.DOTALL)
    return json.loads(zlib.decompress(base64.b64decode(found[1])))


# Statistics


def test_resampled_sums_have_the_mean_and_variance_of_a_bootstrap():
    values = np.random.default_rng(0).normal(size=(30, 2))
    sums = resampled_sums(values)
    assert np.allclose(sums.mean(axis=0), values.sum(axis=0), atol=0.2)
    assert np.allclose(sums.var(axis=0), 30 * values.var(axis=0), rtol=0.05)


def test_draws_are_paired_whatever_stands_beside():
    values = np.random.default_rng(0).normal(size=(12, 3))
    assert np.allclose(resampled_sums(values)[:, 1], resampled_sums(values[:, [1]])[:, 0])


def test_pairing_makes_a_constant_difference_certain():
    tokens = np.tile([100, 20, 300, 50], 3)
    rounds = np.tile([40.0, 12, 120, 18], 3)
    less = mean_estimate((rounds - (rounds - 2))[:, None])
    assert less.low[0] == pytest.approx(2)
    assert less.high[0] == pytest.approx(2)
    gain = mat_gain(rounds[:, None] / 1.5, rounds)
    assert [gain.value[0], gain.low[0], gain.high[0]] == pytest.approx([50, 50, 50])
    same = mat_difference(tokens, rounds[:, None], rounds)
    assert same.value[0] == same.low[0] == same.high[0] == 0
    assert same.p[0] == 1
    apart = gain_difference(
        np.column_stack([rounds, rounds / 2]), np.column_stack([rounds, rounds])
    )
    assert [apart.value[0], apart.low[0], apart.high[0]] == pytest.approx([100, 100, 100])


def test_interval_covers_the_mean_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    found = mean_estimate(rng.normal(1.0, 1.0, size=(50, 400)))
    assert 0.90 < ((found.low < 1) & (found.high > 1)).mean() < 0.98


def test_interval_excludes_zero_where_p_is_small():
    rng = np.random.default_rng(0)
    found = mean_estimate(rng.normal(rng.normal(0, 0.5, 200), 1.0, size=(30, 200)))
    certain = (found.low > 0) | (found.high < 0)
    assert 20 < certain.sum() < 180
    small = found.p < 0.05
    assert small.sum() > 20
    assert certain[small].all()
    assert (certain & ~small).mean() < 0.2  # the test looks at what the sample need not show


@pytest.mark.parametrize("draws", [1, 2, 57, 400])
def test_quantiles_of_sorted_rows_are_those_of_numpy(draws):
    rows = np.random.default_rng(draws).normal(size=(3, draws)).cumsum(axis=0)
    rows[1, -1] = np.nan
    for share in (0.025, 0.3, 0.5, 0.975):
        assert np.array_equal(
            statistics.quantile(np.sort(rows, axis=1), share),
            np.quantile(rows, share, axis=1),
            equal_nan=True,
        )


def test_ends_of_intervals_are_stretched_quantiles_of_the_draws():
    values = np.random.default_rng(0).normal(size=(30, 3)).round(1)
    values[4, 1] = np.nan
    found = mean_estimate(values)
    draws = statistics.resampled_sums(values) / len(values)
    for end, share in ((found.low, 0.025), (found.high, 0.975)):
        away = np.quantile(draws, share, axis=0) - found.value
        np.testing.assert_allclose(end, found.value + statistics.stretch(30) * away, rtol=1e-12)


def test_one_query_has_a_value_and_no_interval():
    found = mat_estimate(np.array([10]), np.array([[4.0, 5.0]]))
    assert found.value.tolist() == [2.5, 2.0]
    assert np.isnan([found.low, found.high, found.p]).all()


def test_holm_by_hand():
    assert holm(np.array([0.01, 0.04, 0.03, np.nan, 0.6])) == pytest.approx(
        [0.04, 0.09, 0.09, np.nan, 0.6], nan_ok=True
    )


@pytest.mark.parametrize("heights", [[0.5], [0.1, 0.11, 0.12, 0.9], [0.98, 0.99, 1.0], [-1, 2]])
def test_labels_are_spread_apart_within_the_panel(heights):
    placed = spread(np.array(heights), 0.1)
    assert (np.diff(placed) >= 0.1 - 1e-9).all()
    assert placed.min() >= 0
    assert placed.max() <= 1


def test_groups_by_length_part_the_answers():
    tokens = np.array([5, 9, 100, 100, 100, 100, 100, 40])
    groups = answer_length.length_groups(tokens)
    assert sorted(np.concatenate(groups)) == list(range(8))
    assert all(tokens[one].max() < tokens[two].min() for one, two in pairwise(groups))


# Findings


def claim(value: float, low: float, high: float, p: float) -> Claim:
    return Claim("a is", ("more", "less"), "than b", value, low, high, p)


def drawing(name: str, *claims: Claim) -> Drawing:
    return Drawing(name, name, "", [], pl.DataFrame(), claims=claims)


def test_findings_are_silent_when_the_interval_includes_zero():
    unsure = drawing("unsure", claim(1, -0.1, 2, 0.001), claim(1, 0.1, 2, 0.06))
    assert findings({"a": [unsure], "b": []}) == []


def test_findings_take_one_of_each_kind_first_and_five_at_most():
    sure = [claim(-3, -4, -2, 1e-4)] * 4
    kinds = {"a": [drawing("a", *sure)], "b": [drawing("b1", *sure), drawing("b2", *sure)]}
    assert [kind for kind, _ in findings(kinds)] == ["a", "b", "a", "b", "a"]
    assert sure[0].sentence == "a is 3.0 (2.0 to 4.0) less than b."


def test_findings_are_corrected_for_all_that_were_looked_at():
    weak = claim(1, 0.1, 2, 0.02)
    assert len(findings({"a": [drawing("a", weak)]})) == 1
    assert findings({"a": [drawing("a", weak, weak, weak)]}) == []


def told_seconds(results: Path, folder: Path, scale: float, evaluation: float) -> list[str]:
    """The findings on seconds where the full-information learner takes `scale` times the bandit's,
    the part `evaluation` of it for evaluation."""
    rounds = (
        pl.read_parquet(results / "per_query.parquet")
        .filter(pl.col("selector") == "learner-01", pl.col("trace") == "mix")
        .group_by("query")
        .agg(pl.col("rounds").mean().alias("bandit"))
    )
    shutil.copytree(results, folder)
    mine = (pl.col("selector") == "learner-00") & (pl.col("feedback") == "queued")
    seconds = scale * ROUND * pl.col("bandit") * (1 + pl.col("query") % 5 / 50)
    rewrite(
        folder,
        "per_query",
        lambda table: (
            table.join(rounds, on="query", maintain_order="left")
            .with_columns(
                seconds=pl.when(mine).then(seconds).otherwise("seconds"),
                evaluation_seconds=pl.when(mine)
                .then(evaluation * seconds)
                .otherwise("evaluation_seconds"),
            )
            .drop("bandit")
        ),
    )
    drawn = list(
        FIGURES["seconds"].draw(Study.of(ResultSet(folder), [], ["learner-00", "learner-01"], None))
    )
    return [claim.sentence for _, claim in findings({"seconds": drawn})]


@pytest.mark.parametrize(
    ("scale", "evaluation", "said"),
    [
        (
            1.6,
            0.5,
            r"are \d+% \(\d+ to \d+\) below those of learner-01, because evaluating the other "
            r"drafters takes 50% of its time \(costs of A GPU, bfloat16, all drafters evaluated "
            r"one by one, batch 1\)\.$",
        ),
        (
            1.6,
            0.1,
            r"below those of learner-01; evaluating the other drafters takes 10% of its time",
        ),
        (0.6, 0.2, r"above those of learner-01, although evaluating the other drafters takes 20%"),
    ],
)
def test_finding_says_what_seconds_say_and_whose_they_are(
    results, tmp_path, monkeypatch, scale, evaluation, said
):
    monkeypatch.setattr(statistics, "DRAWS", 500)
    [sentence] = told_seconds(results, tmp_path / "results", scale, evaluation)
    assert re.match("On mix, the tokens per second of learner-00 are ", sentence)
    assert re.search(said, sentence)


def test_finding_on_seconds_is_silent_where_the_interval_includes_zero(
    results, tmp_path, monkeypatch
):
    monkeypatch.setattr(statistics, "DRAWS", 500)
    assert told_seconds(results, tmp_path / "results", 1 / 1.04, 0.3) == []


@pytest.mark.parametrize("bandit", ["learner-01", "learner-03"])
def test_a_bandit_is_called_the_first_only_if_no_other_that_ran_is_before_it(
    tmp_path, bandit, monkeypatch
):
    """learner-01 has less regret, and finds the best drafter in more of the answers."""
    monkeypatch.setattr(statistics, "DRAWS", 200)
    study = Study.of(
        ResultSet(make_results(tmp_path, learners=4)), [], ["learner-00", bandit], None
    )
    with styled():
        for kind, said in (
            ("regret", "the bandit with the least"),
            ("adoption", "the first of the bandits"),
        ):
            [claim] = next(FIGURES[kind].draw(study)).claims
            assert bandit in claim.sentence
            assert (said in claim.sentence) == (bandit == "learner-01")


def test_what_is_advised_is_drawn_whatever_its_regret(tmp_path):
    found = read_results(make_results(tmp_path, learners=12))
    before = Study.of(ResultSet(found), [], [], None)
    usual = before.run.settings.filter("usual")
    last = usual.filter(pl.col("selector").str.starts_with("learner-")).sort("regret")["selector"][
        -1
    ]
    assert last not in before.learners
    faster = pl.when(pl.col("selector") == last).then(pl.col("seconds") / 10)
    found.per_query = found.per_query.with_columns(seconds=faster.otherwise("seconds"))
    study = Study.of(ResultSet(found), [], [], None)
    assert study.verdicts[0].speed.advised.label == last
    assert last in study.learners
    assert len(study.learners) == len(before.learners) == MOST_LEARNERS
    assert study.full_and_bandit("mix") is not None


def test_nothing_is_marked_or_stated_of_fewer_than_ten_questions(tmp_path, monkeypatch):
    monkeypatch.setattr(statistics, "DRAWS", 200)
    study = Study.of(ResultSet(make_results(tmp_path, queries=9, domains=3)), [], [], None)
    [table] = domain_tables(study)
    assert (table.data["difference_low"] > 0).any()  # the interval alone would have marked
    assert not any(sign in cell.text for row in table.rows for cell in row for sign in "▲▼")
    assert all("†" in head for head in table.header[2:-1])
    assert findings({name: list(kind.draw(study)) for name, kind in FIGURES.items()}) == []


def test_a_domain_of_few_questions_is_not_marked_where_all_of_them_are(tmp_path, monkeypatch):
    monkeypatch.setattr(statistics, "DRAWS", 200)
    study = Study.of(ResultSet(make_results(tmp_path, queries=24, domains=12)), [], [], None)
    [table] = domain_tables(study)
    marked = table.data.filter(pl.col("p_holm") < 0.05)
    assert marked["domain"].unique().to_list() == [None]
    assert len(marked) > 2
    assert "n, in questions: mix 24 (24 queries)" in table.note


# Figures at their final size


def drawn_texts(figure: Figure) -> list[Text]:
    """The texts that are really drawn; matplotlib keeps labels of ticks outside the limits too."""
    found: list[Text] = []
    with pytest.MonkeyPatch.context() as patch, styled():
        draw = Text.draw
        patch.setattr(
            Text, "draw", lambda text, renderer: (found.append(text), draw(text, renderer))[1]
        )
        figure.draw_without_rendering()
    return [text for text in found if text.get_visible() and text.get_text().strip()]


def corners(text: Text) -> np.ndarray:
    """The corners (4, 2) of a text in pixels, a little inside its box, turned as it is."""
    angle = text.get_rotation()
    text.set_rotation(0)
    flat = Text.get_window_extent(text)  # without the line that an annotation has
    text.set_rotation(angle)
    real = Text.get_window_extent(text)
    middle = np.array([real.x0 + real.width / 2, real.y0 + real.height / 2])
    half = np.array([flat.width, flat.height]) / 2 - 0.7
    turn = np.deg2rad(angle)
    matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    signs = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
    return middle + (signs * half) @ matrix.T


def overlap(one: np.ndarray, two: np.ndarray) -> bool:
    """Whether two rectangles (4, 2) have a point in common (separating axes)."""
    for box in (one, two):
        for edge in (box[1] - box[0], box[2] - box[1]):
            first, second = one @ edge, two @ edge
            if first.max() <= second.min() or second.max() <= first.min():
                return False
    return True


def problems(figure: Figure) -> list[str]:
    """Texts that overlap or are cut."""
    boxes = [(text.get_text(), corners(text)) for text in drawn_texts(figure)]
    width, height = figure.bbox.width, figure.bbox.height
    cut = [
        f"cut: {text}"
        for text, box in boxes
        if box.min() < -0.5 or box[:, 0].max() > width + 0.5 or box[:, 1].max() > height + 0.5
    ]
    return cut + [
        f"overlap: {one} / {two}" for (one, a), (two, b) in combinations(boxes, 2) if overlap(a, b)
    ]


@pytest.mark.parametrize(
    "shape",
    [
        {"learners": 20, "drafters": 16},
        {"domains": 12, "queries": 36},
        {"queries": 1},
        {"domains": 1},
        {"learners": 0},
        {"arms": "all@tree all*3 all@multi-without:4*12"},
        {"learners": 1, "traces": ("mix", "other-trace-with-a-long-name-t0.7")},
    ],
    ids=str,
)
def test_no_text_overlaps_or_is_cut(tmp_path, shape, monkeypatch):
    monkeypatch.setattr(statistics, "DRAWS", 200)
    run = ResultSet(make_results(tmp_path, **shape))
    learners = [
        name
        for name in run.settings["selector"].unique(maintain_order=True)
        if name.startswith("learner-")
    ]
    figures = drawings(Study.of(run, [], learners, None))
    assert figures
    assert {one.name: found for one in figures if (found := problems(plotted(one)))} == {}


def test_no_text_overlaps_or_is_cut_with_three_learners(drawn):
    assert {one.name: found for one in drawn if (found := problems(plotted(one)))} == {}


def test_every_figure_is_drawn_where_its_settings_are(drawn):
    names = [one.name for one in drawn]
    assert names == [
        "seconds-mix",
        "gains-mix",
        "gains-rounds-mix",
        "gains-regret-mix",
        "shares-mix",
        "acceptance-mix",
        "gamma-mix",
        "regret-mix",
        "regret-rounds-mix",
        "regret-seconds-mix",
        "pareto-tokens-per-second-mix",
        "pareto-mat-mix",
        "router-mix",
        "adoption-mix",
        "answers-mix",
        "answer-mix",
        "drafters-regret-mix",
        "drafters-mat-mix",
        "delay-regret-mix",
        "delay-mat-mix",
        "answer-length-mix",
    ]
    assert all(one.trace == "mix" for one in drawn)


@pytest.mark.parametrize("width", [3.4, 7.0])
def test_figures_are_exactly_as_wide_as_they_are_asked_to_be(drawn, width, tmp_path):
    drawing = drawn[0]
    with FigureSaver(tmp_path, Paper(width, dpi=100, formats=["png", "svg"]), processes=1) as saver:
        saver.save(drawing)
    assert matplotlib.image.imread(tmp_path / "seconds-mix.png").shape[1] == round(100 * width)
    assert f'width="{72 * width:g}pt"' in (tmp_path / "seconds-mix.svg").read_text()
    assert problems(plotted(drawing, width)) == []


def test_a_font_that_is_not_there_is_one_clear_error(results, tmp_path, capsys):
    assert "no font 'Nowhere Sans' is installed" in one_error(
        capsys, results, "--out", tmp_path, "--formats", "png", "--font", "Nowhere Sans"
    )


@pytest.mark.parametrize("names", [{"traces": ("混合",)}, {"traces": ("a-trace-" * 12,)}], ids=str)
def test_no_name_makes_matplotlib_warn(tmp_path, monkeypatch, names):
    monkeypatch.setattr(statistics, "DRAWS", 20)
    monkeypatch.setattr(
        "hedgespec.analysis.report.FIGURES",
        {name: FIGURES[name] for name in ("gains", "regret", "shares")},
    )
    folder = make_results(tmp_path / "results", **names)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        write_report(Request([folder], paper=Paper(3.4)), tmp_path, ["x"], "0", processes=1)
    assert names["traces"][0] in (tmp_path / "report.html").read_text()


def test_every_panel_says_of_how_many_questions_it_is(drawn):
    for one in drawn:
        told = [panel.title for panel in one.panels] if one.name != "answer-mix" else []
        assert all("n = 24 questions" in title for title in told), one.name


def test_arms_shares_are_parts_of_all_rounds_and_best_single_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(statistics, "DRAWS", 200)
    folder = make_results(tmp_path)
    best = pl.col("selector") == "best-single"
    rewrite(
        folder,
        "per_query",
        lambda table: table.with_columns(
            pl.when(best).then(0.0).otherwise("rounds/drafter-0").alias("rounds/drafter-0"),
            pl.when(best).then(0.0).otherwise("rounds/drafter-2").alias("rounds/drafter-2"),
        ),
    )
    study = Study.of(ResultSet(folder), [], [], None)
    [shares] = FIGURES["shares"].draw(study)
    parts = shares.data.group_by("selector").agg(pl.col("share_percent").sum())
    assert parts["share_percent"].to_list() == pytest.approx([100] * len(parts))
    assert shares.data.filter(best, pl.col("arm") == "drafter-1")["share_percent"][0] == 100
    assert "best-single is drafter-1 here" in next(FIGURES["gains"].draw(study)).caption


def test_without_fixed_drafters_gains_are_from_the_uniform_choice(tmp_path):
    folder = make_results(tmp_path)
    for name in ("summary", "per_query", "curves", "answer"):
        rewrite(
            folder,
            name,
            lambda table: table.filter(pl.col("selector").str.starts_with("learner")).with_columns(
                pl.col("selector").replace("learner-02", "uniform")
            ),
        )
    study = Study.of(ResultSet(folder), [], [], None)
    assert study.against == "uniform"
    assert next(FIGURES["gains"].draw(study)).name == "seconds-mix"
    assert list(FIGURES["acceptance"].draw(study)) == []


def test_frames_and_numbers_of_the_heat_map_can_be_read(drawn):
    [heat] = [one for one in drawn if one.name == "acceptance-mix"]
    [axis] = plotted(heat).axes
    [mesh] = axis.collections
    cells = {
        tuple(path.vertices[0]): to_hex(colour)
        for path, colour in zip(mesh.get_paths(), mesh.get_facecolor(), strict=True)
    }
    numbers = [text for text in axis.texts if re.fullmatch(r"\d\.\d\d", text.get_text())]
    assert len(numbers) == len(cells) == len(heat.panels[0].rows)
    for text in numbers:
        x, y = text.get_position()
        [behind] = [
            colour
            for (left, top), colour in cells.items()
            if left < x < left + 1 and top < y < top + 1
        ]
        dark, light = sorted(
            linear(one) @ [0.2126, 0.7152, 0.0722] + 0.05
            for one in (to_hex(text.get_color()), behind)
        )
        assert light / dark >= 4.5
    frames: dict[tuple[float, float], set[str]] = {}
    for frame in axis.patches:
        frames.setdefault(frame.get_xy(), set()).add(to_hex(frame.get_edgecolor()))
        assert frame.get_zorder() > mesh.get_zorder()
    # One of the two is seen on any cell.
    assert list(frames.values()) == [{"#000000", "#ffffff"}] * 4


def test_ticks_of_evaluations_do_not_touch(tmp_path, monkeypatch):
    monkeypatch.setattr(statistics, "DRAWS", 200)
    folder = make_results(tmp_path, drafters=11, traces=("mix", "other"))
    often = {"rounds:2": "every:2", "rounds:8": "every:8", "bold": "every:16"}
    for name in ("summary", "per_query", "curves", "answer"):
        rewrite(folder, name, lambda table: table.with_columns(pl.col("feedback").replace(often)))
    rewrite(
        folder,
        "per_query",
        lambda table: table.with_columns(
            evaluations=pl.when(pl.col("feedback").str.starts_with("every:"))
            .then(
                pl.col("rounds")
                / pl.col("feedback").str.strip_prefix("every:").str.to_integer(strict=False)
            )
            .otherwise("evaluations")
        ),
    )
    figure = next(pareto.draw(Study.of(ResultSet(folder), [], [], None)))
    assert figure.data["evaluations"].unique().sort().to_list() == pytest.approx(
        [0, 0.625, 1.25, 2.5, 5, 10]
    )
    paper = plotted(figure)
    assert problems(paper) == []
    for axis in paper.axes:
        labels = [label for label in axis.get_xticklabels() if label.get_text()]
        assert [label.get_text() for label in labels] == ["0", "0.5", "2", "8"]
        boxes = [label.get_window_extent() for label in labels]
        assert min(two.x0 - one.x1 for one, two in pairwise(boxes)) > 0.05 * paper.dpi


@pytest.mark.parametrize(
    "name",
    [
        "acceptance-mix",
        "seconds-mix",
        "regret-mix",
        "pareto-mat-mix",
        "adoption-mix",
        "answer-mix",
        "delay-regret-mix",
        "router-mix",
    ],
)
def test_figures_look_as_they_did(drawn, name, tmp_path):
    """To accept a new look: delete the image and run the test twice."""
    [one] = [one for one in drawn if one.name == name]
    now, then = tmp_path / "now.png", IMAGES / f"{name}.png"
    plotted(one).savefig(now, dpi=50, facecolor="white")
    if not then.exists():
        then.parent.mkdir(exist_ok=True)
        then.write_bytes(now.read_bytes())
        pytest.fail(f"{then} was missing and is now written: look at it")
    new, old = (matplotlib.image.imread(path)[..., :3] for path in (now, then))
    assert new.shape == old.shape
    assert np.sqrt(((new - old) ** 2).mean()) < 0.06


# Every number can be traced


def test_numbers_in_figures_are_those_of_the_raw_results(results, written):
    raw = pl.read_parquet(results / "per_query.parquet")
    means = raw.group_by(*SETTING, "query", "domain", maintain_order=True).agg(
        pl.col("tokens").first(), pl.col("rounds", "regret_rounds").mean()
    )

    def one(**where: object) -> pl.DataFrame:
        return means.filter(*(pl.col(name) == value for name, value in where.items()))

    heat = pl.read_csv(written / "figures" / "acceptance.csv").filter(
        pl.col("selector") == "fixed:drafter-1", pl.col("domain") == "domain-2"
    )
    cell = one(trace="mix", selector="fixed:drafter-1", domain="domain-2")
    assert heat["mat"][0] == pytest.approx(cell["tokens"].sum() / cell["rounds"].sum())

    delay = pl.read_csv(written / "figures" / "delay-regret.csv").filter(
        pl.col("selector") == "learner-00", pl.col("feedback") == "every:4"
    )
    late = one(trace="mix", selector="learner-00", feedback="every:4")
    assert delay["value"][0] == pytest.approx(late["regret_rounds"].mean())

    gains = pl.read_csv(written / "figures" / "gains.csv").filter(
        pl.col("selector") == "learner-01"
    )
    learner = one(trace="mix", selector="learner-01", feedback="chosen")
    base = one(trace="mix", selector="best-single")
    assert gains["difference"][0] == pytest.approx(
        learner["tokens"].sum() / learner["rounds"].sum()
        - base["tokens"].sum() / base["rounds"].sum()
    )

    speed = pl.read_csv(written / "figures" / "seconds.csv").filter(
        pl.col("selector") == "learner-00"
    )
    [learner, base] = [
        raw.filter(
            pl.col("trace") == "mix",
            pl.col("selector") == name,
            pl.col("feedback").is_in(["queued", "hindsight"]),
        )
        for name in ("learner-00", "best-single")
    ]
    assert speed["tokens_per_second"][0] == pytest.approx(
        learner["tokens"].sum() / learner["seconds"].sum()
    )
    assert speed["gain_percent"][0] == pytest.approx(
        100 * base["seconds"].sum() / learner["seconds"].sum() - 100
    )
    assert speed["evaluation_percent"][0] == pytest.approx(
        100 * learner["evaluation_seconds"].sum() / learner["seconds"].sum()
    )

    gamma = pl.read_csv(written / "figures" / "gamma.csv").filter(
        pl.col("selector") == "learner-01", pl.col("domain") == "domain-2"
    )
    of_queries = (
        raw.filter(
            pl.col("trace") == "mix",
            pl.col("selector") == "learner-01",
            pl.col("domain") == "domain-2",
        )
        .group_by("query")
        .agg(pl.col("gamma").mean())
    )
    assert gamma["gamma"][0] == pytest.approx(of_queries["gamma"].mean())

    found = (
        pl.read_csv(written / "figures" / "adoption.csv")
        .filter(pl.col("selector") == "learner-01", pl.col("rounds") >= 20)
        .row(0, named=True)
    )
    until = raw.filter(pl.col("trace") == "mix", pl.col("selector") == "learner-01")
    assert 0 < found["share_percent"] < 100
    assert found["share_percent"] == pytest.approx(
        100 * (until["rounds_until_best"] <= found["rounds"]).sum() / len(until)
    )

    answers = (
        pl.read_csv(written / "figures" / "answers.csv")
        .filter(pl.col("selector") == "learner-01", pl.col("query_id") == "q7")
        .row(0, named=True)
    )
    seventh = {
        name: raw.filter(pl.col("trace") == "mix", pl.col("selector") == name, pl.col("query") == 7)
        for name in ("learner-01", "best-single")
    }
    assert answers["regret"] == pytest.approx(seventh["learner-01"]["regret_rounds"].mean())
    assert answers["gain_percent"] == pytest.approx(
        100 * (seventh["best-single"]["rounds"].mean() / seventh["learner-01"]["rounds"].mean() - 1)
    )
    worst = pl.read_csv(written / "tables" / "worst-answers-mix.csv").filter(
        pl.col("selector") == "learner-01"
    )
    every = (
        raw.filter(pl.col("trace") == "mix", pl.col("selector") == "learner-01")
        .group_by("query_id")
        .agg(pl.col("regret_rounds").mean())
        .sort("regret_rounds", descending=True)
    )
    assert worst["query_id"].to_list() == every["query_id"].to_list()[:5]

    weights = pl.read_csv(written / "figures" / "answer.csv")
    answer = pl.read_parquet(results / "answer.parquet").filter(
        pl.col("trace") == "mix", pl.col("feedback") == "queued", pl.col("selector") == "learner-00"
    )
    assert np.allclose(weights["weight/drafter-2"], answer["weight/drafter-2"], atol=1e-6)
    assert weights["drafter/learner-00"].to_list() == answer["drafter"].to_list()

    table = pl.read_csv(written / "tables" / "settings.csv").filter(
        pl.col("trace") == "mix", pl.col("label") == "learner-00 (bold)"
    )
    bold = one(trace="mix", selector="learner-00", feedback="bold")
    assert table["regret"][0] == pytest.approx(bold["regret_rounds"].mean())


def test_tables_have_a_row_per_setting_and_per_selector_and_domain(study):
    data = pl.concat([settings_data(study, trace) for trace in study.run.traces])
    assert len(overview_table(data, "").rows) == len(study.run.settings)
    found = matrix_table("mix", data.filter(pl.col("trace") == "mix"))
    assert found.header == [
        "selector",
        "usual",
        "bold",
        "censored",
        "every:4",
        "rounds:2",
        "rounds:8",
    ]
    assert [row[0].text for row in found.rows] == ["learner-00", "learner-02"]
    late = data.filter(pl.col("label") == "learner-02 (every:4)")
    assert found.rows[1][4].value == late["mat"][0]
    assert matrix_table("mix", data.filter("usual", pl.col("trace") == "mix")) is None
    [table] = domain_tables(study)
    assert len(table.data) == len(table.rows) * (3 + 1)
    assert table.data.filter(pl.col("selector") == "best-single")["p"].is_nan().all()


def test_markdown_has_a_line_per_row_and_escapes_bars():
    table = ReportTable(
        "t",
        "T",
        "",
        ["name", "value"],
        [[Cell("a|b", "a|b"), Cell("1.0", 1.0, "(0 to 2)")]],
        pl.DataFrame(),
    )
    assert table.markdown().splitlines() == [
        "| name | value |",
        "| --- | ---: |",
        "| a\\|b | 1.0 (0 to 2) |",
    ]


# The page


class Page(HTMLParser):
    """Ids, links and addresses of a page."""

    def __init__(self, text: str):
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.addresses: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id":
                self.ids.append(str(value))
            elif name in ("href", "src", "xlink:href", "srcset", "action"):
                (self.links if str(value).startswith("#") else self.addresses).append(str(value))


def test_page_stands_alone_and_its_anchors_exist(written):
    text = (written / "report.html").read_text()
    page = Page(text)
    assert len(page.ids) == len(set(page.ids))
    assert {link[1:] for link in page.links} <= set(page.ids)
    assert all(address.startswith("data:") for address in page.addresses)
    assert set(re.findall(r"url\((#[^)]*)\)", text)) <= {f"#{name}" for name in page.ids}
    assert not re.search(r"@import|<link[^>]*stylesheet", text)


def test_page_states_where_its_numbers_are_from(written, results):
    text = (written / "report.html").read_text()
    for said in (
        str(results),
        "0" * 64,
        "2026-01-01",
        "hedgespec sim",
        "seeds 0 to 1",
        "exact expectations",
        "Holm",
        "20,000 draws",
        "seed 0",
    ):
        assert said in text


def test_seconds_never_stand_without_whose_they_are(written, drawn, study):
    whose = "costs of A GPU, bfloat16, all drafters evaluated one by one, batch 1"
    told = {one.name for one in drawn if whose in one.caption}
    assert told == {"seconds-mix", "regret-seconds-mix", "pareto-tokens-per-second-mix"}
    page = (written / "report.html").read_text()
    notes = [table["note"] for table in data_of(written / "report.html")["tables"]]
    assert len([note for note in notes if "Tokens per second" in note]) == 2
    assert all(whose in note for note in notes if "Tokens per second" in note)
    assert re.search(
        rf"<li>mix: manifest sha256 <code>0+</code>; {whose}; "
        "usual setting: K=5, sampling</li>",
        page,
    )
    assert study.run.whose_seconds(["mix.n2"]) == ""


def test_costs_that_differ_are_told_apart_by_trace():
    one = {
        "device": "cpu",
        "dtype": "float32",
        "evaluation": "in one batch",
        "batch": 4,
        "name": "own",
        "engine": "compiled",
    }
    traces = [
        {"name": "a", "costs": [one]},
        {"name": "b", "costs": [{**one, "device": "gpu", "name": "file", "engine": ""}]},
        {"name": "c", "costs": [one]},
        {"name": "d", "costs": []},
    ]
    assert whose_seconds(traces) == (
        "on a, c costs of cpu, float32, all drafters evaluated in one batch, batch 4, compiled; "
        "on b costs of gpu, float32, all drafters evaluated in one batch, batch 4 (file)"
    )
    assert whose_seconds(traces[3:]) == ""


def test_the_page_has_the_numbers_of_its_files_once_rounded(written):
    """What a panel draws on the page is what stands in the file of its figure."""
    data = data_of(written / "report.html")
    [drawing] = [one for one in data["kinds"]["gains"]["drawings"] if one["measure"] == "MAT"]
    columns = drawing["panels"][0]["columns"]
    file = pl.read_csv(written / "figures" / "gains.csv")
    assert columns["x"] == pytest.approx(file["difference"].to_list(), rel=1e-3, abs=1e-9)
    assert columns["beside"] == pytest.approx(file["mat"].to_list(), rel=1e-3)
    assert columns["name"]["levels"] == file["selector"].to_list()


def test_each_kind_that_is_left_out_says_what_it_needs(written):
    text = (written / "report.html").read_text()
    assert re.findall(r'<p class="left-out">(.*?)</p>', text) == [
        f"Left out: it needs {needs}."
        for needs in ("costs at two batches or more: hedgespec sim --batch", moved_costs.NEEDS)
    ]


@pytest.mark.parametrize(
    ("tokenizer", "expected"),
    [
        (
            {
                "model": {"vocab": {"Hello": 0, "Ġw": 1, "Ċ": 2, "Ã©": 3, "Ã": 4}},
                "decoder": {"type": "ByteLevel"},
                "added_tokens": [{"id": 5, "content": "<end>"}],
            },
            ["Hello", " w", "\n", "é", "\N{REPLACEMENT CHARACTER}", "<end>"],
        ),
        (
            {
                "model": {"vocab": [["▁Hello", -1.0], ["w", -2.0], ["<0x0A>", 0.0]]},
                "decoder": {"type": "Sequence", "decoders": [{"type": "Replace"}]},
            },
            [" Hello", "w", "\n"],
        ),
    ],
)
def test_token_ids_become_text(tmp_path, tokenizer, expected):
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(tokenizer))
    assert read_vocabulary(path) == dict(enumerate(expected))


@pytest.mark.parametrize(
    ("words", "model", "expected"),
    [
        (["<end>", "Ġw", "Ċ"], "gpt2", ["<end>", " w", "\n"]),
        (["<end>", "▁Hello", "<0x0A>"], "llama", ["<end>", " Hello", "\n"]),
    ],
)
def test_a_gguf_file_holds_the_text_too(tmp_path, words, model, expected):
    path = save_gguf_header(tmp_path / "model.gguf", gguf_tokenizer(words, 1, model))
    assert read_vocabulary(path) == dict(enumerate(expected))


@pytest.mark.parametrize(
    "content",
    [
        b"GGUF" + bytes(range(256)) * 10_000,
        b"\xff" * 1_000_000,
        b'{"model": 1} ' * 100_000,
        b'["' + b"word " * 100_000,
    ],
)
def test_a_file_that_is_no_tokenizer_is_not_repeated(results, tmp_path, capsys, content):
    path = tmp_path / "model.gguf"
    path.write_bytes(content)
    assert (
        main(["report", str(results), "--tokenizer", str(path), "--out", str(tmp_path / "report")])
        == 1
    )
    said = capsys.readouterr().err
    assert "model.gguf: neither the tokenizer.json" in said
    assert said.strip().count("\n") == 0
    assert len(said) < 500


def test_answer_is_shown_as_text_where_there_is_a_tokenizer(results, tmp_path, monkeypatch):
    monkeypatch.setattr("hedgespec.analysis.report.FIGURES", {"answer": FIGURES["answer"]})
    path = tmp_path / "tokenizer.json"
    token = pl.read_parquet(results / "answer.parquet")["token"][5]
    path.write_text(json.dumps({"model": {"vocab": {"a<b": token}}, "decoder": None}))
    write_report(Request([results], tokenizer=path), tmp_path, sys.argv, __version__)
    [drawing] = data_of(tmp_path / "report.html")["kinds"]["answer"]["drawings"]
    pieces = drawing["view"]["columns"]["piece"]
    assert pieces["levels"].count("a<b") == 1
    assert "a<b" not in (tmp_path / "report.html").read_text()


def test_same_results_make_the_same_files(written, results, tmp_path, monkeypatch):
    monkeypatch.setattr("hedgespec.analysis.report.FIGURES", dict(list(FIGURES.items())[:2]))
    monkeypatch.setattr(statistics, "DRAWS", 200)
    write_report(
        Request([results], paper=Paper(formats=["pdf", "png"])), tmp_path, sys.argv, __version__
    )
    files = sorted(path.relative_to(tmp_path) for path in tmp_path.glob("*/*"))
    assert len(files) == 5 * 3 + 5 * 2
    assert {path.suffix for path in files} == {".pdf", ".png", ".csv", ".md"}
    for path in files:
        assert (tmp_path / path).read_bytes() == (written / path).read_bytes(), path


def test_the_table_of_drafters_warns_where_losses_mislead(study):
    table = drafter_table(study.run)
    rows = {row["label"]: row for row in table.data.iter_rows(named=True)}
    assert set(rows) == {f"fixed:drafter-{i}" for i in range(DRAFTERS)}
    greatest, best = (max(rows, key=lambda name: rows[name][column]) for column in ("eal", "mat"))
    assert f"{greatest} has the least mean loss `length`" in table.note
    assert f"fewer tokens per round than {best} (" in table.note
    assert "loss `seconds`," not in table.note  # it names the fastest


# Comparison of runs


def quarter(results: Path, folder: Path) -> Path:
    """The same run at a quarter of the speed: only its costs are others."""
    shutil.copytree(results, folder)
    for name in ("per_query", "summary"):
        rewrite(
            folder,
            name,
            lambda table: table.with_columns(
                pl.selectors.by_name("seconds", "evaluation_seconds", require_all=False) * 4,
                pl.selectors.by_name("tokens_per_second", require_all=False) / 4,
            ),
        )
    run = json.loads((folder / "run.json").read_text())
    run["traces"][0]["costs"][0]["device"] = "A slow GPU"
    (folder / "run.json").write_text(json.dumps(run))
    return folder


def test_a_run_does_not_differ_from_itself(study):
    comparison = compare(study.run, study.run)
    assert comparison.settings == len(study.run.settings)
    assert (comparison.table["difference"] == 0).all()
    assert set(comparison.table["metric"]) == set(METRICS)
    assert comparison.regressions.is_empty()
    assert comparison.answers.is_empty()
    assert comparison.differs.is_empty()
    assert not any("before" in line for line in comparison.advice)
    assert comparison.sentences == [f"0 of {comparison.settings} settings became worse"]


def test_regressions_are_marked(study, results, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("hedgespec.analysis.report.FIGURES", {})  # only those of the comparison
    slower = make_results(tmp_path / "slower", faster=0.8)
    arguments = ["report", str(slower), "--baseline", str(results), "--out", str(tmp_path / "out")]
    assert main(arguments) == 0
    comparison = compare(study.run, ResultSet(slower))
    worse = comparison.regressions
    assert set(worse["selector"]) == {"learner-00", "learner-01", "learner-02"}
    assert set(worse.filter(pl.col("trace") == "mix")["metric"]) == set(METRICS)
    settings = worse.select(SETTING).n_unique()
    said = f"{settings} of {comparison.settings} settings became worse: rounds of {settings} ("
    told = capsys.readouterr().out
    assert said in told
    assert re.search(r"rounds of \d+ \(\+[\d.]+ to \+[\d.]+ %\), MAT of \d+ \(-", told)
    assert [line.split(":")[0].strip() for line in comparison.advice] == ["mix"]
    assert all(f"  {line}\n" in told for line in comparison.advice)
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.count("▼ regression") == settings
    better = compare(ResultSet(slower), study.run)
    first, second, *_ = better.sentences
    assert first == f"0 of {comparison.settings} settings became worse"
    assert re.match(
        rf"{settings} of {comparison.settings} settings became better: rounds of {settings} \(-",
        second,
    )
    assert better.regressions.is_empty()
    assert better.table.filter("better").select(SETTING).n_unique() == settings
    for figure in differences.draw(study, comparison, "differences"):
        assert problems(plotted(figure)) == []


def test_a_run_at_a_quarter_of_the_speed_is_worse(study, results, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("hedgespec.analysis.report.FIGURES", {})
    monkeypatch.setattr("hedgespec.analysis.figures.differences.DRAWN", {})
    slow = quarter(results, tmp_path / "slow")
    assert (
        main(["report", str(slow), "--baseline", str(results), "--out", str(tmp_path / "out")]) == 0
    )
    said = capsys.readouterr().out
    timed = study.run.settings["tokens_per_second"].is_not_null().sum()
    assert (
        f"{timed} of {len(study.run.settings)} settings became worse: "
        f"tokens/s of {timed} (-75.0 %); the costs differ on mix\n"
    ) in said
    assert re.search("costs, mix: costs of A GPU, .* before, costs of A slow GPU, .* now", said)
    assert said.count("+300.0% rounds or seconds") == 3
    answers = pl.read_csv(tmp_path / "out" / "tables" / "differences-1-answers.csv")
    assert len(answers) == timed * 24
    assert answers["percent"].to_numpy() == pytest.approx(300)
    notes = [table["note"] for table in data_of(tmp_path / "out" / "report.html")["tables"]]
    assert any(f"Of {timed * 24} answers" in note for note in notes)


def test_answers_that_became_worse_are_listed_worst_first(study, results, tmp_path):
    folder = tmp_path / "two"
    shutil.copytree(results, folder)
    mine = (
        (pl.col("selector") == "learner-02")
        & (pl.col("feedback") == "queued")
        & (pl.col("trace") == "mix")
    )
    times = (
        pl.when(mine & (pl.col("query_id") == "q5"))
        .then(2.0)
        .when(mine & (pl.col("query_id") == "q7"))
        .then(1.5)
        .when(mine & (pl.col("query_id") == "q8"))
        .then(0.5)
        .otherwise(1.0)
    )
    rewrite(folder, "per_query", lambda table: table.with_columns(pl.col("rounds") * times))
    found = compare(study.run, ResultSet(folder)).answers
    assert found.select("label", "query_id", "percent").rows() == [
        ("learner-02", "q5", pytest.approx(100)),
        ("learner-02", "q7", pytest.approx(50)),
    ]


def test_too_few_questions_are_compared_and_said_not_to_be_tested(tmp_path):
    base, slow = (
        ResultSet(make_results(tmp_path / name, queries=9, faster=faster))
        for name, faster in (("base", 1.0), ("slow", 0.5))
    )
    comparison = compare(base, slow)
    assert (comparison.table["difference"] != 0).any()
    assert comparison.table["mark"].unique().to_list() == [""]
    count = comparison.settings
    first, unsure, *rest = comparison.sentences
    assert first == f"0 of {count} settings became worse"
    assert re.fullmatch(
        r"\d+ more have worse tokens/s \(-[\d.]+ to -[\d.]+ %\), which is not "
        "shown to be more than chance",
        unsure,
    )
    assert rest == [
        f"{count} of {count} settings could not be marked: 9 questions are too few for a mark "
        f"among {len(comparison.table)} differences"
    ]


def test_runs_without_a_common_setting_do_not_pass(study, results, tmp_path, capsys):
    shutil.copytree(results, tmp_path / "others")
    for name in ("per_query", "summary", "curves", "answer"):
        rewrite(
            tmp_path / "others", name, lambda table: table.with_columns(pl.col("selector") + "-new")
        )
    with pytest.raises(NothingComparedError, match="have no setting in common"):
        compare(study.run, ResultSet(tmp_path / "others"))
    out = tmp_path / "out"
    assert "no setting in common" in one_error(
        capsys, tmp_path / "others", "--baseline", results, "--out", out
    )
    assert not out.exists()
    elsewhere = make_results(tmp_path / "elsewhere", traces=("another",))
    with pytest.raises(NothingComparedError, match="no trace in common"):
        compare(study.run, ResultSet(elsewhere))


def test_what_one_run_has_alone_is_said(study, tmp_path):
    fewer = ResultSet(make_results(tmp_path, learners=2))
    differs = compare(study.run, fewer).differs.rows_by_key("what", named=True)
    [row] = differs["settings of this run alone"]
    assert row["before"].startswith("learner-02 (bold) on mix, ")
    assert row["before"].endswith(", and 3 more")
    assert row["now"] == "–"


# Errors


def one_error(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The message of a report that fails."""
    assert main(["report", *map(str, arguments)]) == 1
    error = capsys.readouterr().err.strip()
    assert len(error.splitlines()) == 1
    return error


def rewrite(folder: Path, name: str, change: object) -> None:
    path = folder / f"{name}.parquet"
    change(pl.read_parquet(path)).write_parquet(path)  # type: ignore[operator]
    seal_results(folder)


def test_wrong_input_is_one_clear_error(tmp_path, results, capsys):
    out = ("--out", tmp_path / "out")
    assert "name a folder that `hedgespec sim" in one_error(capsys, tmp_path / "nowhere", *out)
    other = make_results(tmp_path / "other", digest="1" * 64)
    assert "their versions of mix differ" in one_error(capsys, results, other, *out)
    elsewhere = make_results(tmp_path / "elsewhere", traces=("another",))
    assert "no trace in common" in one_error(capsys, results, "--baseline", elsewhere, *out)
    fewer = make_results(tmp_path / "fewer", queries=20)
    assert "on different queries" in one_error(capsys, results, fewer, *out)
    assert "has no selector 'magic'; there are" in one_error(
        capsys, results, "--selectors", "magic", *out
    )
    assert "has no trace 'magic'; there are mix" in one_error(
        capsys, results, "--traces", "magic", *out
    )
    rewrite(fewer, "per_query", lambda table: table.drop("domain", "mat"))
    assert "lacks the columns domain, mat" in one_error(capsys, fewer, *out)
    (tmp_path / "vocab.json").write_text("{}")
    assert "vocab.json: neither the tokenizer.json of a tokenizer" in one_error(
        capsys, results, "--tokenizer", tmp_path / "vocab.json", *out
    )
    assert "none.gguf: no such file; want the tokenizer.json of a tokenizer, or" in one_error(
        capsys, results, "--tokenizer", tmp_path / "none.gguf", *out
    )
    rewrite(elsewhere, "summary", lambda table: table.clear())
    assert "the results are empty" in one_error(capsys, elsewhere, *out)
    assert not (tmp_path / "out").exists()


def test_mixed_results_are_refused(tmp_path, capsys):
    folder = make_results(tmp_path / "results")
    run = json.loads((folder / "run.json").read_text())
    run["traces"].append({"name": "mix", "manifest_sha256": "1" * 64})
    (folder / "run.json").write_text(json.dumps(run))
    assert "two versions of the trace mix are mixed" in one_error(capsys, folder)
    (folder / "run.json").write_text("{}")
    assert "not a run.json of `hedgespec sim`" in one_error(capsys, folder)
    (folder / "run.json").unlink()
    assert "run.json: missing" in one_error(capsys, folder)
    make_results(folder)
    rewrite(
        folder,
        "per_query",
        lambda table: pl.concat([table, table.with_columns(pl.col("rounds") + 1)]),
    )
    assert "two different results for one setting" in one_error(capsys, folder)


def test_results_of_one_setting_run_twice_count_once(tmp_path, results):
    folder = make_results(tmp_path)
    for name in ("summary", "per_query", "curves"):
        rewrite(folder, name, lambda table: pl.concat([table, table]))
    assert ResultSet(folder).settings.equals(ResultSet(results).settings)


def test_arms_are_named_in_words(tmp_path, monkeypatch):
    monkeypatch.setattr(statistics, "DRAWS", 200)
    assert [
        arm_label(name)
        for name in (
            "generalist",
            "generalist*3",
            "generalist@tree",
            "fixed:a.b_c-d@kseq:4*12",
            "my@learner.py:MINE",
            "fixed:expert-of-translation@tree*8",
        )
    ] == [
        "generalist",
        "generalist, K=3",
        "generalist, tree",
        "fixed:…b_c-d, kseq:4, K=12",
        "my@learner.py:MINE",
        "fixed:e…slation, tree, K=8",
    ]
    run = ResultSet(make_results(tmp_path, arms="all@tree all*3"))
    assert run.drafters("mix") == 3
    assert run.usual("mix") == "arms: all drafters, tree; all drafters, K=3, sampling"
    assert "learner-00" in run.settings["label"].to_list()  # as usual here
    figures = {one.name: one for one in drawings(Study.of(run, [], [], None))}
    assert {"drafter-0, tree", "drafter-2, K=3"} <= {
        text.get_text() for text in drawn_texts(plotted(figures["acceptance-mix"]))
    }
    assert {"drafter-0, tree", "drafter-1, K=3"} & {
        text.get_text() for text in drawn_texts(plotted(figures["answer-mix"]))
    }


def test_arms_that_are_not_usual_are_named_beside_the_selector(tmp_path, results):
    folder = make_results(tmp_path)
    for name in ("summary", "per_query", "curves", "answer"):
        lengths, mixed = (
            pl.read_parquet(folder / f"{name}.parquet")
            .filter(pl.col("selector") == "learner-00")
            .with_columns(arm_lengths=pl.lit(arms))
            for arms in ("1 3", "all@tree drafter-1*3")
        )
        rewrite(folder, name, lambda table, more=(lengths, mixed): pl.concat([table, *more]))
    labels = set(ResultSet(folder).settings["label"]) - set(ResultSet(results).settings["label"])
    assert {
        "learner-00 (arms: all drafters, K=1 or 3)",
        "learner-00 (arms: all drafters, tree; drafter-1, K=3)",
    } <= labels


def test_long_names_are_shortened_in_the_middle():
    assert short("a" * 20) == "a" * 20
    assert short("learner.py:MINE:rate=0.25,window=100", 11) == "learn…w=100"


# Whose machine it is made on, and what was there before


def test_a_users_matplotlibrc_changes_nothing(results, tmp_path, monkeypatch):
    monkeypatch.setattr("hedgespec.analysis.report.FIGURES", {"gains": FIGURES["gains"]})
    pages = []
    for own in (
        {},
        {"axes.grid": True, "savefig.bbox": "tight", "svg.fonttype": "none", "font.size": 20.0},
    ):
        with matplotlib.rc_context(own):
            write_report(
                Request([results], paper=Paper(formats=["pdf", "png"])),
                tmp_path / "out",
                ["x"],
                "0",
                processes=1,
            )
        pages.append([path.read_bytes() for path in sorted((tmp_path / "out").rglob("*.*"))])
    assert pages[0] == pages[1]


def test_a_second_report_takes_the_place_of_the_first(results, tmp_path, monkeypatch):
    monkeypatch.setattr("hedgespec.analysis.report.FIGURES", {"gains": FIGURES["gains"]})
    write_report(
        Request([results], paper=Paper(formats=["pdf"])), tmp_path, ["x"], "0", processes=1
    )
    (tmp_path / "figures" / "my-own.png").write_text("of the user")
    (tmp_path / ".figures.7.tmp").mkdir()  # of a killed process
    assert (tmp_path / "figures" / "gains.pdf").exists()
    monkeypatch.setattr("hedgespec.analysis.report.FIGURES", {})
    write_report(Request([results]), tmp_path, ["x"], "0", processes=1)
    assert [path.name for path in (tmp_path / "figures").iterdir()] == ["my-own.png"]
    assert {path.name for path in tmp_path.iterdir()} == {
        "figures",
        "tables",
        "report.html",
        "report.json",
    }


def test_tables_hold_all_digits_and_no_formulas():
    table = pl.DataFrame(
        {
            "=name": ["=1+1", "+x", "-y", "@z", "\tt", "plain", None],
            "seconds": [1.23456789012e-12, 0.1, 1 / 3, 1e300, 0.0, -1.0, None],
        }
    )
    text = csv(table)
    read = pl.read_csv(text.encode())
    assert read["seconds"].to_list() == table["seconds"].to_list()
    assert read["'=name"].to_list() == ["'=1+1", "'+x", "'-y", "'@z", "'\tt", "plain", None]


def test_a_domain_called_all_has_its_own_numbers(tmp_path, monkeypatch):
    monkeypatch.setattr(statistics, "DRAWS", 200)
    folder = make_results(tmp_path)
    rewrite(
        folder,
        "per_query",
        lambda table: table.with_columns(pl.col("domain").replace("domain-0", "all")),
    )
    study = Study.of(ResultSet(folder), [], [], None)
    [table] = domain_tables(study)
    assert [text.partition(" (")[0] for text in table.header[2:-1]] == [
        "all",
        "domain-1",
        "domain-2",
        "all domains",
    ]
    sizes = table.data.group_by("domain", maintain_order=True).agg(pl.col("queries").first())
    assert sizes.rows() == [("all", 8), ("domain-1", 8), ("domain-2", 8), (None, 24)]
    figure = next(FIGURES["acceptance"].draw(study))
    assert figure.data["domain"].unique(maintain_order=True).to_list() == [
        "all",
        "domain-1",
        "domain-2",
        None,
    ]


def test_a_trace_called_like_a_pool_is_no_pool(tmp_path):
    run = ResultSet(make_results(tmp_path, traces=("mine.n4",)))
    assert run.pool("mine.n4") is None
    assert "mine.n4" in Study.of(run, [], [], None).traces


@pytest.mark.parametrize(
    ("saved", "told"),
    [
        (3, "saves 3 rounds over"),
        (1, "saves 1 round over"),
        (0, "needs as many rounds as"),
        (-1, "loses 1 round to"),
    ],
)
def test_an_answer_that_loses_rounds_is_not_said_to_save_them(saved, told):
    assert answer_figure._told(saved) == told
