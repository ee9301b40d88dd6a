// One plane of one set on a canvas: drawing, and the pointer.

import { clamp } from "./state.js";

export const AXES = ["AP", "DV", "ML"];
const ENDS = [["A", "P"], ["D", "V"], ["L", "R"]];
const TAP_PX = 4;

export class Panel {
  // `shared` has facts, view (position, zoom), style and the functions that pointer events call.
  constructor(set, orientation, shared) {
    this.set = set;
    this.orientation = orientation;
    this.shared = shared;
    Object.assign(this, shared.facts.planes[orientation]);
    this.extent = [shared.facts.extent_um[this.right], shared.facts.extent_um[this.down]];
    this.plane = null;
    this.colors = null;
    this.image = document.createElement("canvas");
    this.canvas = document.createElement("canvas");
    this.canvas.className = "plane";
    this.canvas.tabIndex = 0;
    this.canvas.setAttribute("role", "img");
    this.canvas.dataset.plane = orientation;
    this.canvas.dataset.set = set.key;
    this.pointers = new Map();
    // What is below the cross-hair, drawn again only if it changes.
    this.layer = document.createElement("canvas");
    this.layerKey = "";
    this.version = 0;
    this.#listen();
  }

  resize(pixelsPerUm) {
    this.k = pixelsPerUm;
    this.width = Math.round(this.extent[0] * pixelsPerUm);
    this.height = Math.round(this.extent[1] * pixelsPerUm);
    const ratio = Math.min(window.devicePixelRatio || 1, 3);
    this.canvas.style.width = `${this.width}px`;
    this.canvas.style.height = `${this.height}px`;
    this.canvas.width = Math.round(this.width * ratio);
    this.canvas.height = Math.round(this.height * ratio);
    this.ratio = ratio;
  }

  setPlane(plane) {
    this.plane = plane;
    this.repaint();
  }

  setColors(colors) {
    this.colors = colors;
    this.repaint();
  }

  repaint() {
    if (!this.plane || !this.colors) return;
    const { values, rows, columns } = this.plane;
    if (this.image.width !== columns || this.image.height !== rows) {
      this.image.width = columns;
      this.image.height = rows;
    }
    const pixels = new ImageData(columns, rows);
    this.colors.paint(values, pixels.data);
    this.version += 1;
    this.image.getContext("2d").putImageData(pixels, 0, 0);
    this.draw();
  }

  // The value at a position in um; undefined while it is loaded.
  valueAt(at) {
    if (!this.plane) return undefined;
    const spacing = this.shared.facts.spacing_um;
    const column = Math.floor(at[this.right] / spacing);
    const row = Math.floor(at[this.down] / spacing);
    return this.plane.values[row * this.plane.columns + column];
  }

