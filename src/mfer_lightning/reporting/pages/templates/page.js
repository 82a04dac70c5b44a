"use strict";
// Click a heading to sort its table: numbers by value, text alphabetically. A second click reverses the order.
(() => {
  const status = document.getElementById("status");
  const words = new Intl.Collator("en", { numeric: true });
  const key = (row, column) => {
    const cell = row.children[column];
    return "sort" in cell.dataset ? Number(cell.dataset.sort) : cell.firstChild ? cell.textContent.trim() : "";
  };
  const compare = (a, b) => {
    if (typeof a === "number" && typeof b === "number") return a - b;
    if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1; // cells without a number come last
    return words.compare(a, b);
  };
  const sort = (table, header) => {
    const headers = [...table.tHead.rows[0].cells];
    const column = headers.indexOf(header);
    const first = header.classList.contains("number") ? "descending" : "ascending";
    const other = first === "ascending" ? "descending" : "ascending";
    const order = header.getAttribute("aria-sort") === first ? other : first;
    headers.forEach((h) => h.setAttribute("aria-sort", h === header ? order : "none"));
    const body = table.tBodies[0];
    const sign = order === "ascending" ? 1 : -1;
    const rows = [...body.rows].map((row) => [key(row, column), row]);
    rows.sort(([a], [b]) => (typeof a === typeof b ? sign * compare(a, b) : compare(a, b)));
    body.append(...rows.map(([, row]) => row));
    status.textContent = `Sorted by ${header.textContent.trim()}, ${order}.`;
  };
  document.querySelectorAll("table").forEach((table) => {
    [...table.tHead.rows[0].cells].forEach((header) => {
      header.querySelector("button").addEventListener("click", () => sort(table, header));
    });
  });
})();
