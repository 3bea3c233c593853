"use strict";
// The question: choices, sliders, the command that asks the same.

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
