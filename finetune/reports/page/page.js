"use strict";
// Sorting: the button in a heading sorts its column; rows whose figure is not known stay last.
const direction = { none: "ascending", ascending: "descending", descending: "ascending" };

function key(row, column) {
  const value = row.cells[column].dataset.sort;
  if (value === undefined) return null;
  return value.trim() !== "" && Number.isFinite(Number(value)) ? Number(value) : value;
}

function compare(a, b) {
  if (typeof a === "number" && typeof b === "number") return a - b;
  return String(a).localeCompare(String(b));
}

function sort(heading) {
  const wanted = direction[heading.getAttribute("aria-sort")];
  const sign = wanted === "ascending" ? 1 : -1;
  for (const other of heading.parentNode.cells) {
    if (other.hasAttribute("aria-sort")) other.setAttribute("aria-sort", "none");
  }
  heading.setAttribute("aria-sort", wanted);
  const body = heading.closest("table").tBodies[0];
  const rows = Array.from(body.rows, (row) => [key(row, heading.cellIndex), row]);
  rows.sort(([a], [b]) => (a === null || b === null ? (a === null) - (b === null) : sign * compare(a, b)));
  body.append(...rows.map(([, row]) => row));
}

for (const button of document.querySelectorAll("th[aria-sort] > button")) {
  button.addEventListener("click", () => sort(button.parentNode));
}

// Paper has no switches: what is folded away is printed.
let folded = [];
addEventListener("beforeprint", () => {
  folded = Array.from(document.querySelectorAll("details:not([open])"));
  for (const details of folded) details.open = true;
});
addEventListener("afterprint", () => {
  for (const details of folded) details.open = false;
});
