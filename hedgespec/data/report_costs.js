// Costs that are moved: of each setting the page has the parts of each question's seconds, which
// grow in proportion to their costs. So rates, intervals, the front and where evaluation pays are
// found anew, without replaying.

const COST_PARTS = { draft: "drafting", target: "the target's pass", reading: "evaluation" };
const SHOWN = 12, REACH = 4, ALL = "all"; // rows; doublings; whatever they evaluate
const moved = { draft: 0, target: 0, reading: 0, basis: "", feedback: ALL };
const drawn = new Map(); // how often questions are drawn, by their number

function drawsOf(found) {
  const count = found.tokens.length;
  if (!drawn.has(count)) drawn.set(count, timesDrawn(count, found.draws));
  return drawn.get(count);
}

function secondsOf(setting, times) {
  const { draft, target, reading, rest } = setting.parts;
  return rest.map((left, i) => left + times.draft * draft[i] + times.target * target[i]
    + times.reading * reading[i]);
}

function sum(values) {
  return values.reduce((total, value) => total + value, 0);
}

function timesMoved() {
  return Object.fromEntries(Object.keys(COST_PARTS).map(part => [part, 2 ** moved[part]]));
}

function drawnSums(draws, values) {
  return draws.map(row => {
    let total = 0;
    for (let i = 0; i < row.length; i += 1) total += row[i] * values[i];
    return total;
  });
}

// The ends of the interval of a value, as statistics.py finds them; none of too few questions.
function ends(found, value, draws) {
  if (found.stretch === null) return {};
  const ordered = Float64Array.from(draws).sort();
  const [low, high] = [0.025, 0.975].map(
    share => value + found.stretch * (quantile(ordered, share) - value));
  return { low, high };
}

function rate(found, one, tokens) {
  const value = 1e6 * sum(found.tokens) / one.total;
  return { value, ...ends(found, value, tokens.map((made, i) => 1e6 * made / one.sums[i])) };
}

function gain(found, one, base) {
  const value = 100 * (base.total / one.total - 1);
  return { value, ...ends(found, value, base.sums.map((made, i) => 100 * (made / one.sums[i] - 1))) };
}

function signed(value) {
  return (value < 0 ? "-" : "+") + Math.abs(value).toFixed(1);
}

function rateText({ value, low, high }) {
  const digits = value >= 100 ? 0 : value >= 10 ? 1 : 2;
  return value.toFixed(Math.max(1, digits))
    + (low === undefined ? "" : ` (${low.toFixed(digits)}-${high.toFixed(digits)})`);
}

function gainText({ value, low, high }) {
  return `${signed(value)} %` + (low === undefined ? "" : ` (${signed(low)} to ${signed(high)})`);
}

// The settings that are looked at, the fastest first, with their seconds in all.
function ranked(found, times) {
  const of = found.bases[moved.basis].filter(one => moved.feedback === ALL || !one.evaluations
    || one.feedback === moved.feedback);
  return of.map(setting => {
    const seconds = secondsOf(setting, times);
    return { ...setting, seconds, total: sum(seconds) };
  }).sort((one, two) => one.total - two.total);
}

function costsTable(found, rows, single) {
  const none = rows.find(one => one.name === "none"), draws = drawsOf(found);
  const shown = rows.filter((one, i) => i < SHOWN || one === none || one === single);
  const tokens = drawnSums(draws, found.tokens);
  for (const one of new Set([...shown, ...rows.filter(row => row.front)])) {
    one.sums = drawnSums(draws, one.seconds);
    one.rate = rate(found, one, tokens);
  }
  const stale = Object.keys(COST_PARTS).some(part => moved[part]);
  const heads = ["setting", "tokens/s (95 %)", "over none", "over the fastest alone (95 %)"];
  const body = shown.map(one => [
    one.label + (stale && one.by_seconds ? " *" : ""), rateText(one.rate),
    none ? `${signed(100 * (none.total / one.total - 1))} %` : "",
    single && one !== single ? gainText(gain(found, one, single)) : ""]);
  return element("div", { class: "scroll" }, element("table", { id: "costs-table" },
    element("thead", {}, element("tr", {}, ...heads.map((head, i) => element(
      "th", { scope: "col", class: i ? "plain number" : "plain" }, head)))),
    element("tbody", {}, ...body.map(cells => element("tr", {}, ...cells.map((cell, i) => element(
      "td", i ? { class: "number" } : {}, cell)))))));
}

// Settings that no other beats with fewer evaluations.
function markFront(rows) {
  let best = Infinity;
  const order = [...rows].sort((one, two) => one.evaluations - two.evaluations
    || one.total - two.total);
  for (const one of order) {
    one.front = one.total < best && one.name !== "none";
    if (one.front) best = one.total;
  }
}

const PLAIN = { ticks: [], y_range: [null, null], scale: "linear", zero: false, title: "" };

function frontPanel(rows, width) {
  const shown = rows.filter(one => one.name !== "none" && !state.hidden.has(one.name));
  return MARKS.front({ ...PLAIN, title: "the front at these costs",
    x_label: "share of rounds before which drafters are evaluated", y_label: "tokens per second" },
  shown.map(one => ({ name: one.name, label: one.label, front: one.front, x: one.evaluations,
    y: one.speed, ...(one.rate && one.front ? { low: one.rate.low, high: one.rate.high } : {}) })),
  width);
}

