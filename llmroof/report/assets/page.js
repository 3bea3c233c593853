"use strict";
// Puts the content on the page and keeps it in step with what is chosen.

const $ = (selector, inside = document) => inside.querySelector(selector);

function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}

let content = null, state = null, zoomed = d3.zoomIdentity, base = null, waiting = 0;
const rows = {}; // chart -> its table as objects, for CSV

const work = () => Object.fromEntries(WORK.map((name) => [name, state[name]]));
const chosen = () => pick(content, state, work());

// ---------------------------------------------------------------- what is in sight

/** chart -> how to draw it as things stand; drawn at once in sight, else when it comes into sight */
const drawings = new Map();
let inSight = new Set();

function draw(name, drawing) {
  drawings.set(name, drawing);
  if (inSight.has(name)) drawNow(name);
}

function drawNow(name) {
  const drawing = drawings.get(name);
  drawings.delete(name);
  if (drawing) drawing();
}

function drawAll() {
  for (const name of [...drawings.keys()]) drawNow(name);
}

function watchSight() {
  const watcher = new IntersectionObserver((changes) => {
    for (const { target, isIntersecting } of changes) {
      if (isIntersecting) { inSight.add(target.id); drawNow(target.id); } else inSight.delete(target.id);
    }
  }, { rootMargin: "120px" });
  for (const section of document.querySelectorAll("section.chart")) watcher.observe(section);
}

// ---------------------------------------------------------------- controls

/** Round values, eight to an octave: what a slider steps through. */
function stops(most) {
  const found = [];
  for (let value = 1; value < most; value += Math.max(1, 2 ** (Math.floor(Math.log2(value)) - 3))) found.push(value);
  return [...found, most];
}

function chip(kind, group, value, text, options = {}) {
  const input = el("input", { type: kind, name: group, value, checked: options.checked, disabled: options.why !== undefined, title: options.why,
    "aria-label": options.why ? `${text}: ${options.why}` : null, onchange: options.onchange });
  return el("label", { class: "chip" }, input, el("span", { title: options.why }, ...(options.color ? [dotOf(options.color)] : []), text, ...(options.small ? [el("small", {}, options.small)] : [])));
}

function dotOf(color) {
  const dot = el("i", { "aria-hidden": "true" });
  dot.style.background = color;
  return dot;
}

function fillChips(fieldset, legend, chips) {
  fieldset.replaceChildren(el("legend", {}, legend), el("div", { class: "chips" }, ...chips));
}

function showChoices() {
  const now = work();
  fillChips($("#pick-gpu"), "GPU", content.gpus.map((gpu) => chip("radio", "gpu", gpu.id, gpu.label, {
    checked: gpu.id === state.gpu, color: gpuColor(gpu), onchange: () => choose({ gpu: gpu.id }) })));
  fillChips($("#pick-precision"), "Precision", precisionsOf(content).map((name) => {
    const refused = content.refused.find((one) => one.gpu === state.gpu && one.precision === name);
    const there = content.deployments.some((one) => one.gpu === state.gpu && one.precision === name);
    return chip("radio", "precision", name, name, { checked: name === state.precision, why: there ? undefined : refused ? refused.why : "not offered",
      onchange: () => choose({ precision: name }) });
  }));
  const plans = content.deployments.filter((one) => one.gpu === state.gpu && one.precision === state.precision);
  fillChips($("#pick-plan"), "GPUs side by side", plans.map((one) => {
    const fits = one.some(now, ["memory.fits"])[0];
    return chip("radio", "plan", one.plan, planText(one), { checked: one.plan === state.plan, small: fits ? "" : "too small", onchange: () => choose({ plan: one.plan }) });
  }));
}

function planText(one) {
  const more = ["pp", "dp", "ep"].filter((name) => one[name] > 1).map((name) => `${name.toUpperCase()} ${one[name]}`);
  return [`TP ${one.tp}`, ...more].join(" · ");
}

function choose(change) {
  const focus = document.activeElement;
  const [name, value] = focus && focus.name ? [focus.name, focus.value] : [];
  Object.assign(state, change);
  settle();
  update({ choices: true });
  if (name) $(`#controls input[name="${name}"][value="${CSS.escape(value)}"]`)?.focus();
}

