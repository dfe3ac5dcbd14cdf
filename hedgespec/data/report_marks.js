"use strict";
// The marks of a report's figures, as small SVG with real text: a function of MARKS for each, which
// is given a panel, its rows and a width. hedgespec/analysis/figures/style.py says what rows.

let DATA; // what hedgespec/analysis/html.py writes, once it is unpacked
const FONT = "12px system-ui, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif";
const LINE = 15, ROW = 21; // pixels of a line of labels and of a row

// Elements

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

function svg(tag, attributes = {}, text = "") {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) {
    made.setAttribute(name, typeof value === "number" ? +value.toFixed(1) : value);
  }
  made.textContent = text;
  return made;
}

const ruler = document.createElement("canvas").getContext("2d");
function widthOf(text) {
  ruler.font = FONT;
  return ruler.measureText(text).width;
}

function shortened(text, pixels) {
  let most = text.length;
  const cut = () => text.slice(0, Math.ceil(most / 2)) + "…" + text.slice(-Math.floor(most / 2));
  if (widthOf(text) <= pixels) return text;
  while (most > 4 && widthOf(cut()) > pixels) most -= 1;
  return cut();
}

// Data: columns of numbers, or of places in a list of texts; runs are values with their lengths

function column(packed) {
  if (Array.isArray(packed)) return packed;
  if (packed.levels) return column(packed.codes).map(code => packed.levels[code] ?? null);
  return packed.runs.flatMap((value, i) => i % 2 ? [] : Array(packed.runs[i + 1]).fill(value));
}

function rowsOf(columns) {
  const names = Object.keys(columns), values = names.map(name => column(columns[name]));
  return values[0].map((_, i) => Object.fromEntries(names.map((name, j) => [name, values[j][i]])));
}

function groups(rows, key = "name") {
  const found = new Map();
  for (const row of rows) {
    if (!found.has(row[key])) found.set(row[key], []);
    found.get(row[key]).push(row);
  }
  return found;
}

function number(value) {
  if (value === null) return "–";
  return String(+value.toPrecision(Math.abs(value) >= 1000 ? 5 : 4));
}

function interval(row) {
  return row.low === null || row.low === undefined ? ""
    : ` (${number(row.low)} to ${number(row.high)})`;
}

// Scales: from values to pixels, with the places of ticks

const CURVES = {
  linear: value => value,
  log2: value => Math.log2(value),
  // Linear to half an evaluation per round, then logarithmic.
  evaluations: value => value <= 0.5 ? 2 * value : 2 + Math.log2(value),
};

function scale(kind, values, from, to, padding = 0) {
  const curve = CURVES[kind];
  let low = Math.min(...values), high = Math.max(...values);
  if (low === high) [low, high] = [low - 0.5, high + 0.5];
  const [start, end] = [curve(low), curve(high)], more = padding * (end - start);
  const at = value => from + (curve(value) - start + more) / (end - start + 2 * more) * (to - from);
  return Object.assign(at, { low, high });
}

function evenTicks(low, high, count = 5) {
  const rough = (high - low) / count, power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find(one => one * power >= rough);
  const ticks = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + 1e-9 * step; i += 1) {
    ticks.push([i * step, number(i * step)]);
  }
  return ticks;
}

function ticksOf(panel, x) {
  if (panel.ticks.length) return panel.ticks;
  if (panel.scale === "evaluations") {
    return DATA.evaluations.filter(tick => tick <= 2 * x.high).map(tick => [tick, number(tick)]);
  }
  return evenTicks(x.low, x.high);
}

function present(values) {
  return values.filter(value => value !== null && value !== undefined);
}

// Looks

const PATHS = {
  o: "M-3,0a3,3 0 1,0 6,0a3,3 0 1,0 -6,0Z", s: "M-3,-3H3V3H-3Z", D: "M0,-4L4,0L0,4L-4,0Z",
  "^": "M0,-4L4,3H-4Z", v: "M0,4L4,-3H-4Z", P: "M-1.3,-4H1.3V-1.3H4V1.3H1.3V4H-1.3V1.3H-4V-1.3H-1.3Z",
  X: "M-4,-2L-2,-4L0,-2L2,-4L4,-2L2,0L4,2L2,4L0,2L-2,4L-4,2L-2,0Z",
  "*": "M0,-5L1.3,-1.7L5,-1.5L2,.7L3,4L0,2L-3,4L-2,.7L-5,-1.5L-1.3,-1.7Z",
};

