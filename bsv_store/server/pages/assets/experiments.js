// The page that finds experiments. The selection in the address is the state: the form, the table and the map follow it.

import { base, announce } from "./shell.js";
import { FilterForm, isWide } from "./filter_form.js";
import { InjectionMap } from "./injection_map.js";
import { ResultTable } from "./result_table.js";
import { visible } from "./text.js";
import { square } from "./tokens.js";

const OPERATORS = ["and", "or", "minus"];
const MAX_LEGEND = 14;

const at = (name) => document.getElementById(name);
const section = at("map");
const columns = JSON.parse(section.dataset.columns);
const labels = JSON.parse(section.dataset.labels);

// A combination of selections in the address, which the form restricts further.
let combined = null;
let asked = 0;

const form = new FilterForm(at("filter"), () => ask(current(), "push"));
const table = new ResultTable(columns, { onHover: mark, onOrder: () => remember("replace") });
const map = new InjectionMap(section, { onHover: mark, onChoose: choose });

function mark(index) {
  map.mark(index);
  table.mark(index);
}

function choose(index) {
  table.reveal(index);
  map.mark(index);
}

function current() {
  const criteria = form.criteria();
  if (!combined) return { version: 1, ...criteria };
  if (Object.keys(criteria).length === 0) return { version: 1, ...combined };
  return { version: 1, and: [combined, criteria] };
}

// Splits a selection into what the form can show, and the rest.
function show(selection) {
  const { version, ...rest } = selection;
  combined = OPERATORS.some((name) => name in rest) ? rest : null;
  form.fill(combined ? {} : rest);
}

let canonical = "";

function remember(how) {
  const query = new URLSearchParams();
  if (canonical && canonical !== '{"version":1}') query.set("selection", canonical);
  const { name, direction } = table.sort;
  if (name !== "experiment_id" || direction < 0) query.set("sort", `${direction < 0 ? "-" : ""}${name}`);
  const text = query.toString();
  const address = `${location.pathname}${text ? `?${text}` : ""}`;
  if (address === `${location.pathname}${location.search}`) return;
  history[how === "push" ? "pushState" : "replaceState"](null, "", address);
}

async function ask(selection, how) {
  const mine = ++asked;
  document.body.classList.add("loading");
  try {
    const text = typeof selection === "string" ? selection : JSON.stringify(selection);
    const reply = await fetch(`${base}/experiments.json?selection=${encodeURIComponent(text)}`);
    const content = await reply.json();
    if (mine !== asked) return;
    if (reply.ok) succeeded(content, how, typeof selection === "string");
    else failed(content.detail ?? `the server answered ${reply.status}`, content.hint, typeof selection === "string" ? text : null);
  } catch (error) {
    if (mine === asked) failed("The server does not answer.", String(error.message));
  } finally {
    if (mine === asked) document.body.classList.remove("loading");
  }
}

function succeeded(content, how, fromAddress) {
  canonical = content.json;
  document.body.classList.remove("failed");
  if (fromAddress) show(content.selection);
  remember(how);
  form.mark(null);
  const number = content.count;
  at("found").textContent = `${number.toLocaleString("en")} ${number === 1 ? "experiment" : "experiments"}`;
  at("words").textContent = visible(sentence(content.words));
  at("base").hidden = combined === null;
  if (combined) at("base").textContent = "The address has a combination of selections. The filter restricts it further; “Reset” removes it.";
  drawChips();
  const excluded = Object.entries(content.excluded);
  at("messages").replaceChildren(
    ...content.warnings.map((each) => message(each.message, each.hint, "warning")),
    ...(excluded.length ? [exclusions(excluded)] : []),
  );
  table.fill(content.rows, content.colors);
  map.fill(content.rows, content.colors);
  drawLegend(content.rows, content.colors);
  at("table-frame").hidden = number === 0;
  at("nothing").hidden = number > 0;
  if (number === 0) at("nothing").replaceChildren(paragraph("No experiment matches."), paragraph("Remove a criterion, or use a wider range."));
  at("copy-address").textContent = visible(content.address);
  at("copy-python").textContent = visible(content.python);
  at("copy-command").textContent = visible(content.command);
  at("copy-json").textContent = visible(content.json);
  at("csv").href = `${base}/v1/experiments?format=spreadsheet&limit=100000&selection=${encodeURIComponent(content.json)}`;
}