/** Moves on to a deployment that exists where the choice names none. */
function settle() {
  let one = chosen();
  if (!one) {
    const other = content.deployments.find((d) => d.gpu === state.gpu);
    if (other) state.precision = other.precision;
    one = chosen() || content.deployments[0];
  }
  Object.assign(state, { gpu: one.gpu, precision: one.precision, plan: one.plan });
}

function makeSliders() {
  const names = { batch: "Batch: sequences together", input_len: "Prompt tokens", output_len: "Answer tokens" };
  $("#sliders").replaceChildren(...WORK.map((name) => {
    const values = stops(content.limits[name]);
    const range = el("input", { type: "range", id: `${name}-range`, min: 0, max: values.length - 1, step: 1, "aria-label": names[name],
      oninput: () => move(name, values[Number(range.value)]) });
    const number = el("input", { type: "number", id: name, min: 1, max: content.limits[name], step: 1, inputmode: "numeric",
      onchange: () => move(name, Math.round(Number(number.value)) || 1) });
    range.values = values;
    return el("div", { class: "slider" }, el("div", {}, el("label", { for: name }, names[name]), number), range);
  }));
}

function move(name, value) {
  state[name] = value;
  clamp(state, content, name);
  schedule();
}

function schedule() {
  if (!waiting) waiting = requestAnimationFrame(() => { waiting = 0; update({}); });
}

function showSliders() {
  for (const name of WORK) {
    const range = $(`#${name}-range`), number = $(`#${name}`);
    range.value = d3.leastIndex(range.values, (a, b) => Math.abs(a - state[name]) - Math.abs(b - state[name]));
    range.setAttribute("aria-valuetext", whole(state[name]));
    if (Number(number.value) !== state[name]) number.value = state[name];
  }
}

function command(one) {
  return `llmroof estimate ${one.flags} --batch ${state.batch} --input-len ${state.input_len} --output-len ${state.output_len}`;
}

// ---------------------------------------------------------------- the answer

function tile(name, figure, text, small) {
  return el("div", {}, el("dt", {}, name), el("dd", { "data-figure": figure }, text, ...(small ? [el("small", {}, small)] : [])));
}

function showAnswer(one, read) {
  const fits = read("memory.fits"), decodes = state.output_len > 1;
  const time = (name) => show(read(name), "s");
  const usd = (name) => known(read(name), (v) => significant(v));
  const used = show(read("memory.total_bytes") - read("memory.reserved_bytes"), "B");
  const usable = show(read("memory.capacity_bytes") - read("memory.reserved_bytes"), "B");
  const verdict = el("span", { class: `verdict ${fits ? "yes" : "no"}` }, fits
    ? `It fits: ${used} of ${usable} per GPU.`
    : `Does not fit: ${show(read("memory.total_bytes"), "B")} needed per GPU, ${show(read("memory.capacity_bytes"), "B")} there.`);
  const speed = decodes ? `, then a token every ${time("serving.tpot_s")}` : "";
  const price = one.has("cost.usd_per_million_output_tokens") ? ` at ${usd("cost.usd_per_million_output_tokens")} USD per million` : "";
  const batch = state.batch === 1 ? "One sequence" : `${whole(state.batch)} sequences together`;
  const sentence = `${batch}, ${tokens(state.input_len)} in and ${tokens(state.output_len)} out: the first token comes after ` +
    `${time("serving.ttft_s")}${speed}. That makes ${whole(read("serving.output_tokens_per_s"))} output tokens/s${price}. `;
  $("#title").textContent = document.title = deploymentName(one, content.model);
  $("#words").replaceChildren(sentence, verdict);
  $("#tiles").replaceChildren(
    tile("TTFT: first token", "serving.ttft_s", time("serving.ttft_s"), `at the limit ${time("prefill.roofline_time_s")}`),
    tile("TPOT: each further token", "serving.tpot_s", decodes ? time("serving.tpot_s") : "-", decodes ? `at the limit ${time("decode.roofline_time_s")}` : ""),
    tile("latency of the answer", "serving.e2e_latency_s", time("serving.e2e_latency_s")),
    tile("output tokens/s", "serving.output_tokens_per_s", whole(read("serving.output_tokens_per_s")), `${whole(read("serving.output_tokens_per_s_per_gpu"))} per GPU`),
    tile("all tokens/s", "serving.total_tokens_per_s", whole(read("serving.total_tokens_per_s")), `${significant(read("serving.requests_per_s"))} requests/s`),
    tile("USD per million out", "cost.usd_per_million_output_tokens", usd("cost.usd_per_million_output_tokens"), `in: ${usd("cost.usd_per_million_input_tokens")}`),
    tile("USD per hour", "cost.usd_per_hour", usd("cost.usd_per_hour"), known(read("energy.joule_per_output_token"), (v) => `${significant(v)} J per output token`)),
    tile("largest batch", "memory.max_batch", whole(read("memory.max_batch")), `longest context ${whole(read("memory.max_context"))}`),
  );
  const lines = [phaseSentence("prefill", one, read, content)];
  if (decodes) lines.push(`${phaseSentence("decode", one, read, content)} ${ridgeSentence(one, work(), read, read("memory.max_batch"))}`);
  if (!fits) lines.push(waysOut());
  $("#why").replaceChildren(...lines.map((line) => el("li", {}, line)));
  phaseTable(read, decodes);
  $("#command").textContent = command(one);
  clearTimeout(showAnswer.timer);
  showAnswer.timer = setTimeout(() => { $("#spoken").textContent = `${deploymentName(one, content.model)}. ${sentence}${verdict.textContent}`; }, 700);
}

