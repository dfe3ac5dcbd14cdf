"""A router by the prompt beside learners that go by what was accepted."""

from collections.abc import Iterator

import polars as pl

from hedgespec.analysis.figures.style import Claim, Drawing, Panel, arm_label, claimed
from hedgespec.analysis.study import Study
from hedgespec.results.labels import NONE, PROMPT
from hedgespec.results.statistics import LEVEL, SMALL, few, mean_estimate

HEADING = "A router by the prompt, or online selection?"

NEEDS = "a router, which hedgespec sim --selectors default runs, and a learner beside it"

ONLINE = 3  # learners shown beside the router


def draw(study: Study) -> Iterator[Drawing]:
    """A figure per trace that routers were run on."""
    learners = _online(study)
    tables = [_table(study, trace, name, learners) for trace, name in _routers(study)]
    if not learners:
        return iter(())
    traces = dict.fromkeys(table["trace"][0] for table in tables)
    return claimed(
        (
            _drawing(study, trace, [one for one in tables if one["trace"][0] == trace])
            for trace in traces
        ),
        _claims(tables),
    )


def _drawing(study: Study, trace: str, tables: list[pl.DataFrame]) -> Drawing:
    data = pl.concat(tables)
    rows = data.unique("selector", keep="first", maintain_order=True)
    title = study.sized(trace) + few(rows["questions"][0])
    more = [
        Panel(
            "forest",
            table[1:].select(
                name="selector", x="difference", low="difference_low", high="difference_high"
            ),
            f"rounds more than\n{arm_label(table['router'][0])}, per query",
            title=title,
            zero=True,
        )
        for table in tables
        if len(table) > 1
    ]
    return Drawing(
        f"router-{trace}",
        f"A router by the prompt, or online selection: {trace}",
        "A router is trained on other questions of the same trace, router:TRACE on those "
        f"of another. Beside it the {ONLINE} chosen learners of least regret. Bars: "
        f"{LEVEL:.0%} bootstrap intervals over questions, against a router paired by question; "
        f"not corrected. †: fewer than {SMALL} questions.",
        [
            Panel(
                "forest",
                rows.select(name="selector", x="regret", low="low", high="high"),
                "rounds above the best\nfixed drafter, per query",
                title=title,
                zero=True,
            ),
            *more,
        ],
        data,
        trace,
    )


def _routers(study: Study) -> Iterator[tuple[str, str]]:
    """Traces and the routers run on them."""
    for trace in study.traces:
        rows = study.run.answers(trace).settings.filter(
            pl.col("usual"), pl.col("feedback") == PROMPT
        )
        for name in rows["selector"]:
            yield trace, name


def _online(study: Study) -> tuple[str, ...]:
    """The chosen learners of least regret on the traces that have them all."""
    settings = study.run.settings.filter(
        pl.col("usual"),
        pl.col("trace").is_in(study.traces),
        pl.col("selector").is_in(study.learners),
        ~pl.col("feedback").is_in([PROMPT, NONE]),
    )
    ranked = settings.group_by("selector", maintain_order=True).agg(pl.col("regret").mean())
    return tuple(ranked.sort("regret", "selector")["selector"][:ONLINE])


def _table(study: Study, trace: str, router: str, learners: tuple[str, ...]) -> pl.DataFrame:
    """The router's row and the learners'; differences are the learner's regret minus its."""
    answers = study.run.answers(trace)
    columns = study.columns(trace, (router, *learners))
    regret = answers.regret[:, list(columns.values())]
    found, difference = (
        mean_estimate(values, answers.question) for values in (regret, regret - regret[:, :1])
    )
    return pl.DataFrame(
        {
            "trace": trace,
            "router": router,
            "selector": list(columns),
            "queries": found.queries,
            "questions": found.questions,
            "regret": found.value,
            "low": found.low,
            "high": found.high,
            "difference": difference.value,
            "difference_low": difference.low,
            "difference_high": difference.high,
            "p": difference.p,
        }
    )


def _claims(tables: list[pl.DataFrame]) -> Iterator[Claim]:
    """The router against the first of the learners on each trace."""
    for table in tables:
        if len(table) < 2:
            continue
        router, learner = table["router"][0], table.row(1, named=True)
        yield Claim(
            f"On {table['trace'][0]}, {learner['selector']} needs",
            ("more", "fewer"),
            f"rounds per query than {router}",
            *(learner[name] for name in ("difference", "difference_low", "difference_high", "p")),
        )
