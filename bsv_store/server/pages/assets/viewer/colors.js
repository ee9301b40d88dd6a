// Colors of values, as in the figures: color maps, scales, and fading toward 0.

const FIRST_COLOR = 0.12;
const FADE = 0.16;
const DECADES = 3;
const STEPS = 1024;
const LABEL_GAP_PX = 6;

let tables = null;

export function setColors(document) {
  tables = document;
}

export function themeOf(name) {
  return tables.themes[name];
}

export function mapNames() {
  return Object.keys(tables.maps);
}

function table(name) {
  const isReversed = name.endsWith("_r");
  const text = tables.maps[isReversed ? name.slice(0, -2) : name];
  const found = [];
  for (let at = 0; at < text.length; at += 6) {
    found.push([0, 2, 4].map((part) => parseInt(text.slice(at + part, at + part + 2), 16)));
  }
  return isReversed ? found.reverse() : found;
}

export function isMap(name) {
  return name.replace(/_r$/, "") in tables.maps;
}

// Maps values to 0..1.
function norm({ low, high, scale, isSigned }) {
  if (scale === "linear") return (value) => (value - low) / (high - low);
  if (scale === "power") {
    if (isSigned) return (value) => (Math.sign(value) * Math.sqrt(Math.abs(value) / high) + 1) / 2;
    return (value) => Math.sqrt((value - low) / (high - low));
  }
  if (!isSigned) {
    const start = Math.log10(low);
    const width = Math.log10(high) - start;
    return (value) => (Math.log10(value) - start) / width;
  }
  const threshold = high / 10 ** DECADES;
  const placed = (value) => {
    const scaled = Math.abs(value) / threshold;
    return Math.sign(value) * (scaled <= 1 ? scaled / 0.9 : 1 / 0.9 + Math.log10(scaled));
  };
  const end = placed(high);
  return (value) => (placed(value) + end) / (2 * end);
}

export class Colors {
  constructor({ low, high, scale, isSigned, map, noData, isProbability = false }) {
    Object.assign(this, { low, high, scale, isSigned, map, isProbability });
    this.norm = norm(this);
    this.lut = new Uint8ClampedArray(4 * STEPS);
    const colors = table(map);
    for (let step = 0; step < STEPS; step += 1) {
      const at = step / (STEPS - 1);
      const where = isSigned ? at : FIRST_COLOR + (1 - FIRST_COLOR) * at;
      const color = colors[Math.min(Math.floor(where * colors.length), colors.length - 1)];
      const strength = isSigned ? Math.abs(2 * at - 1) : at;
      this.lut.set([...color, Math.round(255 * Math.min(strength / FADE, 1))], 4 * step);
    }
    this.noData = [1, 3, 5].map((part) => parseInt(noData.slice(part, part + 2), 16));
  }

  // What is colored: the value, or of a probability its negative logarithm.
  shown(value) {
    if (!this.isProbability) return value;
    return Number.isNaN(value) ? 0 : -Math.log10(Math.max(value, 1.1754944e-38));
  }

  paint(values, pixels) {
    const { lut, low, high, noData } = this;
    const place = this.norm;
    // At the lower end nothing is drawn, and most voxels are there.
    const floor = this.isSigned ? NaN : low;
    for (let index = 0, at = 0; index < values.length; index += 1, at += 4) {
      const value = this.isProbability ? this.shown(values[index]) : values[index];
      if (value <= floor) {
        pixels[at + 3] = 0;
      } else if (value !== value) {
        pixels[at] = noData[0];
        pixels[at + 1] = noData[1];
        pixels[at + 2] = noData[2];
        pixels[at + 3] = 255;
      } else {
        const clipped = value < low ? low : value > high ? high : value;
        const step = 4 * Math.round(place(clipped) * (STEPS - 1));
        pixels[at] = lut[step];
        pixels[at + 1] = lut[step + 1];
        pixels[at + 2] = lut[step + 2];
        pixels[at + 3] = lut[step + 3];
      }
    }
  }

  // Values to be labeled, evenly spread over the colors and rounded.
  ticks() {
    const inner = [0.25, 0.5, 0.75].map((at) => this.#inverse(at)).map((value) => (
      Math.abs(value) < this.high * 1e-9 ? 0 : Number(value.toPrecision(1))
    ));
    const far = inner.filter((value) => {
      const at = this.norm(value);
      return value > this.low && value < this.high && at > 0.14 && at < 0.86;
    });
    return [this.low, ...new Set(far), this.high];
  }

  #inverse(at) {
    let [low, high] = [this.low, this.high];
    for (let round = 0; round < 60; round += 1) {
      const middle = (low + high) / 2;
      if (this.norm(middle) < at) low = middle;
      else high = middle;
    }
    return low;
  }
}

export function short(value, digits = 3) {
  if (value === 0) return "0";
  if (!Number.isFinite(value)) return "no data";
  const size = Math.abs(value);
  if (size >= 1e5 || size < 1e-3) return value.toExponential(digits - 1).replace("e+", "e").replace("-", "−").replace("e-", "e−");
  return String(Number(value.toPrecision(digits))).replace("-", "−");
}

// A horizontal bar with its labels.
export function drawBar(context, colors, { x, y, width, height, ink, background, font }) {
  const bar = document.createElement("canvas");
  bar.width = STEPS;
  bar.height = 1;
  bar.getContext("2d").putImageData(new ImageData(new Uint8ClampedArray(colors.lut), STEPS, 1), 0, 0);
  context.fillStyle = background;
  context.fillRect(x, y, width, height);
  context.drawImage(bar, x, y, width, height);
  context.strokeStyle = ink;
  context.globalAlpha = 0.5;
  context.lineWidth = 1;
  context.strokeRect(x + 0.5, y + 0.5, width - 1, height - 1);
  context.globalAlpha = 1;
  context.fillStyle = ink;
  context.font = font;
  context.textBaseline = "top";
  const labels = colors.ticks().map((value) => {
    const [at, text] = [colors.norm(value), short(value, 2)];
    const size = context.measureText(text).width;
    const left = x + at * width - size * (at < 0.05 ? 0 : at > 0.95 ? 1 : 0.5);
    return { text, left, right: left + size };
  });
  // The ends first; of the others, those that fit between.
  const shown = [];
  for (const label of [labels[0], labels.at(-1), ...labels.slice(1, -1)].filter(Boolean)) {
    if (shown.some((each) => label.left < each.right + LABEL_GAP_PX && each.left < label.right + LABEL_GAP_PX)) continue;
    shown.push(label);
  }
  context.textAlign = "left";
  for (const { text, left } of shown) context.fillText(text, left, y + height + 4);
}