function waysOut() {
  const ways = content.deployments.filter((d) => d.some(work(), ["memory.fits"])[0]).sort((a, b) => a.num_gpus - b.num_gpus);
  if (!ways.length) return "Nothing on this page holds it: lower the batch or the lengths.";
  const text = (d) => `${d.num_gpus} × ${d.hardware.label} in ${d.precision}`;
  return `What would hold it: ${ways.slice(0, 4).map(text).join(", ")}.`;
}

function fillTable(table, caption, header, body) {
  table.replaceChildren(
    el("caption", { class: "spoken" }, caption),
    el("thead", {}, el("tr", {}, ...header.map((name) => el("th", { scope: "col" }, name)))),
    el("tbody", {}, ...body.map((line) => el("tr", {}, ...line.map((text, i) => el(i ? "td" : "th", i ? {} : { scope: "row" }, text))))));
}

function phaseTable(read, decodes) {
  const line = (name, label) => [label, show(read(`${name}.flop`), "FLOP"), show(read(`${name}.bytes`), "B"), significant(read(`${name}.arithmetic_intensity`)),
    significant(read(`${name}.ridge_point`)), boundOf(content.bounds, read, `${name}.time`), percent(read(`${name}.mfu`)), percent(read(`${name}.mbu`)),
    show(read(`${name}.time_s`), "s"), show(read(`${name}.roofline_time_s`), "s")];
  fillTable($("#phases"), "Both phases", ["phase", "FLOP", "bytes", "FLOP/B", "ridge", "bound", "MFU", "MBU", "time", "at the limit"],
    [line("prefill", "prefill"), ...(decodes ? [line("decode", "decode step")] : [])]);
}

// ---------------------------------------------------------------- roofline

const phaseTitle = (label, phase, x, rate, time, bound) =>
  `${label}\n${phase}: ${show(time, "s")}, ${bound}-bound\n${significant(x)} FLOP/B, ${show(rate, "FLOP/s")}`;

function seriesOf(one, index, several) {
  const now = work(), read = one.at(now), gpu = one.hardware, phases = ["prefill", ...(state.output_len > 1 ? ["decode"] : [])];
  const same = several.filter((other) => other.gpu === one.gpu);
  const label = [several.some((d) => d.gpu !== one.gpu) ? gpu.label : "", several.some((d) => d.precision !== one.precision) ? one.precision : "",
    several.some((d) => d.num_gpus !== one.num_gpus) ? `× ${one.num_gpus}` : ""].filter(Boolean).join(" ") || gpu.label;
  const name = `${one.num_gpus} × ${gpu.label} ${one.precision}, batch ${whole(state.batch)}`;
  return {
    chosen: index === 0, gpu, label, deployment: one, color: shade(gpuColor(gpu), same.indexOf(one)),
    roofs: one.roofs.map((roof) => ({ ...roof, gpu, ridge: roof.peak / gpu.bandwidth })),
    phases: phases.map((phase) => {
      const x = read(`${phase}.arithmetic_intensity`), flop = read(`${phase}.flop`) / one.num_gpus;
      const y = flop / read(`${phase}.time_s`), limit = flop / read(`${phase}.roofline_time_s`), bound = boundOf(content.bounds, read, `${phase}.time`);
      return { phase, x, y, limit, bound, time: read(`${phase}.time_s`), title: phaseTitle(name, phase, x, y, read(`${phase}.time_s`), bound),
        limitTitle: phaseTitle(name, `${phase} at the limit`, x, limit, read(`${phase}.roofline_time_s`), bound) };
    }),
    operators: index ? [] : phases.flatMap((phase) => operatorsOf(one, read, phase)).filter((op) => op.x > 0),
    path: state.path && state.output_len > 1 ? pathOf(one, now) : [],
  };
}

