"use strict";
// What can be done on a report's page: choose a trace, a measure and selectors, see values, and read
// tables, whose rows are elements only while they are shown.

const state = { trace: "", measure: "", hidden: new Set() };
const PAGE = 25; // rows of a table

// Values under the pointer, or stepped through with the arrow keys

const told = document.getElementById("told");

function tellPlace(area, place) {
  const box = area.root.getBoundingClientRect(), zoom = box.width / area.width;
  told.textContent = place.text;
  told.classList.add("shown");
  const x = box.left + place.x * zoom + 12, y = box.top + place.y * zoom + 12;
  told.style.left = `${Math.max(0, Math.min(x, innerWidth - told.offsetWidth - 8))}px`;
  told.style.top = `${Math.min(y, innerHeight - told.offsetHeight - 8)}px`;
}

function hide() {
  told.classList.remove("shown");
}

function listen(area) {
  let at = -1;
  const open = place => {
    if (place?.query) showAnswer(area, place);
  };
  const nearest = (x, y) => area.places.reduce((best, place) => {
    const far = Math.hypot(place.x - x, place.y - y);
    return far < best.far ? { place, far } : best;
  }, { far: 40 }).place;
  area.root.addEventListener("pointermove", event => {
    const box = area.root.getBoundingClientRect(), zoom = area.width / box.width;
    const place = nearest((event.clientX - box.left) * zoom, (event.clientY - box.top) * zoom);
    if (place) tellPlace(area, place);
    else hide();
  });
  area.root.addEventListener("pointerleave", hide);
  area.root.addEventListener("blur", hide);
  area.root.addEventListener("click", event => {
    const box = area.root.getBoundingClientRect(), zoom = area.width / box.width;
    open(nearest((event.clientX - box.left) * zoom, (event.clientY - box.top) * zoom));
  });
  area.root.addEventListener("keydown", event => {
    if (event.key === "Enter") open(area.places[at]);
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!step || !area.places.length) return;
    event.preventDefault();
    at = (at + step + area.places.length) % area.places.length;
    tellPlace(area, area.places[at]);
  });
}

// Figures: of each kind the drawing of the chosen trace and measure

function drawingsOf(kind) {
  const { drawings } = DATA.kinds[kind];
  return drawings.filter(one => one.trace === state.trace || !one.trace);
}

function drawFigure(figure) {
  const kind = figure.dataset.kind, drawings = drawingsOf(kind);
  const drawing = drawings.find(one => one.measure === state.measure) ?? drawings[0];
  if (!drawing) {
    figure.replaceChildren(element("p", { class: "left-out" },
      `Left out for ${state.trace}. It needs ${DATA.kinds[kind].needs}.`));
    return;
  }
  const panels = element("div", { class: "panels" });
  figure.replaceChildren(
    element("h3", {}, drawing.title), ...measures(drawings, drawing), panels,
    element("figcaption", {}, `${drawing.caption} `, download(drawing.name, () => drawing.panels
      .map(panel => [Object.keys(panel.columns), ...rowsOf(panel.columns).map(Object.values)])
      .flat())), ...(drawing.view ? tokens(drawing.view) : []));
  for (const panel of drawing.panels) panels.append(drawPanel(panel, figure.clientWidth));
}

