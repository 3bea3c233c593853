"use strict";
// The charts: each function takes plain data and gives an SVG by Observable Plot.

const BOUND_COLORS = { compute: "#E69F00", memory: "#56B4E9", network: "#CC79A7", overhead: "#8A9099" };
const MEMORY_PARTS = [
  ["weights_bytes", "weights", "#0072B2"],
  ["kv_cache_bytes", "KV cache", "#E69F00"],
  ["activation_bytes", "activations", "#009E73"],
  ["reserved_bytes", "kept free for the engine", "#8A9099"],
];

/** Colours of the scheme in use; read once, as asking for a style makes the browser work it out. */
function inks() {
  const theme = document.documentElement.dataset.theme;
  if (!inks.found || inks.found.theme !== theme) inks.found = { theme, ...readInks() };
  return inks.found;
}

function readInks() {
  const style = getComputedStyle(document.documentElement);
  const read = (name) => style.getPropertyValue(`--${name}`).trim();
  return {
    ink: read("ink"), muted: read("muted"), faint: read("faint"), card: read("card"),
    accent: read("accent"), bad: read("bad"), memorySide: read("memory-side"),
    computeSide: read("compute-side"), dark: document.documentElement.dataset.theme === "dark",
  };
}

/** A GPU's colour; a dark one is the same hue, but lighter, on a dark page. */
function gpuColor(gpu) {
  if (!gpu.lighter) {
    const color = d3.lab(gpu.color);
    gpu.lighter = color.l < 52 ? d3.lab(Math.max(58, 100 - color.l), color.a, color.b).formatHex() : gpu.color;
  }
  return inks().dark ? gpu.lighter : gpu.color;
}

/** The colour dark (or light) enough for letters. */
function textColor(color) {
  return d3.interpolateRgb(color, inks().dark ? "#ffffff" : "#000000")(0.42);
}

function shade(color, index) {
  return index ? d3.interpolateRgb(color, inks().dark ? "#ffffff" : "#000000")(0.28 * index) : color;
}

const common = (width, height, label) => ({
  width, height, ariaLabel: label,
  style: { fontFamily: 'system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif', fontSize: "12px", background: "transparent", color: inks().ink },
});

/** Squares and words above a chart, inside it, so that a download has them too. */
function legend(items, width, top = -14, start = 0) {
  let x = start, line = 0;
  const placed = items.map(([text, color]) => {
    const room = 26 + 7.6 * text.length;
    if (x + room > width && x > start) { x = start; line += 1; }
    x += room;
    return { text, color, x: x - room, line };
  });
  const marks = placed.flatMap((item) => {
    const dy = top - 16 * (line - item.line), at = { frameAnchor: "top-left", dy };
    return [
      Plot.dot([0], { ...at, dx: item.x + 5, symbol: "square", r: 5, fill: item.color, ariaHidden: true }),
      Plot.text([item.text], { ...at, dx: item.x + 15, dy: dy - 6, textAnchor: "start", fill: "currentColor" }),
    ];
  });
  return { marks, lines: line + 1 };
}

const tipLook = () => ({ fill: inks().card, stroke: inks().muted, textPadding: 8, fontSize: 12, lineHeight: 1.3 });
const logTicks = (domain) => {
  const powers = d3.range(Math.ceil(Math.log10(domain[0]) - 1e-9), Math.floor(Math.log10(domain[1]) + 1e-9) + 1);
  if (powers.length > 2) return powers.map((n) => 10 ** n);
  return d3.scaleLog().domain(domain).ticks(5);
};
const plain = (x) => (x >= 1 ? d3.format(",")(Number(x.toPrecision(3))) : String(Number(x.toPrecision(3))));

