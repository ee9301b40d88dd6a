// Requests for planes, structure ids and outlines, and a cache of what was received.

import { base } from "../shell.js";

export const root = `${base}/v1/images`;
const LIMIT_BYTES = 256 * 2 ** 20;
const ARRAYS = { "<f4": Float32Array, "<f8": Float64Array, "<u4": Uint32Array };

export class RequestError extends Error {
  constructor(message, hint) {
    super(message);
    this.hint = hint;
  }
}

export function addressOf(path, query) {
  const given = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== null && value !== undefined) given.append(name, value);
  }
  return `${root}/${path}?${given}`;
}

async function received(address) {
  const reply = await fetch(address);
  if (reply.ok) return reply;
  let problem = {};
  try {
    problem = await reply.json();
  } catch (error) {
    console.debug(error);
  }
  throw new RequestError(problem.detail ?? `the server answered ${reply.status}`, problem.hint);
}

class Cache {
  #entries = new Map();
  #size = 0;

  get(key) {
    const found = this.#entries.get(key);
    if (found) {
      this.#entries.delete(key);
      this.#entries.set(key, found);
    }
    return found?.value;
  }

  set(key, value, size) {
    if (this.#entries.has(key)) return;
    this.#entries.set(key, { value, size });
    this.#size += size;
    for (const [oldest, entry] of this.#entries) {
      if (this.#size <= LIMIT_BYTES) break;
      this.#entries.delete(oldest);
      this.#size -= entry.size;
    }
  }
}

const cache = new Cache();
const pending = new Map();

function once(address, load) {
  const found = cache.get(address);
  if (found) return Promise.resolve(found);
  if (!pending.has(address)) {
    pending.set(address, load().finally(() => pending.delete(address)));
  }
  return pending.get(address);
}

export function cached(path, query) {
  return cache.get(addressOf(path, query));
}

// A plane: its values row by row, and its shape.
export function plane(path, query) {
  const address = addressOf(path, query);
  return once(address, async () => {
    const reply = await received(address);
    const [rows, columns] = reply.headers.get("Bsv-Shape").split(",").map(Number);
    const values = new ARRAYS[reply.headers.get("Bsv-Dtype")](await reply.arrayBuffer());
    const found = { values, rows, columns };
    cache.set(address, found, values.byteLength);
    return found;
  });
}

export function json(path, query = {}) {
  const address = addressOf(path, query);
  return once(address, async () => {
    const text = await (await received(address)).text();
    const found = JSON.parse(text);
    cache.set(address, found, 4 * text.length);
    return found;
  });
}

// Runs one request at a time; of those that are asked for meanwhile, only the last one is made.
export class Latest {
  #run;
  #next = null;
  #busy = false;

  constructor(run) {
    this.#run = run;
  }

  async want(value) {
    this.#next = { value };
    if (this.#busy) return;
    this.#busy = true;
    try {
      while (this.#next) {
        const wanted = this.#next.value;
        this.#next = null;
        await this.#run(wanted);
      }
    } finally {
      this.#busy = false;
    }
  }
}
