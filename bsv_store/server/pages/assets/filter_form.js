// The form of a selection: its values as criteria, and criteria as its values.

import { Tokens } from "./tokens.js";

// On narrow screens the form is above the results, so its sections stay closed.
export const isWide = matchMedia("(min-width: 901px)");
const CONVERTED = { number: Number, spacing: Number };

export class FilterForm {
  constructor(form, onChange) {
    this.form = form;
    this.onChange = onChange;
    this.fields = [...form.querySelectorAll("[data-criterion]")];
    this.tokens = new Map();
    for (const field of this.fields) {
      if (field.querySelector("[role=combobox]")) {
        this.tokens.set(field, new Tokens(field, () => this.changed()));
      }
    }
    this.defaults = new Map(this.fields.map((field) => [field, this.raw(field)]));
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("change", (event) => {
      if (event.target.getAttribute("role") !== "combobox") this.changed();
    });
    let timer = 0;
    form.addEventListener("input", (event) => {
      // While typing; a select or a box reports a change.
      if (!event.target.matches("input[type=number], textarea")) return;
      clearTimeout(timer);
      timer = setTimeout(() => this.changed(), 500);
    });
  }

  changed() {
    this.arrange();
    const text = JSON.stringify(this.criteria());
    if (text === this.last) return;
    this.last = text;
    this.onChange();
  }

  // The value of a field; undefined if it does not restrict anything.
  raw(field) {
    const form = field.dataset.form;
    if (this.tokens.has(field)) {
      const values = this.tokens.get(field).get();
      return values.length ? values : undefined;
    }
    if (form === "names") {
      const values = [...field.querySelectorAll("input:checked")].map((box) => box.value);
      return values.length ? values : undefined;
    }
    if (form === "flag") {
      const box = field.querySelector("input[type=checkbox]");
      if (box) return box.checked ? true : undefined;
      const chosen = field.querySelector("select").value;
      return chosen === "" ? undefined : chosen === "true";
    }
    if (form === "ids") {
      const ids = field.querySelector("textarea").value.match(/\d+/g);
      return ids ? ids.map(Number) : undefined;
    }
    if (form === "point") {
      const numbers = [...field.querySelectorAll("input")].map((input) => input.valueAsNumber);
      return numbers.some(Number.isNaN) ? undefined : numbers;
    }
    if (form === "box") {
      const numbers = [...field.querySelectorAll("input")].map((input) => input.valueAsNumber);
      const pairs = [0, 2, 4].map((at) => {
        const [low, high] = [numbers[at], numbers[at + 1]];
        return Number.isNaN(low) || Number.isNaN(high) ? null : [low, high];
      });
      return pairs.every((pair) => pair === null) ? undefined : pairs;
    }
    const control = field.querySelector("input, select");
    if (control.value.trim() === "") return undefined;
    return form in CONVERTED ? CONVERTED[form](control.value) : control.value;
  }

  // What the fields select, without what has its default.
  criteria() {
    const found = {};
    for (const field of this.fields) {
      const value = this.raw(field);
      const isDefault = value === undefined || value === this.defaults.get(field);
      if (!isDefault && !field.closest("[hidden]")) found[field.dataset.criterion] = value;
    }
    // A point without a radius would be an error while it is being typed.
    if ((found.near === undefined) !== (found.radius_um === undefined)) {
      delete found.near;
      delete found.radius_um;
    }
    return found;
  }

  fill(criteria) {
    for (const field of this.fields) {
      const value = criteria[field.dataset.criterion];
      this.put(field, value === undefined ? this.defaults.get(field) : value);
    }
    this.arrange();
    const given = this.criteria();
    for (const section of this.form.querySelectorAll("details")) {
      const fields = [...section.querySelectorAll("[data-criterion]")];
      if (isWide.matches && fields.some((field) => field.dataset.criterion in given)) section.open = true;
    }
    this.last = JSON.stringify(given);
  }

  put(field, value) {
    const form = field.dataset.form;
    const list = value === undefined ? [] : Array.isArray(value) ? value : [value];
    if (this.tokens.has(field)) {
      this.tokens.get(field).set(list);
    } else if (form === "names") {
      for (const box of field.querySelectorAll("input")) box.checked = list.includes(box.value);
    } else if (form === "flag") {
      const box = field.querySelector("input[type=checkbox]");
      if (box) box.checked = value === true;
      else field.querySelector("select").value = value === undefined ? "" : String(value);
    } else if (form === "ids") {
      field.querySelector("textarea").value = list.join(", ");
    } else if (form === "point") {
      field.querySelectorAll("input").forEach((input, at) => { input.value = list[at] ?? ""; });
    } else if (form === "box") {
      field.querySelectorAll("input").forEach((input, at) => { input.value = list[at >> 1]?.[at % 2] ?? ""; });
    } else {
      field.querySelector("input, select").value = value === undefined ? "" : String(value);
    }
  }

  // Shows the criteria that belong to one that is set, and counts the set ones of each section.
  arrange() {
    for (const group of this.form.querySelectorAll("[data-belongs-to]")) {
      const owner = this.fields.find((field) => field.dataset.criterion === group.dataset.belongsTo);
      group.hidden = this.raw(owner) === undefined;
    }
    const given = this.criteria();
    for (const section of this.form.querySelectorAll("details")) {
      const names = [...section.querySelectorAll("[data-criterion]")].map((field) => field.dataset.criterion);
      const count = names.filter((name) => name in given).length;
      const badge = section.querySelector(".count");
      badge.hidden = count === 0;
      badge.textContent = count === 0 ? "" : String(count);
      badge.setAttribute("aria-label", `${count} set`);
    }
  }

  mark(message) {
    // Errors of the library begin with the name of the criterion.
    const name = message ? message.match(/^[a-z_]+/)?.[0] : undefined;
    for (const field of this.fields) {
      for (const control of field.querySelectorAll("input, select, textarea")) {
        if (field.dataset.criterion === name) control.setAttribute("aria-invalid", "true");
        else control.removeAttribute("aria-invalid");
      }
    }
  }
}
