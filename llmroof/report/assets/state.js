"use strict";
// What is chosen, and the same as the fragment of a link.

const WORK = ["batch", "input_len", "output_len"];
const SHORT = { batch: "batch", input_len: "in", output_len: "out" };
const SWITCHES = { prefill: true, decode: true, operators: true, path: true, limit: true, usd: false };

function firstState(content) {
  const start = content.start;
  return {
    gpu: start.gpu, precision: start.precision, plan: planName(start),
    ...Object.fromEntries(WORK.map((name) => [name, start[name]])),
    gpus: [], precisions: [], phase: "decode", ...SWITCHES,
  };
}

function fragmentOf(state, content) {
  const first = firstState(content), query = new URLSearchParams();
  for (const name of ["gpu", "precision", "plan"]) query.set(name, state[name]);
  for (const name of WORK) query.set(SHORT[name], state[name]);
  for (const name of ["gpus", "precisions"]) if (state[name].length) query.set(name, state[name].join(","));
  if (state.phase !== first.phase) query.set("phase", state.phase);
  for (const name of Object.keys(SWITCHES)) if (state[name] !== SWITCHES[name]) query.set(name, state[name] ? "1" : "0");
  return query.toString();
}

/** The state of a fragment; what it does not say, or says wrongly, is as at the start. */
function stateOf(fragment, content) {
  const state = firstState(content), query = new URLSearchParams(fragment.replace(/^#/, ""));
  const gpus = content.gpus.map((gpu) => gpu.id), names = precisionsOf(content);
  if (gpus.includes(query.get("gpu"))) state.gpu = query.get("gpu");
  if (names.includes(query.get("precision"))) state.precision = query.get("precision");
  if (content.deployments.some((one) => one.plan === query.get("plan"))) state.plan = query.get("plan");
  for (const name of WORK) {
    const asked = query.get(SHORT[name]);
    if (/^[1-9]\d{0,8}$/.test(asked || "")) state[name] = Number(asked);
  }
  clamp(state, content);
  state.gpus = (query.get("gpus") || "").split(",").filter((name) => gpus.includes(name));
  state.precisions = (query.get("precisions") || "").split(",").filter((name) => names.includes(name));
  if (query.get("phase") === "prefill") state.phase = "prefill";
  for (const name of Object.keys(SWITCHES)) if (query.has(name)) state[name] = query.get(name) === "1";
  return state;
}

/** Keeps the numbers inside the sliders, and prompt and answer together inside the context. */
function clamp(state, content, moved = "output_len") {
  for (const name of WORK) state[name] = Math.max(1, Math.min(state[name], content.limits[name]));
  const room = content.model.max_context || Infinity;
  const other = moved === "input_len" ? "output_len" : "input_len";
  if (state.input_len + state.output_len > room) state[other] = Math.max(1, room - state[moved === "input_len" ? "input_len" : "output_len"]);
  if (state.input_len + state.output_len > room) state[moved === "input_len" ? "input_len" : "output_len"] = room - state[other];
}

const precisionsOf = (content) =>
  [...new Set([...content.deployments, ...content.refused].map((one) => one.precision))];

/** The deployment of a choice, or the nearest one that exists: same plan, else the fewest GPUs that fit. */
function pick(content, { gpu, precision, plan }, work) {
  const same = content.deployments.filter((one) => one.gpu === gpu && one.precision === precision);
  const exact = same.find((one) => one.plan === plan);
  if (exact || !same.length) return exact || null;
  return same.find((one) => one.some(work, ["memory.fits"])[0]) || same.at(-1);
}