  // Left and top of what is visible, in um.
  #corner() {
    const { zoom, center } = this.shared.view();
    return [this.right, this.down].map((axis, number) => {
      const part = this.extent[number] / zoom;
      return clamp(center[axis] - part / 2, 0, this.extent[number] - part);
    });
  }

  toPixels(at) {
    const corner = this.#corner();
    const scale = this.k * this.shared.view().zoom;
    return [(at[this.right] - corner[0]) * scale, (at[this.down] - corner[1]) * scale];
  }

  toUm(x, y) {
    const corner = this.#corner();
    const scale = this.k * this.shared.view().zoom;
    const at = [...this.shared.view().at];
    at[this.right] = clamp(corner[0] + x / scale, 0, this.extent[0] - 1);
    at[this.down] = clamp(corner[1] + y / scale, 0, this.extent[1] - 1);
    return at;
  }

  // Draws before the next frame, once for all changes until then.
  draw() {
    this.frame ??= requestAnimationFrame(() => {
      this.frame = null;
      this.#drawNow();
    });
  }

  #drawNow() {
    const look = this.shared.style();
    const corner = this.#corner();
    const key = JSON.stringify([
      this.canvas.width, this.canvas.height, corner, this.shared.view().zoom, this.version, this.shared.anatomy(this.orientation).version, look,
    ]);
    if (key !== this.layerKey) {
      this.layerKey = key;
      this.layer.width = this.canvas.width;
      this.layer.height = this.canvas.height;
      const context = this.layer.getContext("2d");
      context.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
      this.#drawLayer(context, look, corner);
    }
    const context = this.canvas.getContext("2d");
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.drawImage(this.layer, 0, 0);
    context.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    this.#drawOver(context, look);
  }

  // Draws in CSS pixels, for the picture of the whole screen.
  render(context) {
    const look = this.shared.style();
    context.save();
    context.beginPath();
    context.rect(0, 0, this.width, this.height);
    context.clip();
    this.#drawLayer(context, look, this.#corner());
    this.#drawOver(context, look);
    context.restore();
  }

  #drawOver(context, look) {
    if (look.crosshair) this.#drawCrosshair(context, look);
    this.#drawLabels(context, look, this.k * this.shared.view().zoom);
  }

  // The values, and the outlines of structures.
  #drawLayer(context, look, [left, top]) {
    const scale = this.k * this.shared.view().zoom;
    context.fillStyle = look.background;
    context.fillRect(0, 0, this.width, this.height);
    if (this.plane && !this.set.isEmpty) {
      context.imageSmoothingEnabled = look.smooth;
      context.imageSmoothingQuality = "high";
      context.globalAlpha = look.signal;
      context.drawImage(this.image, -left * scale, -top * scale, this.extent[0] * scale, this.extent[1] * scale);
      context.globalAlpha = 1;
    }
    const drawn = this.shared.anatomy(this.orientation);
    context.save();
    context.scale(scale, scale);
    context.translate(-left, -top);
    context.lineJoin = "round";
    if (drawn.outlines && look.line > 0) {
      context.strokeStyle = look.lineColor;
      context.globalAlpha = look.line;
      context.lineWidth = 0.9 / scale;
      context.stroke(drawn.outlines);
    }
    if (drawn.structure) {
      context.globalAlpha = 0.16;
      context.fillStyle = drawn.color;
      context.fill(drawn.structure, "evenodd");
      context.globalAlpha = 1;
      context.strokeStyle = drawn.edge;
      context.lineWidth = 2 / scale;
      context.stroke(drawn.structure);
    }
    context.restore();
    context.globalAlpha = 1;
  }

  #drawCrosshair(context, look) {
    const [x, y] = this.toPixels(this.shared.view().at);
    context.strokeStyle = look.accent;
    context.globalAlpha = 0.75;
    context.lineWidth = 1;
    const gap = 7;
    context.beginPath();
    const [px, py] = [Math.round(x) + 0.5, Math.round(y) + 0.5];
    for (const [from, to] of [[0, px - gap], [px + gap, this.width]]) {
      if (to > from) {
        context.moveTo(from, py);
        context.lineTo(to, py);
      }
    }
    for (const [from, to] of [[0, py - gap], [py + gap, this.height]]) {
      if (to > from) {
        context.moveTo(px, from);
        context.lineTo(px, to);
      }
    }
    context.stroke();
    context.globalAlpha = 1;
  }

  #drawLabels(context, look, scale) {
    const isSmall = this.width < 240;
    // An edge in the color of the background keeps words legible over values and outlines.
    context.strokeStyle = look.background;
    context.lineWidth = 3;
    context.lineJoin = "round";
    const write = (words, x, y) => {
      context.strokeText(words, x, y);
      context.fillText(words, x, y);
    };
    const size = isSmall ? 10.5 : 12;
    context.fillStyle = look.muted;
    context.font = `600 ${size}px ${look.font}`;
    context.textBaseline = "middle";
    const half = this.shared.facts.halves;
    const words = (axis, end) => (axis === 2 && half[0] !== "left" ? (half[end].startsWith("ipsi") ? "ipsi" : "contra") : ENDS[axis][end]);
    context.textAlign = "left";
    write(words(this.right, 0), 6, this.height / 2);
    context.textAlign = "right";
    write(words(this.right, 1), this.width - 6, this.height / 2);
    context.textAlign = "center";
    context.textBaseline = "bottom";
    write(words(this.down, 1), this.width / 2, this.height - 4);
    context.textAlign = "left";
    context.textBaseline = "top";
    context.fillStyle = look.ink;
    const position = `${AXES[this.across]} ${(this.shared.position(this.across) / 1000).toFixed(2)} mm`;
    write(position, 6, 6);
    if (this.set.isEmpty) {
      context.textAlign = "center";
      context.fillStyle = look.muted;
      write("no experiments", this.width / 2, this.height / 2 + 14);
    } else if (!this.plane) {
      context.textAlign = "center";
      context.fillStyle = look.muted;
      write("loading …", this.width / 2, this.height / 2 + 14);
    }
    this.#drawScaleBar(context, look, scale, size, write);
  }

  #drawScaleBar(context, look, scale, size, write) {
    const length = [5000, 2000, 1000, 500, 200, 100, 50].find((um) => um * scale <= this.width * 0.22) ?? 50;
    const width = length * scale;
    const [x, y] = [this.width - 8 - width, this.height - 9];
    context.fillStyle = look.ink;
    context.fillRect(x, y, width, 2);
    context.font = `${size - 1}px ${look.font}`;
    context.textAlign = "center";
    context.textBaseline = "bottom";
    write(length >= 1000 ? `${length / 1000} mm` : `${length} um`, x + width / 2, y - 2);
  }

  // -- pointer ------------------------------------------------------------------------------------------------

  #listen() {
    const { canvas } = this;
    canvas.addEventListener("pointerdown", (event) => this.#down(event));
    canvas.addEventListener("pointermove", (event) => this.#move(event));
    for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, (event) => this.#up(event));
    canvas.addEventListener("pointerleave", () => this.shared.onHover(null));
    canvas.addEventListener("focus", () => this.shared.onSelect(this.orientation));
    canvas.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    // One finger scrolls the page up and down (touch-action), two are for the image alone.
    for (const name of ["touchstart", "touchmove"]) {
      canvas.addEventListener(name, (event) => {
        if (event.touches.length > 1 && event.cancelable) event.preventDefault();
      }, { passive: false });
    }
  }

  #place(event) {
    const box = this.canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  #down(event) {
    if (event.button !== 0) return;
    this.canvas.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, this.#place(event));
    this.isPanning = event.shiftKey;
    this.isPinch = this.pointers.size > 1;
    this.shared.onSelect(this.orientation);
    this.canvas.focus({ preventScroll: true });
    // A finger may be the first of two: the cross-hair moves when it moves or leaves.
    if (!this.isPinch && !this.isPanning && event.pointerType !== "touch") this.shared.onMove(this.toUm(...this.#place(event)));
    event.preventDefault();
  }

  #move(event) {
    const place = this.#place(event);
    const before = this.pointers.get(event.pointerId);
    if (!before) {
      if (event.pointerType !== "touch") this.shared.onHover(this, this.toUm(...place), event);
      return;
    }
    if (this.pointers.size === 2) {
      this.#pinch(event.pointerId, before, place);
      return;
    }
    if (this.isPinch) return;
    if (this.isPanning) {
      this.shared.onPan(this.#shift(before, place));
      this.pointers.set(event.pointerId, place);
      return;
    }
    if (event.pointerType === "touch" && !this.isDragging) {
      const [right, down] = [0, 1].map((axis) => Math.abs(place[axis] - before[axis]));
      // A finger that starts upward or downward scrolls the page.
      if (right < TAP_PX || right < down) return;
    }
    this.isDragging = true;
    this.shared.onMove(this.toUm(...place));
    this.pointers.set(event.pointerId, place);
  }

  // How far the center moves if the image follows the pointer.
  #shift(before, after) {
    const scale = this.k * this.shared.view().zoom;
    const shift = [0, 0, 0];
    shift[this.right] = (before[0] - after[0]) / scale;
    shift[this.down] = (before[1] - after[1]) / scale;
    return shift;
  }

  #pinch(id, before, place) {
    const other = [...this.pointers].find(([each]) => each !== id)[1];
    const distance = (point) => Math.hypot(point[0] - other[0], point[1] - other[1]);
    const middle = [0, 1].map((axis) => (place[axis] + other[axis]) / 2);
    const old = [0, 1].map((axis) => (before[axis] + other[axis]) / 2);
    this.shared.onPan(this.#shift(old, middle));
    this.shared.onZoom(distance(place) / Math.max(distance(before), 1), this.toUm(...middle));
    this.pointers.set(id, place);
  }

  #up(event) {
    if (!this.pointers.has(event.pointerId)) return;
    if (!this.isPinch && !this.isPanning && event.type === "pointerup") this.shared.onMove(this.toUm(...this.#place(event)), true);
    this.pointers.delete(event.pointerId);
    if (this.pointers.size === 0) {
      this.isPinch = false;
      this.isDragging = false;
      this.shared.onEnd();
    }
  }

  #wheel(event) {
    event.preventDefault();
    if (event.ctrlKey || event.metaKey) {
      this.shared.onZoom(Math.exp(-clamp(event.deltaY, -60, 60) / 150), this.toUm(...this.#place(event)));
      return;
    }
    this.shared.onWheel(this.orientation, event.deltaY);
  }
}
