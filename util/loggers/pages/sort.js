"use strict";
/* Orders the rows of #runs by a column: a click on its head, once more for the other direction. Empty cells stay
   last. */
(() => {
const table = document.querySelector("#runs table");
const rows = [...table.rows].slice(1), body = rows[0].parentNode;
const key = (row, column) => {
  const cell = row.cells[column], given = cell.querySelector("[data-key]")?.dataset.key ?? cell.textContent;
  return given !== "" && isFinite(given) ? Number(given) : given;
};
const compare = (a, b) => {
  if (typeof a === "number" && typeof b === "number") return a - b;
  return String(a).localeCompare(String(b), "en", {numeric: true});
};
[...table.rows[0].cells].forEach((head, column) => {
  const button = document.createElement("button");
  button.type = "button";
  button.append(...head.childNodes);
  head.append(button);
  button.addEventListener("click", () => {
    const down = head.getAttribute("aria-sort") === "ascending";
    for (const other of table.rows[0].cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const filled = rows.filter(row => key(row, column) !== "");
    filled.sort((a, b) => (down ? -1 : 1) * compare(key(a, column), key(b, column)));
    body.append(...filled, ...rows.filter(row => key(row, column) === ""));
  });
});
})();
