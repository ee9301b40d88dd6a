// The slice viewer: loads what the address names, and keeps the address, the controls and the planes in step.

import { announce, copyText } from "../shell.js";
import { visible } from "../text.js";
import { Anatomy } from "./anatomy.js";
import { Latest, json, plane as loadPlane } from "./api.js";
import { Colors, drawBar, isMap, mapNames, setColors, short, themeOf } from "./colors.js";
import { fillDownloads, picture } from "./downloads.js";
import { AXES, Panel } from "./panel.js";
import { command, python } from "./snippets.js";
import { DEFAULTS, absentFrom, arrayOf, clamp, hasGroups, parsed, query, shownSets } from "./state.js";

const ORIENTATIONS = ["coronal", "sagittal", "horizontal"];
const MAX_SETS = 12;
const NARROW_PX = 640;

const viewer = document.getElementById("viewer");
const stage = document.getElementById("stage");
const status = document.getElementById("viewer-status");
const hover = document.getElementById("hover");
const byId = (id) => document.getElementById(id);

let facts;
let anatomy;
let state;
let sets = [];
let panels = [];
let limits = { vmax: 1, dmax: 1, isFound: false };
let solid = null;
const drawn = Object.fromEntries(ORIENTATIONS.map((each) => [each, {}]));
const ids = {};

// -- start ------------------------------------------------------------------------------------------------------

start().catch(fail);

async function start() {
  const given = new URLSearchParams(location.search);
  const source = given.has("version")
    ? { version: given.get("version") }
    : { experiment: given.get("experiment"), kind: given.get("kind"), spacing_um: given.get("spacing_um") };
  const [found, rows, colors] = await Promise.all([json("info", source), json("structures"), json("colors")]);
  facts = found;
  setColors(colors);
  anatomy = new Anatomy(rows, facts.annotations);
  state = stateOfAddress();
  state.at ??= await firstPosition();
  makeControls();
  build();
  showControls();
  listen();
  setSolid();
  showAbsent();
  viewer.dataset.ready = "true";
}

// Where to start: the middle of the brain, a little to the right of the midline.
async function firstPosition() {
  return facts.extent_um.map((extent, axis) => snapped([0.56, 0.3, 0.64][axis] * extent));
}

function stateOfAddress() {
  const found = parsed(location.search, facts);
  return isMap(found.map) ? found : { ...found, map: DEFAULTS.map };
}

function showAbsent() {
  const absent = absentFrom(location.search, facts).join(", ");
  byId("address-problem").textContent = absent && visible(`${facts.version} does not have what the address names: ${absent}.`);
}

function snapped(um) {
  return (Math.floor(um / facts.spacing_um) + 0.5) * facts.spacing_um;
}

function wordsOf(error) {
  return error.hint ? `${error.message}. ${error.hint}` : error.message;
}

function fail(error) {
  console.debug(error);
  status.textContent = visible(wordsOf(error));
  status.classList.add("problem");
}

function clearFailure() {
  if (!status.classList.contains("problem")) return;
  status.classList.remove("problem");
  status.textContent = "";
}

// -- address ----------------------------------------------------------------------------------------------------

let written = "";
let timer = 0;

function writeAddress({ isStep = false } = {}) {
  clearTimeout(timer);
  const write = () => {
    const text = `?${query(state, facts)}`;
    if (text === written) return;
    history[isStep ? "pushState" : "replaceState"](null, "", text);
    written = text;
  };
  if (isStep) write();
  // Browsers limit how often the address may change.
  else timer = setTimeout(write, 250);
}

window.addEventListener("popstate", () => {
  clearTimeout(timer);
  if (!facts) return;
  const before = state;
  state = stateOfAddress();
  state.at ??= before.at;
  written = location.search;
  build();
  showControls();
  setSolid();
  showAbsent();
});

// -- panels -----------------------------------------------------------------------------------------------------

function theme() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
}

let font = null;

function style() {
  const look = themeOf(theme());
  font ??= getComputedStyle(document.body).fontFamily;
  return {
    background: look.background,
    ink: look.ink,
    muted: look.muted,
    lineColor: look.line,
    noData: look.no_data,
    accent: theme() === "dark" ? "#7cb8f0" : "#0b5cad",
    font,
    line: state.outlines === null ? 0 : state.line,
    signal: state.signal,
    smooth: state.smooth,
    crosshair: state.crosshair,
  };
}

function indexOf(axis) {
  return clamp(Math.floor(state.at[axis] / facts.spacing_um), 0, facts.shape[axis] - 1);
}

