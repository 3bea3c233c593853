"use strict";
// What the page is made of, and when its charts are drawn.

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

/** Room of a chart; kept until the window changes, as asking makes the browser lay out anew. */
const widths = new Map();

function widthOf(box) {
  if (!widths.has(box)) widths.set(box, Math.max(280, box.clientWidth));
  return widths.get(box);
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
