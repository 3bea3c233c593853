"use strict";
// The answer in words and figures.

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