const SYMBOLS = { o: "●", s: "■", D: "◆", "^": "▲", v: "▼", P: "✚", X: "✖", "*": "★" };

function look(name) {
  const [colour, dashes, marker] = DATA.looks[name];
  return { colour: `var(--${colour})`, dashes: dashes.map(one => 1.6 * one).join(" "), marker };
}

function label(name) {
  return DATA.looks[name]?.[3] ?? name;
}

function marker(style, x, y) {
  return svg("path", { d: PATHS[style.marker], fill: style.colour,
    transform: `translate(${x.toFixed(1)},${y.toFixed(1)})` });
}

// A frame: an SVG with its inner edges, and what is told of which place

function frame(width, height, left, right, top, bottom, label) {
  const root = svg("svg", { viewBox: `0 0 ${width} ${height}`, width, height, tabindex: 0,
    role: "img", "aria-label": `${label}. Arrow keys step through the values.` });
  return { root, left, right: width - right, top, bottom: height - bottom, width, height,
    places: [], add: (...parts) => root.append(...parts) };
}

function line(points, step = false) {
  return points.map(([x, y], i) => {
    const place = `${x.toFixed(1)},${y.toFixed(1)}`;
    if (!i) return `M${place}`;
    return step ? `H${x.toFixed(1)}V${y.toFixed(1)}` : `L${place}`;
  }).join("");
}

function heading(area, panel) {
  area.add(svg("text", { x: 0, y: 13, class: "title" }, shortened(panel.title, area.width)));
  area.add(svg("text", { x: 0, y: 30, class: "axis" }, panel.y_label.replace("\n", " ")));
}

function axisBelow(area, panel, x) {
  const ticks = ticksOf(panel, x), slanted = ticks.some(([, text]) => text.length > 6);
  area.add(svg("path", { d: `M${area.left},${area.bottom}H${area.right}`
    + ticks.map(([value]) => `M${x(value).toFixed(1)},${area.bottom}v4`).join(""),
  stroke: "var(--muted)", fill: "none" }));
  for (const [value, text] of ticks) {
    const place = { x: x(value), y: area.bottom + 17, class: "axis", "text-anchor": "middle" };
    if (slanted) {
      place["text-anchor"] = "end";
      place.transform = `rotate(-30 ${place.x.toFixed(1)} ${place.y - 5})`;
    }
    area.add(svg("text", place, text));
  }
  const name = shortened(panel.x_label.replace("\n", " "), area.width);
  area.add(svg("text", { x: Math.min(area.left, area.width - widthOf(name)), y: area.height - 4,
    class: "axis" }, name));
}

function axisLeft(area, y) {
  const ticks = evenTicks(y.low, y.high);
  area.add(svg("path", { d: ticks.map(
    ([value]) => `M${area.left},${y(value).toFixed(1)}H${area.right}`).join(""),
  stroke: "var(--line)", fill: "none" }));
  for (const [value, text] of ticks) {
    area.add(svg("text", { x: area.left - 6, y: y(value) + 4, class: "axis",
      "text-anchor": "end" }, text));
  }
}

function zeroLine(area, from, to) {
  area.add(svg("path", { d: line([from, to]), stroke: "var(--muted)", fill: "none" }));
}

// Names at the ends of lines, pushed apart as spread() of figures/paper.py does.
function nameEnds(area, ends) {
  ends.sort((one, two) => one.y - two.y);
  let last = area.top - LINE;
  for (const end of ends) last = end.place = Math.max(Math.min(end.y, area.bottom), last + LINE);
  let next = area.bottom + LINE;
  for (const end of ends.reverse()) next = end.place = Math.min(end.place, next - LINE);
  for (const end of ends) {
    area.add(svg("path", { d: line([[end.x, end.y], [area.right + 10, end.place]]),
      stroke: end.colour, "stroke-dasharray": "1 2", fill: "none" }));
    area.add(svg("text", { x: area.right + 13, y: end.place + 4, class: "name",
      style: `fill: ${end.colour}` }, shortened(end.name, area.width - area.right - 14)));
  }
}

// Marks

