"""The page of a report: one file, with figures, tables and their data in it."""

import base64
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from string import Template

import polars as pl
from matplotlib.figure import Figure

from hedgespec.analysis.figures.style import COLOURS, Drawing, TokenView
from hedgespec.analysis.report_tables import Cell, ReportTable
from hedgespec.bundled import DATA

ZOOM = 1.35  # figures of a paper are small on a screen
WIDE = 15  # columns that fit on paper in the usual size
_VARIABLE = {light: f"var(--{name})" for name, (light, _) in COLOURS.items()}


@dataclass
class Section:
    """A part of the page: an anchor, a heading, and HTML below it."""

    anchor: str
    heading: str
    parts: list[str] = field(default_factory=list)


def page(title: str, introduction: str, sections: Sequence[Section]) -> str:
    """The whole page. `introduction` and the sections' parts are HTML."""
    template = Template((DATA / "report.html").read_text(encoding="utf-8"))
    themes = ["".join(f"--{name}: {pair[i]}; " for name, pair in COLOURS.items()) for i in (0, 1)]
    return template.substitute(
        title=escape(title), light=themes[0], dark=themes[1], introduction=introduction,
        contents="".join(f'<li><a href="#{item.anchor}">{escape(item.heading)}</a></li>'
                         for item in sections),
        body="\n".join(
            f'<section aria-labelledby="{item.anchor}">\n'
            f'<h2 id="{item.anchor}">{escape(item.heading)}</h2>\n'
            + "\n".join(item.parts) + "\n</section>" for item in sections))


def figure_part(drawing: Drawing, picture: str) -> str:
    """A figure, drawn as the SVG `picture`, with its heading, caption, data and token view."""
    view = "" if drawing.view is None else token_view(drawing.view)
    return (f'<figure id="{anchor(drawing.name)}">\n<h3>{escape(drawing.title)}</h3>\n'
            f"{picture}\n"
            f"<figcaption>{escape(drawing.caption)} "
            f"{_download(drawing.name, drawing.data)}</figcaption>\n{view}</figure>")


def token_view(view: TokenView) -> str:
    """An answer's tokens in the colours of their drafters; a change of drafter is named."""
    tokens, before = [], ""
    last = view.tokens["round"].ne(view.tokens["round"].shift(-1)).fill_null(True)
    for row, own in zip(view.tokens.iter_rows(named=True), last, strict=True):
        colour = _VARIABLE.get(view.colours.get(row["drafter"], ""), "var(--muted)")
        changed = f' data-drafter="{escape(row["drafter"])}"' * (row["drafter"] != before)
        before = row["drafter"]
        told = (f"token {row['position']}, id {row['token']}: round {row['round']}, "
                f"{row['drafter']}, acceptance probability {row['gamma']:.2f}")
        piece = row.get("piece", str(row["token"]))
        shown = escape(piece.replace("\n", "↵"))
        tokens.append(
            f'<span{" class=own" * own} style="--drafter: {colour}"{changed} '
            f'title="{escape(told)}">{shown}</span>' + "<br>" * piece.count("\n"))
    text = "".join(tokens)
    return f'<p class="note">{escape(view.caption)}</p>\n<p class="answer">{text}</p>\n'


def table_part(table: ReportTable) -> str:
    """A table that its headers sort, with its note and data."""
    name = anchor(table.name)
    first = table.rows[0] if table.rows else []
    kinds = ["" if isinstance(cell.value, str) else "number" for cell in first]
    heads = "".join(f'<th scope="col" class="{kind}"><button type="button">{escape(text)}'
                    "</button></th>" for text, kind in zip(table.header, kinds, strict=True))
    body = "\n".join("<tr>" + "".join(map(_cell, row)) + "</tr>" for row in table.rows)
    return (f'<h3 id="{name}">{escape(table.title)}</h3>\n'
            f'<p class="note">{escape(table.note)} {_download(table.name, table.data)}</p>\n'
            f'<div class="scroll" tabindex="0" role="region" aria-labelledby="{name}">'
            f"<table{' class=wide' * (len(table.header) > WIDE)}>"
            f"<thead><tr>{heads}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>")


def svg(figure: Figure, prefix: str, label: str) -> str:
    """A figure as an SVG element whose colours follow the page's, ids starting with `prefix`."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg"):], flags=re.DOTALL)
    text = re.sub(r'( id="|xlink:href="#|url\(#)', rf"\g<1>{prefix}-", text)
    # A hundredth of a point is enough; the digits beyond are a third of the page.
    text = re.sub(r' (?:d|x|y)="[^"]*"', lambda found: re.sub(r"(\.\d\d)\d+", r"\1", found[0]),
                  text)
    text = re.sub(r"#[0-9a-f]{6}", lambda found: _VARIABLE.get(found[0], found[0]), text)
    inches, high = figure.get_size_inches()
    opening = (f'<svg role="img" aria-label="{escape(label)}" '
               f'viewBox="0 0 {72 * inches:.2f} {72 * high:.2f}" '
               f'style="max-width: {ZOOM * inches:.2f}in" xmlns="http://www.w3.org/2000/svg" '
               'xmlns:xlink="http://www.w3.org/1999/xlink">')
    return re.sub(r"<svg.*?>", lambda _: opening, text, count=1, flags=re.DOTALL)


def csv(data: pl.DataFrame) -> str:
    """The numbers of a figure or table, with all their digits.

    A text that a spreadsheet would take for a formula has an apostrophe before it.
    """
    safe = {name: _no_formula(pl.Series([name]))[0] for name in data.columns}
    return data.with_columns(
        pl.col(pl.String).map_batches(_no_formula, return_dtype=pl.String)).rename(safe).write_csv()


def _no_formula(texts: pl.Series) -> pl.Series:
    return texts.str.replace(r"^([=+\-@\t\r])", "'$1")


def anchor(name: str) -> str:
    """A name as an id of the page and as a file name."""
    return re.sub(r"[^A-Za-z0-9_.-]", "-", name)


def _cell(cell: Cell) -> str:
    kind = "" if isinstance(cell.value, str) else ' class="number"'
    bar = "" if cell.bar is None else f'<span class="bar" style="width: {cell.bar:.0%}"></span>'
    remark = f"<small>{escape(cell.remark)}</small>" if cell.remark else ""
    value = "-1e999" if cell.value == float("-inf") else escape(str(cell.value))
    return f'<td{kind} data-value="{value}">{escape(cell.text)}{remark}{bar}</td>'


def _download(name: str, data: pl.DataFrame) -> str:
    """A link to the data, which is in the link itself."""
    content = base64.b64encode(csv(data).encode()).decode()
    return (f'<a class="data" download="{anchor(name)}.csv" '
            f'href="data:text/csv;base64,{content}">Data (CSV)</a>')
