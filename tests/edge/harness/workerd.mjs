// Starts a raw workerd (no miniflare) on a generated capnp configuration, for tests and benches.
//
// The kernel chooses the port; workerd reports it over its control pipe. Everything that a Worker
// prints is collected line by line, so that tests can read log lines and data points.
import { spawn } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";

export const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../../..");
export const COMPATIBILITY_DATE = "2026-11-01";

/** @returns {string} the workerd program of this machine's architecture */
export function workerdBinary() {
  const arch = { x64: "64", arm64: "arm64" }[process.arch];
  const file = path.join(ROOT, `node_modules/@cloudflare/workerd-linux-${arch}/bin/workerd`);
  if (!fs.existsSync(file)) throw new Error(`no ${file}: run npm ci first`);
  return file;
}

// A test run that is cut short leaves no server behind.
const running = new Set();
process.on("exit", () => {
  for (const child of running) child.kill("SIGKILL");
});
for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => process.exit(1));

const quoted = (text) => JSON.stringify(text);

/** How a module's file name says what it is. */
function moduleKind(file) {
  if (file.endsWith(".wasm")) return "wasm";
  if (file.endsWith(".txt")) return "text";
  return "esModule";
}

// Each data point is printed, so that a test can count and read them.
const PRINTING_ANALYTICS = `export default function () {
  return { writeDataPoint(point) { console.log("DATAPOINT " + JSON.stringify(point)); } };
}`;
// What production has: a call that returns at once.
const SILENT_ANALYTICS = `let n = 0;
export default function () { return { writeDataPoint(point) { n += point.blobs.length; } }; }`;

/**
 * @typedef {object} WorkerSpec
 * @property {Record<string, string>} modules name -> file (absolute, or relative to the root);
 *   the first is the entry
 * @property {Record<string, string>} [inline] module name -> its text, replacing or adding
 * @property {Record<string, string>} [text] text bindings: vars and secrets
 * @property {boolean} [limiter] bind LIMITER to the class RateLimiter
 * @property {string} [limiterOf] bind LIMITER to that class of another service instead
 * @property {string} [outbound] service that answers global fetch(), instead of the network
 * @property {"printing" | "silent" | "none"} [analytics]
 * @property {Record<string, string>} [services] binding -> name of another service
 */

function workerConfig(name, spec, dir) {
  const modules = [];
  const names = new Set([...Object.keys(spec.modules ?? {}), ...Object.keys(spec.inline ?? {})]);
  for (const module of names) {
    let file = spec.modules?.[module];
    if (spec.inline?.[module] !== undefined) {
      file = path.join(dir, `${name}-${module.replaceAll("/", "_")}`);
      fs.writeFileSync(file, spec.inline[module]);
    }
    const absolute = path.resolve(ROOT, file);
    const relative = path.relative(dir, absolute);
    modules.push(`(name = ${quoted(module)}, ${moduleKind(module)} = embed ${quoted(relative)})`);
  }
  const bindings = Object.entries(spec.text ?? {}).map(
    ([key, value]) => `(name = ${quoted(key)}, text = ${quoted(value)})`);
  for (const [key, service] of Object.entries(spec.services ?? {}))
    bindings.push(`(name = ${quoted(key)}, service = ${quoted(service)})`);
  const own = spec.limiter && !spec.limiterOf;
  if (own) bindings.push(`(name = "LIMITER", durableObjectNamespace = "RateLimiter")`);
  if (spec.limiterOf)
    bindings.push(`(name = "LIMITER", durableObjectNamespace =
      (className = "RateLimiter", serviceName = ${quoted(spec.limiterOf)}))`);
  if (spec.analytics && spec.analytics !== "none")
    bindings.push(`(name = "ANALYTICS", wrapped = (moduleName = "test:${spec.analytics}"))`);
  const objects = own
    ? `durableObjectNamespaces = [(className = "RateLimiter", uniqueKey = "es-${name}", enableSql = true)],
    durableObjectStorage = (inMemory = void),`
    : "";
  return `(name = ${quoted(name)}, worker = (
    modules = [${modules.join(",\n      ")}],
    compatibilityDate = ${quoted(spec.compatibilityDate ?? COMPATIBILITY_DATE)},
    compatibilityFlags = ["no_nodejs_compat", "no_nodejs_compat_v2"],
    ${objects}
    ${spec.outbound ? `globalOutbound = ${quoted(spec.outbound)},` : ""}
    bindings = [${bindings.join(",\n      ")}]))`;
}

