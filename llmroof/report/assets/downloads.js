"use strict";
// Figures and tables as files.

function save(blob, name) {
  const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

/** The chart as SVG text with a title, a background and nothing from outside. */
function svgText(svg, title) {
  const copy = svg.cloneNode(true);
  const { ink, card } = inks();
  const [width, height] = [Number(svg.getAttribute("width")), Number(svg.getAttribute("height"))];
  const room = 34;
  copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  copy.setAttribute("viewBox", `0 ${-room} ${width} ${height + room}`);
  copy.setAttribute("height", height + room);
  copy.setAttribute("font-family", "DejaVu Sans, sans-serif");
  copy.style.color = ink;
  copy.style.overflow = "visible";
  const paper = document.createElementNS("http://www.w3.org/2000/svg", "rect");
  for (const [name, value] of Object.entries({ x: 0, y: -room, width, height: height + room, fill: card })) paper.setAttribute(name, value);
  const text = document.createElementNS("http://www.w3.org/2000/svg", "text");
  for (const [name, value] of Object.entries({ x: 10, y: -12, fill: ink, "font-size": 14, "font-weight": 650 })) text.setAttribute(name, value);
  text.textContent = title;
  copy.prepend(paper, text);
  return new XMLSerializer().serializeToString(copy);
}

function saveSvg(svg, name, title) {
  save(new Blob([svgText(svg, title)], { type: "image/svg+xml" }), `${name}.svg`);
}

/** Twice the size on the screen, so that it stays sharp in a slide. */
async function savePng(svg, name, title) {
  const text = svgText(svg, title);
  const url = URL.createObjectURL(new Blob([text], { type: "image/svg+xml" }));
  const picture = new Image();
  picture.src = url;
  await picture.decode();
  const canvas = document.createElement("canvas");
  canvas.width = 2 * picture.width;
  canvas.height = 2 * picture.height;
  canvas.getContext("2d").drawImage(picture, 0, 0, canvas.width, canvas.height);
  URL.revokeObjectURL(url);
  canvas.toBlob((blob) => save(blob, `${name}.png`), "image/png");
}

const cell = (value) => {
  const text = value === null || value === undefined || Number.isNaN(value) ? "" : String(value);
  return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
};

/** `rows` are objects with the same keys; numbers go out in full. */
function csvText(rows) {
  if (!rows.length) return "";
  const names = Object.keys(rows[0]);
  return [names, ...rows.map((row) => names.map((name) => row[name]))]
    .map((line) => line.map(cell).join(",") + "\n").join("");
}

function saveCsv(rows, name) {
  save(new Blob([csvText(rows)], { type: "text/csv" }), `${name}.csv`);
}
