// Costs that are moved: of each setting the page has the parts of each question's seconds, which
// grow in proportion to their costs. So rates, intervals, the front and where evaluation pays are
// found anew, without replaying.

const COST_PARTS = { draft: "drafting", target: "the target's pass", reading: "evaluation" };
const SHOWN = 12, REACH = 4, ALL = "all"; // rows; doublings; whatever they evaluate
const unmoved = () => ({ draft: 0, target: 0, reading: 0, feedback: ALL, own: {} });
const OWN_PARTS = { draft: "its drafting", reading: "its evaluation" };
// Powers of two: of all drafters, and, in `own`, of one alone by its name; `drafter` is looked at.
const moved = { ...unmoved(), basis: "", drafter: "" };
const drawn = new Map(); // how often questions are drawn, by their number

function drawsOf(found) {
  const count = found.tokens.length;
  if (!drawn.has(count)) drawn.set(count, timesDrawn(count, found.draws));
  return drawn.get(count);
}

// Each question's seconds. Of a setting that is known by drafter, each takes as many times as long
// as `times.own` says; what is read in one batch takes as long as was measured, unless reading one
// by one takes less now and it is known how often that is.
function secondsOf(basis, setting, times) {
  const { draft, reading } = setting.drafters ? byDrafter(basis, setting, times.own ?? {}) : setting;
  return setting.target.map((passes, i) => basis.rest * (setting.rest[i] ?? 0)
    + times.draft * (draft[i] ?? 0) + times.target * basis.target * passes
    + times.reading * (reading[i] ?? 0));
}

function byDrafter(basis, setting, own) {
  const questions = setting.target.length;
  const found = { draft: new Float64Array(questions), reading: new Float64Array(questions) };
  const add = (part, counts, unit) => counts.forEach((count, i) => {
    found[part][i] += unit * count;
  });
  for (const [name, [drafts, reads]] of Object.entries(setting.drafters)) {
    const [step, evaluation] = basis.drafters[name];
    add("draft", drafts, step * (own[name]?.draft ?? 1));
    add("reading", reads, evaluation * (own[name]?.reading ?? 1));
  }
  add("reading", setting.batch, inBatch(basis, own));
  return found;
}

// What evaluating all drafters one by one takes.
function oneByOne(basis, own) {
  return sum(Object.entries(basis.drafters).map(
    ([name, [, evaluation]]) => evaluation * (own[name]?.reading ?? 1)));
}

function inBatch(basis, own) {
  if (basis.together === null) return 1;
  return basis.alike ? Math.min(basis.together, oneByOne(basis, own)) : basis.together;
}

// Whether a replay may evaluate all drafters in another way, one by one or in one batch, than the
// seconds of the page are of. It takes the faster one.
function mayBeFaster(basis, setting, own) {
  if (basis.together === null || !setting.evaluations
    || Object.values(own).every(one => one.reading === 1)) return false;
  return !basis.alike || (oneByOne(basis, {}) <= basis.together
    && oneByOne(basis, own) > basis.together);
}

function sum(values) {
  return values.reduce((total, value) => total + value, 0);
}

function timesMoved(basis) {
  const own = Object.entries(moved.own).filter(([name]) => name in basis.drafters).map(
    ([name, one]) => [name, powers(OWN_PARTS, one)]);
  return { ...powers(COST_PARTS, moved), own: Object.fromEntries(own) };
}