/** Log-log: roofs, both phases (hollow: limit), operators, decode as the batch grows. */
function rooflineChart({ series, view, width, domain }) {
  const c = inks(), height = Math.max(320, Math.min(560, width * 0.56));
  const margin = { left: 62, right: 14, top: 28, bottom: 42 };
  const [x0, x1] = domain.x, [y0, y1] = domain.y;
  const slope = Math.atan(((height - margin.top - margin.bottom) / Math.log(y1 / y0)) /
    ((width - margin.left - margin.right) / Math.log(x1 / x0))) * 180 / Math.PI;
  const roofs = uniqueBy(series.flatMap((one) => one.roofs), (roof) => `${roof.gpu.id}|${roof.peak}`);
  const memories = uniqueBy(series.map((one) => one.gpu), (gpu) => gpu.id);
  const marks = [], labels = roofLabels(roofs, { memories, width, height, margin, domain });
  const first = Math.min(...roofs.map((roof) => roof.ridge)), last = Math.max(...roofs.map((roof) => roof.ridge));
  const top = (x) => Math.max(...roofs.map((roof) => Math.min(roof.peak, x * roof.gpu.bandwidth)));
  const every = d3.range(0, 161).map((i) => x0 * (x1 / x0) ** (i / 160));
  const band = (from, to, fill) => {
    const inside = [from, ...every.filter((x) => x > from && x < to), to].filter((x) => x >= x0 && x <= x1);
    if (inside.length > 1) marks.push(Plot.areaY(inside, { x: (x) => x, y1: y0, y2: top, fill, clip: true, ariaHidden: true }));
  };
  if (roofs.length) { band(Math.min(x0, first), first, c.memorySide); band(last, Math.max(x1, last), c.computeSide); }
  marks.push(Plot.gridX({ ticks: logTicks(domain.x), stroke: c.faint, strokeOpacity: 0.7 }));
  marks.push(Plot.gridY({ ticks: logTicks(domain.y), stroke: c.faint, strokeOpacity: 0.7 }));
  for (const gpu of memories) {
    const end = Math.max(...roofs.filter((roof) => roof.gpu === gpu).map((roof) => roof.ridge));
    const far = Math.min(x0, end) / 10, color = gpuColor(gpu);
    marks.push(Plot.line([[far, far * gpu.bandwidth], [end, end * gpu.bandwidth]], { stroke: color, strokeWidth: 2.2, clip: true }));
    const named = Math.max(x0, y0 / gpu.bandwidth) * 1.25;
    if (named < end / 1.5) marks.push(Plot.text([[named, named * gpu.bandwidth]], {
      text: [`${memories.length > 1 ? gpu.label + " " : ""}${show(gpu.bandwidth, "B/s")}`],
      rotate: -slope, textAnchor: "start", lineAnchor: "bottom", dy: -6, dx: 2, fill: textColor(color), stroke: c.card, strokeWidth: 3, clip: true,
    }));
  }
  roofs.forEach((roof, index) => {
    const color = gpuColor(roof.gpu), dash = index && roofs[0].gpu === roof.gpu ? "6 3" : null;
    const far = Math.max(x1, roof.ridge) * 10;
    marks.push(Plot.line([[roof.ridge, roof.peak], [far, roof.peak]], { stroke: color, strokeWidth: 2.2, strokeDasharray: dash, clip: true }));
    marks.push(Plot.ruleX([roof.ridge], { y1: y0, y2: roof.peak, stroke: color, strokeOpacity: 0.6, strokeDasharray: "4 3", clip: true }));
    const label = labels.find((one) => one.roof === roof);
    if (label) marks.push(Plot.text([[x1, roof.peak]], {
      text: [label.text], textAnchor: "end", lineAnchor: "bottom", dx: -4 - label.left, dy: -5, fill: textColor(color), stroke: c.card, strokeWidth: 3,
    }));
  });
  const points = [];
  const names = series.length > 1 ? legend(series.map((one) => [one.label, one.color]), width - 80, -14, 80) : { marks: [], lines: 0 };
  marks.push(...names.marks);
  for (const one of series) {
    if (view.path && view.decode && one.path.length > 1) {
      marks.push(Plot.line(one.path, { x: "x", y: "y", stroke: one.color, strokeWidth: 1.6, clip: true }));
      marks.push(Plot.dot(one.path, { x: "x", y: "y", r: 2.6, fill: c.card, stroke: one.color, clip: true }));
      points.push(...one.path);
    }
  }
  for (const one of series) {
    if (view.operators && one.chosen) {
      const shown = one.operators.filter((op) => view[op.phase]);
      marks.push(Plot.dot(shown, {
        x: "x", y: "y", r: (op) => Math.max(2.5, 16 * Math.sqrt(op.share)), symbol: (op) => (op.phase === "prefill" ? "square" : "circle"),
        fill: one.color, fillOpacity: 0.32, stroke: one.color, strokeOpacity: 0.9, clip: true,
      }));
      points.push(...shown);
    }
  }
  for (const one of series) {
    const shown = one.phases.filter((phase) => view[phase.phase]);
    const symbol = (phase) => (phase.phase === "prefill" ? "square" : "circle");
    if (view.limit) {
      marks.push(Plot.dot(shown, { x: "x", y: "limit", r: 7, symbol, fill: c.card, stroke: one.color, strokeWidth: 2, clip: true }));
      marks.push(Plot.link(shown, { x: "x", y1: "y", y2: "limit", stroke: one.color, strokeDasharray: "2 2", clip: true }));
      points.push(...shown.map((phase) => ({ ...phase, y: phase.limit, title: phase.limitTitle })));
    }
    marks.push(Plot.dot(shown, { x: "x", y: "y", r: 7.5, symbol, fill: one.color, stroke: c.card, strokeWidth: 1.5, clip: true }));
    marks.push(Plot.text(shown, {
      x: "x", y: "y", text: (phase) => (one.chosen ? phase.phase : ""), dy: 18, fontWeight: 650,
      fill: textColor(one.color), stroke: c.card, strokeWidth: 3.5, clip: true,
    }));
    points.push(...shown);
  }
  const inside = points.filter((p) => p.x >= x0 && p.x <= x1 && p.y >= y0 && p.y <= y1);
  marks.push(Plot.tip(inside, Plot.pointer({ x: "x", y: "y", title: "title", maxRadius: 40, ...tipLook() })));
  return finished({
    ...common(width, height, "Roofline: FLOP per second and GPU against FLOP per byte, both logarithmic. The table below holds its figures."),
    marginLeft: margin.left, marginRight: margin.right, marginTop: margin.top, marginBottom: margin.bottom,
    x: { type: "log", domain: domain.x, label: "arithmetic intensity: FLOP per byte of device memory", labelAnchor: "center", labelArrow: "none", ticks: logTicks(domain.x), tickFormat: plain },
    y: { type: "log", domain: domain.y, label: "FLOP/s per GPU", labelArrow: "none", ticks: logTicks(domain.y), tickFormat: (y) => show(y, "", 1).trim() },
    marks,
  });
}

