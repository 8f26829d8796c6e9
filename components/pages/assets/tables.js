"use strict";
// Tables: sorted by the buttons in their header; long ones have a filter and show their first rows.
(function () {
  const FILTERED_FROM = 16;
  const SHOWN_ROWS = 15;
  const { element, settled, compare, count } = bitext;

  /**
   * Returns the sort key of a cell: a number, a text, or null for a missing value.
   * @param {HTMLTableCellElement} cell
   * @returns {number|string|null}
   */
  function keyOf(cell) {
    if (cell.dataset.value !== undefined) return Number(cell.dataset.value);
    const text = cell.textContent.trim();
    return text === "–" || text === "" ? null : text;
  }

  /**
   * Makes a table sortable and, if it is long, filterable.
   * @param {HTMLElement} box the element around the table
   */
  function enhance(box) {
    const table = box.querySelector("table");
    const body = table.tBodies[0];
    const rows = [...body.rows];
    if (rows.length < 2) return;
    const headers = [...table.tHead.rows[0].cells];
    let shown = SHOWN_ROWS;
    let query = "";
    let onPaper = false;
    const status = element("output", {});
    const more = element("button", { type: "button", class: "more", hidden: "" });

    function update() {
      const found = [...body.rows].filter((row) => query === "" || row.textContent.toLowerCase().includes(query));
      const visible = new Set(onPaper ? found : found.slice(0, shown));
      for (const row of rows) row.hidden = !visible.has(row);
      status.textContent = query === "" ? "" : `${count(found.length)} of ${count(rows.length)} rows`;
      more.hidden = found.length <= shown;
      more.textContent = `Show all ${count(found.length)} rows`;
    }

    headers.forEach((header, column) => {
      const button = element("button", { type: "button" });
      button.append(...header.childNodes);
      header.append(button);
      button.addEventListener("click", () => {
        const keys = new Map(rows.map((row) => [row, keyOf(row.cells[column])]));
        const isNumber = [...keys.values()].some((key) => typeof key === "number");
        const before = header.getAttribute("aria-sort");
        const ascending = before === null ? !isNumber : before === "descending";
        for (const other of headers) other.removeAttribute("aria-sort");
        header.setAttribute("aria-sort", ascending ? "ascending" : "descending");
        const sorted = [...rows].sort((a, b) => compare(keys.get(a), keys.get(b), ascending ? 1 : -1));
        body.append(...sorted);
        update();
      });
    });
    if (rows.length >= FILTERED_FROM) {
      const title = table.caption.textContent.trim();
      const input = element("input", { type: "search", placeholder: "Filter rows", "aria-label": `Filter rows: ${title}` });
      input.addEventListener("input", settled(() => {
        query = input.value.trim().toLowerCase();
        update();
      }));
      box.prepend(element("div", { class: "tools" }, input, status));
    }
    more.addEventListener("click", () => {
      shown = Infinity;
      update();
      rows.find((row) => !row.hidden)?.closest(".scroll").focus();
    });
    for (const [event, isPrinting] of [["beforeprint", true], ["afterprint", false]]) {
      window.addEventListener(event, () => {
        onPaper = isPrinting;
        update();
      });
    }
    box.querySelector(".scroll").after(more);
    update();
  }

  const waiting = new Set(document.querySelectorAll(".table"));

  /** Enhances the tables that are not in closed details. */
  function enhanceShown() {
    for (const box of waiting) {
      if (box.closest("details:not([open])") === null) {
        waiting.delete(box);
        enhance(box);
      }
    }
  }

  document.addEventListener("toggle", enhanceShown, true);
  enhanceShown();
})();