// The answer of a point: round by round if the page has it, with its tokens if these were kept.
function showAnswer(area, place) {
  const found = DATA.strips[state.trace], rounds = found?.answers[place.query];
  const text = DATA.kinds.answer && drawingsOf("answer").find(one => one.view.query === place.query);
  if (!rounds && text) document.getElementById("answer").scrollIntoView();
  else if (!rounds) {
    tellPlace(area, { ...place, text: `${place.text}\nIts rounds are not on this page: `
      + (found ? "hedgespec report --answers N keeps more" : "replay with this version") });
  }
  if (!rounds) return;
  const shown = document.getElementById("strips"), width = Math.min(shown.clientWidth, 960);
  const spans = [], weights = [];
  for (const [name, one] of Object.entries(rounds)) {
    const drafters = column(one.drafters);
    let at = 0;
    one.tokens.forEach((tokens, i) => {
      spans.push({ name, x: at, end: at + tokens, fill: found.drafters[drafters[i]] });
      if (one.weights) weights.push({ name, x: at, y: one.weights[i] / 100 });
      at += tokens;
    });
  }
  const panel = { ticks: [], scale: "linear", zero: false, title: "", x_label: "tokens of the answer" };
  const areas = [...(weights.length ? [lines({ ...panel, mark: "step", y_range: [0, 1],
    y_label: "weight of the drafter of each round" }, weights, width)] : []),
  strips(panel, spans, width)];
  areas.forEach(listen);
  shown.replaceChildren(
    element("h3", {}, `Query ${place.query}, round by round`),
    element("div", { class: "panels" }, ...areas.map(area => area.root)),
    element("p", { class: "note" }, "One replay, seed 0: a span is a round, filled by its drafter. "
      + "The symbols: ", ...[...new Set(spans.map(span => span.fill))].map(name => element("span",
      { class: "key", style: `color: ${look(name).colour}` }, `${named(name)} `)),
    found.texts[place.query] ? "" : text ? element("a", { href: "#answer" }, "Its tokens are below.")
      : "Its text: hedgespec report --tokenizer FILE --prompts FILE."),
    ...wholeText(found, place));
  shown.scrollIntoView({ block: "nearest" });
}

// Prompt and answer of a point, a span per round of its learner in the colour of the round's drafter.
function wholeText(found, place) {
  const text = found.texts[place.query], rounds = found.answers[place.query];
  if (!text) return [];
  const name = place.name in rounds ? place.name : Object.keys(rounds)[0], one = rounds[name];
  const drafters = column(one.drafters), answer = element("p", { class: "answer" });
  let at = 0;
  one.tokens.forEach((count, i) => {
    const drafter = found.drafters[drafters[i]], pieces = text.pieces.slice(at, at + count);
    const part = (words, own) => element("span", { ...(own ? { class: "own" } : {}),
      style: `--drafter: ${look(drafter).colour}`, title: `round ${i}: ${drafter}, ${count} tokens` },
    words.join("").replaceAll("\n", "↵"));
    const made = [part(pieces.slice(0, -1), false), part(pieces.slice(-1), true)].slice(
      count > 1 ? 0 : 1);
    if (drafters[i] !== drafters[i - 1]) made[0].dataset.drafter = named(drafter);
    answer.append(...made, ...[...pieces.join("").matchAll("\n")].map(() => element("br")));
    at += count;
  });
  return [...(text.prompt ? [element("p", {}, element("strong", {}, "Prompt: "), text.prompt)] : []),
    element("p", { class: "note" }, `As ${name} decoded it: a span is a round, in the colour of its `
      + "drafter, whose symbol stands where it changes; its last token, underlined only, is the "
      + "target's own."), answer];
}

function measures(drawings, chosen) {
  if (drawings.length < 2) return [];
  return [element("div", { class: "measures", role: "group", "aria-label": "measure" },
    ...drawings.map(one => element("button", { type: "button", "aria-pressed": one === chosen,
      title: DATA.words[one.measure] ?? "",
      onclick: event => {
        const figure = event.target.closest("figure");
        state.measure = one.measure;
        render();
        figure.querySelector("[aria-pressed=true]").focus();
      } }, one.measure)))];
}

function drawPanel(panel, room) {
  const rows = rowsOf(panel.columns).filter(row => !state.hidden.has(row.name));
  if (!rows.length) return element("p", { class: "left-out" }, "All that it shows is hidden.");
  const area = MARKS[panel.mark](panel, rows, Math.min(room, panel.wide ? 960 : 620));
  listen(area);
  return area.root;
}

function named(drafter) {
  return DATA.looks[drafter] ? `${SYMBOLS[look(drafter).marker]} ${label(drafter)}` : drafter;
}

function tokens(view) {
  const spans = rowsOf(view.columns), text = element("p", { class: "answer" });
  spans.forEach((token, i) => {
    const last = token.round !== spans[i + 1]?.round;
    const made = element("span", {
      style: `--drafter: ${DATA.looks[token.drafter] ? look(token.drafter).colour : "var(--muted)"}`,
      title: `token ${token.position}, id ${token.token}: round ${token.round}, ${token.drafter}, `
        + `acceptance probability ${token.gamma.toFixed(2)}` });
    if (last) made.className = "own";
    if (token.drafter !== spans[i - 1]?.drafter) made.dataset.drafter = named(token.drafter);
    const piece = String(token.piece ?? token.token);
    made.textContent = piece.replaceAll("\n", "↵");
    text.append(made, ...[...piece.matchAll("\n")].map(() => element("br")));
  });
  return [element("p", { class: "note" }, view.caption), text];
}

