"use strict";
// Puts the content on the page and keeps it in step with what is chosen.

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
  addEventListener("beforeprint", () => { before = document.documentElement.dataset.theme === "dark"; setTheme(false); widths.clear(); update({ choices: true }); drawAll(); });
  addEventListener("afterprint", () => { setTheme(before); widths.clear(); update({ choices: true }); });
}

/** Shows other content: at the start, and when a server has calculated anew. */
function open(found, fragment) {
  content = readyContent(found);
  zoomed = d3.zoomIdentity;
  state = stateOf(fragment, content);
  settle();
  makeSliders();
  $("#page").hidden = false;
  widths.clear();
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
  if ("live" in document.body.dataset) addAsking();
  $("#controls").addEventListener("submit", (event) => event.preventDefault());
  $("#copy-link").addEventListener("click", (event) => { history.replaceState(null, "", `#${fragmentOf(state, content)}`); copy(location.href, event.target); });
  $("#copy-command").addEventListener("click", (event) => copy($("#command").textContent, event.target));
  addEventListener("hashchange", () => { state = stateOf(location.hash, content); settle(); update({ choices: true }); });
  let width = innerWidth;
  addEventListener("resize", () => { if (innerWidth !== width) { width = innerWidth; widths.clear(); schedule(); } });
  window.llmroof.firstRender = performance.now();
  document.documentElement.dataset.ready = "yes";
}

start().catch((error) => {
  $("#broken").hidden = false;
  $("#broken").textContent = `This page cannot be shown by this browser: ${error.message}`;
  throw error;
});
