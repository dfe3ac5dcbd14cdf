"""The page of a report: one file, with its data, its style and the script that draws them."""

import base64
import json
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import groupby
from math import isfinite
from string import Template
from types import MappingProxyType
from typing import Any

import matplotlib
import polars as pl

from hedgespec.analysis.figures.looks import COLOURS, look
from hedgespec.analysis.figures.paper import EVALUATIONS, HEAT
from hedgespec.analysis.figures.style import Drawing, Panel, arm_label
from hedgespec.analysis.report_tables import Cell, ReportTable
from hedgespec.bundled import DATA

WIDE = 15  # columns that fit on paper in the usual size
DIGITS = 4  # that matter of a number in a figure; files have all
LONG = 60  # characters of a name, which the script cuts further where there is no room
SCRIPTS = ("report_marks.js", "report_draws.js", "report_costs.js", "report.js")
SHADES = 9  # of the heat maps, between which the script mixes


@dataclass
class Section:
    """A part of the page: an anchor, a heading, and HTML below it."""

    anchor: str
    heading: str
    parts: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class FigureGroup:
    """The figures of one place of the page, which shows one of them: by trace and measure.

    `needs` says what the results lack where there is none.
    """

    needs: str
    drawings: Sequence[Drawing]


def page(
    title: str, introduction: str, sections: Sequence[Section], data: Mapping[str, Any]
) -> str:
    """The whole page. `introduction` and the sections' parts are HTML; `data` is of `page_data`."""
    template = Template(_read("report.html"))
    themes = ["".join(f"--{name}: {pair[i]}; " for name, pair in COLOURS.items()) for i in (0, 1)]
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return template.substitute(
        title=escape(title),
        light=themes[0],
        dark=themes[1],
        introduction=introduction,
        style=Template(_read("report.css")).substitute(title=_css_text(title)),
        script="".join(map(_read, SCRIPTS)),
        data=base64.b64encode(zlib.compress(text.encode(), 9)).decode(),
        contents="".join(
            f'<li><a href="#{item.anchor}">{escape(item.heading)}</a></li>' for item in sections
        ),
        body="\n".join(
            f'<section aria-labelledby="{item.anchor}">\n'
            f'<h2 id="{item.anchor}"><a href="#{item.anchor}">{escape(item.heading)}</a></h2>\n'
            + "\n".join(item.parts)
            + "\n</section>"
            for item in sections
        ),
    )


def page_data(
    traces: Sequence[str],
    learners: Sequence[str],
    groups: Mapping[str, FigureGroup],
    tables: Sequence[ReportTable],
    words: Mapping[str, str],
    costs: Mapping[str, Any] = MappingProxyType({}),
    strips: Mapping[str, Any] = MappingProxyType({}),
) -> dict[str, Any]:
    """What the page's script draws from, each number once.

    `groups` are by the names of their places (`figure_part`); `learners` can be hidden; `costs` are
    of `moved_costs`, `strips` the rounds of answers.
    """
    panels = [
        panel for group in groups.values() for drawing in group.drawings for panel in drawing.panels
    ]
    moved = (
        setting["name"]
        for trace in costs.values()
        for basis in trace["bases"].values()
        for setting in basis["settings"]
    )
    drafters = (name for trace in strips.values() for name in trace["drafters"])
    names = {
        *learners,
        *moved,
        *drafters,
        *(
            name
            for panel in panels
            for column in ("name", "fill")
            if column in panel.rows.columns
            for name in panel.rows[column]
        ),
    }
    found = {name: look(name) for name in sorted(names)}
    shades = matplotlib.colormaps[HEAT]([i / (SHADES - 1) for i in range(SHADES)])
    return {
        "traces": traces,
        "learners": learners,
        "words": words,
        "widest": WIDE,
        "evaluations": EVALUATIONS,
        "heat": [[round(255 * part) for part in shade[:3]] for shade in shades.tolist()],
        "looks": {
            name: [one.colour, one.dashes, one.marker, arm_label(name, LONG)]
            for name, one in found.items()
        },
        "kinds": {
            name: {"needs": group.needs, "drawings": list(map(_drawing, group.drawings))}
            for name, group in groups.items()
        },
        "tables": list(map(_table, tables)),
        "costs": costs,
        "strips": strips,
    }


def figure_part(name: str, group: FigureGroup) -> str:
    """The place of the figures of a group; without any, what the results lack."""
    if not group.drawings:
        return f'<p class="left-out">Left out: it needs {escape(group.needs)}.</p>'
    return (
        f'<figure data-kind="{name}"></figure>'
        + '<div id="strips" aria-live="polite"></div>' * (name == "answers")
    )