// The center of the plane of voxels, um.
function position(axis) {
  return (indexOf(axis) + 0.5) * facts.spacing_um;
}

const shared = {
  get facts() { return facts; },
  view: () => ({ at: state.at, zoom: state.zoom, center: state.center ?? state.at }),
  style,
  position,
  anatomy: (orientation) => drawn[orientation],
  onMove: (at, isEnd = false) => move(at, { isEnd }),
  onEnd: () => writeAddress(),
  onPan: pan,
  onZoom: zoom,
  onHover: showHover,
  onSelect: select,
  onWheel: wheel,
};

function build() {
  sets = shownSets(state, facts);
  const isTooMany = sets.length > MAX_SETS;
  sets = sets.slice(0, MAX_SETS);
  // It may be among the planes that are replaced.
  stage.after(byId("solid"));
  stage.textContent = "";
  const isSolid = state.view === "solid" && facts.spacing_um >= 50;
  stage.className = `stage ${sets.length === 1 ? "one" : "several"}${isSolid ? " with-solid" : ""}`;
  panels = [];
  for (const set of sets) {
    const section = document.createElement("section");
    section.className = "set";
    section.dataset.set = set.key;
    const title = document.createElement("h2");
    const words = document.createElement("span");
    words.textContent = visible(set.label);
    title.append(words);
    if (set.n !== undefined) {
      const count = document.createElement("small");
      count.textContent = `n = ${set.n}`;
      title.append(count);
    }
    section.append(title);
    const planes = document.createElement("div");
    planes.className = "planes";
    for (const orientation of ORIENTATIONS) {
      const panel = new Panel(set, orientation, shared);
      panel.loader = new Latest((index) => load(panel, index));
      panel.canvas.setAttribute("aria-label", visible(`${orientation} plane, ${set.label}`));
      panels.push(panel);
      const cell = document.createElement("div");
      cell.className = `cell ${orientation}`;
      cell.append(panel.canvas);
      planes.append(cell);
    }
    section.append(planes);
    stage.append(section);
  }
  clearFailure();
  placeSolid();
  if (isTooMany) status.textContent = `Only the first ${MAX_SETS} of the chosen images are shown.`;
  layout();
  setColorsOf();
  findLimits().catch(fail);
  refresh();
}

function layout() {
  if (!facts) return;
  const [ap, dv, ml] = facts.extent_um;
  const available = stage.clientWidth;
  stage.style.setProperty("--plane", style().background);
  const isNarrow = window.innerWidth < NARROW_PX;
  let scale;
  if (sets.length === 1 && !isNarrow) {
    // The horizontal plane is beside the two others, or below the coronal plane if the view in three dimensions is open.
    const isSolid = stage.classList.contains("with-solid");
    const height = Math.max(420, window.innerHeight - stage.getBoundingClientRect().top - window.scrollY - 60);
    scale = Math.min((available - 12) / (ml + ap), (height - 12) / (dv + (isSolid ? ap : dv)));
  } else {
    const columns = sets.length === 1 ? 1 : Math.min(sets.length, isNarrow ? 2 : Math.max(2, Math.floor(available / 250)));
    stage.style.setProperty("--columns", columns);
    const width = (available - 14 * (columns - 1)) / columns;
    scale = Math.min(width / ap, 560 / ap);
  }
  for (const panel of panels) {
    panel.resize(scale);
    panel.draw();
  }
}

let frame = null;

// Before the next frame, once for all changes until then.
function refresh() {
  frame ??= requestAnimationFrame(() => {
    frame = null;
    refreshNow();
  });
}

// Asks for the planes at the position, and what is drawn on them.
function refreshNow() {
  for (const panel of panels) {
    if (!panel.set.isEmpty) panel.loader.want(indexOf(panel.across)).catch(fail);
    panel.draw();
  }
  for (const orientation of ORIENTATIONS) loaders[orientation].want(position(facts.planes[orientation].across)).catch(fail);
  showReadout();
  placeInputs();
}

async function load(panel, index) {
  const found = await loadPlane("slice", { ...panel.set.query, plane: panel.orientation, index });
  if (!panels.includes(panel)) return;
  panel.index = index;
  panel.setPlane(found);
  showReadout();
  // The neighbors, while nothing else is asked for.
  if (index === indexOf(panel.across)) {
    for (const next of [index + 1, index - 1]) {
      if (next >= 0 && next < facts.shape[panel.across]) {
        loadPlane("slice", { ...panel.set.query, plane: panel.orientation, index: next }).catch((error) => console.debug(error));
      }
    }
  }
}

const loaders = Object.fromEntries(ORIENTATIONS.map((each) => [each, new Latest((at) => loadAnatomy(each, at))]));

