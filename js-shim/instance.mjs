// The one instance of edge.wasm that this isolate has: made at the first request, thrown away after a
// trap, refused (and never tried again) when the environment is incomplete.
import module from "../build/edge/edge.wasm";
import { ConfigError, Core } from "./wasm.mjs";
import { Tables } from "./tables.mjs";
import { counters } from "./counters.mjs";

const MAX_VALUE = 1024;
const VERSION = "0.1.0";

let core = null;
let tables = null;
let problem = null;

// What a binding is, by what can be done with it; edge/config.h knows which ones it needs.
function kindOf(value) {
  if (value === null || typeof value !== "object") return "unknown";
  if (typeof value.idFromName === "function") return "durable_object";
  if (typeof value.writeDataPoint === "function") return "analytics";
  if (typeof value.fetch === "function") return "fetcher";
  return "unknown";
}

function describe(env, colo) {
  let text = `host.version=${VERSION}\nhost.colo=${colo}\n`;
  for (const name of Object.keys(env)) {
    const value = env[name];
    const plain = typeof value === "string" || typeof value === "number" ? String(value) : null;
    text += plain !== null && plain.length <= MAX_VALUE && !plain.includes("\n")
      ? `${name}=${plain}\n`
      : `${name}:${kindOf(value)}\n`;
  }
  return text;
}

/**
 * @param {object} env
 * @param {string} [colo] where this isolate runs, if the host says so
 * @returns {{core: Core, tables: Tables}}
 * @throws {ConfigError}
 */
export function instanceFor(env, colo = "") {
  if (problem !== null) throw problem;
  if (core === null) {
    try {
      core = new Core(module, describe(env, colo));
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      problem = error;
      tables = new Tables(error.tables);
      throw error;
    }
    counters.instances += 1;
    // The environment of an isolate does not change, so its tables outlive an instance.
    tables ??= new Tables(core.tables);
  }
  return { core, tables };
}

/** The tables of the last instance, or null when there never was one. */
export function lastTables() {
  return tables;
}

/**
 * After an exception: if it came out of the module, its instance is undefined from now on and the
 * next request makes a new one; if not, nothing of it is lost.
 * @returns {boolean} whether it was dropped
 */
export function dropTrapped() {
  if (core === null || !core.inside) return false;
  core = null;
  return true;
}
