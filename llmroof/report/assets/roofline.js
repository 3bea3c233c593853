"use strict";
// What the roofline shows: its series, their points, the frame around them.

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
  const box = $("#roofline .canvas"), width = widthOf(box), series = showRoofline.series;
  base = domains(series);
  const height = Math.max(320, Math.min(560, width * 0.56));
  const x = d3.scaleLog(base.x, [62, width - 14]), y = d3.scaleLog(base.y, [height - 42, 28]);
  const domain = { x: zoomed.rescaleX(x).domain(), y: zoomed.rescaleY(y).domain() };
  box.replaceChildren(rooflineChart({ series, view: state, width, domain }));
}