function operatorsOf(one, read, phase) {
  const total = read(`${phase}.time_s`), rounds = read(`${phase}.rounds`);
  return one.operators[phase].map((operator, i) => {
    const at = (field) => read(`${phase}.${i}.${field}`), flop = at("flop"), bytes = at("bytes");
    const x = flop && bytes ? flop / bytes : 0, roof = Math.min(one.hardware.peaks[operator.compute] || Infinity, x * one.hardware.bandwidth);
    const time = at("time.total"), limit = at("limit.total"), share = time / total;
    const bound = boundOf(content.bounds, at, flop || bytes ? "limit" : "time"), y = roof * limit / time;
    const title = `${operator.name} (${phase}), ${percent(share)} of the time\n${show(time, "s")} in all, ${show(limit, "s")} at the limit\n` +
      `${whole(at("count"))} × ${show(flop, "FLOP")}, ${show(bytes, "B")}\n${x ? `${significant(x)} FLOP/B, ` : ""}${bound}-bound`;
    return { phase, key: `${i}`, name: operator.name, kind: operator.kind, count: at("count"), flop, bytes, network: at("network_bytes"), x, y, time, limit, share, bound, title, rounds };
  });
}

const PATH = ["memory.max_batch", "decode.arithmetic_intensity", "decode.flop", "decode.time_s"];

function pathOf(one, now) {
  const most = one.some({ ...now, batch: 1 }, PATH)[0], batches = [];
  for (let batch = one.dp; batch <= Math.min(most, 2 ** 20); batch *= 2) batches.push(batch);
  if (batches.length && batches.at(-1) !== most && most <= 2 ** 20) batches.push(most);
  return batches.map((batch) => {
    const [, x, flop, time] = one.some({ ...now, batch }, PATH), y = flop / one.num_gpus / time;
    return { batch, x, y, title: `decode, batch ${whole(batch)}${batch === most ? " (memory full)" : ""}\n${show(time, "s")} a step, ${whole(batch / time)} tokens/s\n${significant(x)} FLOP/B, ${show(y, "FLOP/s")}` };
  });
}

function shownDeployments() {
  const first = chosen(), found = [first];
  for (const gpu of [state.gpu, ...state.gpus]) {
    for (const precision of [state.precision, ...state.precisions]) {
      const one = pick(content, { gpu, precision, plan: state.plan }, work());
      if (one && !found.includes(one)) found.push(one);
    }
  }
  return found;
}

function domains(series) {
  const x = [], y = [];
  for (const one of series) {
    for (const roof of one.roofs) { x.push(4 * roof.ridge); y.push(roof.peak); }
    for (const phase of one.phases) { x.push(phase.x); y.push(phase.y, phase.limit); }
    for (const p of [...one.path, ...one.operators]) { x.push(p.x); y.push(p.y); }
  }
  const grid = (value, round) => 10 ** (round(3 * Math.log10(value)) / 3); // a third of a decade: the frame stays while sliders move
  return { x: [grid(d3.min(x) / 1.6, Math.floor), grid(d3.max(x) * 3, Math.ceil)], y: [grid(d3.min(y) / 2, Math.floor), grid(d3.max(y) * 1.7, Math.ceil)] };
}

