// The table of experiments: sorts and pages rows that are all in memory, and draws one page of them.

import { base, announce } from "./shell.js";
import { visible } from "./text.js";
import { square } from "./tokens.js";

const SIZES = [50, 100, 250];
const STORED = "bsv-store-columns";

export class ResultTable {
  constructor(columns, { onHover, onOrder }) {
    this.columns = columns;
    this.onHover = onHover;
    this.onOrder = onOrder;
    this.table = document.getElementById("table");
    this.frame = document.getElementById("table-frame");
    this.pager = document.getElementById("pager");
    this.shown = this.remembered();
    this.sort = { name: "experiment_id", direction: 1 };
    this.page = 0;
    this.size = SIZES[0];
    this.rows = null;
    this.order = [];
    this.drawChoice();
    const body = this.table.tBodies[0];
    body.addEventListener("pointerover", (event) => this.hover(event.target));
    body.addEventListener("pointerleave", () => this.onHover(-1));
    body.addEventListener("focusin", (event) => this.hover(event.target));
  }

  hover(target) {
    const row = target.closest("tr");
    if (row) this.onHover(Number(row.dataset.index));
  }

  // -- columns

  remembered() {
    try {
      const names = JSON.parse(localStorage.getItem(STORED) ?? "null");
      if (Array.isArray(names)) return new Set(names);
    } catch (error) {
      console.debug(error);
    }
    return new Set(this.columns.filter((column) => column.shown).map((column) => column.name));
  }

  drawChoice() {
    const box = document.getElementById("columns");
    box.replaceChildren(...this.columns.slice(1).map((column) => {
      const label = document.createElement("label");
      label.className = "check";
      label.title = column.words;
      const input = document.createElement("input");
      input.type = "checkbox";
      input.checked = this.shown.has(column.name);
      input.addEventListener("change", () => {
        if (input.checked) this.shown.add(column.name);
        else this.shown.delete(column.name);
        try {
          localStorage.setItem(STORED, JSON.stringify([...this.shown]));
        } catch (error) {
          console.debug(error);
        }
        this.draw();
      });
      label.append(input, ` ${column.heading}${column.unit ? ` (${column.unit})` : ""}`);
      return label;
    }));
  }

  visible() {
    return this.columns.filter((column, at) => at === 0 || this.shown.has(column.name));
  }

  // -- rows

  fill(rows, colors) {
    this.rows = rows;
    this.colors = colors;
    this.page = 0;
    this.arrange();
    this.draw();
    this.frame.scrollTop = 0;
  }

  arrange() {
    const { name, direction } = this.sort;
    const values = this.rows[name];
    const order = values.map((_, index) => index);
    const collator = new Intl.Collator("en", { numeric: true });
    const isText = values.some((value) => typeof value === "string");
    order.sort((a, b) => {
      const [first, second] = [values[a], values[b]];
      // Rows without a value come last, in both directions.
      if (first === null || second === null) return (first === null) - (second === null) || a - b;
      const difference = isText ? collator.compare(first, second) : first - second;
      return direction * difference || a - b;
    });
    this.order = order;
  }

  sortBy(column) {
    const isNumber = column.kind === "integer" || column.kind === "float";
    const first = isNumber ? -1 : 1;
    this.sort = {
      name: column.name,
      direction: this.sort.name === column.name ? -this.sort.direction : first,
    };
    this.page = 0;
    this.arrange();
    this.draw();
    this.onOrder();
    announce(`Sorted by ${column.heading}, ${this.sort.direction > 0 ? "ascending" : "descending"}`);
  }

  // -- drawing

  draw() {
    if (!this.rows) return;
    const columns = this.visible();
    const focused = document.activeElement?.dataset?.column;
    const head = document.createElement("tr");
    head.append(...columns.map((column) => this.heading(column)));
    this.table.tHead.replaceChildren(head);
    const from = this.page * this.size;
    const body = this.order.slice(from, from + this.size).map((index) => this.row(index, columns));
    this.table.tBodies[0].replaceChildren(...body);
    this.drawPager();
    if (focused) head.querySelector(`[data-column="${focused}"]`)?.focus();
  }