async function loadAnatomy(orientation, at) {
  if (!anatomy.hasAnnotation) return;
  const [outlines, structure] = await Promise.all([
    state.outlines === null ? null : anatomy.outlines(orientation, at, state.outlines),
    state.structure === null ? null : anatomy.outlinesOf(orientation, at, state.structure),
  ]);
  const row = state.structure === null ? null : anatomy.named(state.structure);
  drawn[orientation] = {
    version: (drawn[orientation].version ?? 0) + 1,
    outlines: outlines && pathOf(outlines),
    structure: structure && pathOf(structure),
    color: row && `#${row.color}`,
    edge: row && edgeColor(row.color),
  };
  for (const panel of panels) if (panel.orientation === orientation) panel.draw();
  ids[orientation] = { at, plane: await anatomy.ids(orientation, at) };
  showReadout();
}

const paths = new WeakMap();

function pathOf(document) {
  let path = paths.get(document);
  if (!path) {
    path = new Path2D();
    for (const { lines } of document.outlines) {
      for (const line of lines) {
        path.moveTo(line[0], line[1]);
        for (let at = 2; at < line.length - 2; at += 2) path.lineTo(line[at], line[at + 1]);
        path.closePath();
      }
    }
    paths.set(document, path);
  }
  return path;
}

// A structure's color, darker on light and lighter on dark.
function edgeColor(hex) {
  const [other, part] = [theme() === "dark" ? 255 : 0, 0.38];
  const parts = [0, 2, 4].map((at) => Math.round(parseInt(hex.slice(at, at + 2), 16) * (1 - part) + other * part));
  return `rgb(${parts.join(",")})`;
}

// -- colors -----------------------------------------------------------------------------------------------------

function colorsOf(isSigned) {
  const look = themeOf(theme());
  const own = isMap(state.map) ? state.map : null;
  const isProbability = Boolean(arrayOf(state, facts)?.is_probability);
  const high = isSigned ? state.dmax ?? limits.dmax : state.vmax ?? limits.vmax;
  let low = isSigned ? -high : state.vmin ?? (state.scale === "log" ? high / 1000 : 0);
  if (!isSigned && (low >= high || (state.scale === "log" && low <= 0))) low = state.scale === "log" ? high / 1000 : 0;
  return new Colors({
    low, high, isSigned, isProbability,
    scale: isSigned ? "linear" : state.scale,
    map: isSigned ? look.difference : own ?? look.signal,
    noData: look.no_data,
  });
}

function setColorsOf() {
  if (solid) setSolid();
  const kinds = new Map([[false, colorsOf(false)], [true, colorsOf(true)]]);
  for (const panel of panels) panel.setColors(kinds.get(panel.set.isSigned));
  drawColorbars(kinds);
}

function drawColorbars(kinds) {
  const canvas = byId("colorbar");
  const shownKinds = [...new Set(sets.map((set) => set.isSigned))];
  const ratio = window.devicePixelRatio || 1;
  const width = canvas.clientWidth || 260;
  const height = 46 * shownKinds.length;
  canvas.width = width * ratio;
  canvas.height = height * ratio;
  canvas.style.height = `${height}px`;
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);
  const look = style();
  shownKinds.forEach((isSigned, row) => {
    drawBar(context, kinds.get(isSigned), {
      x: 1, y: 46 * row + 4, width: width - 2, height: 14, ink: getComputedStyle(canvas).color, background: look.background,
      font: `11.5px ${look.font}`,
    });
  });
  const colors = kinds.get(shownKinds[0]);
  canvas.setAttribute("aria-label", `Color scale from ${short(colors.low)} to ${short(colors.high)}`);
}

// The upper ends of the scales: a quantile of the values that are not 0, of all sets alike.
async function findLimits() {
  const wanted = sets;
  const ranges = await Promise.all(wanted.map((set) => json("range", set.query)));
  if (wanted !== sets) return;
  const highest = (isSigned) => {
    const found = ranges.filter((_, number) => wanted[number].isSigned === isSigned && !wanted[number].isEmpty);
    const ends = found.map((range, number) => (
      wanted[number].isProbability ? -Math.log10(Math.max(range.min ?? 1, 1e-38)) : range.quantiles[state.quantile] ?? 0
    ));
    return Number(Math.max(...ends, 0).toPrecision(4)) || 1;
  };
  limits = { vmax: highest(false), dmax: highest(true), isFound: true };
  viewer.dataset.limits = "true";
  setColorsOf();
  placeLimits();
}

// -- position ---------------------------------------------------------------------------------------------------