function showRoofline() {
  const several = shownDeployments();
  const series = several.map((one, index) => seriesOf(one, index, several));
  showRoofline.series = series;
  drawings.delete("roofline");
  drawRoofline();
  rows.roofline = series.flatMap((one) => [
    ...one.phases.map((p) => ({ deployment: `${one.deployment.num_gpus} x ${one.gpu.id} ${one.deployment.precision}`, what: p.phase, flop_per_byte: p.x, flop_per_s_per_gpu: p.y, limit_flop_per_s_per_gpu: p.limit, time_s: p.time, bound: p.bound })),
    ...one.operators.map((o) => ({ deployment: `${one.deployment.num_gpus} x ${one.gpu.id} ${one.deployment.precision}`, what: `${o.phase} ${o.name}`, flop_per_byte: o.x, flop_per_s_per_gpu: o.y, limit_flop_per_s_per_gpu: o.y * o.time / o.limit, time_s: o.time, bound: o.bound })),
  ]);
  lazyTable("roofline", () => fillTable($("#roofline table"), "Points of the roofline", ["point", "deployment", "FLOP/B", "FLOP/s per GPU", "at the limit", "time", "bound"],
    rows.roofline.map((r) => [r.what, r.deployment, significant(r.flop_per_byte), show(r.flop_per_s_per_gpu, "FLOP/s"), show(r.limit_flop_per_s_per_gpu, "FLOP/s"), show(r.time_s, "s"), r.bound])));
  $("#roofline-note").textContent = `Filled: expected. Hollow: the physical limit. Squares: prefill, circles: decode. ${state.operators ? "Pale: operators, their area is their share of the time. " : ""}${state.path ? "Small circles: decode at batch 1, 2, 4 … until memory is full." : ""}`;
}

function drawRoofline() {
  drawNow("roofline");
  const box = $("#roofline .canvas"), width = Math.max(280, box.clientWidth), series = showRoofline.series;
  base = domains(series);
  const height = Math.max(320, Math.min(560, width * 0.56));
  const x = d3.scaleLog(base.x, [62, width - 14]), y = d3.scaleLog(base.y, [height - 42, 28]);
  const domain = { x: zoomed.rescaleX(x).domain(), y: zoomed.rescaleY(y).domain() };
  box.replaceChildren(rooflineChart({ series, view: state, width, domain }));
}

// ---------------------------------------------------------------- the other charts

function lazyTable(name, fill) {
  const details = $(`#${name} details`);
  details.fill = fill;
  if (details.open) fill();
}

function showBreakdown(one, read) {
  const phase = state.output_len > 1 ? state.phase : "prefill";
  const all = operatorsOf(one, read, phase).filter((op) => op.time > 0).sort((a, b) => b.time - a.time);
  const box = $("#breakdown .canvas");
  box.replaceChildren(breakdownChart({ rows: all, width: Math.max(280, box.clientWidth) }));
  rows.breakdown = all.map((o) => ({ phase, name: o.name, kind: o.kind, count: o.count, flop: o.flop, bytes: o.bytes, network_bytes: o.network, bound: o.bound, total_time_s: o.time, limit_time_s: o.limit, share: o.share }));
  lazyTable("breakdown", () => fillTable($("#breakdown table"), `Operators of ${phase}`, ["operator", "×", "FLOP", "bytes", "FLOP/B", "bound", "time", "limit", "share"],
    all.map((o) => [o.name, whole(o.count), o.flop ? show(o.flop, "FLOP") : "-", o.bytes ? show(o.bytes, "B") : "-", o.x ? significant(o.x) : "-", o.bound, show(o.time, "s"), show(o.limit, "s"), percent(o.share)])));
}

const MEMORY = ["weights_bytes", "kv_cache_bytes", "activation_bytes", "reserved_bytes", "total_bytes", "capacity_bytes", "fits", "max_batch"];

function showMemory(one) {
  const plans = content.deployments.filter((d) => d.gpu === one.gpu && d.precision === one.precision);
  const found = plans.map((d) => ({ key: planText(d), chosen: d === one, num_gpus: d.num_gpus,
    ...Object.fromEntries(d.some(work(), MEMORY.map((name) => `memory.${name}`)).map((value, i) => [MEMORY[i], value])) }));
  const box = $("#memory .canvas"), capacity = found[0].capacity_bytes;
  box.replaceChildren(memoryChart({ rows: found, capacity, width: Math.max(280, box.clientWidth) }));
  rows.memory = found.map(({ key, chosen: _, ...rest }) => ({ plan: key, ...rest, fits: Boolean(rest.fits) }));
  lazyTable("memory", () => fillTable($("#memory table"), "Memory of one GPU by plan", ["plan", "weights", "KV cache", "activations", "kept free", "needed", "there", "fits", "largest batch"],
    found.map((r) => [r.key, ...["weights_bytes", "kv_cache_bytes", "activation_bytes", "reserved_bytes", "total_bytes", "capacity_bytes"].map((name) => show(r[name], "B")), r.fits ? "yes" : "no", whole(r.max_batch)])));
  const mine = found.find((r) => r.chosen);
  $("#memory-note").textContent = `${planText(one)}: ${mine.fits ? `room for batch ${whole(mine.max_batch)} at these lengths.` : "does not fit."}`;
}

