// What can be downloaded, and the picture of the screen.

import { base } from "../shell.js";
import { visible } from "../text.js";
import { addressOf, root } from "./api.js";
import { drawBar } from "./colors.js";

function link(words, address, name) {
  const item = document.createElement("li");
  const found = document.createElement("a");
  found.href = address;
  found.textContent = visible(words);
  if (name) found.download = name;
  item.append(found);
  return item;
}

function list(title, items) {
  const heading = document.createElement("h3");
  heading.textContent = title;
  const found = document.createElement("ul");
  found.append(...items);
  return [heading, found];
}

function nameOf(facts) {
  return (facts.version ?? `experiment-${facts.experiment}`).replace("@", "-");
}

// The whole version or volume in the formats of the library.
function files(sets, facts, state, hasAnnotation) {
  if (!facts.version) {
    const download = (format) => `${base}/v1/volumes/${facts.experiment}/file?${new URLSearchParams({ kind: facts.kind, spacing_um: facts.spacing_um, format })}`;
    return [link("NRRD", download("nrrd")), link("NIfTI", download("nii.gz")), link("NumPy", download("npy"))];
  }
  const download = (format, query = {}) => `${base}/v1/versions/${facts.version}/file?${new URLSearchParams({ format, ...query })}`;
  const found = sets.filter((set) => set.minus === undefined && !set.isEmpty).map((set) => (
    link(`NRRD, ${set.label}`, download("nrrd", set.group === undefined ? { statistic: state.statistic } : { statistic: state.statistic, group: set.group }))
  ));
  found.push(link("netCDF, all groups", download("nc")), link("NumPy, all groups", download("npz")), link("Experiments (CSV)", download("csv")));
  if (hasAnnotation) found.push(link("Means by structure (CSV)", addressOf("regions.csv", { version: facts.version }), `${nameOf(facts)}-regions.csv`));
  return found;
}

// The first image: its address in the format of Neuroglancer, and a link that opens it there.
function showNeuroglancer(set, facts, state, end) {
  const path = facts.version
    ? `version/${facts.version}/${set.query.statistic}/${set.group === undefined ? "all" : `${set.group}${set.minus === undefined ? "" : `-${set.minus}`}`}`
    : `experiment/${facts.experiment}/${facts.kind}/${facts.spacing_um}`;
  const source = `precomputed://${location.origin}${root}/precomputed/${path}`;
  document.getElementById("neuroglancer-address").textContent = visible(source);
  const link = document.getElementById("neuroglancer");
  // It cannot read from a server that requires a token.
  if (!link) return;
  const view = {
    dimensions: Object.fromEntries(["x", "y", "z"].map((axis) => [axis, [facts.spacing_um / 1e6, "m"]])),
    position: state.at.map((um) => um / facts.spacing_um),
    layers: [{
      type: "image", source, name: set.label,
      shaderControls: { normalized: { range: [set.isSigned ? -end : 0, end] } },
    }],
    layout: "4panel",
  };
  link.href = `${link.dataset.site}/#!${encodeURIComponent(JSON.stringify(view))}`;
}

export function fillDownloads(box, { sets, facts, state, draw, hasAnnotation, ends }) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "Picture of the planes (PNG)";
  button.id = "download-picture";
  button.className = "primary";
  button.addEventListener("click", () => save(draw(), `${nameOf(facts)}.png`));
  const planes = sets.filter((set) => !set.isEmpty).flatMap((set) => ["coronal", "sagittal", "horizontal"].map((plane) => {
    const index = Math.floor(state.at[facts.planes[plane].across] / facts.spacing_um);
    return link(`${set.label}, ${plane}`, addressOf("slice.png", { ...set.query, plane, index, zoom: 2 }), `${nameOf(facts)}-${set.key}-${plane}.png`);
  }));
  const parts = [button, ...list("Single planes, one pixel for each voxel", planes)];
  if (facts.spacing_um >= 50) {
    const volumes = sets.filter((set) => set.minus === undefined && !set.isEmpty);
    parts.push(...list("Volumes (NIfTI)", volumes.map((set) => link(set.label, addressOf("volume.nii.gz", set.query), `${nameOf(facts)}-${set.key}.nii.gz`))));
  }
  parts.push(...list("For other programs", files(sets, facts, state, hasAnnotation)));
  box.replaceChildren(...parts);
  showNeuroglancer(sets[0], facts, state, ends[sets[0].isSigned ? 1 : 0]);
}

function save(canvas, name) {
  canvas.toBlob((blob) => {
    const found = document.createElement("a");
    found.href = URL.createObjectURL(blob);
    found.download = name;
    found.click();
    setTimeout(() => URL.revokeObjectURL(found.href), 10_000);
  });
}

const SCALE = 2;
const MARGIN = 16;

// All planes with their labels and color scales on one canvas.
export function picture({ sets, panels, facts, style, colors }) {
  const columns = sets.map((set) => panels.filter((panel) => panel.set === set));
  const width = Math.max(...columns[0].map((panel) => panel.width));
  const heights = columns[0].map((panel) => panel.height);
  const canvas = document.createElement("canvas");
  const full = [MARGIN + columns.length * (width + MARGIN), 64 + heights.reduce((sum, each) => sum + each + MARGIN, 0) + 52];
  canvas.width = full[0] * SCALE;
  canvas.height = full[1] * SCALE;
  const context = canvas.getContext("2d");
  context.scale(SCALE, SCALE);
  context.fillStyle = style.background;
  context.fillRect(0, 0, ...full);
  context.fillStyle = style.ink;
  context.textBaseline = "top";
  context.font = `600 15px ${style.font}`;
  context.fillText(visible(`${facts.version ?? facts.title}: ${facts.quantity}`), MARGIN, 12, full[0] - 2 * MARGIN);
  columns.forEach((parts, column) => {
    const x = MARGIN + column * (width + MARGIN);
    context.fillStyle = style.ink;
    context.font = `600 12px ${style.font}`;
    context.textAlign = "left";
    context.textBaseline = "top";
    const { label, n } = sets[column];
    context.fillText(visible(n === undefined ? label : `${label} (n = ${n})`), x, 38, width);
    let y = 60;
    for (const panel of parts) {
      context.save();
      context.translate(x + (width - panel.width) / 2, y);
      panel.render(context);
      context.restore();
      y += panel.height + MARGIN;
    }
    const scale = colors[sets[column].isSigned ? 1 : 0];
    const isFirst = column === sets.findIndex((set) => set.isSigned === sets[column].isSigned);
    if (isFirst) {
      drawBar(context, scale, { x, y, width: Math.min(width, 320), height: 12, ink: style.ink, background: style.background, font: `11px ${style.font}` });
    }
  });
  return canvas;
}