def costs_part(costs: Mapping[str, Any], needs: str) -> str:
    """The place of what is found at other costs; without any, what the results lack."""
    if not costs:
        return f'<p class="left-out">Left out: it needs {escape(needs)}.</p>'
    return '<div id="costs-tools" class="tools"></div>\n<div id="costs-found"></div>'


def tables_part() -> str:
    """The place of the tables."""
    return (
        '<div id="table-tools" class="tools"></div>\n<div id="table" class="on-screen"></div>\n'
        '<div id="paper-tables" class="on-paper"></div>'
    )


def csv(data: pl.DataFrame) -> str:
    """The numbers of a figure or table, with all their digits.

    A text that a spreadsheet would take for a formula has an apostrophe before it.
    """
    formula = r"^([=+\-@\t\r])", "'$1"
    safe = data.with_columns(pl.col(pl.String).str.replace(*formula))
    names = pl.Series(data.columns, dtype=pl.String).str.replace(*formula)
    return safe.rename(dict(zip(data.columns, names, strict=True))).write_csv()


def anchor(name: str) -> str:
    """A name as an id of the page and as a file name."""
    return re.sub(r"[^A-Za-z0-9_.-]", "-", name)


def _read(name: str) -> str:
    return (DATA / name).read_text(encoding="utf-8")


def _css_text(text: str) -> str:
    """What stands between the quotes of a text in CSS, within HTML."""
    return re.sub(r"[^A-Za-z0-9 .,:_/-]", lambda found: f"\\{ord(found[0]):x} ", text)


def _drawing(drawing: Drawing) -> dict[str, Any]:
    view = (
        {}
        if drawing.view is None
        else {
            "view": {
                "caption": drawing.view.caption,
                "query": drawing.view.tokens["query_id"][0],
                "columns": _columns(
                    drawing.view.tokens.select(
                        pl.col("^(position|token|piece|round|drafter|gamma)$")
                    )
                ),
            }
        }
    )
    return {
        "name": anchor(drawing.name),
        "title": drawing.title,
        "caption": drawing.caption,
        "trace": drawing.trace,
        "measure": drawing.measure,
        "panels": list(map(_panel, drawing.panels)),
        **view,
    }


def _panel(panel: Panel) -> dict[str, Any]:
    return {
        "mark": panel.mark,
        "title": panel.title,
        "x_label": panel.x_label,
        "y_label": panel.y_label,
        "scale": panel.scale,
        "ticks": panel.ticks,
        "y_range": panel.y_range,
        "zero": panel.zero,
        "beside_label": panel.beside_label,
        "digits": panel.digits,
        "wide": panel.wide,
        "columns": _columns(panel.rows),
    }


def _columns(rows: pl.DataFrame) -> dict[str, Any]:
    return {name: _packed(rows[name]) for name in rows.columns}


def _packed(values: pl.Series) -> Any:
    """Numbers as they are, null for what is none; texts as places in the list of their levels."""
    if values.dtype == pl.String:
        levels = values.drop_nulls().unique(maintain_order=True).to_list()
        place = {name: i for i, name in enumerate(levels)}
        return {"levels": levels, "codes": _runs([place.get(name, -1) for name in values])}
    if values.dtype.is_float():
        return _runs(
            [None if value is None or not isfinite(value) else _short(value) for value in values]
        )
    return _runs(values.cast(pl.Int64).to_list())


def _short(value: float) -> float | int:
    short = float(f"{value:.{DIGITS}g}")
    return int(short) if short.is_integer() else short


def _runs(values: list[Any]) -> Any:
    """The list, or where that is shorter its values each with how often it follows itself."""
    runs = [part for value, same in groupby(values) for part in (value, sum(1 for _ in same))]
    return {"runs": runs} if len(runs) < len(values) else values


def _table(table: ReportTable) -> dict[str, Any]:
    columns = []
    for place, head in enumerate(table.header):
        cells = [row[place] for row in table.rows]
        columns.append(
            {
                "head": head,
                "text": _packed(pl.Series([one.text for one in cells], dtype=pl.String)),
                "number": any(not isinstance(one.value, str) for one in cells),
                **_extras(cells),
            }
        )
    return {
        "name": anchor(table.name),
        "title": table.title,
        "note": table.note,
        "trace": table.trace,
        "columns": columns,
    }


def _extras(cells: Sequence[Cell]) -> dict[str, Any]:
    """The remarks and bars of a column, if it has any."""
    remarks, bars = [one.remark for one in cells], [one.bar for one in cells]
    return ({"remark": _packed(pl.Series(remarks))} if any(remarks) else {}) | (
        {"bar": [None if bar is None else round(bar, 3) for bar in bars]} if any(bars) else {}
    )
