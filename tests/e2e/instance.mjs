// A local instance of both twins for a test: `./opr start` in a state folder and on ports of its
// own, so that it stands beside whatever else runs on the machine.
import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import net from "node:net";
import http from "node:http";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";

export const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../..");

const START_TIMEOUT_MS = 240_000;

/** Ports that the kernel has just given and taken back: free, as far as anybody can know. */
export async function freePorts(count) {
  const servers = Array.from({ length: count }, () => net.createServer());
  for (const server of servers) {
    await new Promise((done) => server.listen(0, "127.0.0.1", done));
  }
  const ports = servers.map((server) => server.address().port);
  await Promise.all(servers.map((server) => new Promise((done) => server.close(done))));
  return ports;
}

/**
 * Runs a program to its end.
 * @returns {Promise<{code: number, out: string}>} exit code, and both output streams as one text
 */
export function run(file, args, { env = {}, timeoutMs = START_TIMEOUT_MS } = {}) {
  return new Promise((done, failed) => {
    const child = spawn(file, args, {
      cwd: root,
      env: { ...process.env, ...env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    let out = "";
    child.stdout.on("data", (data) => (out += data));
    child.stderr.on("data", (data) => (out += data));
    const timer = setTimeout(() => child.kill("SIGKILL"), timeoutMs);
    child.on("error", failed);
    child.on("close", (code) => {
      clearTimeout(timer);
      done({ code: code ?? -1, out });
    });
  });
}

export class Instance {
  /** @type {string} */ state;
  /** @type {string} the operator's API key */ key;

  static async start() {
    const instance = new Instance();
    instance.state = await mkdtemp(path.join(os.tmpdir(), "edgescale-e2e-"));
    const [origin, metrics, edge] = await freePorts(3);
    instance.ports = { origin, metrics, edge };
    instance.env = {
      OPR_STATE: instance.state,
      OPR_ORIGIN_PORT: String(origin),
      OPR_METRICS_PORT: String(metrics),
      OPR_EDGE_PORT: String(edge),
    };
    const begun = performance.now();
    const { code, out } = await instance.opr("start");
    instance.startMs = performance.now() - begun;
    if (code !== 0) {
      await instance.stop();
      throw new Error(`./opr start ended with ${code}:\n${out}`);
    }
    instance.startOutput = out;
    instance.key = /^HEADSCALE_API_KEY=(.*)$/m.exec(
      await readFile(path.join(instance.state, ".dev.vars"), "utf8"),
    )[1];
    return instance;
  }

  get originUrl() {
    return `http://127.0.0.1:${this.ports.origin}`;
  }
  get edgeUrl() {
    return `http://127.0.0.1:${this.ports.edge}`;
  }
  get metricsUrl() {
    return `http://127.0.0.1:${this.ports.metrics}/metrics`;
  }

  opr(...args) {
    return run(path.join(root, "opr"), args, { env: this.env });
  }

  /** The pid of origin or edge, as opr wrote it down. */
  async pid(name) {
    const text = await readFile(path.join(this.state, "run", `${name}.pid`), "utf8");
    return Number(text.split(" ")[0]);
  }

  /** The sum of the origin's counters of one name whose labels hold `labels`. */
  async counter(name, labels = "") {
    const text = await (await fetch(this.metricsUrl)).text();
    let sum = 0;
    for (const line of text.split("\n")) {
      const [series, value] = line.split(/ (?=[^ ]*$)/);
      if (series.split("{")[0] === name && series.includes(labels)) sum += Number(value);
    }
    return sum;
  }

  async stop() {
    await this.opr("stop");
    await rm(this.state, { recursive: true, force: true });
  }
}

/**
 * A request whose path and headers are sent as they are given; nothing is normalised. `from` is the
 * loopback address that the socket has.
 * @returns {Promise<{status: number, headers: object, body: string}>}
 */
export function request(base, target, { method = "GET", headers = {}, body, from } = {}) {
  const { hostname, port } = new URL(base);
  return new Promise((done, failed) => {
    const options = { hostname, port, path: target, method, headers, localAddress: from };
    const sent = http.request({ ...options, agent: false });
    sent.on("error", failed);
    sent.on("response", (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (data) => (text += data));
      response.on("error", failed);
      response.on("end", () =>
        done({ status: response.statusCode, headers: response.headers, body: text }),
      );
    });
    sent.end(body);
  });
}

/** Sends bytes as they are, and returns the status of the answer (0: closed without one). */
export function rawRequest(base, bytes, timeoutMs = 5000) {
  const { hostname, port } = new URL(base);
  return new Promise((done, failed) => {
    const socket = net.connect({ host: hostname, port: Number(port) }, () => socket.write(bytes));
    let text = "";
    const finish = () => {
      socket.destroy();
      done(Number(/^HTTP\/1\.[01] (\d{3})/.exec(text)?.[1] ?? 0));
    };
    socket.setTimeout(timeoutMs, finish);
    socket.on("data", (data) => {
      text += data.toString("latin1");
      if (text.includes("\r\n\r\n")) finish();
    });
    socket.on("end", finish);
    socket.on("error", (error) => (text ? finish() : failed(error)));
  });
}