const COST = ["memory.fits", "serving.tpot_s", "serving.output_tokens_per_s_per_gpu", "cost.usd_per_million_output_tokens", "memory.max_batch"];

/** Every deployment at batch 1, 2, 4 ...; they depend on the lengths only, so keep them. */
function frontierPoints() {
  const key = `${state.input_len}|${state.output_len}`;
  if (frontierPoints.key !== key || frontierPoints.of !== content) {
    frontierPoints.key = key;
    frontierPoints.of = content;
    frontierPoints.found = content.deployments.flatMap((one, line) => {
      const points = [];
      for (let batch = 1; batch <= content.limits.batch; batch *= 2) {
        const point = costPoint(one, { ...work(), batch }, line);
        if (!point) break;
        points.push(point);
      }
      return points;
    });
  }
  return frontierPoints.found;
}

function costPoint(one, now, line) {
  const [fits, tpot, rate, usd] = one.some(now, COST);
  if (!fits) return null;
  const name = `${one.num_gpus} × ${one.hardware.label} ${one.precision}`;
  return { gpu: one.hardware, one, line, batch: now.batch, speed: 1 / tpot, rate, usd: usd === undefined ? NaN : usd,
    title: `${name}, batch ${whole(now.batch)}\nTPOT ${show(tpot, "s")}: ${significant(1 / tpot)} tokens/s for a user\n${whole(rate)} tokens/s per GPU${usd === undefined ? "" : `\n${significant(usd)} USD per million tokens`}` };
}

function showFrontier(one) {
  const all = frontierPoints(), usd = state.usd, usable = usd ? all.filter((p) => Number.isFinite(p.usd)) : all;
  const frontier = paretoOf(usable, usd), here = costPoint(one, work(), -1), box = $("#frontier .canvas");
  if (usable.length) box.replaceChildren(frontierChart({ points: usable, frontier, here: here && (!usd || Number.isFinite(here.usd)) ? here : null, gpus: content.gpus, usd, width: Math.max(280, box.clientWidth) }));
  else box.replaceChildren(el("p", {}, usd ? "No deployment here has a price and fits." : "No deployment here fits."));
  rows.frontier = frontier.map((p) => ({ num_gpus: p.one.num_gpus, gpu: p.gpu.id, precision: p.one.precision, plan: p.one.plan, batch: p.batch, tokens_per_s_per_user: p.speed, output_tokens_per_s_per_gpu: p.rate, usd_per_million_output_tokens: Number.isFinite(p.usd) ? p.usd : null }));
  lazyTable("frontier", () => fillTable($("#frontier table"), "Pareto frontier", ["deployment", "plan", "batch", "tokens/s per user", "tokens/s per GPU", "USD/M out"],
    frontier.map((p) => [`${p.one.num_gpus} × ${p.gpu.label} ${p.one.precision}`, planText(p.one), whole(p.batch), significant(p.speed), whole(p.rate), known(p.usd, (v) => significant(v))])));
  const beaten = here && frontier.find((p) => p.speed >= here.speed && (usd ? p.usd < here.usd : p.rate > here.rate));
  $("#frontier-note").textContent = `Every deployment of this page at batch 1, 2, 4 … while it fits, ${tokens(state.input_len)} in, ${tokens(state.output_len)} out. The black line is what none of them beats in both. ` +
    (beaten ? `${beaten.one.num_gpus} × ${beaten.gpu.label} in ${beaten.one.precision} at batch ${whole(beaten.batch)} beats yours in both.` : here ? "Yours is beaten by none." : "");
}

