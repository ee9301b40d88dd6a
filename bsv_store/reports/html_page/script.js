"use strict";
// Tables that sort by a click on a heading and show the rows that contain the text of their filter.
for (const table of document.querySelectorAll("table.data")) {
  const body = table.tBodies[0];
  const headings = [...table.tHead.rows[0].cells];
  const rows = [...body.rows];
  const state = document.getElementById(table.id + "-state");
  const filter = document.getElementById(table.id + "-filter");

  const key = (row, column) => {
    const cell = row.cells[column];
    return "value" in cell.dataset ? cell.dataset.value : cell.textContent.trim();
  };
  const compare = (first, second, isNumber) => {
    // Rows without a value come last, in both directions.
    if (first === "" || second === "") return null;
    return isNumber ? Number(first) - Number(second) : first.localeCompare(second, "en", { numeric: true });
  };

  headings.forEach((heading, column) => {
    heading.querySelector("button").addEventListener("click", () => {
      const isNumber = heading.classList.contains("number");
      const before = heading.getAttribute("aria-sort");
      const first = isNumber ? "descending" : "ascending";
      const other = isNumber ? "ascending" : "descending";
      const direction = before === first ? other : first;
      const sign = direction === "ascending" ? 1 : -1;
      for (const each of headings) each.removeAttribute("aria-sort");
      heading.setAttribute("aria-sort", direction);
      const keyed = rows.map((row, index) => ({ row, index, value: key(row, column) }));
      keyed.sort((a, b) => {
        const order = compare(a.value, b.value, isNumber);
        if (order === null) return (a.value === "") - (b.value === "") || a.index - b.index;
        return sign * order || a.index - b.index;
      });
      body.append(...keyed.map((each) => each.row));
    });
  });

  if (filter === null) continue;
  const shared = (table.dataset.shared ?? "").toLowerCase();
  const show = () => {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word) || shared.includes(word));
      count += row.hidden ? 0 : 1;
    }
    state.textContent = count === rows.length ? `${rows.length} rows` : `${count} of ${rows.length} rows`;
  };
  filter.addEventListener("input", show);
  show();
}
