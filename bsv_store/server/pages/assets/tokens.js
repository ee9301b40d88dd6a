// A field for several values with suggestions: a combobox, and the chosen values as tokens before it.

import { base } from "./shell.js";
import { visible } from "./text.js";

const WAIT_MS = 120;
const MAX_SHOWN = 12;

export class Tokens {
  constructor(field, onChange) {
    this.field = field;
    this.onChange = onChange;
    this.input = field.querySelector("input");
    this.list = field.querySelector(".suggestions");
    this.chosen = field.querySelector(".tokens");
    this.isIds = field.dataset.form === "ids";
    this.local = field.dataset.values ? JSON.parse(field.dataset.values) : null;
    this.values = [];
    this.options = [];
    this.active = -1;
    this.asked = 0;
    this.input.addEventListener("input", () => this.suggest());
    this.input.addEventListener("focus", () => { if (this.local) this.suggest(); });
    this.input.addEventListener("keydown", (event) => this.key(event));
    this.input.addEventListener("blur", () => this.leave());
    // The input keeps the focus.
    this.list.addEventListener("pointerdown", (event) => event.preventDefault());
    this.list.addEventListener("click", (event) => {
      const option = event.target.closest("[role=option]");
      if (option) this.add(option.dataset.value);
    });
  }

  get() {
    return this.isIds ? this.values.map(Number) : [...this.values];
  }

  set(values) {
    this.values = (values ?? []).map(String);
    this.input.value = "";
    this.close();
    this.draw();
  }

  add(value) {
    const text = value.trim();
    this.input.value = "";
    this.close();
    if (!text || this.values.includes(text)) return;
    this.values.push(text);
    this.draw();
    this.onChange();
  }

  remove(value) {
    this.values = this.values.filter((each) => each !== value);
    this.draw();
    this.input.focus();
    this.onChange();
  }

  draw() {
    this.hint ??= this.input.placeholder;
    this.input.placeholder = this.values.length ? "" : this.hint;
    this.chosen.replaceChildren(...this.values.map((value) => {
      const item = document.createElement("li");
      item.className = "token";
      item.append(visible(value));
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = "×";
      button.setAttribute("aria-label", `Remove ${visible(value)}`);
      button.addEventListener("click", () => this.remove(value));
      item.append(button);
      return item;
    }));
  }

  leave() {
    this.close();
    // A name that was typed and not chosen counts too; the server says if it does not exist.
    if (this.input.value.trim()) this.add(this.input.value);
  }

  close() {
    this.asked += 1;
    this.options = [];
    this.active = -1;
    this.list.hidden = true;
    this.input.setAttribute("aria-expanded", "false");
    this.input.removeAttribute("aria-activedescendant");
  }

  async suggest() {
    const text = this.input.value.trim();
    const asked = ++this.asked;
    if (this.local) {
      const wanted = text.toLowerCase();
      const found = this.local.filter(([value]) => value.toLowerCase().includes(wanted) && !this.values.includes(value));
      this.show(found.slice(0, MAX_SHOWN).map(([value, number]) => (
        { value, detail: number === null ? "" : number.toLocaleString("en") })));
      return;
    }
    if (!text) {
      this.close();
      return;
    }
    await new Promise((resolve) => { setTimeout(resolve, WAIT_MS); });
    if (asked !== this.asked) return;
    try {
      const reply = await fetch(`${base}/v1/structures/find?limit=${MAX_SHOWN}&text=${encodeURIComponent(text)}`);
      if (asked !== this.asked || !reply.ok) return;
      const { structures } = await reply.json();
      if (asked !== this.asked) return;
      this.show(structures.map((each) => ({ value: each.acronym, detail: each.name, color: `#${each.color_hex_triplet}` })));
    } catch (error) {
      console.debug(error);
    }
  }

  show(options) {
    if (options.length === 0) {
      this.close();
      return;
    }
    this.options = options;
    this.active = -1;
    this.list.replaceChildren(...options.map((option, index) => {
      const item = document.createElement("li");
      item.id = `${this.list.id}-${index}`;
      item.setAttribute("role", "option");
      item.setAttribute("aria-selected", "false");
      item.dataset.value = option.value;
      if (option.color) item.append(square(option.color));
      const name = document.createElement("b");
      name.textContent = visible(option.value);
      const detail = document.createElement("span");
      detail.textContent = visible(option.detail);
      item.append(name, detail);
      return item;
    }));
    this.list.hidden = false;
    this.input.setAttribute("aria-expanded", "true");
    this.input.removeAttribute("aria-activedescendant");
  }

  move(step) {
    if (this.options.length === 0) return;
    const count = this.options.length;
    this.active = this.active < 0 ? (step > 0 ? 0 : count - 1) : (this.active + step + count) % count;
    [...this.list.children].forEach((item, index) => item.setAttribute("aria-selected", String(index === this.active)));
    const item = this.list.children[this.active];
    this.input.setAttribute("aria-activedescendant", item.id);
    item.scrollIntoView({ block: "nearest" });
  }

  key(event) {
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      if (this.list.hidden) this.suggest();
      else this.move(event.key === "ArrowDown" ? 1 : -1);
    } else if (event.key === "Enter") {
      event.preventDefault();
      this.add(this.active >= 0 ? this.options[this.active].value : this.input.value);
    } else if (event.key === "Escape") {
      this.close();
    } else if (event.key === "Backspace" && this.input.value === "" && this.values.length > 0) {
      this.remove(this.values.at(-1));
    }
  }
}

export function square(color) {
  const box = document.createElement("i");
  box.className = "square";
  box.setAttribute("aria-hidden", "true");
  box.style.backgroundColor = color;
  return box;
}
