// One image in three dimensions, by NiiVue, which is loaded when it is first used.

import { visible } from "../text.js";
import { addressOf } from "./api.js";

const STEPS = 128;
// Values up to this part of the color scale are not drawn, and the inside of the brain is.
const WEAKEST = 0.08;
// Where the colors of differences start, as a part of the way to the end of the scale.
const PALEST = 0.45;
const FLOAT32 = 16;

function loadScript(address) {
  return new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = address;
    script.addEventListener("load", resolve);
    script.addEventListener("error", () => reject(new Error("the view in three dimensions cannot be loaded")));
    document.head.append(script);
  });
}

async function bytes(address) {
  const reply = await fetch(address);
  if (!reply.ok) {
    const problem = await reply.json();
    throw new Error(problem.detail);
  }
  return reply.arrayBuffer();
}

export class Solid {
  #box;
  #address;
  #viewer = null;
  #shown = null;
  #look = null;
  #values = null;
  #brain = null;
  #turn = Promise.resolve();

  constructor(box, address) {
    this.#box = box;
    this.#address = address;
  }

  // One call after the other: loading takes seconds, and the settings may change meanwhile.
  show(wanted) {
    this.#turn = this.#turn.catch(() => {}).then(() => this.#show(wanted));
    return this.#turn;
  }

  async #show({ set, colors, background, brain }) {
    const key = JSON.stringify(set.query);
    const look = JSON.stringify([key, colors.low, colors.high, colors.scale, colors.map, background]);
    if (this.#look === look) return;
    this.#note("loading …");
    const viewer = await this.#opened(background);
    viewer.opts.backColor = rgb(background);
    const isNew = this.#shown !== key;
    const image = isNew ? await this.#image(set) : viewer.volumes[0];
    if (isNew) this.#values = Float64Array.from(image.img);
    if (brain.isKnown) this.#brain ??= await this.#volume(addressOf("brain.nii.gz", {}), "brain");
    image.img = strengths(this.#values, colors, insideOf(this.#brain, image));
    Object.assign(image.hdr, { datatypeCode: FLOAT32, numBitsPerVoxel: 32, scl_slope: 1, scl_inter: 0 });
    viewer.addColormap("store", niivueColors(colors, brain, false));
    viewer.addColormap("store-negative", niivueColors(colors, brain, true));
    [image.colormap, image.colormapNegative] = ["store", "store-negative"];
    [image.cal_minNeg, image.cal_maxNeg, image.cal_min, image.cal_max] = [-1, 0, 0, 1];
    if (isNew) {
      while (viewer.volumes.length) viewer.removeVolumeByIndex(0);
      viewer.addVolume(image);
      this.#shown = key;
    }
    viewer.updateGLVolume();
    this.#look = look;
    this.#note(`${set.label}: drag to turn, wheel to zoom`);
  }

  async #opened(background) {
    if (this.#viewer) return this.#viewer;
    if (!window.niivue) await loadScript(this.#address);
    const canvas = document.createElement("canvas");
    canvas.setAttribute("aria-label", "View in three dimensions");
    this.#box.append(canvas);
    const { Niivue } = window.niivue;
    const viewer = new Niivue({
      backColor: rgb(background), show3Dcrosshair: false, isColorbar: false, isOrientCube: true, dragAndDropEnabled: false, isResizeCanvas: true, loadingText: "",
      logLevel: "error",
    });
    await viewer.attachToCanvas(canvas);
    viewer.setSliceType(viewer.sliceTypeRender);
    viewer.setRenderAzimuthElevation(140, 25);
    this.#viewer = viewer;
    return viewer;
  }

  async #volume(address, name) {
    const { NVImage } = window.niivue;
    return NVImage.loadFromUrl({ url: await bytes(address), name: `${name}.nii.gz` });
  }

  // The server has no files of differences: they are those of the two groups.
  async #image(set) {
    const { minus, ...query } = set.query;
    const image = await this.#volume(addressOf("volume.nii.gz", query), "image");
    if (minus === undefined) return image;
    const other = await this.#volume(addressOf("volume.nii.gz", { ...query, group: minus }), "other");
    image.img = Float64Array.from(image.img, (value, at) => value - other.img[at]);
    return image;
  }

  #note(text) {
    this.note ??= this.#box.appendChild(document.createElement("p"));
    this.note.textContent = visible(text);
  }
}

function rgb(hex) {
  return [...[1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16) / 255), 1];
}

// Whether the voxels of an image are inside the brain, whose voxels may be larger; null if that is unknown.
function insideOf(brain, image) {
  if (!brain) return null;
  const [, width, height, depth] = image.hdr.dims;
  const [, columns, rows] = brain.hdr.dims;
  const part = columns / width;
  if (part === 1) return brain.img;
  const found = new Uint8Array(width * height * depth);
  for (let z = 0, at = 0; z < depth; z += 1) {
    for (let y = 0; y < height; y += 1) {
      const row = columns * (Math.floor(y * part) + rows * Math.floor(z * part));
      for (let x = 0; x < width; x += 1, at += 1) found[at] = brain.img[row + Math.floor(x * part)];
    }
  }
  return found;
}

// Where values are on the color scale: from 0 to 1, negative ones of differences to -1. Voxels inside the brain whose
// values are not drawn have a place of their own.
function strengths(values, colors, inside) {
  const found = new Float32Array(values.length);
  for (let at = 0; at < values.length; at += 1) {
    const value = colors.shown(values[at]);
    const place = colors.norm(Math.min(Math.max(value, colors.low), colors.high));
    const strength = colors.isSigned ? 2 * place - 1 : place;
    // Comparisons with NaN, which is no data, are false.
    if (Math.abs(strength) > WEAKEST) found[at] = strength;
    else if (inside?.[at]) found[at] = WEAKEST / 2;
  }
  return found;
}

// The colors of strengths from 0 to 1, or to -1. What is strong covers what is weak and behind it.
function niivueColors(colors, brain, isNegative) {
  const found = { R: [], G: [], B: [], A: [], I: [] };
  const fog = rgb(brain.color).map((part) => 255 * part);
  for (let step = 0; step < STEPS; step += 1) {
    const strength = step / (STEPS - 1);
    const vivid = PALEST + (1 - PALEST) * strength;
    const place = colors.isSigned ? (1 + (isNegative ? -vivid : vivid)) / 2 : strength;
    const at = 4 * Math.round(place * (colors.lut.length / 4 - 1));
    const color = strength > WEAKEST ? colors.lut.slice(at, at + 3) : fog;
    ["R", "G", "B"].forEach((name, number) => found[name].push(Math.round(color[number])));
    const drawn = Math.max(0, (strength - WEAKEST) / (1 - WEAKEST)) ** 1.5;
    found.A.push(strength === 0 ? 0 : Math.round(255 * (brain.opacity + (1 - brain.opacity) * drawn)));
    found.I.push(Math.round(255 * strength));
  }
  return found;
}