/**
 * @param {Record<string, WorkerSpec>} workers the first one answers on the port
 * @param {object} [options]
 * @param {string[]} [options.flags]
 * @param {"collect" | "discard"} [options.output] discard for benches: nobody reads the pipe while a
 *   load generator runs
 * @param {string[]} [options.authorities] PEM files of authorities that outgoing TLS trusts
 * @param {(file: string, args: string[], options: object) => import("node:child_process").ChildProcess}
 *   [options.spawn] starts it somewhere else, such as in another network namespace
 */
export async function startWorkerd(workers, options = {}) {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), "es-workerd-"));
  fs.writeFileSync(path.join(dir, "printing.js"), PRINTING_ANALYTICS);
  fs.writeFileSync(path.join(dir, "silent.js"), SILENT_ANALYTICS);
  const [entry] = Object.keys(workers);
  const services = Object.entries(workers).map(([name, spec]) => workerConfig(name, spec, dir));
  const trusted = (options.authorities ?? []).map(
    (file) => `embed ${quoted(path.relative(dir, path.resolve(file)))}`);
  const tls = trusted.length
    ? `, tlsOptions = (trustBrowserCas = true, trustedCertificates = [${trusted.join(", ")}])` : "";
  fs.writeFileSync(
    path.join(dir, "config.capnp"),
    `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    ${services.join(",\n    ")},
    (name = "internet", network = (allow = ["public", "private", "local"]${tls}))],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = ${quoted(entry)})],
  extensions = [(modules = [
    (name = "test:printing", internal = true, esModule = embed "printing.js"),
    (name = "test:silent", internal = true, esModule = embed "silent.js")])]);
`);
  const child = (options.spawn ?? spawn)(
    workerdBinary(),
    ["serve", "--experimental", "--control-fd=3", ...(options.flags ?? []), path.join(dir, "config.capnp")],
    { stdio: options.output === "discard" ? ["ignore", "ignore", "ignore", "pipe"]
                                          : ["ignore", "pipe", "pipe", "pipe"] });
  const lines = [];
  const collect = (stream) => {
    let rest = "";
    stream.setEncoding("utf8").on("data", (chunk) => {
      const parts = (rest + chunk).split("\n");
      rest = parts.pop();
      lines.push(...parts);
    });
  };
  if (child.stdout) collect(child.stdout);
  if (child.stderr) collect(child.stderr);
  running.add(child);
  const exited = new Promise((resolve) => child.once("exit", resolve));
  exited.then(() => running.delete(child));

  const port = await new Promise((resolve, reject) => {
    let text = "";
    child.stdio[3].setEncoding("utf8").on("data", (chunk) => {
      text += chunk;
      for (const line of text.split("\n").slice(0, -1)) {
        const event = JSON.parse(line);
        if (event.event === "listen") resolve(event.port);
      }
    });
    exited.then((code) => reject(new Error(`workerd ended with ${code}:\n${lines.join("\n")}`)));
  });

  return {
    port,
    pid: child.pid,
    url: `http://127.0.0.1:${port}`,
    lines,
    /** The data points that a printing analytics binding has received. */
    dataPoints() {
      return lines.filter((l) => l.startsWith("DATAPOINT ")).map((l) => JSON.parse(l.slice(10)));
    },
    /** The JSON log lines of the Worker. */
    logs() {
      return lines.filter((l) => l.startsWith("{")).map((l) => JSON.parse(l));
    },
    async stop() {
      child.kill("SIGTERM");
      const late = setTimeout(() => child.kill("SIGKILL"), 2000);
      await exited;
      clearTimeout(late);
      fs.rmSync(dir, { recursive: true, force: true });
    },
  };
}
