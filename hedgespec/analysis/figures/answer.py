"""One answer: what a learner saw, its weights, and who drafted which token."""

from collections.abc import Iterator

import polars as pl

from hedgespec.analysis.figures.style import Drawing, Panel, TokenView, arm_label, thinned
from hedgespec.analysis.study import Study
from hedgespec.results.keys import SETTING
from hedgespec.results.labels import CHOSEN, FIXED
from hedgespec.results.schema import WEIGHT_OF

HEADING = "Why did it switch?"
NEEDS = "answer.parquet of the results, with a learner whose weights are known, and fixed drafters"

NAMED = 6  # drafters that are not grey
STRIPS = 5  # learners whose drafters are shown
SMOOTHED = 32  # tokens
POINTS = 64  # of a line, at most


def draw(study: Study) -> Iterator[Drawing]:
    """The answer of each trace, under the first learner whose weights are known."""
    for trace in study.traces:
        if (found := _tables(study, trace)) is not None:
            yield _drawing(trace, *found)


def _drawing(trace: str, saved: int, tables: dict[str, pl.DataFrame]) -> Drawing:
    first = next(iter(tables))
    fixed = {name: rows for name, rows in tables.items() if name.startswith(FIXED)}
    learners = {name: rows for name, rows in tables.items() if name not in fixed}
    row = tables[first].row(0, named=True)
    weighed = [
        name
        for name in tables[first].columns
        if not name.startswith(WEIGHT_OF) or not tables[first][name].has_nulls()
    ]
    learners[first] = tables[first].select(weighed)  # without other traces' drafters
    return Drawing(
        f"answer-{trace}",
        f"One answer token by token: query {row['query_id']} ({row['domain']}) of {trace}",
        f"First each drafter's acceptance probability, mean of {SMOOTHED} tokens, then the "
        f"weights of {first} at each token, then the drafter of each round, in one replay (seed "
        f"0). There {first} {_told(saved)} the best fixed drafter of this answer; it is an "
        "example, not evidence. Grey: the drafters that drafted least.",
        _panels(learners, fixed),
        _data(learners, fixed),
        trace,
        view=TokenView(
            tables[first],
            f"The same answer as {first} decoded it: a token has the colour of its "
            "round's drafter; the last of a round, underlined only, is the target's "
            "own.",
        ),
    )


def _told(saved: int) -> str:
    """What is said of an answer in which so many rounds are saved, perhaps none."""
    rounds = f"{abs(saved)} round{'s' if abs(saved) != 1 else ''}"
    return (
        f"saves {rounds} over"
        if saved > 0
        else f"loses {rounds} to"
        if saved
        else "needs as many rounds as"
    )


def _tables(study: Study, trace: str) -> tuple[int, dict[str, pl.DataFrame]] | None:
    """Rounds saved, and the answer under the learners drawn, the first one's weights being known,
    and under every fixed drafter; None where no weights are known."""
    usual = study.run.settings.filter(pl.col("usual"), pl.col("trace") == trace)
    answer = study.run.answer.join(
        usual.select(SETTING), on=SETTING, how="semi", nulls_equal=True, maintain_order="left"
    )
    rows = {str(name): part for (name,), part in answer.group_by("selector", maintain_order=True)}
    fixed = [name for name in study.fixed(trace) if name in rows]
    weighed = [name for name in study.learners if name in rows and _has_weights(rows[name])]
    if not weighed or not fixed:
        return None
    first = weighed[0]
    # Beside it a bandit, which has no weights to show, if there is one.
    others = sorted(
        (name for name in study.drawn if name in rows and name != first),
        key=lambda name: rows[name]["feedback"][0] != CHOSEN,
    )[: STRIPS - 1]
    best = min(fixed, key=lambda name: _rounds(rows[name]))
    chosen = [first, *(name for name in study.drawn if name in others and name not in fixed)]
    saved = _rounds(rows[best]) - _rounds(rows[first])
    return saved, {name: rows[name] for name in [*chosen, *fixed]}


