"use strict";
/* Reloads the page, and puts back what was open, chosen and in view. Waits while somebody is at work in it. */
(() => {
const KEY = "page " + location.pathname, seconds = Number(document.documentElement.dataset.reload);
const heading = section => section.querySelector("h2")?.textContent;
const fields = () => [...document.querySelectorAll("main input[id], main select[id]")];
let pressed = false;
function state() {
  const seen = [...document.querySelectorAll("main section")].find(section =>
    section.offsetParent && section.getBoundingClientRect().bottom > 0);
  return {
    folds: Object.fromEntries([...document.querySelectorAll("main details[id]")].map(fold =>
      [fold.id, fold.open])),
    values: Object.fromEntries(fields().map(field => [field.id, field.value])),
    newest: document.getElementById("moment")?.value === document.getElementById("moment")?.max,
    focus: document.activeElement?.id,
    scroll: window.scrollY, heading: seen && heading(seen), top: seen?.getBoundingClientRect().top,
  };
}
function restore(was) {
  for (const [id, open] of Object.entries(was.folds)) {
    const fold = document.getElementById(id);
    if (fold) fold.open = open;
  }
  for (const field of fields()) {
    const value = was.values[field.id];
    if (value === undefined || field.id === "moment" && was.newest) continue;
    if (field.tagName === "SELECT" && ![...field.options].some(option => option.value === value)) continue;
    field.value = value;
    field.dispatchEvent(new Event("input", {bubbles: true}));
    field.dispatchEvent(new Event("change", {bubbles: true}));
  }
  document.getElementById(was.focus)?.focus({preventScroll: true});
  const seen = [...document.querySelectorAll("main section")].find(section => heading(section) === was.heading);
  if (was.scroll < 50 || !seen) window.scrollTo(0, was.scroll);
  else window.scrollBy(0, seen.getBoundingClientRect().top - was.top);
}
try {
  const kept = sessionStorage.getItem(KEY);
  sessionStorage.removeItem(KEY);
  if (kept) { history.scrollRestoration = "manual"; restore(JSON.parse(kept)); }
} catch { /* a browser that keeps nothing for pages from disk */ }
addEventListener("pointerdown", () => { pressed = true; });
for (const end of ["pointerup", "pointercancel"]) addEventListener(end, () => { pressed = false; });
setInterval(() => {
  if (pressed || document.hidden || document.querySelector("dialog[open]")) return;
  try { sessionStorage.setItem(KEY, JSON.stringify(state())); } catch { /* then it starts at the top */ }
  location.reload();
}, seconds * 1000);
})();