  heading(column) {
    const cell = document.createElement("th");
    cell.scope = "col";
    cell.title = column.words;
    if (column.kind === "integer" || column.kind === "float") cell.className = "number";
    if (column.name === this.sort.name) {
      cell.setAttribute("aria-sort", this.sort.direction > 0 ? "ascending" : "descending");
    }
    const button = document.createElement("button");
    button.type = "button";
    button.dataset.column = column.name;
    button.textContent = column.heading;
    if (column.unit) {
      const unit = document.createElement("small");
      unit.textContent = ` ${column.unit}`;
      button.append(unit);
    }
    button.addEventListener("click", () => this.sortBy(column));
    cell.append(button);
    return cell;
  }

  row(index, columns) {
    const row = document.createElement("tr");
    row.dataset.index = String(index);
    row.append(...columns.map((column, at) => {
      const cell = document.createElement(at === 0 ? "th" : "td");
      const value = this.rows[column.name][index];
      if (at === 0) {
        cell.scope = "row";
        const link = document.createElement("a");
        link.href = `${base}/experiments/${value}`;
        link.textContent = String(value);
        cell.append(link);
      } else if (column.name === "primary_structure") {
        const color = this.colors[this.rows.primary_structure_id[index]];
        if (color) cell.append(square(color));
        cell.append(visible(value ?? ""));
        cell.title = visible(this.rows.primary_structure_name[index] ?? "");
        cell.className = "short";
      } else {
        cell.textContent = shown(value, column);
        if (column.kind === "integer" || column.kind === "float") cell.className = "number";
        else if (cell.textContent.length <= 24) cell.className = "short";
        else {
          cell.className = "long";
          cell.title = cell.textContent;
        }
      }
      return cell;
    }));
    return row;
  }

  drawPager() {
    const total = this.order.length;
    const pages = Math.max(1, Math.ceil(total / this.size));
    this.pager.hidden = total <= SIZES[0];
    const from = this.page * this.size;
    const text = document.createElement("span");
    text.className = "soft";
    text.textContent = `${(from + 1).toLocaleString("en")}–${Math.min(from + this.size, total).toLocaleString("en")} of ${total.toLocaleString("en")}`;
    const go = (words, page, label) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = words;
      button.dataset.go = label;
      button.setAttribute("aria-label", label);
      button.disabled = page < 0 || page >= pages || page === this.page;
      button.addEventListener("click", () => {
        this.page = page;
        this.draw();
        this.frame.scrollTop = 0;
        this.pager.querySelector(`[data-go="${label}"]`)?.focus();
        announce(`Page ${page + 1} of ${pages}`);
      });
      return button;
    };
    const size = document.createElement("select");
    size.setAttribute("aria-label", "Rows on a page");
    size.append(...SIZES.map((each) => new Option(`${each} rows`, String(each), each === this.size, each === this.size)));
    size.addEventListener("change", () => {
      this.page = Math.floor(from / Number(size.value));
      this.size = Number(size.value);
      this.draw();
    });
    this.pager.replaceChildren(
      go("«", 0, "First page"), go("‹", this.page - 1, "Previous page"), text,
      go("›", this.page + 1, "Next page"), go("»", pages - 1, "Last page"), size,
    );
  }

  // Marks the row of a site of the map, if it is on this page.
  mark(index) {
    for (const row of this.table.tBodies[0].rows) row.classList.toggle("marked", Number(row.dataset.index) === index);
  }

  // Turns to the page with a row, and shows it.
  reveal(index) {
    const place = this.order.indexOf(index);
    if (place < 0) return;
    this.page = Math.floor(place / this.size);
    this.draw();
    this.mark(index);
    const row = this.table.querySelector(`tr[data-index="${index}"]`);
    row.scrollIntoView({ block: "nearest", behavior: "smooth" });
    row.querySelector("a").focus({ preventScroll: true });
  }
}

export function shown(value, column) {
  if (value === null || value === undefined) return column.name === "transgenic_line" ? "wild-type" : "";
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (column.kind === "float") return value === 0 ? "0" : Number(value.toPrecision(4)).toLocaleString("en", { maximumSignificantDigits: 4 });
  if (column.kind === "integer") return value.toLocaleString("en");
  return visible(value);
}
