// One image in three dimensions, by NiiVue, which is loaded when it is first used.

import { visible } from "../text.js";
import { addressOf } from "./api.js";

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

  async #show({ set, colors, background, hasBrain }) {
    this.#note("loading …");
    const viewer = await this.#opened(background);
    viewer.opts.backColor = rgb(background);
    const key = JSON.stringify(set.query);
    if (this.#shown !== key) {
      const volumes = [];
      if (hasBrain) volumes.push(await this.#volume(addressOf("brain.nii.gz", {}), "brain"));
      volumes.push(await this.#image(set));
      while (viewer.volumes.length) viewer.removeVolumeByIndex(0);
      for (const volume of volumes) viewer.addVolume(volume);
      this.#shown = key;
    }
    const image = viewer.volumes.at(-1);
    viewer.addColormap("store", niivueColors(colors, false));
    viewer.addColormap("store-negative", niivueColors(colors, true));
    image.colormap = "store";
    image.colormapNegative = colors.isSigned ? "store-negative" : "";
    image.cal_min = colors.isSigned ? colors.high / 20 : Math.max(colors.low, colors.high / 15);
    image.cal_max = colors.high;
    if (colors.isSigned) [image.cal_minNeg, image.cal_maxNeg] = [-colors.high / 20, -colors.high];
    if (hasBrain) {
      const brain = viewer.volumes[0];
      brain.colormap = "gray";
      [brain.cal_min, brain.cal_max] = [0.4, 2.5];
      brain.opacity = 0.16;
    }
    viewer.updateGLVolume();
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
    for (let at = 0; at < image.img.length; at += 1) image.img[at] -= other.img[at];
    image.calMinMax();
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

// The colors of a scale from 0 to its end, more opaque toward the end.
function niivueColors(colors, isNegative) {
  const count = 64;
  const found = { R: [], G: [], B: [], A: [], I: [] };
  for (let step = 0; step < count; step += 1) {
    const part = step / (count - 1);
    const value = colors.isSigned ? (isNegative ? -1 : 1) * part * colors.high : colors.low + part * (colors.high - colors.low);
    const at = 4 * Math.round(colors.norm(value) * (colors.lut.length / 4 - 1));
    found.R.push(colors.lut[at]);
    found.G.push(colors.lut[at + 1]);
    found.B.push(colors.lut[at + 2]);
    found.A.push(Math.round(128 * part));
    found.I.push(Math.round(255 * part));
  }
  return found;
}