function failed(words, hint, text = null) {
  at("found").textContent = "No result";
  at("words").textContent = "";
  document.body.classList.add("failed");
  if (text !== null) {
    // The form shows what the address has, so that it can be corrected.
    try {
      show(JSON.parse(text));
    } catch (error) {
      console.debug(error);
    }
  }
  drawChips();
  at("messages").replaceChildren(message(words, hint, "problem"));
  form.mark(words);
  announce(visible(words));
}

function sentence(words) {
  return `${words.charAt(0).toUpperCase()}${words.slice(1)}.`;
}

// What is between backticks is code.
function paragraph(words) {
  const element = document.createElement("p");
  element.append(...visible(words).split("`").map((part, number) => {
    if (number % 2 === 0) return part;
    const code = document.createElement("code");
    code.textContent = part;
    return code;
  }));
  return element;
}

function message(words, hint, kind) {
  const box = document.createElement("div");
  box.className = kind;
  const strong = document.createElement("strong");
  strong.textContent = visible(sentence(words)).replace(/\.\.$/, ".");
  const first = document.createElement("p");
  first.append(strong);
  box.append(first);
  if (hint) box.append(paragraph(hint));
  return box;
}

function exclusions(entries) {
  const box = document.createElement("details");
  box.className = "soft";
  const summary = document.createElement("summary");
  summary.textContent = `${entries.length} left out by the exclusion list of the store`;
  const list = document.createElement("ul");
  list.append(...entries.map(([identifier, reason]) => {
    const item = document.createElement("li");
    item.textContent = visible(`${identifier}: ${reason}`);
    return item;
  }));
  box.append(summary, list);
  return box;
}

// The set criteria, each with a button that removes it.
function drawChips() {
  const criteria = form.criteria();
  const names = Object.keys(criteria);
  const chips = at("chips");
  chips.hidden = names.length === 0;
  chips.replaceChildren(...names.map((name) => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "token";
    const value = criteria[name];
    const words = visible(`${labels[name]}: ${brief(value)}`);
    button.textContent = words;
    const cross = document.createElement("span");
    cross.textContent = "×";
    cross.setAttribute("aria-hidden", "true");
    button.append(cross);
    button.setAttribute("aria-label", `Remove ${words}`);
    button.addEventListener("click", () => {
      const rest = { ...form.criteria() };
      delete rest[name];
      if (name === "near") delete rest.radius_um;
      if (name === "radius_um") delete rest.near;
      form.fill(rest);
      ask(current(), "push");
    });
    return button;
  }));
}

function brief(value) {
  if (value === true) return "yes";
  if (value === false) return "no";
  if (!Array.isArray(value)) return String(value).replaceAll("_", " ");
  const items = value.map((each) => (each === null ? "any" : Array.isArray(each) ? each.join("–") : String(each)));
  return items.length > 4 ? `${items.slice(0, 3).join(", ")} and ${items.length - 3} more` : items.join(", ");
}

// The most frequent primary structures with their colors.
function drawLegend(rows, colors) {
  const counts = new Map();
  rows.primary_structure.forEach((name, index) => {
    const known = counts.get(name) ?? { number: 0, color: colors[rows.primary_structure_id[index]] };
    known.number += 1;
    counts.set(name, known);
  });
  const sorted = [...counts].sort((a, b) => b[1].number - a[1].number);
  const items = sorted.slice(0, MAX_LEGEND).map(([name, { number, color }]) => {
    const item = document.createElement("li");
    if (color) item.append(square(color));
    item.append(`${visible(name)} `);
    const count = document.createElement("span");
    count.className = "soft";
    count.textContent = number.toLocaleString("en");
    item.append(count);
    return item;
  });
  if (sorted.length > MAX_LEGEND) {
    const rest = document.createElement("li");
    rest.className = "soft";
    rest.textContent = `and ${sorted.length - MAX_LEGEND} more structures`;
    items.push(rest);
  }
  at("legend").replaceChildren(...items);
}

// -- address

function fromAddress() {
  const query = new URLSearchParams(location.search);
  const sort = query.get("sort") ?? "experiment_id";
  const name = sort.replace(/^-/, "");
  if (columns.some((column) => column.name === name)) table.sort = { name, direction: sort.startsWith("-") ? -1 : 1 };
  ask(query.get("selection") ?? '{"version":1}', "replace");
}

at("reset").addEventListener("click", () => {
  combined = null;
  form.fill({});
  ask(current(), "push");
});
addEventListener("popstate", fromAddress);

if (!isWide.matches) for (const each of at("filter").querySelectorAll("details")) each.open = false;
fromAddress();
