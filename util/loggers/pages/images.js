"use strict";
/* Before and after under a slider; an image at full size; search and order of results. */
(() => {
const make = (tag, attributes, parent, content) => {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  if (content !== undefined) node.textContent = content;
  parent?.append(node);
  return node;
};
document.addEventListener("input", event => {
  const compare = event.target.closest(".compare");
  if (compare) compare.querySelector(".pair").style.setProperty("--at", event.target.value + "%");
});

/* ---- the same test images over time */
const moment = document.getElementById("moment");
if (moment) {
  const moments = JSON.parse(document.getElementById("data").textContent).moments;
  const after = document.getElementById("after"), seen = document.getElementById("seen");
  const show = () => {
    const images = moments[moment.value];
    seen.textContent = images.toLocaleString("en");
    for (const image of document.querySelectorAll("#fixed .after"))
      image.src = image.dataset.path + encodeURIComponent(after.value) + "_"
                  + String(images).padStart(9, "0") + ".png";
  };
  moment.addEventListener("input", show);
  after.addEventListener("change", show);
}

/* ---- full size: the first image of a row is "before", the one chosen "after" */
const dialog = make("dialog", {"aria-label": "image at full size"}, document.body);
const bar = make("div", {class: "controls"}, dialog);
const close = make("button", {type: "button"}, bar, "close");
const back = make("button", {type: "button"}, bar, "previous");
const next = make("button", {type: "button"}, bar, "next");
const compared = make("label", {}, bar, "before / after ");
const divider = make("input", {type: "range", min: 0, max: 100, value: 0}, compared);
const file = make("a", {}, bar, "the file");
const caption = make("p", {}, dialog);
const pair = make("div", {class: "pair"}, make("div", {class: "stage"}, dialog));
const before = make("img", {alt: ""}, pair), chosen = make("img", {class: "after", alt: ""}, pair);
let current;
const links = () => [...document.querySelectorAll("main figure > a")].filter(link => link.offsetParent);
function open(link) {
  current = link;
  const first = link.closest(".row").querySelector("a"), section = link.closest("section");
  const name = link.querySelector("img").alt;
  compared.hidden = first === link;
  before.src = first.href;
  file.href = chosen.src = link.href;
  chosen.alt = name;
  const small = link.querySelector("img").classList.contains("small");
  for (const image of [before, chosen]) image.classList.toggle("small", small);
  caption.textContent = `${section.querySelector("h2").textContent}: ${name}`;
  divider.value = 0;
  pair.style.setProperty("--at", "0%");
  if (!dialog.open) dialog.showModal();
}
function move(by) {
  const all = links(), place = all.indexOf(current) + by;
  if (place >= 0 && place < all.length) open(all[place]);
}
document.addEventListener("click", event => {
  const link = event.target.closest("main figure > a");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  open(link);
});
divider.addEventListener("input", () => pair.style.setProperty("--at", divider.value + "%"));
close.addEventListener("click", () => dialog.close());
back.addEventListener("click", () => move(-1));
next.addEventListener("click", () => move(1));
dialog.addEventListener("close", () => current.focus());
dialog.addEventListener("keydown", event => {
  const by = {ArrowLeft: -1, ArrowRight: 1}[event.key];
  if (by && event.target !== divider) move(by);
});

/* ---- results: search and order */
const main = document.querySelector("main");
const rows = [...main.querySelectorAll("section[data-name]")];
if (rows.length > 1) {
  const tools = make("div", {class: "controls"});
  main.prepend(tools);
  const search = make("input", {type: "search", id: "search"}, make("label", {}, tools, "search "));
  const order = make("select", {id: "order"}, make("label", {}, tools, "order "));
  make("option", {value: ""}, order, "as translated");
  for (const name of [...new Set(rows.flatMap(row => Object.keys(JSON.parse(row.dataset.scores))))]) {
    make("option", {value: "-" + name}, order, `${name}: highest first`);
    make("option", {value: "+" + name}, order, `${name}: lowest first`);
  }
  const count = make("output", {}, tools);
  const filter = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const row of rows)
      row.hidden = !words.every(word => row.dataset.name.toLowerCase().includes(word));
    count.textContent = `${rows.filter(row => !row.hidden).length} of ${rows.length}`;
  };
  search.addEventListener("input", filter);
  order.addEventListener("change", () => {
    const name = order.value.slice(1), sign = order.value[0] === "-" ? -1 : 1;
    const score = new Map(rows.map(row => [row, sign * (JSON.parse(row.dataset.scores)[name] ?? sign * NaN)]));
    const sorted = name ? [...rows].sort((a, b) => (isNaN(score.get(a)) - isNaN(score.get(b)))
                                                   || score.get(a) - score.get(b)) : rows;
    main.append(...sorted);
  });
  filter();
}
})();