function lines(panel, rows, width) {
  const found = groups(rows), named = [...found].filter(([, mine]) => !mine[0].faint);
  const area = framed(panel, named.map(([name]) => label(name)), width);
  const { x, y } = axes(area, panel, rows, panel.mark === "points" || panel.mark === "apart");
  for (const [, mine] of found) {
    if (mine[0].faint) {
      area.add(svg("path", { d: line(mine.map(row => [x(row.x), y(row.y)])), fill: "none",
        stroke: "var(--muted)", "stroke-width": 0.6, opacity: 0.5 }));
    }
  }
  const ends = [];
  for (const [name, mine] of named) {
    const style = look(name), last = mine[mine.length - 1];
    if (panel.mark === "points" || panel.mark === "apart") errorBars(area, mine, style, x, y);
    else bandAround(area, mine, style, x, y, named.length, panel.mark === "step");
    if (panel.mark !== "apart") {
      area.add(svg("path", { d: line(mine.map(row => [x(row.x), y(row.y)]), panel.mark === "step"),
        fill: "none", stroke: style.colour, "stroke-width": 1.8, "stroke-dasharray": style.dashes }));
    }
    ends.push({ name: label(name), x: x(last.x), y: y(last.y), colour: style.colour });
    tell(area, panel, mine, x, y);
  }
  nameEnds(area, ends);
  return area;
}

function framed(panel, names, width) {
  const right = Math.min(Math.max(0, ...names.map(widthOf)) + 18, 0.34 * width);
  const slanted = panel.ticks.some(([, text]) => text.length > 6);
  const bottom = slanted ? 78 : 40;
  const height = Math.max(200, LINE * names.length + 44) + bottom;
  const area = frame(width, height, 46, right, 44, bottom, `${panel.title}: ${panel.y_label}`);
  heading(area, panel);
  return area;
}

function axes(area, panel, rows, padded) {
  const [floor, ceiling] = panel.y_range;
  const heights = present(rows.flatMap(row => [row.y, row.low, row.high]));
  const y = scale("linear", [
    floor ?? Math.min(...heights, ...(panel.zero ? [0] : [])),
    ceiling ?? Math.max(...heights, ...(panel.zero ? [0] : []))], area.bottom, area.top, 0.02);
  const x = scale(panel.scale, [...rows.map(row => row.x), ...panel.ticks.map(tick => tick[0])],
    area.left, area.right, padded ? 0.04 : 0);
  axisLeft(area, y);
  axisBelow(area, panel, x);
  if (panel.zero) zeroLine(area, [area.left, y(0)], [area.right, y(0)]);
  return { x, y };
}

function bandAround(area, rows, style, x, y, many, step) {
  const known = rows.filter(row => present([row.low, row.high]).length === 2);
  if (!known.length) return;
  const up = line(known.map(row => [x(row.x), y(row.high)]), step);
  const down = line(known.map(row => [x(row.x), y(row.low)]).reverse(), false);
  area.add(svg("path", { d: `${up}L${down.slice(1)}Z`, fill: style.colour,
    opacity: 0.15 * Math.min(1, 4 / many) }));
}

function errorBars(area, rows, style, x, y) {
  const known = rows.filter(row => present([row.low, row.high]).length === 2);
  area.add(svg("path", { d: known.map(row => line([[x(row.x), y(row.low)], [x(row.x), y(row.high)]]))
    .join(""), stroke: style.colour, fill: "none" }));
  for (const row of rows) area.add(marker(style, x(row.x), y(row.y)));
}

function tell(area, panel, rows, x, y) {
  for (const row of rows) {
    const tick = panel.ticks.find(([place]) => Math.abs(place - row.x) < 0.3);
    const where = panel.ticks.length && tick && isNaN(tick[1]) ? tick[1] : number(row.x);
    area.places.push({ x: x(row.x), y: y(row.y),
      text: `${row.label ?? label(row.name)}\n${panel.x_label}: ${where}\n`
        + `${panel.y_label.replace("\n", " ")}: ${number(row.y)}${interval(row)}` });
  }
}

function front(panel, rows, width) {
  const named = rows.filter(row => row.front);
  const area = framed(panel, named.map(row => row.label), width);
  const { x, y } = axes(area, panel, rows, true);
  // All dots but the front's are one path of round caps.
  area.add(svg("path", { d: rows.filter(row => !row.front).map(
    row => `${line([[x(row.x), y(row.y)]])}h0`).join(""), stroke: "var(--muted)",
  "stroke-width": 4, "stroke-linecap": "round", opacity: 0.55 }));
  area.add(svg("path", { d: line(named.map(row => [x(row.x), y(row.y)]), true), fill: "none",
    stroke: "var(--muted)" }));
  for (const row of named) errorBars(area, [row], look(row.name), x, y);
  nameEnds(area, named.map(row => ({ name: row.label, x: x(row.x), y: y(row.y),
    colour: look(row.name).colour })));
  tell(area, panel, rows, x, y);
  return area;
}

