// The injection sites on three views of the brain. Points are drawn on a canvas above the outlines.

import { visible } from "./text.js";

const RADIUS = 3.2;
const REACH = 12;
const AXES = { AP: "injection_ap", DV: "injection_dv", ML: "injection_ml" };

export class InjectionMap {
  constructor(section, { onHover, onChoose }) {
    this.site = section.querySelector("#site");
    this.canvases = [...section.querySelectorAll("canvas")];
    this.onHover = onHover;
    this.onChoose = onChoose;
    this.rows = null;
    this.marked = -1;
    this.place = -1;
    const redraw = new ResizeObserver(() => this.draw());
    for (const canvas of this.canvases) {
      redraw.observe(canvas);
      canvas.addEventListener("pointermove", (event) => this.point(canvas, event, this.onHover));
      canvas.addEventListener("pointerleave", () => this.onHover(-1));
      canvas.addEventListener("click", (event) => this.point(canvas, event, (index) => { if (index >= 0) this.onChoose(index); }));
      canvas.addEventListener("keydown", (event) => this.key(event));
    }
    document.addEventListener("themechange", () => this.draw());
  }

  fill(rows, colors) {
    this.rows = rows;
    this.colors = colors;
    this.marked = -1;
    this.place = -1;
    const count = rows.experiment_id.length;
    // Large injections first, so that small ones stay visible.
    this.order = Array.from({ length: count }, (_, index) => index)
      .filter((index) => Object.values(AXES).every((name) => rows[name][index] !== null));
    this.order.sort((a, b) => (rows.injection_volume[b] ?? 0) - (rows.injection_volume[a] ?? 0));
    const left = count - this.order.length;
    this.rest = `${this.order.length.toLocaleString("en")} injection sites${left ? `; ${left.toLocaleString("en")} have no coordinate` : ""}.`;
    this.describe();
    this.draw();
  }

  describe() {
    if (this.marked < 0) {
      this.site.textContent = this.rest ?? "";
      return;
    }
    const value = (name) => this.rows[name][this.marked];
    const volume = value("injection_volume");
    this.site.textContent = visible([
      `${value("experiment_id")}: ${value("primary_structure")}`,
      value("transgenic_line") ?? "wild-type",
      ...(volume === null ? [] : [`${volume.toPrecision(3)} mm³`]),
      `AP ${value("injection_ap")}, DV ${value("injection_dv")}, ML ${value("injection_ml")} um`,
    ].join(" · "));
  }

  mark(index) {
    if (index === this.marked) return;
    this.marked = index;
    this.describe();
    this.draw();
  }

  position(canvas, index) {
    const { right, down, width, height } = canvas.dataset;
    return [
      (this.rows[AXES[right]][index] / Number(width)) * canvas.clientWidth,
      (this.rows[AXES[down]][index] / Number(height)) * canvas.clientHeight,
    ];
  }

  radius(canvas, index) {
    // The area is proportional to the volume, within limits.
    const volume = this.rows.injection_volume[index] ?? 0.1;
    const size = Math.min(3, Math.max(0.6, Math.sqrt(volume / 0.2)));
    // Smaller where there are many, and on small screens.
    const crowd = Math.min(1, Math.max(0.5, (250 / this.order.length) ** 0.3));
    return size * RADIUS * crowd * Math.min(1, canvas.clientWidth / 320 + 0.2);
  }

  draw() {
    if (!this.rows) return;
    const style = getComputedStyle(document.documentElement);
    const ink = style.getPropertyValue("color");
    for (const canvas of this.canvases) {
      const ratio = devicePixelRatio || 1;
      const [width, height] = [canvas.clientWidth, canvas.clientHeight];
      if (width === 0) continue;
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
      const pen = canvas.getContext("2d");
      pen.scale(ratio, ratio);
      for (const index of this.order) {
        const [x, y] = this.position(canvas, index);
        pen.beginPath();
        pen.arc(x, y, this.radius(canvas, index), 0, 7);
        pen.globalAlpha = this.marked < 0 ? 0.85 : 0.3;
        pen.fillStyle = this.colors[this.rows.primary_structure_id[index]] ?? "#8a929e";
        pen.fill();
        pen.globalAlpha = this.marked < 0 ? 0.75 : 0.25;
        pen.lineWidth = this.order.length > 500 ? 0.4 : 0.75;
        pen.strokeStyle = ink || "#000";
        pen.stroke();
      }
      pen.globalAlpha = 1;
      if (this.marked >= 0 && this.rows.injection_ap[this.marked] !== null) {
        const [x, y] = this.position(canvas, this.marked);
        pen.beginPath();
        pen.arc(x, y, this.radius(canvas, this.marked) + 1.5, 0, 7);
        pen.fillStyle = this.colors[this.rows.primary_structure_id[this.marked]] ?? "#8a929e";
        pen.fill();
        pen.lineWidth = 2;
        pen.strokeStyle = ink || "#000";
        pen.stroke();
      }
    }
  }

  point(canvas, event, report) {
    if (!this.rows) return;
    const box = canvas.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    let best = -1;
    let nearest = REACH * REACH;
    for (const index of this.order) {
      const [left, top] = this.position(canvas, index);
      const distance = (left - x) ** 2 + (top - y) ** 2;
      if (distance <= nearest) {
        nearest = distance;
        best = index;
      }
    }
    canvas.classList.toggle("over", best >= 0);
    report(best);
  }

  // Arrows go through the sites from front to back, Enter shows the row.
  key(event) {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (step !== undefined && this.order?.length) {
      event.preventDefault();
      const along = [...this.order].sort((a, b) => this.rows.injection_ap[a] - this.rows.injection_ap[b] || a - b);
      this.place = (this.place + step + along.length) % along.length;
      this.onHover(along[this.place]);
    } else if (event.key === "Enter" && this.marked >= 0) {
      this.onChoose(this.marked);
    } else if (event.key === "Escape") {
      this.onHover(-1);
    }
  }
}