function showBasis(one) {
  const item = ({ text, source }) => {
    const link = /^(.*?)\s*<(https?:[^>]+)>$/.exec(source || "");
    const where = !source ? "" : link ? el("a", { href: link[2], rel: "noreferrer" }, link[1]) : source;
    return el("li", {}, text, ...(source ? [": ", el("small", {}, where)] : []));
  };
  $("#basis ul").replaceChildren(...one.basis.map(item));
}

// ---------------------------------------------------------------- together

function showSwitches() {
  const box = (group, name, text, options = {}) => chip("checkbox", group, name, text, options);
  const flip = (name) => ({ checked: state[name], onchange: (event) => { state[name] = event.target.checked; update({}); } });
  const also = (list, name) => ({ checked: state[list].includes(name), onchange: (event) => {
    state[list] = event.target.checked ? [...state[list], name] : state[list].filter((other) => other !== name); update({}); } });
  const group = (title, chips) => (chips.length ? el("div", { class: "group", role: "group", "aria-label": title }, el("b", {}, title), ...chips) : null);
  const others = content.gpus.filter((gpu) => gpu.id !== state.gpu), formats = precisionsOf(content).filter((name) => name !== state.precision);
  $("#roofline-switches").replaceChildren(...[
    group("show", [box("show", "prefill", "prefill", flip("prefill")), box("show", "decode", "decode", flip("decode")), box("show", "operators", "operators", flip("operators")),
      box("show", "limit", "limit", flip("limit")), box("show", "path", "growing batch", flip("path"))]),
    group("beside it", others.map((gpu) => box("gpus", gpu.id, gpu.label, { ...also("gpus", gpu.id), color: gpuColor(gpu) }))),
    group("and in", formats.map((name) => box("precisions", name, name, also("precisions", name)))),
  ].filter(Boolean));
  $("#breakdown-switches").replaceChildren(group("of", ["prefill", "decode"].map((name) => chip("radio", "phase", name, name === "decode" ? "a decode step" : name,
    { checked: state.phase === name, onchange: () => { state.phase = name; update({}); } }))));
  $("#frontier-switches").replaceChildren(group("against speed", [["tokens/s per GPU", false], ["USD per million tokens", true]].map(([text, usd]) => chip("radio", "usd", String(usd), text,
    { checked: state.usd === usd, onchange: () => { state.usd = usd; update({}); } }))));
}

function update({ choices = false }) {
  const begun = performance.now(), one = chosen(), read = one.at(work());
  if (choices) { showSwitches(); showBasis(one); }
  showChoicesIfNew(choices);
  showSliders();
  showAnswer(one, read);
  draw("roofline", showRoofline);
  draw("breakdown", () => showBreakdown(one, read));
  draw("memory", () => showMemory(one));
  draw("frontier", () => showFrontier(one));
  clearTimeout(drawAll.timer);
  drawAll.timer = setTimeout(drawAll, 250);
  clearTimeout(update.timer);
  update.timer = setTimeout(() => history.replaceState(null, "", `#${fragmentOf(state, content)}`), 200);
  window.llmroof.lastUpdate = performance.now() - begun;
}

/** The choices are made anew where one of them fits or no longer does, or was chosen. */
function showChoicesIfNew(force) {
  const fits = content.deployments.map((one) => one.some(work(), ["memory.fits"])[0]).join("");
  if (!force && showChoicesIfNew.seen === fits) return;
  showChoicesIfNew.seen = fits;
  showChoices();
}

function addDownloads() {
  for (const name of ["roofline", "breakdown", "memory", "frontier"]) {
    const section = $(`#${name}`), file = () => `llmroof-${content.model.id}-${name}`.replace(/[^\w.-]+/g, "-");
    const title = () => `${$("h2", section).textContent}: ${document.title}, batch ${state.batch}, ${state.input_len} in, ${state.output_len} out`;
    const chart = () => $(".canvas svg", section);
    section.append(el("div", { class: "downloads" },
      el("button", { type: "button", "aria-label": `Save ${name} as PNG`, onclick: () => drawNow(name) || savePng(chart(), file(), title()) }, "PNG"),
      el("button", { type: "button", "aria-label": `Save ${name} as SVG`, onclick: () => drawNow(name) || saveSvg(chart(), file(), title()) }, "SVG"),
      el("button", { type: "button", "aria-label": `Save ${name} as CSV`, onclick: () => drawNow(name) || saveCsv(rows[name], file()) }, "CSV")));
    $("details", section).addEventListener("toggle", (event) => { if (event.target.open) event.target.fill(); });
  }
  $("#answer").append(el("div", { class: "downloads" }, el("button", { type: "button", "aria-label": "Save all figures as CSV", onclick: () => saveCsv(allFigures(), `llmroof-${content.model.id}-figures`) }, "CSV")));
}