function move(at, { isEnd = false, isStep = false } = {}) {
  state.at = at.map((um, axis) => clamp(um, 0, facts.extent_um[axis] - 1));
  if (state.zoom > 1 && !isEnd) keepVisible();
  refresh();
  writeAddress({ isStep });
}

// When zoomed in, the image follows a cross-hair that leaves it.
function keepVisible() {
  const center = [...(state.center ?? state.at)];
  center.forEach((um, axis) => {
    const half = facts.extent_um[axis] / state.zoom / 2;
    center[axis] = clamp(um, state.at[axis] - 0.96 * half, state.at[axis] + 0.96 * half);
  });
  state.center = center;
}

function step(axis, count) {
  const at = [...state.at];
  at[axis] = clamp(position(axis) + count * facts.spacing_um, facts.spacing_um / 2, facts.extent_um[axis] - facts.spacing_um / 2);
  move(at);
}

let turned = 0;

function wheel(orientation, delta) {
  turned += delta;
  const size = 40;
  const count = Math.trunc(turned / size);
  if (count) {
    turned -= count * size;
    step(facts.planes[orientation].across, clamp(count, -5, 5));
  }
}

function pan(shift) {
  if (state.zoom === 1) return;
  state.center = (state.center ?? state.at).map((um, axis) => clampCenter(um + shift[axis], axis));
  for (const panel of panels) panel.draw();
  writeAddress();
}

function clampCenter(um, axis) {
  const half = facts.extent_um[axis] / state.zoom / 2;
  return clamp(um, half, facts.extent_um[axis] - half);
}

// Zooms so that a point stays where it is on the screen.
function zoom(factor, around = state.at) {
  const before = state.zoom;
  state.zoom = clamp(before * factor, 1, 32);
  if (state.zoom < 1.02) state.zoom = 1;
  const center = state.center ?? state.at;
  state.center = state.zoom === 1
    ? null
    : center.map((um, axis) => clampCenter(around[axis] + (clampCenterAt(um, axis, before) - around[axis]) * (before / state.zoom), axis));
  for (const panel of panels) panel.draw();
  writeAddress();
}

function clampCenterAt(um, axis, factor) {
  const half = facts.extent_um[axis] / factor / 2;
  return clamp(um, half, facts.extent_um[axis] - half);
}

function select(orientation) {
  state.plane = orientation;
  for (const panel of panels) panel.canvas.parentElement.classList.toggle("active", panel.orientation === orientation);
}

async function jump(text) {
  const wanted = text.trim();
  if (!wanted) return;
  byId("jump-problem").textContent = "";
  try {
    const hemisphere = state.at[2] < facts.extent_um[2] / 2 ? "left" : "right";
    const row = anatomy.named(wanted) ?? anatomy.byId.get(Number(wanted));
    // The server knows the names of other atlases, and says which structures a name that is not Allen's may mean.
    const { at_um: at } = await json("position", { structure: row?.acronym ?? wanted, hemisphere });
    state.structure = row.acronym;
    byId("jump").value = row.acronym;
    clearFailure();
    if (state.zoom > 1) state.center = null;
    move(at, { isStep: true });
    status.textContent = visible(`${row.acronym}: ${row.name}`);
    announce(status.textContent);
  } catch (error) {
    console.debug(error);
    byId("jump-problem").textContent = visible(wordsOf(error));
  }
}

// -- read-out ---------------------------------------------------------------------------------------------------

// The structure at a position, by the ids of a plane that contains it.
function structureAt(at) {
  for (const orientation of ORIENTATIONS) {
    const found = ids[orientation];
    const { across, right, down } = facts.planes[orientation];
    if (!found || Math.floor(found.at / anatomy.spacing) !== Math.floor(position(across) / anatomy.spacing)) continue;
    if (Math.floor(at[across] / facts.spacing_um) !== indexOf(across)) continue;
    const column = Math.floor(at[right] / anatomy.spacing);
    const row = Math.floor(at[down] / anatomy.spacing);
    return { id: found.plane.values[row * found.plane.columns + column] };
  }
  return null;
}

function valueOf(set, at) {
  for (const panel of panels) {
    if (panel.set !== set || panel.plane === null || panel.index !== Math.floor(at[panel.across] / facts.spacing_um)) continue;
    return panel.valueAt(at);
  }
  return undefined;
}

function unitOf() {
  return facts.version ? arrayOf(state, facts).unit : facts.unit;
}