// A text that a spreadsheet would take for a formula has an apostrophe before it.
function download(name, rows) {
  const cell = value => {
    const text = value === null ? "" : String(value);
    const safe = typeof value === "string" ? text.replace(/^[=+\-@\t\r]/, "'$&") : text;
    return /[",\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
  };
  return element("button", { type: "button", class: "on-screen", onclick: () => {
    const text = rows().map(row => row.map(cell).join(",")).join("\n");
    const link = element("a", { download: `${name}.csv`,
      href: URL.createObjectURL(new Blob([`${text}\n`], { type: "text/csv" })) });
    link.click();
    URL.revokeObjectURL(link.href);
  } }, "Data (CSV)");
}

// Tables: one at a time, its rows by pages

const table = { shown: 0, filter: "", one: true, sort: -1, up: true, first: 0, most: PAGE };

function cellsOf(found) {
  const parts = found.columns.map(one => ({
    text: column(one.text), remark: one.remark && column(one.remark), bar: one.bar }));
  return parts[0].text.map((_, i) => parts.map(part => ({
    text: part.text[i], remark: part.remark?.[i], bar: part.bar?.[i] })));
}

function chosenRows(found, all = false) {
  const place = found.columns.findIndex(one => one.head === "trace");
  let rows = cellsOf(found);
  if (place >= 0 && (table.one || all)) rows = rows.filter(row => row[place].text === state.trace);
  if (all) return rows;
  const wanted = table.filter.toLowerCase();
  rows = rows.filter(row => row.some(cell => cell.text.toLowerCase().includes(wanted)));
  if (table.sort < 0) return rows;
  const numeric = found.columns[table.sort].number;
  const key = row => row[table.sort].text, size = text => text === "–" ? -Infinity : parseFloat(text);
  rows.sort((one, two) => numeric ? size(key(one)) - size(key(two)) || 0
    : key(one).localeCompare(key(two)));
  return table.up ? rows : rows.reverse();
}

function tableElement(found, rows, paper = false) {
  // The first column that names something stays in sight; that of the trace is the same all down.
  const fixed = found.columns.findIndex(one => one.head !== "trace");
  const classes = i => [found.columns[i].number ? "number" : "", i === fixed ? "fixed" : ""]
    .join(" ").trim();
  const heads = found.columns.map((one, i) => element("th", { scope: "col", class: classes(i),
    ...(DATA.words[one.head] ? { title: DATA.words[one.head] } : {}),
    ...(i === table.sort ? { "aria-sort": table.up ? "ascending" : "descending" } : {}) },
  paper ? one.head : element("button", { type: "button", onclick: () => sortBy(i) }, one.head)));
  const body = rows.map(row => element("tr", {}, ...row.map((cell, i) => {
    const made = element("td", { class: classes(i) }, cell.text);
    if (cell.remark) made.append(element("small", {}, cell.remark));
    if (cell.bar) made.append(element("span", { class: "bar", style: `width: ${5 * cell.bar}em` }));
    return made;
  })));
  return element("table", found.columns.length > DATA.widest ? { class: "wide" } : {},
    element("thead", {}, element("tr", {}, ...heads)), element("tbody", {}, ...body));
}

function sortBy(place) {
  table.up = table.sort === place ? !table.up : true;
  table.sort = place;
  table.first = 0;
  drawTable();
  document.querySelectorAll("#table th button")[place].focus();
}

function ofTrace(found) {
  return !found.trace || found.trace === state.trace;
}

function drawTable() {
  const place = document.getElementById("table");
  if (!ofTrace(DATA.tables[table.shown])) table.shown = 0;
  const found = DATA.tables[table.shown], rows = chosenRows(found);
  const last = Math.min(table.first + table.most, rows.length);
  document.getElementById("table-name").replaceChildren(...DATA.tables.map((one, i) => element(
    "option", { value: i, ...(i === table.shown ? { selected: "" } : {}) }, one.title))
    .filter((_, i) => ofTrace(DATA.tables[i])));
  document.getElementById("table-rows").textContent =
    rows.length ? `${table.first + 1} to ${last} of ${rows.length} rows` : "no rows";
  document.getElementById("table-before").disabled = !table.first;
  document.getElementById("table-after").disabled = last >= rows.length;
  place.replaceChildren(
    element("p", { class: "note" }, `${found.note} `, download(found.name, () => [
      found.columns.map(one => one.head), ...rows.map(row => row.map(cell => cell.text))])),
    element("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": found.title },
      tableElement(found, rows.slice(table.first, last))));
}