function dots(panel, rows, width) {
  const found = groups(rows), names = [...found.keys()];
  const area = framed(panel, names.map(label), width);
  const { x, y } = axes(area, panel, rows, true);
  const ends = [];
  for (const [name, mine] of found) {
    const { colour } = look(name);
    // All dots of a name are one path of round caps.
    area.add(svg("path", { d: mine.map(row => `${line([[x(row.x), y(row.y)]])}h0`).join(""),
      stroke: colour, "stroke-width": 5, "stroke-linecap": "round", opacity: 0.6 }));
    ends.push({ name: label(name), x: area.right, y: area.top + LINE * ends.length, colour });
    for (const row of mine) {
      area.places.push({ x: x(row.x), y: y(row.y), query: row.query, name,
        text: `${label(name)}, ${row.label}\nregret: ${number(row.x)} rounds\n`
          + `${panel.y_label}: ${number(row.y)}` });
    }
  }
  nameEnds(area, ends);
  return area;
}

function rowNames(area, names, yOf) {
  for (const [i, name] of names.entries()) {
    area.add(svg("text", { x: area.left - 8, y: yOf(i) + 4, "text-anchor": "end" },
      shortened(label(name), area.left - 10)));
  }
}

function leftOf(names, width) {
  return Math.min(Math.max(...names.map(name => widthOf(label(name)))) + 12, 0.4 * width);
}

function forest(panel, rows, width) {
  const names = rows.map(row => row.name), bars = rows.some(row => row.beside != null);
  const right = bars ? 0.26 * width : 24;
  const area = frame(width, 46 + ROW * rows.length + 44, leftOf(names, width), right, 46, 44,
    `${panel.title}: ${panel.x_label}`);
  heading(area, panel);
  const ends = present(rows.flatMap(row => [row.x, row.low, row.high]));
  const x = scale("linear", panel.zero ? [...ends, 0] : ends, area.left + 4, area.right - 4, 0.03);
  const y = i => area.top + ROW * (i + 0.5);
  axisBelow(area, panel, x);
  if (panel.zero) zeroLine(area, [x(0), area.top], [x(0), area.bottom]);
  for (const [i, row] of rows.entries()) {
    const style = look(row.name);
    if (row.low != null) {
      area.add(svg("path", { d: line([[x(row.low), y(i)], [x(row.high), y(i)]]),
        stroke: style.colour, "stroke-width": 2 }));
    }
    area.add(marker(style, x(row.x), y(i)));
    if (row.sign) area.add(svg("text", { x: area.right + 2, y: y(i) + 4 }, row.sign));
    area.places.push({ x: x(row.x), y: y(i), text: `${label(row.name)}\n${panel.x_label.replace("\n", " ")}: `
      + `${number(row.x)}${interval(row)} ${row.sign ?? ""}`
      + (row.value == null ? "" : `\n${number(row.value)} tokens/s`) });
  }
  rowNames(area, names, y);
  if (bars) barsBeside(area, panel, rows, y);
  return area;
}

function barsBeside(area, panel, rows, y) {
  const left = area.right + 24, most = Math.max(...present(rows.map(row => row.beside)), 1e-9);
  area.add(svg("text", { x: area.width, y: 30, class: "axis", "text-anchor": "end" },
    panel.beside_label.replace("\n", " ")));
  for (const [i, row] of rows.entries()) {
    const share = Math.max(0, row.beside ?? 0) / most;
    area.add(svg("rect", { x: left, y: y(i) - 7, height: 14, width: share * (area.width - left),
      fill: look(row.name).colour, opacity: 0.35 }));
    area.add(svg("text", { x: left + 3, y: y(i) + 4 },
      row.beside == null ? "–" : row.beside.toFixed(panel.digits)));
  }
}

function shade(share) {
  const place = share * (DATA.heat.length - 1), i = Math.min(Math.floor(place), DATA.heat.length - 2);
  const mixed = [0, 1, 2].map(part => Math.round(
    DATA.heat[i][part] + (place - i) * (DATA.heat[i + 1][part] - DATA.heat[i][part])));
  return { fill: `rgb(${mixed})`, text: share > 0.5 ? "#000" : "#fff" };
}