function showReadout() {
  const box = byId("readout");
  const structure = structureAt(state.at);
  const lines = [line("place", [0, 1, 2].map((axis) => `${AXES[axis]} ${(state.at[axis] / 1000).toFixed(2)}`).join(" · ") + " mm")];
  if (anatomy.hasAnnotation) lines.push(structureLine(structure));
  for (const set of sets) {
    const value = set.isEmpty ? NaN : valueOf(set, state.at);
    const row = document.createElement("div");
    row.className = "value";
    const name = document.createElement("span");
    name.textContent = visible(set.label);
    const number = document.createElement("output");
    number.textContent = set.isEmpty ? "no experiments" : value === undefined ? "…" : Number.isNaN(value) ? "no data" : short(value, 4);
    number.dataset.set = set.key;
    // The value itself, without rounding.
    if (value !== undefined && !set.isEmpty) number.dataset.value = String(value);
    row.append(name, number);
    lines.push(row);
  }
  if (unitOf()) lines.push(line("soft small", unitOf()));
  box.replaceChildren(...lines);
  showStrip(structure);
}

function showStrip(structure) {
  const name = document.createElement("span");
  const row = structure && anatomy.byId.get(structure.id);
  name.textContent = row ? visible(`${row.acronym} ${row.name}`) : anatomy.hasAnnotation ? "outside the brain" : "";
  const numbers = document.createElement("strong");
  numbers.textContent = sets.map((set) => {
    const value = set.isEmpty ? NaN : valueOf(set, state.at);
    return value === undefined ? "…" : Number.isNaN(value) ? "–" : short(value);
  }).join("  |  ");
  byId("strip").replaceChildren(name, numbers);
}

function line(name, text) {
  const found = document.createElement("p");
  found.className = name;
  found.textContent = visible(text);
  return found;
}

function structureLine(found) {
  const row = found && anatomy.byId.get(found.id);
  const box = document.createElement("p");
  box.className = "structure";
  if (!row) {
    box.textContent = found === null ? "…" : "outside the brain";
    return box;
  }
  const chip = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  chip.setAttribute("class", "chip");
  chip.setAttribute("viewBox", "0 0 12 12");
  const square = document.createElementNS(chip.namespaceURI, "rect");
  for (const [name, value] of Object.entries({ width: 12, height: 12, rx: 2, fill: `#${row.color}` })) square.setAttribute(name, value);
  chip.append(square);
  const acronym = document.createElement("strong");
  acronym.textContent = visible(row.acronym);
  box.append(chip, acronym, ` ${visible(row.name)}`);
  box.title = visible(anatomy.path(row.id).reverse().map((each) => each.name).join(" › "));
  return box;
}

let hovered = null;

function showHover(panel, at, event) {
  hovered = panel;
  if (!panel) {
    hover.hidden = true;
    return;
  }
  const found = structureAt(at);
  const row = found && anatomy.byId.get(found.id);
  const value = panel.set.isEmpty ? undefined : panel.index === indexOf(panel.across) ? panel.valueAt(at) : undefined;
  hover.textContent = "";
  const name = document.createElement("strong");
  name.textContent = row ? visible(row.acronym) : "";
  hover.append(name, row ? ` ${visible(row.name)}` : "");
  const number = document.createElement("span");
  number.textContent = value === undefined ? "" : Number.isNaN(value) ? "no data" : short(value, 4);
  if (value !== undefined) number.dataset.value = String(value);
  hover.append(number);
  hover.hidden = !row && !value;
  const left = Math.min(event.clientX + 14, window.innerWidth - hover.offsetWidth - 8);
  hover.style.left = `${Math.max(4, left)}px`;
  hover.style.top = `${event.clientY + 16}px`;
}

// -- controls ---------------------------------------------------------------------------------------------------

function option(value, words) {
  const found = document.createElement("option");
  found.value = value;
  found.textContent = visible(words);
  return found;
}

function field(words, control) {
  const label = document.createElement("label");
  label.className = "field";
  const name = document.createElement("span");
  name.textContent = words;
  label.append(name, control);
  return label;
}

function makeControls() {
  makeDataControls();
  byId("map").append(option("auto", "default"), ...mapNames().flatMap((each) => [option(each, each), option(`${each}_r`, `${each}, reversed`)]));
  const levels = [["none", "none"], [0, "brain"], [1, "level 1"], [2, "level 2"], [3, "level 3"], [4, "level 4"], [5, "level 5, default"], [6, "level 6"], [7, "level 7"], [8, "level 8"], [30, "all structures"]];
  byId("outlines").append(...levels.map(([value, words]) => option(value, words)));
  if (!anatomy.hasAnnotation) {
    byId("outlines").disabled = true;
    byId("jump").disabled = true;
    byId("jump").placeholder = "needs the annotation";
  }
  byId("structure-names").append(...anatomy.rows.map((row) => option(`${row.acronym} · ${row.name}`, "")));
}