/** Names of the compute roofs at the right end; those at one height stand side by side. */
function roofLabels(roofs, { memories, width, height, margin, domain }) {
  const [low, high] = domain.y.map(Math.log), room = height - margin.top - margin.bottom;
  const placed = [];
  for (const roof of [...roofs].sort((a, b) => b.peak - a.peak)) {
    const y = ((high - Math.log(roof.peak)) / (high - low)) * room;
    if (y < 0 || y > room) continue;
    const ridge = width > 520 ? `, ridge ${significant(roof.ridge)}` : "";
    const text = `${memories.length > 1 ? roof.gpu.label + " " : ""}${roof.name} ${show(roof.peak, "FLOP/s")}${ridge}`;
    const beside = placed.filter((other) => Math.abs(other.y - y) < 15);
    const left = Math.max(0, ...beside.map((other) => other.left + other.width + 18));
    const own = 6.8 * text.length;
    const [from, to] = domain.x.map(Math.log), across = width - margin.left - margin.right;
    const flat = Math.min(1, (to - Math.log(roof.ridge)) / (to - from)) * across; // pixels right of the ridge
    if (left + own < flat || (!left && own < across)) placed.push({ roof, text, y, left, width: own });
  }
  return placed;
}

/** One picture for a screen reader: its name on the whole, none on its parts. */
function finished(options) {
  const svg = Plot.plot(options);
  svg.setAttribute("role", "img");
  for (const part of svg.querySelectorAll("[aria-label]")) part.removeAttribute("aria-label");
  return svg;
}

