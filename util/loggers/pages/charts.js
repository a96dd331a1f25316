"use strict";
/* Draws the curves of the data into #curves: a panel for each title, a line for each entry. */
(() => {
const holder = document.getElementById("curves");
const panels = JSON.parse(document.getElementById("data").textContent).panels;
if (!holder || !panels.length) return;
const COLOURS = ["#4c8dff", "#e8833a", "#3aa76d", "#b05cc6", "#d64550", "#8a6d3b", "#12a5b8", "#c9a800"];
const WIDTH = 420, HEIGHT = 200, LEFT = 52, RIGHT = 12, TOP = 8, BOTTOM = 34;
const colour = line => COLOURS[line.place % COLOURS.length];
const dash = line => ["", "6 3", "2 3"][Math.floor(line.place / COLOURS.length) % 3];
const number = new Intl.NumberFormat("en", {maximumSignificantDigits: 4});
const written = y => y && Math.abs(y) < 1e-3 ? y.toExponential(2).replace(/\.?0+e/, "e") : number.format(y);
const whole = new Intl.NumberFormat("en", {maximumFractionDigits: 0});
const hidden = new Set();

function make(tag, attributes, parent, content) {
  const node = document.createElementNS(parent instanceof SVGElement || tag === "svg"
    ? "http://www.w3.org/2000/svg" : "http://www.w3.org/1999/xhtml", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  if (content !== undefined) node.textContent = content;
  parent.append(node);
  return node;
}

/* Exponential mean with the weight of the missing past taken out. */
function smoothed(points, weight) {
  let sum = 0, total = 0;
  return points.map(([x, y]) => {
    sum = weight * sum + (1 - weight) * y;
    total = weight * total + (1 - weight);
    return [x, sum / total];
  });
}

function ticks(low, high, most) {
  if (!(high > low)) return [low];
  const power = 10 ** Math.floor(Math.log10((high - low) / most));
  for (const factor of [1, 2, 5, 10, 20]) {
    const step = power * factor, first = Math.ceil(low / step - 1e-9), last = Math.floor(high / step + 1e-9);
    if (last - first < most) return Array.from({length: last - first + 1}, (_, i) => (first + i) * step);
  }
  return [low];
}

function draw(panel) {
  const {svg, readout} = panel, weight = panel.smooth ? Number(slider.value) : 0;
  svg.replaceChildren();
  const lines = panel.lines.filter(line => line.points.length && !hidden.has(line.name));
  if (!lines.length) return;
  for (const line of lines) line.shown = smoothed(line.points, weight);
  const all = lines.flatMap(line => line.points);
  let low = Infinity, high = -Infinity, last = 1;
  for (const [x, y] of all) { low = Math.min(low, y); high = Math.max(high, y); last = Math.max(last, x); }
  const margin = 0.05 * (high - low) || Math.abs(low) * 0.05 || 1;
  low -= margin; high += margin;
  const across = x => LEFT + (WIDTH - LEFT - RIGHT) * x / last;
  const down = y => TOP + (HEIGHT - TOP - BOTTOM) * (high - y) / (high - low);
  for (const y of ticks(low, high, 5)) {
    make("path", {class: "grid", d: `M${LEFT} ${down(y).toFixed(1)}H${WIDTH - RIGHT}`}, svg);
    make("text", {x: LEFT - 6, y: down(y) + 4, "text-anchor": "end"}, svg, written(y));
  }
  for (const x of ticks(0, last, 5))
    make("text", {x: across(x), y: HEIGHT - BOTTOM + 15,
                  "text-anchor": across(x) > WIDTH - 40 ? "end" : "middle"}, svg, whole.format(x));
  make("text", {x: WIDTH - RIGHT, y: HEIGHT - 4, "text-anchor": "end"}, svg, "images");
  const path = points => points.map(([x, y]) => `${across(x).toFixed(1)},${down(y).toFixed(1)}`).join(" ");
  for (const line of lines) {
    const style = {stroke: colour(line), "stroke-dasharray": dash(line)};
    if (weight) make("polyline", {class: "raw", points: path(line.points), ...style}, svg);
    make("polyline", {class: "smooth", points: path(line.shown), ...style}, svg);
    if (line.points.length <= 60) for (const [x, y] of line.shown)
      make("circle", {r: 2.5, cx: across(x), cy: down(y), fill: colour(line)}, svg);
  }
  const cross = make("path", {class: "cross", d: ""}, svg);
  const places = [...new Set(all.map(point => point[0]))].sort((a, b) => a - b);
  const tell = (where, value) => {
    readout.replaceChildren(where);
    lines.forEach((line, i) => {
      readout.append(i ? ", " : "");
      if (panel.lines.length > 1) {
        make("span", {class: "swatch", style: `background:${colour(line)}`}, readout);
        readout.append(line.name + " ");
      }
      readout.append(written(value(line)));
    });
  };
  panel.point = at => {             /* the place nearest to `at` images */
    const near = points => points.reduce((a, b) => Math.abs(b[0] - at) < Math.abs(a[0] - at) ? b : a);
    const x = places.reduce((a, b) => Math.abs(b - at) < Math.abs(a - at) ? b : a);
    panel.index = places.indexOf(x);
    cross.setAttribute("d", `M${across(x).toFixed(1)} ${TOP}V${HEIGHT - BOTTOM}`);
    tell(`image ${whole.format(x)}: `, line => near(line.shown)[1]);
  };
  panel.leave = () => {
    cross.setAttribute("d", "");
    tell("last: ", line => line.shown.at(-1)[1]);
  };
  panel.images = event => {
    const box = svg.getBoundingClientRect();
    return ((event.clientX - box.left) * WIDTH / box.width - LEFT) / (WIDTH - LEFT - RIGHT) * last;
  };
  panel.places = places;
  panel.leave();
}

const controls = make("div", {class: "controls"}, holder);
const label = make("label", {}, controls, "smoothing ");
const slider = make("input", {type: "range", id: "smoothing", min: 0, max: 0.98, step: 0.02, value: 0.6}, label);
const names = new Map(panels.flatMap(panel => panel.lines).map(line => [line.name, line]));
if (holder.hasAttribute("data-legend")) for (const [name, line] of names) {
  const entry = make("label", {}, controls);
  const box = make("input", {type: "checkbox", checked: ""}, entry);
  make("span", {class: "swatch", style: `background:${colour(line)}`}, entry);
  make("span", {}, entry, name);
  box.addEventListener("change", () => { hidden[box.checked ? "delete" : "add"](name); panels.forEach(draw); });
}
const grid = make("div", {class: "panels"}, holder);
for (const panel of panels) {
  const card = make("div", {class: "panel"}, grid);
  make("h3", {}, card, panel.title);
  panel.readout = make("output", {}, card);
  panel.svg = make("svg", {viewBox: `0 0 ${WIDTH} ${HEIGHT}`, tabindex: 0, role: "img",
                           "aria-label": `${panel.title} over images seen; arrow keys read it`}, card);
  panel.svg.addEventListener("pointermove", event => panel.point?.(panel.images(event)));
  panel.svg.addEventListener("pointerleave", () => panel.leave?.());
  panel.svg.addEventListener("blur", () => panel.leave?.());
  panel.svg.addEventListener("keydown", event => {
    const move = {ArrowLeft: -1, ArrowRight: 1, Home: -1e9, End: 1e9}[event.key];
    if (!move || !panel.places) return;
    event.preventDefault();
    const from = panel.index ?? panel.places.length;
    panel.point(panel.places[Math.min(panel.places.length - 1, Math.max(0, from + move))]);
  });
}
slider.addEventListener("input", () => panels.forEach(draw));
panels.forEach(draw);
})();