function makeDataControls() {
  const box = byId("data-controls");
  if (!facts.version) {
    const volumes = document.createElement("select");
    volumes.id = "volume";
    volumes.append(...facts.volumes.map((each) => option(`${each.kind} ${each.spacing_um}`, `${each.words}, ${each.spacing_um} um`)));
    box.append(field("Volume", volumes));
    volumes.addEventListener("change", () => {
      const [kind, spacing] = volumes.value.split(" ");
      const given = new URLSearchParams(query({ ...state, vmax: null, vmin: null }, facts));
      given.set("kind", kind);
      given.set("spacing_um", spacing);
      location.search = given.toString();
    });
    return;
  }
  if (facts.arrays.length > 1) {
    const arrays = document.createElement("select");
    arrays.id = "statistic";
    arrays.append(...facts.arrays.map((each) => option(each.name, each.words)));
    arrays.addEventListener("change", () => change({ statistic: arrays.value, vmin: null, vmax: null, dmax: null }));
    box.append(field("Statistic", arrays));
  }
  const groups = document.createElement("fieldset");
  groups.id = "groups";
  const legend = document.createElement("legend");
  legend.textContent = facts.groups.length > 1 ? "Groups, side by side" : "Group";
  groups.append(legend);
  const list = document.createElement("div");
  list.className = "group-list";
  for (const group of facts.groups) {
    const label = document.createElement("label");
    label.className = "check";
    const input = document.createElement("input");
    input.type = "checkbox";
    input.value = group.number;
    input.dataset.group = group.number;
    const count = document.createElement("small");
    count.textContent = `n = ${group.n}`;
    label.append(input, ` ${visible(group.label)} `, count);
    list.append(label);
  }
  groups.append(list);
  list.addEventListener("change", (event) => {
    const chosen = [...list.querySelectorAll("input:checked")].map((each) => Number(each.value));
    if (!chosen.length) {
      event.target.checked = true;
      return;
    }
    change({ groups: chosen });
  });
  box.append(groups);
  if (facts.groups.length > 1) {
    const minus = document.createElement("select");
    minus.id = "minus";
    minus.append(option("", "none"), ...facts.groups.map((group) => option(group.number, `each minus ${group.label}`)));
    minus.addEventListener("change", () => {
      const number = minus.value === "" ? null : Number(minus.value);
      // A difference of a group and itself is not shown, so another group is added.
      const others = state.groups.filter((each) => each !== number);
      const added = number !== null && !others.length ? [facts.groups.find((group) => group.number !== number).number] : [];
      change({ minus: number, groups: [...new Set([...state.groups, ...added])].sort((a, b) => a - b) });
    });
    box.append(field("Difference", minus));
  }
}

// Changes the state by a step of the history.
function change(values) {
  state = { ...state, ...values };
  writeAddress({ isStep: true });
  showAbsent();
  build();
  showControls();
  setSolid();
}

function showControls() {
  for (const id of ["scale", "map", "quantile", "line", "signal"]) byId(id).value = state[id];
  byId("outlines").value = state.outlines ?? "none";
  for (const id of ["crosshair", "smooth"]) byId(id).checked = state[id];
  byId("jump").value = state.structure ?? "";
  if (byId("statistic")) byId("statistic").value = state.statistic;
  if (byId("minus")) byId("minus").value = state.minus ?? "";
  if (byId("volume")) byId("volume").value = `${facts.kind} ${facts.spacing_um}`;
  if (byId("groups")) {
    byId("groups").disabled = !hasGroups(state, facts);
    for (const input of byId("groups").querySelectorAll("input")) input.checked = state.groups.includes(Number(input.value));
  }
  byId("difference-colors").hidden = !sets.some((set) => set.isSigned);
  for (const id of ["vmin", "vmax", "dmax"]) byId(id).value = state[id] ?? "";
  placeLimits();
  placeInputs();
  select(state.plane);
}

function placeLimits() {
  byId("vmin").placeholder = state.scale === "log" ? short((state.vmax ?? limits.vmax) / 1000) : "0";
  byId("vmax").placeholder = limits.isFound ? String(limits.vmax) : "…";
  byId("dmax").placeholder = limits.isFound ? String(limits.dmax) : "…";
}

function placeInputs() {
  for (const axis of [0, 1, 2]) {
    const input = byId(`at-${axis}`);
    input.max = facts.extent_um[axis] / 1000;
    if (document.activeElement !== input) input.value = (state.at[axis] / 1000).toFixed(2);
  }
}

