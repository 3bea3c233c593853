"use strict";
// The charts beside the roofline, with their tables.

function lazyTable(name, fill) {
  const details = $(`#${name} details`);
  details.fill = fill;
  if (details.open) fill();
}

function showBreakdown(one, read) {
  const phase = state.output_len > 1 ? state.phase : "prefill";
  const all = operatorsOf(one, read, phase).filter((op) => op.time > 0).sort((a, b) => b.time - a.time);
  const box = $("#breakdown .canvas");
  box.replaceChildren(breakdownChart({ rows: all, width: widthOf(box) }));
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
  box.replaceChildren(memoryChart({ rows: found, capacity, width: widthOf(box) }));
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
  if (usable.length) box.replaceChildren(frontierChart({ points: usable, frontier, here: here && (!usd || Number.isFinite(here.usd)) ? here : null, gpus: content.gpus, usd, width: widthOf(box) }));
  else box.replaceChildren(el("p", {}, usd ? "No deployment here has a price and fits." : "No deployment here fits."));
  rows.frontier = frontier.map((p) => ({ num_gpus: p.one.num_gpus, gpu: p.gpu.id, precision: p.one.precision, plan: p.one.plan, batch: p.batch, tokens_per_s_per_user: p.speed, output_tokens_per_s_per_gpu: p.rate, usd_per_million_output_tokens: Number.isFinite(p.usd) ? p.usd : null }));
  lazyTable("frontier", () => fillTable($("#frontier table"), "Pareto frontier", ["deployment", "plan", "batch", "tokens/s per user", "tokens/s per GPU", "USD/M out"],
    frontier.map((p) => [`${p.one.num_gpus} × ${p.gpu.label} ${p.one.precision}`, planText(p.one), whole(p.batch), significant(p.speed), whole(p.rate), known(p.usd, (v) => significant(v))])));
  const beaten = here && frontier.find((p) => p.speed >= here.speed && (usd ? p.usd < here.usd : p.rate > here.rate));
  $("#frontier-note").textContent = `Every deployment of this page at batch 1, 2, 4 … while it fits, ${tokens(state.input_len)} in, ${tokens(state.output_len)} out. The black line is what none of them beats in both. ` +
    (beaten ? `${beaten.one.num_gpus} × ${beaten.gpu.label} in ${beaten.one.precision} at batch ${whole(beaten.batch)} beats yours in both.` : here && frontier.length ? "Yours is beaten by none." : "");
}

function showBasis(one) {
  const item = ({ text, source }) => {
    const link = /^(.*?)\s*<(https?:[^>]+)>$/.exec(source || "");
    const where = !source ? "" : link ? el("a", { href: link[2], rel: "noreferrer" }, link[1]) : source;
    return el("li", {}, text, ...(source ? [": ", el("small", {}, where)] : []));
  };
  $("#basis ul").replaceChildren(...one.basis.map(item));
}