function uniqueBy(items, key) {
  return [...new Map(items.map((item) => [key(item), item]).reverse()).values()].reverse();
}

/** Bars of operators, the longest first; the tick is the time at the limit. */
function breakdownChart({ rows, width }) {
  const c = inks(), top = legend(Object.entries(BOUND_COLORS).map(([name, color]) => [`${name}-bound`, color]), width - 130);
  const height = 27 * rows.length + 64 + 16 * top.lines, left = 14 + 7.1 * d3.max(rows, (row) => row.name.length);
  const right = d3.max(rows, (row) => row.time) || 1;
  return finished({
    ...common(width, height, "Time of each operator. The table below holds its figures."),
    marginLeft: left, marginRight: 104, marginTop: 12 + 16 * top.lines, marginBottom: 34,
    x: { domain: [0, right], label: "time of all runs", labelAnchor: "center", labelArrow: "none", ticks: Math.max(2, Math.min(5, Math.floor((width - left - 104) / 75))), tickFormat: (t) => (t ? show(t, "s", 2) : "0"), grid: true },
    y: { domain: rows.map((row) => row.key), label: null, tickSize: 0, tickFormat: (key) => rows.find((row) => row.key === key).name },
    marks: [
      ...top.marks,
      Plot.barX(rows, { x: "time", y: "key", fill: (row) => BOUND_COLORS[row.bound], insetTop: 2.5, insetBottom: 2.5 }),
      Plot.tickX(rows, { x: "limit", y: "key", stroke: c.ink, strokeWidth: 2, insetTop: 1, insetBottom: 1 }),
      Plot.text(rows, { x: "time", y: "key", text: (row) => `${percent(row.share)} ${row.bound}`, textAnchor: "start", dx: 5, fill: "currentColor" }),
      Plot.tip(rows, Plot.pointerY({ x: "time", y: "key", title: "title", ...tipLook() })),
    ],
  });
}

/** What one GPU holds under each plan, against its capacity. */
function memoryChart({ rows, capacity, width }) {
  const c = inks(), top = legend(MEMORY_PARTS.map(([, name, color]) => [name, color]), width - 100);
  const parts = rows.flatMap((row) => MEMORY_PARTS.map(([key, name, color]) => ({ ...row, part: name, color, bytes: row[key] })));
  const most = Math.max(capacity * 1.18, Math.min(d3.max(rows, (row) => row.total_bytes) * 1.02, capacity * 3));
  return finished({
    ...common(width, 40 * rows.length + 66 + 16 * top.lines, "Memory of one GPU under each plan. The table below holds its figures."),
    marginLeft: 92, marginRight: 16, marginTop: 26 + 16 * top.lines, marginBottom: 36,
    x: { domain: [0, most], label: "bytes per GPU", labelAnchor: "center", labelArrow: "none", ticks: Math.max(2, Math.min(6, Math.floor(width / 110))), tickFormat: (b) => (b ? show(b, "B", 3).replace(/\.0+(?= )/, "") : "0"), grid: true },
    y: { domain: rows.map((row) => row.key), label: null, tickSize: 0 },
    marks: [
      ...legend(MEMORY_PARTS.map(([, name, color]) => [name, color]), width - 100, -28).marks,
      Plot.barX(parts, { x: "bytes", y: "key", fill: "color", fillOpacity: (p) => (p.chosen ? 1 : 0.5), insetTop: 5, insetBottom: 5, order: null, clip: true }),
      Plot.ruleX([capacity], { stroke: c.bad, strokeWidth: 2 }),
      Plot.text([capacity], { x: (x) => x, frameAnchor: "top", dy: -11, text: [`capacity ${show(capacity, "B")}`], fill: c.bad, fontWeight: 650 }),
      ...[["start", 6, (row) => row.total_bytes < most * 0.7], ["end", -6, (row) => row.total_bytes >= most * 0.7]].map(([textAnchor, dx, filter]) =>
        Plot.text(rows.filter((row) => !row.fits && filter(row)), { x: (row) => Math.min(row.total_bytes, most), y: "key", text: (row) => `needs ${show(row.total_bytes, "B")}`,
          textAnchor, dx, fill: c.bad, stroke: c.card, strokeWidth: 5, fontWeight: 650 })),
      Plot.tip(parts, Plot.pointer({ ...Plot.stackX({ x: "bytes", y: "key", order: null }), title: (p) => `${p.key}: ${p.part}\n${show(p.bytes, "B")} of ${show(p.total_bytes, "B")}`, ...tipLook() })),
    ],
  });
}

