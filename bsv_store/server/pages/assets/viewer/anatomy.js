// Structures: names and colors, their ids in planes, and their outlines.

import { json, plane } from "./api.js";

export class Anatomy {
  constructor(rows, spacings) {
    this.byId = new Map();
    this.byName = new Map();
    this.hasAnnotation = spacings.length > 0;
    this.spacing = [25, 10, 50, 100].find((each) => spacings.includes(each)) ?? null;
    for (const [id, acronym, name, color, parent] of rows) {
      const row = { id, acronym, name, color, parent };
      this.byId.set(id, row);
      this.byName.set(acronym, row);
      this.byName.set(`${acronym} · ${name}`, row);
    }
    // Names after acronyms, so that no name hides an acronym.
    for (const [, acronym, name] of rows) {
      if (!this.byName.has(name)) this.byName.set(name, this.byName.get(acronym));
    }
  }

  get rows() {
    return [...this.byId.values()];
  }

  // The structure that a text names: an acronym, a full name, or the only one that begins with it.
  named(text) {
    const wanted = text.trim();
    if (this.byName.has(wanted)) return this.byName.get(wanted);
    const folded = wanted.toLowerCase();
    if (!folded) return null;
    const same = this.rows.filter((row) => row.acronym.toLowerCase() === folded || row.name.toLowerCase() === folded);
    if (same.length) return same[0];
    return this.rows.find((row) => row.acronym.toLowerCase().startsWith(folded) || row.name.toLowerCase().includes(folded)) ?? null;
  }

  ids(orientation, at) {
    return plane("annotation", { plane: orientation, index: Math.floor(at / this.spacing) });
  }

  outlines(orientation, at, level) {
    return json("outlines", { plane: orientation, index: Math.floor(at / this.spacing), level });
  }

  outlinesOf(orientation, at, acronym) {
    return json("outlines", { plane: orientation, index: Math.floor(at / this.spacing), structure: acronym });
  }

  path(id) {
    const found = [];
    for (let row = this.byId.get(id); row; row = this.byId.get(row.parent)) found.push(row);
    return found;
  }
}
