// The state of the viewer, which is the address of the page.

const NUMBER = /^-?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;

export const DEFAULTS = {
  statistic: null,
  groups: [0],
  minus: null,
  at: null,
  zoom: 1,
  center: null,
  plane: "coronal",
  map: "auto",
  scale: "power",
  vmin: null,
  vmax: null,
  dmax: null,
  quantile: "0.998",
  outlines: 5,
  line: 0.8,
  signal: 1,
  crosshair: true,
  smooth: false,
  structure: null,
  view: "planes",
  solid: null,
};

function number(text) {
  return text !== null && NUMBER.test(text) ? Number(text) : null;
}

function numbers(text) {
  const found = (text ?? "").split(",").map(number);
  return found.includes(null) ? null : found;
}

function whole(text) {
  return text !== null && /^\d{1,6}$/.test(text) ? Number(text) : null;
}

// From the parameters of an address; what is missing or not valid has its default.
export function parsed(search, facts) {
  const query = new URLSearchParams(search);
  const state = { ...DEFAULTS };
  const names = facts.arrays?.map((each) => each.name) ?? [];
  state.statistic = names.includes(query.get("statistic")) ? query.get("statistic") : names[0] ?? null;
  const count = facts.groups?.length ?? 1;
  const groups = (query.get("group") ?? "").split(",").map(whole).filter((each) => each !== null && each < count);
  if (groups.length) state.groups = [...new Set(groups)];
  const minus = whole(query.get("minus"));
  if (minus !== null && minus < count) state.minus = minus;
  const at = numbers(query.get("at"));
  if (at?.length === 3) state.at = at.map((um, axis) => clamp(um, 0, facts.extent_um[axis] - 1));
  const center = numbers(query.get("center"));
  if (center?.length === 3) state.center = center;
  state.zoom = clamp(number(query.get("zoom")) ?? 1, 1, 32);
  if (["coronal", "sagittal", "horizontal"].includes(query.get("plane"))) state.plane = query.get("plane");
  if (query.get("map")) state.map = query.get("map");
  if (["power", "linear", "log"].includes(query.get("scale"))) state.scale = query.get("scale");
  state.vmin = number(query.get("vmin"));
  for (const name of ["vmax", "dmax"]) {
    const end = number(query.get(name));
    state[name] = end > 0 ? end : null;
  }
  if (["0.99", "0.995", "0.998", "0.999", "1"].includes(query.get("quantile"))) state.quantile = query.get("quantile");
  const outlines = query.get("outlines");
  if (outlines === "none") state.outlines = null;
  else if (whole(outlines) !== null) state.outlines = whole(outlines);
  for (const name of ["line", "signal"]) state[name] = clamp(number(query.get(name)) ?? DEFAULTS[name], 0, 1);
  state.crosshair = query.get("crosshair") !== "0";
  state.smooth = query.get("smooth") === "1";
  state.structure = query.get("structure") || null;
  if (query.get("view") === "solid") state.view = "solid";
  if (/^[\w-]{1,40}$/.test(query.get("solid") ?? "")) state.solid = query.get("solid");
  return state;
}

// The groups and the statistic of an address that the version does not have: something else is shown in their place.
export function absentFrom(search, facts) {
  if (!facts.version) return [];
  const query = new URLSearchParams(search);
  const hasGroup = (text) => whole(text) !== null && whole(text) < facts.groups.length;
  const absent = [];
  for (const name of ["group", "minus"]) {
    const given = query.get(name);
    if (given) absent.push(...given.split(",").filter((each) => !hasGroup(each)).map((each) => `group ${each}`));
  }
  const statistic = query.get("statistic");
  if (statistic && !facts.arrays.some((each) => each.name === statistic)) absent.push(`statistic ${statistic}`);
  return [...new Set(absent)];
}

// The parameters of the address of a state; defaults are left out.
export function query(state, facts) {
  const found = new URLSearchParams();
  if (facts.version) {
    found.set("version", facts.version);
    if (state.statistic !== facts.arrays[0].name) found.set("statistic", state.statistic);
    if (hasGroups(state, facts)) {
      found.set("group", state.groups.join(","));
      if (state.minus !== null) found.set("minus", state.minus);
    }
  } else {
    found.set("experiment", facts.experiment);
    found.set("kind", facts.kind);
    found.set("spacing_um", facts.spacing_um);
  }
  if (state.at) found.set("at", state.at.map(Math.round).join(","));
  if (state.zoom !== 1) {
    found.set("zoom", Number(state.zoom.toFixed(3)));
    if (state.center) found.set("center", state.center.map(Math.round).join(","));
  }
  const rest = {
    plane: state.plane, map: state.map, scale: state.scale, vmin: state.vmin, vmax: state.vmax, dmax: state.dmax,
    quantile: state.quantile, line: state.line, signal: state.signal, structure: state.structure, view: state.view,
    solid: state.view === "solid" ? state.solid : null,
  };
  for (const [name, value] of Object.entries(rest)) {
    if (value !== DEFAULTS[name] && value !== null) found.set(name, value);
  }
  if (state.outlines !== DEFAULTS.outlines) found.set("outlines", state.outlines ?? "none");
  if (!state.crosshair) found.set("crosshair", "0");
  if (state.smooth) found.set("smooth", "1");
  return found.toString().replaceAll("%2C", ",").replaceAll("%40", "@");
}

export function arrayOf(state, facts) {
  return facts.arrays?.find((each) => each.name === state.statistic) ?? null;
}

export function hasGroups(state, facts) {
  return Boolean(facts.version) && arrayOf(state, facts).has_groups;
}

export function clamp(value, low, high) {
  return Math.min(Math.max(value, low), high);
}

// What is shown side by side: groups, then differences.
export function shownSets(state, facts) {
  if (!facts.version) return [{ key: "volume", label: facts.kind.replaceAll("_", " "), query: volumeQuery(facts), isSigned: false }];
  const common = { version: facts.version, statistic: state.statistic, content: facts.content };
  const array = arrayOf(state, facts);
  if (!array.has_groups) {
    return [{ key: array.name, label: array.words, query: common, isSigned: !array.is_probability, isProbability: array.is_probability }];
  }
  const sets = state.groups.map((number) => {
    const group = facts.groups[number];
    return {
      key: `g${number}`, group: number, label: group.label, n: group.n, query: { ...common, group: number }, isSigned: false,
      isEmpty: group.n === 0,
    };
  });
  if (state.minus === null) return sets;
  const other = facts.groups[state.minus];
  const differences = state.groups.filter((number) => number !== state.minus).map((number) => {
    const group = facts.groups[number];
    return {
      key: `g${number}-${state.minus}`, group: number, minus: state.minus, label: `${group.label} − ${other.label}`,
      query: { ...common, group: number, minus: state.minus }, isSigned: true, isEmpty: group.n === 0 || other.n === 0,
    };
  });
  return [...sets, ...differences];
}

function volumeQuery(facts) {
  return { experiment: facts.experiment, kind: facts.kind, spacing_um: facts.spacing_um, content: facts.content };
}