function listen() {
  byId("controls").addEventListener("submit", (event) => event.preventDefault());
  for (const axis of [0, 1, 2]) {
    byId(`at-${axis}`).addEventListener("change", (event) => {
      const mm = event.target.valueAsNumber;
      if (!Number.isFinite(mm)) {
        placeInputs();
        return;
      }
      const at = [...state.at];
      at[axis] = mm * 1000;
      move(at, { isStep: true });
    });
  }
  const input = byId("jump");
  input.addEventListener("change", () => {
    if (input.value.trim() === "") {
      state.structure = null;
      writeAddress({ isStep: true });
      refresh();
    } else if (input.value !== state.structure) {
      jump(input.value);
    }
  });
  input.addEventListener("keydown", (event) => {
    if (event.key === "Enter") jump(input.value);
  });
  for (const id of ["scale", "map", "quantile"]) {
    byId(id).addEventListener("change", (event) => {
      state[id] = event.target.value;
      recolor();
    });
  }
  for (const id of ["vmin", "vmax", "dmax"]) byId(id).addEventListener("change", (event) => setLimit(id, event.target));
  byId("outlines").addEventListener("change", (event) => {
    state.outlines = event.target.value === "none" ? null : Number(event.target.value);
    redraw();
  });
  for (const id of ["line", "signal"]) {
    byId(id).addEventListener("input", (event) => {
      state[id] = Number(event.target.value);
      redraw();
    });
  }
  for (const id of ["crosshair", "smooth"]) {
    byId(id).addEventListener("change", (event) => {
      state[id] = event.target.checked;
      redraw();
    });
  }
  for (const button of document.querySelectorAll("[data-dialog]")) {
    button.addEventListener("click", () => openDialog(button.dataset.dialog));
  }
  for (const button of document.querySelectorAll("dialog [data-close]")) {
    button.addEventListener("click", () => button.closest("dialog").close());
  }
  for (const dialog of document.querySelectorAll("dialog")) {
    dialog.addEventListener("click", (event) => {
      if (event.target === dialog) dialog.close();
    });
  }
  byId("solid-set").addEventListener("change", (event) => {
    state.solid = event.target.value;
    writeAddress({ isStep: true });
    setSolid();
  });
  for (const [id, other] of [["solid-show", "solid-hide"], ["solid-hide", "solid-show"]]) {
    byId(id).addEventListener("click", () => {
      toggleSolid();
      byId(other).focus({ preventScroll: true });
    });
  }
  byId("copy-link").addEventListener("click", copyLink);
  document.addEventListener("keydown", key);
  document.addEventListener("themechange", () => {
    layout();
    setColorsOf();
    refresh();
  });
  new ResizeObserver(() => {
    layout();
    setColorsOf();
  }).observe(stage);
}

function setLimit(id, input) {
  const text = input.value.trim();
  const value = text === "" ? null : Number(text.replace("−", "-"));
  const isWrong = value !== null && (!Number.isFinite(value) || (id !== "vmin" && value <= 0));
  input.setAttribute("aria-invalid", String(isWrong));
  if (isWrong) return;
  state[id] = value;
  recolor();
}

function recolor() {
  setColorsOf();
  placeLimits();
  writeAddress();
  findLimits().catch(fail);
}

function redraw() {
  writeAddress();
  showControls();
  refresh();
}

async function copyLink() {
  clearTimeout(timer);
  history.replaceState(null, "", `?${query(state, facts)}`);
  written = location.search;
  try {
    await copyText(location.href);
    byId("copy-link").textContent = "Copied";
    announce("Copied");
    setTimeout(() => { byId("copy-link").textContent = "Copy link"; }, 1600);
  } catch (error) {
    fail(error);
  }
}

function screen() {
  return {
    state, facts, theme: theme(), store: viewer.dataset.store, hasAnnotation: anatomy.hasAnnotation,
    vmax: state.vmax ?? limits.vmax, dmax: state.dmax ?? limits.dmax,
  };
}

function openDialog(id) {
  if (id === "dialog-code") {
    byId("code-python").textContent = visible(python(screen()));
    byId("code-command").textContent = visible(command(screen()));
  }
  if (id === "dialog-download") {
    const colors = [colorsOf(false), colorsOf(true)];
    fillDownloads(byId("downloads"), {
      sets, facts, state, hasAnnotation: anatomy.hasAnnotation, ends: colors.map((each) => each.high),
      draw: () => picture({ sets, panels, facts, style: style(), colors }),
    });
  }
  byId(id).showModal();
}