def _data(learners: dict[str, pl.DataFrame], fixed: dict[str, pl.DataFrame]) -> pl.DataFrame:
    """What is drawn, a row per token: of each drafter its acceptance probability and its weight,
    of each learner the number of the round and its drafter."""
    first = next(iter(learners.values()))
    seen = [
        rows["gamma"].round(6).alias(f"gamma/{name.removeprefix(FIXED)}")
        for name, rows in fixed.items()
    ]
    chosen = [
        rows[column].alias(f"{column}/{name}")
        for name, rows in learners.items()
        for column in ("round", "drafter")
    ]
    return first.select(
        "trace",
        "query_id",
        "position",
        "token",
        pl.selectors.starts_with(WEIGHT_OF).round(6),
        *seen,
        *chosen,
    )


def _has_weights(rows: pl.DataFrame) -> bool:
    """Whether weights stand in the rows that are no reference's, of one drafter throughout."""
    columns = [name for name in rows.columns if name.startswith(WEIGHT_OF)]
    weights = rows.select(columns).max_horizontal() if columns else pl.Series([None])
    return not weights.has_nulls() and weights.n_unique() > 1


def _rounds(rows: pl.DataFrame) -> int:
    return rows["round"].n_unique()


def _named(learners: dict[str, pl.DataFrame]) -> list[str]:
    """The drafters that are not grey: those that drafted most of the tokens shown."""
    used = (
        pl.concat(rows.select("drafter") for rows in learners.values())
        .group_by("drafter", maintain_order=True)
        .len()
    )
    ranked: list[str] = used.sort("len", descending=True, maintain_order=True)["drafter"].to_list()
    return ranked[:NAMED]


def _panels(learners: dict[str, pl.DataFrame], fixed: dict[str, pl.DataFrame]) -> list[Panel]:
    """Acceptance and weights over the tokens, and below who drafted."""
    first, named = next(iter(learners)), _named(learners)
    seen = pl.concat(
        _line(
            name, rows["position"], rows["gamma"].rolling_mean(SMOOTHED, min_samples=1, center=True)
        )
        for name, rows in fixed.items()
    )
    columns = [name for name in learners[first].columns if name.startswith(WEIGHT_OF)]
    weights = pl.concat(
        _line(name, learners[first]["position"], learners[first][name]) for name in columns
    )
    strips = pl.concat(_spans(name, rows) for name, rows in learners.items())
    grey = ~pl.col("name").is_in(named)
    tokens = "tokens of the answer"
    return [
        Panel(
            "line",
            seen.with_columns(faint=grey),
            tokens,
            "acceptance\nprobability",
            y_range=(0, 1),
            wide=True,
        ),
        Panel(
            "line",
            weights.with_columns(faint=grey),
            tokens,
            f"weights of\n{arm_label(first, 18)}",
            y_range=(0, 1.02),
            wide=True,
        ),
        Panel("strips", strips.with_columns(faint=~pl.col("fill").is_in(named)), tokens, wide=True),
    ]


def _line(name: str, x: pl.Series, y: pl.Series) -> pl.DataFrame:
    drafter = name.removeprefix(FIXED).removeprefix(WEIGHT_OF)
    return thinned(pl.DataFrame({"name": drafter, "x": x, "y": y.round(2)}), POINTS)


def _spans(name: str, rows: pl.DataFrame) -> pl.DataFrame:
    """A span per round, in tokens, filled by its drafter."""
    return (
        rows.group_by("round", maintain_order=True)
        .agg(
            pl.col("position").first().alias("x"),
            pl.col("drafter").first().alias("fill"),
            pl.len(),
        )
        .select(
            pl.lit(name).alias("name"), "x", pl.col("x").add(pl.col("len")).alias("end"), "fill"
        )
    )