function heat(panel, rows, width) {
  const names = [...groups(rows).keys()], columns = [...groups(rows, "column").keys()];
  const left = leftOf(names, 0.75 * width), wide = Math.min((width - left) / columns.length, 84);
  const slanted = columns.some(name => widthOf(name) > wide);
  const gaps = groups(rows, "group").size - 1, below = slanted ? 90 : 24;
  const area = frame(width, 46 + ROW * names.length + 8 * gaps + below, left,
    width - left - wide * columns.length, 24, below, panel.title);
  heading(area, panel);
  const low = Math.min(...rows.map(row => row.y)), high = Math.max(...rows.map(row => row.y));
  const top = (row, i) => area.top + ROW * i + 8 * row.group;
  const size = Math.min(12, wide / 2.7);
  for (const [i, name] of names.entries()) {
    const mine = rows.filter(row => row.name === name);
    for (const row of mine) {
      const x = left + wide * columns.indexOf(row.column), y = top(row, i);
      const paint = shade((row.y - low) / (high - low || 1));
      area.add(svg("rect", { x, y, width: wide - 1, height: ROW - 1, fill: paint.fill,
        ...(row.framed ? { stroke: "var(--orange)", "stroke-width": 2.5 } : {}) }));
      area.add(svg("text", { x: x + wide / 2, y: y + 14, "text-anchor": "middle",
        style: `fill: ${paint.text}; font-size: ${size.toFixed(1)}px` }, row.y.toFixed(panel.digits)));
      area.places.push({ x: x + wide / 2, y: y + ROW / 2,
        text: `${label(name)}\n${row.column}: ${number(row.y)}` });
    }
    area.add(svg("text", { x: left - 8, y: top(mine[0], i) + 14, "text-anchor": "end" },
      shortened(label(name), left - 10)));
  }
  for (const [i, name] of columns.entries()) {
    const x = left + wide * (i + 0.5), y = area.height - below + 16;
    area.add(svg("text", { x, y, class: "axis", "text-anchor": slanted ? "end" : "middle",
      ...(slanted ? { transform: `rotate(-35 ${x.toFixed(1)} ${y - 4})` } : {}) },
    shortened(name, slanted ? 130 : wide)));
  }
  return area;
}

function strips(panel, rows, width) {
  const found = groups(rows), names = [...found.keys()];
  const area = frame(width, 24 + ROW * names.length + 40, leftOf(names, width), 4, 24, 40,
    panel.x_label);
  const x = scale("linear", rows.flatMap(row => [row.x, row.end]), area.left, area.right);
  const y = i => area.top + ROW * (i + 0.5);
  for (const [i, mine] of [...found.values()].entries()) {
    for (const [fill, spans] of groups(mine, "fill")) {
      const faint = spans[0].faint;
      area.add(svg("path", { d: spans.map(row => {
        const wide = 0.92 * (x(row.end) - x(row.x));
        return `M${x(row.x).toFixed(1)},${y(i) - 8}h${wide.toFixed(1)}v16h${(-wide).toFixed(1)}Z`;
      }).join(""), fill: faint ? "var(--muted)" : look(fill).colour, opacity: faint ? 0.45 : 1 }));
      if (!faint) symbols(area, spans, look(fill), x, y(i));
    }
    for (const row of mine) {
      area.places.push({ x: x((row.x + row.end) / 2), y: y(i),
        text: `${label(row.name)}\ntokens ${row.x} to ${row.end - 1}: ${label(row.fill)}` });
    }
  }
  axisBelow(area, panel, x);
  rowNames(area, names, y);
  return area;
}

// The symbol of what fills the spans, in those with room for it: one text, a place a letter.
function symbols(area, spans, style, x, y) {
  const places = spans.filter(row => x(row.end) - x(row.x) > 9).map(
    row => (x((row.x + 0.96 * row.end) / 1.96) - 4).toFixed(1));
  if (!places.length) return;
  area.add(svg("text", { x: places.join(" "), y: y + 3, "aria-hidden": "true",
    style: "fill: var(--paper); font-size: 8px" }, SYMBOLS[style.marker].repeat(places.length)));
}

const MARKS = { line: lines, step: lines, points: lines, apart: lines, front, dots, forest, heat, strips };