function allFigures() {
  const one = chosen(), read = one.at(work());
  const names = Object.keys(content.programs[one.program].outputs).filter((name) => !/^(prefill|decode)\.\d/.test(name));
  return [...["gpu", "precision", "plan", "num_gpus"].map((figure) => ({ figure, value: one[figure] })), ...WORK.map((figure) => ({ figure, value: state[figure] })),
    ...names.map((figure) => ({ figure, value: read(figure) }))];
}

function addZoom() {
  const box = d3.select("#roofline .canvas");
  const zoom = d3.zoom().scaleExtent([0.5, 60])
    .filter((event) => (event.type === "wheel" ? event.ctrlKey || event.metaKey : event.touches ? event.touches.length > 1 : !event.button))
    .on("zoom", (event) => { zoomed = event.transform; requestAnimationFrame(drawRoofline); });
  box.call(zoom).on("dblclick.zoom", null);
  const by = { in: () => box.call(zoom.scaleBy, 1.5), out: () => box.call(zoom.scaleBy, 1 / 1.5), all: () => box.call(zoom.transform, d3.zoomIdentity) };
  for (const button of document.querySelectorAll("[data-zoom]")) button.addEventListener("click", () => by[button.dataset.zoom]());
}

async function copy(text, button) {
  const before = button.textContent;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    button.textContent = "Copy it from the address bar";
    getSelection().selectAllChildren($("#command"));
  }
  setTimeout(() => { button.textContent = before; }, 1500);
}

function setTheme(dark) {
  document.documentElement.dataset.theme = dark ? "dark" : "light";
  $("#theme").setAttribute("aria-pressed", String(dark));
}

function addTheme() {
  const system = matchMedia("(prefers-color-scheme: dark)");
  let own = null;
  setTheme(system.matches);
  system.addEventListener("change", () => { if (own === null) { setTheme(system.matches); update({ choices: true }); } });
  $("#theme").addEventListener("click", () => { own = document.documentElement.dataset.theme !== "dark"; setTheme(own); update({ choices: true }); });
  let before = false;
  addEventListener("beforeprint", () => { before = document.documentElement.dataset.theme === "dark"; setTheme(false); update({ choices: true }); drawAll(); });
  addEventListener("afterprint", () => { setTheme(before); update({ choices: true }); });
}

/** Shows other content: at the start, and when a server has calculated anew. */
function open(found, fragment) {
  content = readyContent(found);
  zoomed = d3.zoomIdentity;
  state = stateOf(fragment, content);
  settle();
  makeSliders();
  $("#page").hidden = false;
  update({ choices: true });
}

async function unpack(text) {
  const bytes = Uint8Array.from(atob(text.trim()), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
}

async function start() {
  window.llmroof = { open, lastUpdate: 0, formulas: (index, now) => content.deployments[index].at(now), get content() { return content; }, get state() { return { ...state }; } };
  addTheme();
  open(await unpack($("#content").textContent), location.hash);
  addDownloads();
  addZoom();
  watchSight();
  $("#controls").addEventListener("submit", (event) => event.preventDefault());
  $("#copy-link").addEventListener("click", (event) => { history.replaceState(null, "", `#${fragmentOf(state, content)}`); copy(location.href, event.target); });
  $("#copy-command").addEventListener("click", (event) => copy($("#command").textContent, event.target));
  addEventListener("hashchange", () => { state = stateOf(location.hash, content); settle(); update({ choices: true }); });
  let width = innerWidth;
  addEventListener("resize", () => { if (innerWidth !== width) { width = innerWidth; schedule(); } });
  window.llmroof.firstRender = performance.now();
  document.documentElement.dataset.ready = "yes";
}

start().catch((error) => {
  $("#broken").hidden = false;
  $("#broken").textContent = `This page cannot be shown by this browser: ${error.message}`;
  throw error;
});
