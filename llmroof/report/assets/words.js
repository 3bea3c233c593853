"use strict";
// Numbers and sentences, written as the command line writes them.

/** `x` with `digits` decimals; a tie goes to the even digit, as in Python. */
function fixed(x, digits) {
  const near = x.toFixed(digits), half = 2 * x * 10 ** digits;
  if (Math.abs(half - Math.round(half)) > 1e-6) return near;
  const exact = Math.abs(x) < 1e17 ? x.toFixed(Math.min(100, digits + 55)) : near;
  const tail = exact.slice(exact.indexOf(".") + 1 + digits);
  if (!exact.includes(".") || !/^50*$/.test(tail)) return near;
  const down = exact.slice(0, digits ? exact.indexOf(".") + 1 + digits : exact.indexOf("."));
  return Number(down.at(-1)) % 2 === 0 ? down : near;
}

function significant(value, digits = 3) {
  if (value === 0 || !Number.isFinite(value)) return String(value);
  let exponent = Math.floor(Math.log10(Math.abs(value)));
  const rounded = Number(Math.abs(value).toExponential(digits - 1));
  if (rounded >= 10 ** (exponent + 1)) exponent += 1;
  return fixed(value, Math.max(0, digits - 1 - exponent));
}

const LARGE = [[1e18, "E"], [1e15, "P"], [1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"], [1, ""]];
const SMALL = [[1, ""], [1e-3, "m"], [1e-6, "u"], [1e-9, "n"]];

/** `show(3.35e12, "B/s")` is `3.35 TB/s` */
function show(value, unit, digits = 3) {
  if (value === 0 || !Number.isFinite(value)) return `${value} ${unit}`;
  const order = unit === "s" ? SMALL : LARGE;
  const fits = order.find(([scale]) => Math.abs(value) / scale >= 1 - 0.5 * 10 ** -digits);
  const [scale, prefix] = fits || order.at(-1);
  return `${significant(value / scale, digits)} ${prefix}${unit}`;
}

function whole(value) {
  if (!Number.isFinite(value)) return "unlimited";
  return fixed(value, 0).replace(/\B(?=(\d{3})+$)/g, ",");
}

const percent = (share) => (share < 0.0995 ? fixed(100 * share, 1) : fixed(100 * share, 0)) + "%";
const tokens = (n) => `${whole(n)} token${n === 1 ? "" : "s"}`;
const known = (value, text) => (value === undefined || Number.isNaN(value) ? "-" : text(value));

function boundOf(bounds, read, prefix) {
  let best = 0;
  const times = bounds.map((name) => read(`${prefix}.${name}`));
  times.forEach((time, index) => { if (time > times[best]) best = index; });
  return bounds[best];
}

function deploymentName(one, model) {
  const many = one.num_gpus > 1 ? `${one.num_gpus} × ` : "";
  const split = ["tp", "pp", "dp", "ep"].filter((name) => one[name] > 1);
  const how = split.length ? ` (${split.map((name) => `${name}=${one[name]}`).join(", ")})` : "";
  return `${model.name}, ${one.precision}, on ${many}${one.hardware.name}${how}`;
}

/** One sentence: the bound, the distance to the ridge, what the time is made of. */
function phaseSentence(name, one, read, content) {
  const bound = boundOf(content.bounds, read, `${name}.time`);
  const ratio = read(`${name}.arithmetic_intensity`) / read(`${name}.ridge_point`);
  const side = ratio >= 1
    ? `${significant(ratio, 2)}× right of the ridge` : `${significant(1 / ratio, 2)}× left of the ridge`;
  const odd = bound === (ratio >= 1 ? "memory" : "compute");
  const start = `${name[0].toUpperCase()}${name.slice(1)} is ${bound}-bound${odd ? " although" : ","} ${side}`;
  const operators = one.operators[name];
  const sum = (field) => d3.sum(operators, (_, i) => read(`${name}.${i}.${field}`) * read(`${name}.${i}.count`));
  if (bound === "memory") {
    const total = sum("bytes");
    const parts = [["weight_bytes", "weights"], ["kv_bytes", "KV cache"], ["activation_bytes", "activations"]]
      .map(([field, what]) => [sum(field) / total, what]).sort((a, b) => b[0] - a[0]);
    const shown = parts.filter(([share]) => share >= 0.05);
    return `${start}: of its bytes ${shown.map(([share, what]) => `${fixed(100 * share, 0)}% ${what}`).join(", ")}.`;
  }
  if (bound === "compute") {
    const total = sum("flop");
    const [share, what] = operators
      .map((op, i) => [read(`${name}.${i}.flop`) * read(`${name}.${i}.count`) / total, op.name])
      .sort((a, b) => b[0] - a[0])[0];
    return `${start} (${fixed(100 * share, 0)}% of its FLOP in ${what}).`;
  }
  const part = read(`${name}.time.${bound}`) / read(`${name}.time_s`);
  const what = bound === "network" ? "communication between GPUs" : "starting kernels";
  return `${start}: ${what} takes ${fixed(100 * part, 0)}% of the time.`;
}

/** At which batch decode reaches the ridge, or that memory is full before. */
function ridgeSentence(one, work, read, most) {
  const names = ["decode.arithmetic_intensity", "decode.ridge_point"];
  const beyond = (batch) => {
    const [intensity, ridge] = one.some({ ...work, batch }, names);
    return intensity >= ridge;
  };
  if (beyond(work.batch)) return "This batch is beyond the ridge: more sequences take more time.";
  let low = work.batch, high = 2 ** 20;
  if (!beyond(high)) {
    const [top] = one.some({ ...work, batch: high }, names);
    return `No batch reaches the ridge: every sequence reads its own KV cache, which caps it at ` +
      `${significant(top)} FLOP/B; memory is full at batch ${whole(most)}.`;
  }
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (beyond(middle)) high = middle; else low = middle;
  }
  if (high <= most) return `Batch ${whole(high)} would reach the ridge.`;
  return `Batch ${whole(high)} would reach the ridge, but the cache fills memory first, at batch ${whole(most)}.`;
}
