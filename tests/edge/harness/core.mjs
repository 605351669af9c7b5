// edge.wasm directly in Node, without workerd.
import fs from "node:fs";
import path from "node:path";
import { Core } from "../../../js-shim/wasm.mjs";
import { API_KEY, TOKEN_KEY } from "./edge.mjs";
import { ROOT } from "./workerd.mjs";

export const WASM = path.join(ROOT, "build/edge/edge.wasm");

let compiled = null;
export function module() {
  compiled ??= new WebAssembly.Module(fs.readFileSync(WASM));
  return compiled;
}

export const SOUND = {
  HEADSCALE_URL: "=http://origin.internal:8080",
  HEADSCALE_API_KEY: `=${API_KEY}`,
  EDGE_TOKEN_KEY: `=${TOKEN_KEY}`,
  LIMITER: ":durable_object",
  ANALYTICS: ":analytics",
};

/** The environment as text; a change of undefined removes a line. */
export function settings(changes = {}) {
  return Object.entries({ ...SOUND, ...changes })
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${name}${value}\n`)
    .join("");
}

export function newCore(changes) {
  return new Core(module(), settings(changes));
}

export const NOW = 1_795_000_000_000;

/** Headers as the shim reads them: get() and iteration, without the checks of the real ones. */
class FakeHeaders extends Map {
  get(name) {
    return super.get(name) ?? null;
  }
}

/** What the shim reads of a Request. @param {Record<string, string>} fields lower-case names */
export function fakeRequest(method, url, fields = {}) {
  return { method, url, headers: new FakeHeaders(Object.entries(fields)) };
}