function turn(change) {
  Object.assign(table, { first: 0 }, change);
  drawTable();
}

function tools() {
  const button = (id, text, action) => element("button", { type: "button", id, onclick: action },
    text);
  document.getElementById("table-tools").append(
    element("select", { id: "table-name", "aria-label": "table",
      onchange: event => turn({ shown: +event.target.value, sort: -1, filter: "" }) }),
    element("input", { type: "search", placeholder: "filter rows", "aria-label": "filter rows",
      oninput: event => turn({ filter: event.target.value }) }),
    element("label", {}, element("input", { type: "checkbox", checked: "",
      onchange: event => turn({ one: event.target.checked }) }), " only the chosen trace"),
    button("table-before", "back", () => turn({ first: Math.max(0, table.first - table.most) })),
    element("span", { id: "table-rows", class: "muted" }),
    button("table-after", "on", () => turn({ first: table.first + table.most })),
    button("table-all", "all rows", () => turn({ most: Infinity })));
}

// On paper stand all tables of the chosen trace, in full; a table's name is on each of its pages.
function unfold() {
  const place = document.getElementById("paper-tables");
  place.replaceChildren(...DATA.tables.filter(ofTrace).flatMap(found => {
    const made = tableElement(found, chosenRows(found, true), true);
    made.tHead.prepend(element("tr", {}, element("th", {
      class: "whole", colspan: found.columns.length }, found.title)));
    return [element("p", { class: "note" }, found.note), made];
  }));
}

// Controls

function controls() {
  const choose = element("select", { onchange: event => {
    state.trace = event.target.value;
    table.first = 0;
    render();
  } }, ...DATA.traces.map(name => element("option", { value: name }, name)));
  const swatch = name => {
    const style = look(name), made = svg("svg", { width: 30, height: 12, "aria-hidden": "true" });
    made.append(svg("path", { d: "M0,6H30", stroke: style.colour, "stroke-width": 1.8,
      "stroke-dasharray": style.dashes }), marker(style, 15, 6));
    return made;
  };
  document.getElementById("controls").append(
    element("label", {}, "Trace ", choose),
    element("div", { class: "legend", role: "group", "aria-label": "selectors shown" },
      ...DATA.learners.map(name => element("button", { type: "button", "aria-pressed": "true",
        title: DATA.words[name] ?? name, onclick: event => {
          const button = event.currentTarget, shown = state.hidden.has(name);
          state.hidden[shown ? "delete" : "add"](name);
          button.setAttribute("aria-pressed", shown);
          render();
        } }, swatch(name), label(name)))));
}

function render() {
  hide();
  document.querySelectorAll("figure[data-kind]").forEach(drawFigure);
  document.getElementById("strips")?.replaceChildren();
  drawTable();
  if (moved.near) drawCosts();
}

// The data are packed, zlib in base64.
async function unpacked() {
  const packed = Uint8Array.from(atob(document.getElementById("data").textContent),
    letter => letter.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Response(stream).json();
}

async function start() {
  DATA = await unpacked();
  [state.trace] = DATA.traces;
  controls();
  tools();
  render();
  watchCosts();
  let width = innerWidth;
  addEventListener("resize", () => {
    if (innerWidth !== width) render();
    width = innerWidth;
  });
  addEventListener("beforeprint", () => {
    unfold();
    drawCosts();
  });
  addEventListener("afterprint", () => document.getElementById("paper-tables").replaceChildren());
}

const ready = start();