// How much faster the fastest that evaluates is than the fastest that does not, target against
// evaluation, both from an eighth to eight times what is chosen above.
function payMap(found, times, width) {
  const steps = [-3, -2, -1, 0, 1, 2, 3], rows = [];
  const name = power => power < 0 ? `1/${2 ** -power}` : String(2 ** power);
  for (const reading of steps) {
    for (const target of steps) {
      const all = ranked(found, { ...times, target: times.target * 2 ** target,
        reading: times.reading * 2 ** reading });
      const [full, others] = [one => one.evaluations, one => !one.evaluations].map(
        kind => all.find(kind));
      if (!full || !others) return null;
      const y = 100 * (others.total / full.total - 1);
      rows.push({ name: `evaluation × ${name(reading)}`, column: `× ${name(target)}`, y, group: 0,
        framed: y > 0 });
    }
  }
  return MARKS.heat({ ...PLAIN, digits: 1, y_label: "",
    title: "the fastest that evaluates over the fastest that does not, %" }, rows, width);
}

function drawCosts() {
  const place = document.getElementById("costs-found"), found = DATA.costs[state.trace];
  if (!place) return;
  document.getElementById("costs-tools").hidden = !found;
  if (!found) {
    place.replaceChildren(element("p", { class: "left-out" },
      `Left out for ${state.trace}: its seconds are not known in parts.`));
    return;
  }
  if (!(moved.basis in found.bases)) [moved.basis] = Object.keys(found.bases);
  costsTools(found);
  const times = timesMoved(), rows = ranked(found, times), single = rows.find(one => one.single);
  for (const one of rows) one.speed = 1e6 * sum(found.tokens) / one.total;
  markFront(rows);
  const table = costsTable(found, rows, single), [best] = rows;
  const width = Math.min(place.clientWidth, 540), map = payMap(found, times, width);
  const areas = [frontPanel(rows, width), ...(map ? [map] : [])];
  areas.forEach(listen);
  place.replaceChildren(
    element("p", { id: "costs-best" }, element("strong", {}, `Fastest at these costs: ${best.label}`),
      `, ${rateText(best.rate)} tokens/s`
      + (single && best !== single ? `, ${gainText(gain(found, best, single))} over ${single.label}, `
        + "the fastest alone." : ".")),
    table,
    element("p", { class: "note" }, "Seconds are those of the costs that the results have, each part "
      + "times what is chosen: drafting is a file's step and begin, the target's pass its target and "
      + "widths, evaluation its evaluate, evaluate_all and evaluate_together, so also the reading "
      + "with which a draft begins. hedgespec sim --costs with such a file finds the same. Marked *: "
      + "it decides by seconds, and decided by those that were measured. The first is chosen by the "
      + "questions that it is measured on, so its figure is flattered a little; that of the verdict "
      + `above is not. ${found.tokens.length} questions; the fastest ${SHOWN} of ${rows.length} `
      + "settings at the usual draft length and rule that the page holds, the fastest alone, and none."),
    element("div", { class: "panels" }, ...areas.map(area => area.root)),
    ...(map ? [element("p", { class: "note" }, "The map: where full information pays, rows by what "
      + "evaluation costs and columns by what the target's pass costs, both times what is chosen "
      + "above. Framed: the fastest setting that evaluates drafters is the faster one; on all "
      + "questions, without intervals.")] : []));
}

function costsTools(found) {
  const place = document.getElementById("costs-tools");
  const redraw = (name, value) => {
    moved[name] = value;
    drawCosts();
  };
  const choices = (name, label, values) => element("label", {}, `${label} `, element("select", {
    id: `costs-${name}`, onchange: event => redraw(name, event.target.value) },
  ...values.map(value => element("option", { value,
    ...(value === moved[name] ? { selected: "" } : {}) }, value))));
  const feedback = new Set(found.bases[moved.basis].filter(one => one.evaluations).map(
    one => one.feedback));
  if (!feedback.has(moved.feedback)) moved.feedback = ALL;
  const sliders = Object.entries(COST_PARTS).map(([part, label]) => {
    const told = element("output", {}, `× ${number(2 ** moved[part])}`);
    return element("label", { class: "slider" }, `${label} `, element("input", {
      id: `costs-${part}`, type: "range", min: -REACH, max: REACH, step: 0.5, value: moved[part],
      oninput: event => { told.textContent = `× ${number(2 ** event.target.value)}`; },
      onchange: event => redraw(part, +event.target.value) }), told);
  });
  const focus = document.activeElement?.id;
  place.replaceChildren(...sliders,
    ...(Object.keys(found.bases).length > 1 ? [choices("basis", "of", Object.keys(found.bases))] : []),
    ...(feedback.size > 1 ? [choices("feedback", "evaluation policy", [ALL, ...feedback])] : []),
    element("button", { type: "button", id: "costs-reset", onclick: () => {
      Object.assign(moved, { draft: 0, target: 0, reading: 0, feedback: ALL });
      drawCosts();
    } }, "as measured"));
  if (focus?.startsWith("costs-")) document.getElementById(focus)?.focus();
}

// Draws take a moment, so they wait until the section is near.
function watchCosts() {
  const place = document.getElementById("costs-found");
  if (!place) return;
  const near = new IntersectionObserver(seen => {
    if (!seen.some(one => one.isIntersecting)) return;
    near.disconnect();
    moved.near = true;
    drawCosts();
  }, { rootMargin: "400px" });
  near.observe(place);
}