/** Every deployment at growing batches, what none of the others beats, and where we stand. */
function frontierChart({ points, frontier, here, gpus, usd, width }) {
  const c = inks(), height = Math.max(320, Math.min(430, width * 0.8));
  const top = legend(gpus.map((gpu) => [gpu.label, gpuColor(gpu)]), width - 80);
  const x = "speed", y = usd ? "usd" : "rate";
  return finished({
    ...common(width, height, "Throughput or cost against speed for every deployment. The table below holds the frontier."),
    marginLeft: 58, marginRight: 18, marginTop: 30 + 16 * top.lines, marginBottom: 42,
    x: { type: "log", label: "tokens/s of one user (1/TPOT)", labelAnchor: "center", labelArrow: "none", tickFormat: plain, ticks: Math.max(3, Math.min(6, Math.floor(width / 90))), grid: true },
    y: { type: "log", label: usd ? "USD per million output tokens" : "output tokens/s per GPU", labelArrow: "none", tickFormat: (v) => (usd ? plain(v) : show(v, "", 2).trim()), ticks: 6, grid: true },
    marks: [
      ...top.marks,
      Plot.line(points, { x, y, z: "line", stroke: (p) => gpuColor(p.gpu), strokeOpacity: 0.28, sort: null }),
      Plot.dot(points, { x, y, r: 2.4, fill: (p) => gpuColor(p.gpu), fillOpacity: 0.75 }),
      Plot.line(frontier, { x, y, stroke: c.ink, strokeWidth: 2 }),
      Plot.dot(frontier, { x, y, r: 4, fill: (p) => gpuColor(p.gpu), stroke: c.ink, strokeWidth: 1.2 }),
      here ? Plot.dot([here], { x, y, r: 10, stroke: c.accent, strokeWidth: 3 }) : null,
      here ? Plot.text([here], { x, y, text: ["you are here"], dy: -18, fill: c.accent, fontWeight: 650, stroke: c.card, strokeWidth: 4 }) : null,
      Plot.tip(points, Plot.pointer({ x, y, title: "title", maxRadius: 30, ...tipLook() })),
    ],
  });
}

/** Points that no other beats in both: faster for a user, and cheaper or more per GPU. */
function paretoOf(points, usd) {
  const worth = (p) => (usd ? -p.usd : p.rate);
  const order = points.filter((p) => Number.isFinite(worth(p))).sort((a, b) => b.speed - a.speed || worth(b) - worth(a));
  let best = -Infinity;
  return order.filter((p) => worth(p) > best && ((best = worth(p)), true)).reverse();
}
