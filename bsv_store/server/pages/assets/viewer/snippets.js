// What is on the screen as Python and as commands.

import { arrayOf, hasGroups } from "./state.js";

const AXIS = { coronal: 0, horizontal: 1, sagittal: 2 };
const ORDER = ["coronal", "sagittal", "horizontal"];

function text(value) {
  return JSON.stringify(String(value));
}

function shellText(value) {
  return /^[\w@%+=:,./-]+$/.test(value) ? value : `'${value.replaceAll("'", "'\\''")}'`;
}

// A number that reads back as the same one.
function exact(value) {
  return String(value);
}

// The center of a plane of voxels.
function millimeters(state, facts, plane) {
  const um = (Math.floor(state.at[AXIS[plane]] / facts.spacing_um) + 0.5) * facts.spacing_um;
  return String(um / 1000);
}

function box(state, facts, plane) {
  const axis = AXIS[plane];
  const first = Math.floor(state.at[axis] / facts.spacing_um) * facts.spacing_um;
  const ranges = facts.extent_um.map((extent, each) => (each === axis ? [first, first + facts.spacing_um] : [0, extent]));
  return `(${ranges.map(([low, high]) => `(${low}, ${high})`).join(", ")})`;
}

// How the planes are taken from a box, as rows and columns of the picture.
const TAKEN = { coronal: "[0]", horizontal: "[:, 0]", sagittal: "[..., 0].T" };

function figures(screen) {
  const { state, facts } = screen;
  const common = { outlines: screen.hasAnnotation ? state.outlines ?? 0 : null, theme: screen.theme };
  const signal = {
    scale: state.scale,
    vmin: state.vmin,
    vmax: screen.vmax,
    ...common,
  };
  const difference = { scale: "linear", vmin: null, vmax: screen.dmax, ...common };
  if (!facts.version) return [{ name: "", options: { kind: facts.kind, spacing_um: facts.spacing_um, ...signal } }];
  const array = arrayOf(state, facts);
  const statistic = state.statistic === "mean" ? null : state.statistic;
  if (!hasGroups(state, facts)) {
    const options = array.is_probability ? signal : difference;
    return [{ name: "", options: { statistic, ...options } }];
  }
  const found = [{ name: "", options: { groups: state.groups, statistic, ...signal } }];
  const others = state.groups.filter((each) => each !== state.minus);
  if (state.minus !== null && others.length) {
    found.push({ name: "-difference", options: { groups: others, minus: state.minus, statistic, ...difference } });
  }
  return found;
}

function pythonValue(value) {
  if (Array.isArray(value)) return `[${value.join(", ")}]`;
  return typeof value === "number" ? exact(value) : text(value);
}

export function python(screen) {
  const { state, facts } = screen;
  const lines = ["from bsv_store import open_store, reports", "", `store = open_store(${text(screen.store)})`];
  if (facts.version) lines.push(`version = store.dataset(${text(facts.version)})`);
  lines.push("", "# The values of the planes, rows from top to bottom; NaN = no data.");
  const sources = facts.version && hasGroups(state, facts) ? state.groups.map((group) => ({ name: `_${group}`, group })) : [{ name: "", group: null }];
  for (const plane of ORDER) {
    for (const { name, group } of sources) {
      const where = box(state, facts, plane);
      const call = facts.version
        ? `version.statistic(${text(state.statistic)}${group === null ? "" : `, group=${group}`}, box=${where})`
        : `store.volumes.read(\n    ${facts.experiment}, kind=${text(facts.kind)}, spacing_um=${facts.spacing_um}, box=${where}\n)`;
      lines.push(`${plane}${name} = ${call}${TAKEN[plane]}`);
    }
  }
  if (facts.version && hasGroups(state, facts) && state.minus !== null) {
    lines.push("");
    for (const group of state.groups.filter((each) => each !== state.minus)) {
      for (const plane of ORDER) {
        const other = `version.statistic(${text(state.statistic)}, group=${state.minus}, box=${box(state, facts, plane)})${TAKEN[plane]}`;
        lines.push(`${plane}_${group}_minus_${state.minus} = ${plane}_${group} - ${state.groups.includes(state.minus) ? `${plane}_${state.minus}` : other}`);
      }
    }
  }
  lines.push("", "# The planes as figures.");
  const places = ORDER.map((plane) => `${text(plane)}: ${millimeters(state, facts, plane)}`).join(", ");
  lines.push(`for plane, at_mm in {${places}}.items():`);
  for (const { name, options } of figures(screen)) {
    const given = Object.entries(options).filter(([, value]) => value !== null).map(([key, value]) => `${key}=${pythonValue(value)}`);
    lines.push(
      "    figure = reports.slices(",
      `        store, ${facts.version ? "version" : facts.experiment}, plane=plane, at_mm=at_mm,`,
      `        ${given.join(", ")},`,
      "    )",
      `    reports.save(figure, f"{plane}${name}.png", overwrite=True)`,
    );
  }
  return lines.join("\n");
}

const FLAGS = { spacing_um: "spacing" };

export function command(screen) {
  const { state, facts } = screen;
  const lines = [];
  for (const { name, options } of figures(screen)) {
    for (const plane of ORDER) {
      const parts = [
        "bsv-store", "--store", screen.store, "plot", "slices", facts.version ?? String(facts.experiment), `${plane}${name}.png`,
        "--plane", plane, "--at-mm", millimeters(state, facts, plane),
      ];
      for (const [key, value] of Object.entries(options)) {
        if (value === null) continue;
        if (key === "groups") {
          for (const group of value) parts.push("--group", String(group));
        } else {
          parts.push(`--${FLAGS[key] ?? key.replaceAll("_", "-")}`, typeof value === "number" ? exact(value) : value.replaceAll("_", "-"));
        }
      }
      parts.push("--overwrite");
      lines.push(parts.map(shellText).join(" "));
    }
  }
  return lines.join("\n");
}