// -- keys -------------------------------------------------------------------------------------------------------

const ARROWS = { ArrowLeft: ["right", -1], ArrowRight: ["right", 1], ArrowUp: ["down", -1], ArrowDown: ["down", 1] };

function key(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  if (event.target.matches("input:not([type=checkbox]), select, textarea, summary")) return;
  const orientation = facts.planes[state.plane];
  const count = event.shiftKey ? 10 : 1;
  if (event.key in ARROWS) {
    const [side, sign] = ARROWS[event.key];
    step(orientation[side], sign * count);
  } else if (event.key === "PageUp" || event.key === "PageDown") {
    step(orientation.across, (event.key === "PageUp" ? -1 : 1) * count);
  } else if (["1", "2", "3"].includes(event.key)) {
    const name = ORIENTATIONS[Number(event.key) - 1];
    panels.find((panel) => panel.orientation === name).canvas.focus();
  } else if (event.key === "+" || event.key === "=") {
    zoom(1.3);
  } else if (event.key === "-" || event.key === "−") {
    zoom(1 / 1.3);
  } else if (event.key === "0") {
    zoom(1 / 64);
  } else if (event.key === "o" || event.key === "O") {
    state.outlines = state.outlines === null ? DEFAULTS.outlines : null;
    redraw();
  } else if (event.key === "c" || event.key === "C") {
    state.crosshair = !state.crosshair;
    redraw();
  } else if (event.key === "g" || event.key === "G") {
    nextGroup(event.shiftKey ? -1 : 1);
  } else if (event.key === "[" || event.key === "]") {
    state.vmax = Number(((state.vmax ?? limits.vmax) * (event.key === "[" ? 0.8 : 1.25)).toPrecision(3));
    byId("vmax").value = state.vmax;
    recolor();
  } else if (event.key === "j" || event.key === "J") {
    byId("jump").focus();
    byId("jump").select();
  } else if (event.key === "v" || event.key === "V") {
    toggleSolid();
  } else if (event.key === "?") {
    openDialog("dialog-help");
  } else {
    return;
  }
  event.preventDefault();
}

function nextGroup(sign) {
  if (!hasGroups(state, facts) || facts.groups.length < 2) return;
  const count = facts.groups.length;
  change({ groups: [...new Set(state.groups.map((each) => (each + sign + count) % count))].sort((a, b) => a - b) });
}

// -- three dimensions -------------------------------------------------------------------------------------------

function toggleSolid() {
  if (facts.spacing_um < 50) return;
  state.view = state.view === "solid" ? "planes" : "solid";
  writeAddress({ isStep: true });
  setSolid();
}

// The view in three dimensions is beside the planes of one image, or below those of several.
function placeSolid() {
  const box = byId("solid");
  box.hidden = facts.spacing_um < 50;
  const first = stage.querySelector(".one .planes");
  (first ?? stage.parentElement).append(box);
  if (!first) stage.after(box);
}

// The image in three dimensions: the chosen one, else the first difference, else the first image.
function solidSet() {
  const possible = sets.filter((each) => !each.isEmpty);
  return possible.find((each) => each.key === state.solid) ?? possible.find((each) => each.isSigned) ?? possible[0] ?? sets[0];
}

function showSolidChoice(shown) {
  const choice = byId("solid-set");
  const possible = sets.filter((each) => !each.isEmpty);
  choice.hidden = possible.length < 2;
  choice.replaceChildren(...possible.map((each) => option(each.key, each.label)));
  choice.value = shown.key;
}

function setSolid() {
  const isShown = state.view === "solid" && facts.spacing_um >= 50;
  if (stage.classList.contains("with-solid") !== isShown) {
    stage.classList.toggle("with-solid", isShown);
    layout();
  }
  byId("solid-show").hidden = isShown;
  byId("solid-hide").hidden = !isShown;
  if (!isShown) byId("solid-set").hidden = true;
  byId("solid-view").hidden = !isShown;
  if (!isShown) return;
  solid ??= import("./solid.js").then(({ Solid }) => new Solid(byId("solid-view"), viewer.dataset.niivue));
  const set = solidSet();
  showSolidChoice(set);
  const look = style();
  // Of each voxel; NiiVue does not draw what has less than 0.01.
  const brain = { isKnown: anatomy.hasAnnotation, color: look.muted, opacity: theme() === "dark" ? 0.016 : 0.012 };
  solid
    .then((view) => view.show({ set, colors: colorsOf(set.isSigned), background: look.background, brain }))
    .then(() => { viewer.dataset.solid = set.key; })
    .catch(fail);
}