function powers(parts, of) {
  return Object.fromEntries(Object.keys(parts).map(part => [part, 2 ** of[part]]));
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

// The settings that are looked at, the fastest first, with their seconds in all: where costs of one
// drafter are moved, those that are known by drafter.
function ranked(found, times) {
  const basis = found.bases[moved.basis], apart = Object.keys(times.own ?? {}).length;
  const of = basis.settings.filter(one => (one.drafters || !apart) && (moved.feedback === ALL
    || !one.evaluations || one.feedback === moved.feedback));
  return of.map(setting => {
    const seconds = secondsOf(basis, setting, times);
    return { ...setting, seconds, total: sum(seconds) };
  }).sort((one, two) => one.total - two.total);
}

function costsTable(found, rows, single, times) {
  const none = rows.find(one => one.name === "none"), draws = drawsOf(found);
  const shown = rows.filter((one, i) => i < SHOWN || one === none || one === single);
  const tokens = drawnSums(draws, found.tokens);
  for (const one of new Set([...shown, ...rows.filter(row => row.front)])) {
    one.sums = drawnSums(draws, one.seconds);
    one.rate = rate(found, one, tokens);
  }
  const basis = found.bases[moved.basis];
  const stale = Object.keys(COST_PARTS).some(part => moved[part]) || Object.keys(times.own).length;
  const heads = ["setting", "tokens/s (95 %)", "over none", "over the fastest alone (95 %)"];
  const body = shown.map(one => [
    one.label + (stale && one.by_seconds ? " *" : "")
      + (mayBeFaster(basis, one, times.own) ? " †" : ""), rateText(one.rate),
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
  const times = timesMoved(found.bases[moved.basis]), rows = ranked(found, times);
  const single = rows.find(one => one.single);
  for (const one of rows) one.speed = 1e6 * sum(found.tokens) / one.total;
  markFront(rows);
  const table = costsTable(found, rows, single, times), [best] = rows;
  const width = Math.min(place.clientWidth, 540), map = payMap(found, times, width);
  const areas = [frontPanel(rows, width), ...(map ? [map] : [])];
  areas.forEach(listen);
  place.replaceChildren(
    element("p", { id: "costs-best" }, element("strong", {}, `Fastest at these costs: ${best.label}`),
      `, ${rateText(best.rate)} tokens/s`
      + (single && best !== single ? `, ${gainText(gain(found, best, single))} over ${single.label}, `
        + "the fastest alone." : ".")),
    ...ownWords(found.bases[moved.basis], rows, times),
    table,
    element("p", { class: "note" }, "Seconds are those of the costs that the results have, each part "
      + "times what is chosen: drafting is a file's step and begin, the target's pass its target and "
      + "widths, evaluation its evaluate, evaluate_all and evaluate_together, so also the reading "
      + "with which a draft begins. hedgespec sim --costs with such a file finds the same. Marked *: "
      + "it decides by seconds, and decided by those that were measured; sim lets it decide anew. "
      + "The first is chosen by the questions that it is measured on, so its figure is flattered a "
      + "little; that of the verdict above is not. "
      + `${found.tokens.length} questions; the fastest ${SHOWN} of ${rows.length} settings`
      + "  at the usual draft length and rule that the page holds, the fastest alone, and none."),
    element("div", { class: "panels" }, ...areas.map(area => area.root)),
    ...(map ? [element("p", { class: "note" }, "The map: where full information pays, rows by what "
      + "evaluation costs and columns by what the target's pass costs, both times what is chosen "
      + "above. Framed: the fastest setting that evaluates drafters is the faster one; on all "
      + "questions, without intervals.")] : []));
}

// What it means that costs of single drafters are moved.
function ownWords(basis, rows, { own }) {
  const named = Object.entries(own).map(([name, one]) => `${name}, drafting ×\u00a0${
    number(one.draft)} and evaluation ×\u00a0${number(one.reading)}`);
  if (!named.length) return [];
  const learners = rows.filter(one => !one.single && one.name !== "none").length;
  return [element("p", { class: "note", id: "costs-own" }, `Moved alone: ${named.join("; ")}. `
    + "That is its step and begin, and its evaluate and reads, in a file of costs. "
    + (basis.together === null ? "" : "evaluate_all and evaluate_together stay as measured"
      + (basis.alike ? ", and all drafters are evaluated one by one where that takes less. " : ". "))
    + (rows.some(one => mayBeFaster(basis, one, own)) ? "Marked †: all drafters are evaluated one by "
      + "one, or in one batch, as the measured costs decided. A replay decides by these costs, so the "
      + "same rounds are as fast or faster there. " : "")
    + `Ranked are drafters alone, none, and ${learners} others, the fastest by the measured costs, `
    + "whose seconds the page has by drafter.")];
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
  const feedback = new Set(found.bases[moved.basis].settings.filter(one => one.evaluations).map(
    one => one.feedback));
  if (!feedback.has(moved.feedback)) moved.feedback = ALL;
  const slider = (id, label, power, set) => {
    const told = element("output", {}, `× ${number(2 ** power)}`);
    return element("label", { class: "slider" }, `${label} `, element("input", {
      id, type: "range", min: -REACH, max: REACH, step: 0.5, value: power,
      oninput: event => { told.textContent = `× ${number(2 ** event.target.value)}`; },
      onchange: event => set(+event.target.value) }), told);
  };
  const sliders = Object.entries(COST_PARTS).map(([part, label]) => slider(
    `costs-${part}`, label, moved[part], value => redraw(part, value)));
  const focus = document.activeElement?.id;
  place.replaceChildren(...sliders, ...ownTools(found.bases[moved.basis], slider),
    ...(Object.keys(found.bases).length > 1 ? [choices("basis", "of", Object.keys(found.bases))] : []),
    ...(feedback.size > 1 ? [choices("feedback", "evaluation policy", [ALL, ...feedback])] : []),
    element("button", { type: "button", id: "costs-reset", onclick: () => {
      Object.assign(moved, unmoved());
      drawCosts();
    } }, "as measured"));
  if (focus?.startsWith("costs-")) document.getElementById(focus)?.focus();
}

// The costs of one drafter alone: which, and two sliders. Each keeps its own.
function ownTools(basis, slider) {
  const names = Object.keys(basis.drafters);
  if (!names.length) return [];
  if (!names.includes(moved.drafter)) [moved.drafter] = names;
  const none = { draft: 0, reading: 0 }, one = moved.own[moved.drafter] ?? none;
  const set = (part, value) => {
    moved.own[moved.drafter] = { ...one, [part]: value };
    if (Object.values(moved.own[moved.drafter]).every(power => !power)) {
      delete moved.own[moved.drafter];
    }
    drawCosts();
  };
  const choice = element("select", { id: "costs-drafter", onchange: event => {
    moved.drafter = event.target.value;
    drawCosts();
  } }, ...names.map(name => element("option", { value: name,
    ...(name === moved.drafter ? { selected: "" } : {}) }, name + (moved.own[name] ? " (moved)" : ""))));
  return [element("div", { class: "own", role: "group", "aria-label": "one drafter alone" },
    element("label", {}, "one drafter alone ", choice),
    ...Object.entries(OWN_PARTS).map(([part, label]) => slider(
      `costs-own-${part}`, label, one[part], value => set(part, value))))];
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
