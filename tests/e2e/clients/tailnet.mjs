// What the tests of real clients stand on: an origin and stock `tailscaled`s, each on a machine of
// its own in a World.
import assert from "node:assert/strict";
import { once } from "node:events";
import fs from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

import { program, root } from "../cli_process.mjs";
import { World, collect, end, until, whyNoWorld } from "./world.mjs";

const here = path.dirname(fileURLToPath(import.meta.url));

export const SERVER_NAME = "control.example.net";
export const BASE_DOMAIN = "tail.example.com";

/** Where `./opr test` puts what it builds from tests/e2e/go. */
export const clientsFolder = process.env.EDGESCALE_CLIENTS ?? path.join(root, "build/clients");

/** Why these tests cannot run here; undefined when they can. */
export function whyNoClients() {
  for (const version of ["old", "new"]) {
    for (const name of ["tailscale", "tailscaled"]) {
      const file = path.join(clientsFolder, version, name);
      if (!fs.existsSync(file)) return `${path.relative(root, file)} is not built: ./opr test e2e builds it`;
    }
  }
  return whyNoWorld();
}

const FRESH_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];

/** An authority that the clients are told to trust: ca.pem and ca.key in the machine's folder. */
function makeAuthority(host) {
  const file = (name) => path.join(host.folder, name);
  return host.must("openssl", ["req", "-x509", ...FRESH_KEY, "-days", "30", "-subj", "/CN=test authority",
    "-keyout", file("ca.key"), "-out", file("ca.pem"), "-addext", "basicConstraints=critical,CA:TRUE"]);
}

/** A certificate for a name and the machine's addresses: CERTIFICATE and KEY in its folder. */
async function certify(host, authority, name, certificate, key) {
  const file = (part) => path.join(host.folder, part);
  await host.must("openssl", ["req", "-new", ...FRESH_KEY, "-subj", `/CN=${name}`, "-keyout", file(key),
    "-out", file("request.csr")]);
  const names = [`DNS:${name}`, ...[host.address, host.address6].filter(Boolean).map((a) => `IP:${a}`)];
  fs.writeFileSync(file("names"), `subjectAltName=${names}\n`);
  await host.must("openssl", ["x509", "-req", "-in", file("request.csr"), "-CA", path.join(authority, "ca.pem"),
    "-CAkey", path.join(authority, "ca.key"), "-CAcreateserial", "-days", "30", "-extfile", file("names"),
    "-out", file(certificate)]);
}

/** `more` over `settings`, object by object. */
function merged(settings, more) {
  const result = { ...settings };
  for (const [key, value] of Object.entries(more)) {
    const both = [value, result[key]].every((side) => side?.constructor === Object);
    result[key] = both ? merged(result[key], value) : value;
  }
  return result;
}

export class Origin {
  /**
   * @param {import("./world.mjs").Host} host with the addresses that the relay's map entry gets
   * @param {object} more settings beyond, or instead of, the usual ones
   */
  static async make(host, more = {}) {
    const origin = new Origin();
    Object.assign(origin, { host, folder: host.folder });
    await makeAuthority(host);
    await certify(host, host.folder, SERVER_NAME, "server.pem", "server.key");
    const file = (name) => path.join(host.folder, name);
    const settings = {
      server_url: `https://${SERVER_NAME}`,
      listen_addr: "[::]:443",
      tls_cert_path: "server.pem",
      tls_key_path: "server.key",
      metrics_listen_addr: "127.0.0.1:9090",
      unix_socket: file("edgescale.sock"),
      state_dir: file("state"),
      noise: { private_key_path: file("noise.key") },
      database: { type: "sqlite", sqlite: { path: file("db.sqlite") } },
      derp: {
        urls: [],
        server: {
          enabled: true,
          stun_listen_addr: "[::]:3478",
          private_key_path: file("derp.key"),
          ipv4: host.address ?? "",
          ipv6: host.address6 ?? "",
        },
      },
      dns: { base_domain: BASE_DOMAIN, override_local_dns: false },
    };
    origin.config = file("config.yaml");
    // JSON is YAML.
    fs.writeFileSync(origin.config, JSON.stringify(merged(settings, more)));
    await origin.start();
    return origin;
  }

  /** A certificate of the same authority, for another machine. */
  certify(host, name, certificate, key) {
    return certify(host, this.folder, name, certificate, key);
  }

  get authority() {
    return path.join(this.folder, "ca.pem");
  }

  async start() {
    this.child = collect(this.host.spawn(program, ["serve", "--config", this.config]));
    await until("the origin answers", async () => {
      if (this.child.exitCode !== null) throw new Error(this.child.text);
      return (await this.host.run(program, ["--config", this.config, "health"])).code === 0;
    });
  }

  async stop(signal = "SIGTERM") {
    await end(this.child, signal, 10_000);
    if (signal === "SIGTERM") assert.equal(this.child.exitCode, 0, this.child.text);
  }

  /** The operator's command line. @returns what it printed, read as JSON */
  async cli(...args) {
    const out = await this.host.must(program, ["--config", this.config, "--output", "json", ...args]);
    return out.trim() === "" ? undefined : JSON.parse(out);
  }

  async key(user, ...options) {
    return (await this.cli("preauthkeys", "create", "--user", user, ...options)).key;
  }

  /** Rows of the database, read beside the running origin. */
  async rows(query) {
    const out = await this.host.must("sqlite3", ["-readonly", "-json", path.join(this.folder, "db.sqlite"), query]);
    return out === "" ? [] : JSON.parse(out);
  }
}

/** A stock client: `tailscaled` with a TUN device, and the command line beside it. */
export class Client {
  /** @param {"old" | "new"} version */
  constructor(host, version, origin) {
    Object.assign(this, { host, version, origin, name: host.name });
    this.programs = path.join(clientsFolder, version);
    this.state = path.join(host.folder, "tailscale");
    this.socket = path.join(host.folder, "tailscaled.sock");
    this.environment = {
      PATH: process.env.PATH,
      HOME: host.folder,
      SSL_CERT_FILE: origin.authority,
      TS_NO_LOGS_NO_SUPPORT: "true",
      TS_PANIC_IF_HIT_MAIN_CONTROL: "1",
    };
  }

  async start() {
    const args = ["--tun=tailscale0", `--statedir=${this.state}`, `--socket=${this.socket}`];
    this.daemon = collect(
      this.host.spawn(path.join(this.programs, "tailscaled"), args, { env: this.environment }));
    await until(`tailscaled of ${this.name}`, async () => {
      if (this.daemon.exitCode !== null) throw new Error(this.daemon.text);
      return (await this.run("status", "--json")).code === 0;
    });
  }

  async stop() {
    await end(this.daemon, "SIGTERM", 10_000);
  }

  run(...args) {
    return this.host.run(path.join(this.programs, "tailscale"), [`--socket=${this.socket}`, ...args],
      { env: this.environment });
  }

  /** The command line as a program that goes on. */
  spawn(...args) {
    return collect(this.host.spawn(path.join(this.programs, "tailscale"),
      [`--socket=${this.socket}`, ...args], { env: this.environment }));
  }

  /** Like run, but anything except exit code 0 is an error. @returns what it printed */
  async must(...args) {
    const { code, out, err } = await this.run(...args);
    assert.equal(code, 0, `${this.name}: tailscale ${args.join(" ")}:\n${out}${err}`);
    return out;
  }

  up(key, ...options) {
    return this.must("up", `--login-server=https://${SERVER_NAME}`, `--auth-key=${key}`,
      `--hostname=${this.name}`, "--timeout=30s", ...options);
  }

  async status() {
    return JSON.parse(await this.must("status", "--json"));
  }

  /** Its own entry of the status. */
  async self() {
    return (await this.status()).Self;
  }

  /** What it knows of a peer by that name; undefined when it knows none. */
  async peer(name) {
    const { Peer } = await this.status();
    return Object.values(Peer ?? {}).find((peer) => peer.DNSName === `${name}.${BASE_DOMAIN}.`);
  }

  async ip() {
    return (await this.self()).TailscaleIPs[0];
  }

  /** Sends back what comes by TCP, for connect() and flows. */
  async echo() {
    const server = this.host.script("tcp_peer.mjs", "echo", ECHO_PORT);
    await until("the echo listens", () => server.text.includes("listening"));
  }

  /** One connection with an answer. @returns {Promise<string>} empty, or how it failed */
  async connect(address, timeoutMs = 3000) {
    const { code, out, err } = await this.host.run(process.execPath,
      [path.join(here, "tcp_peer.mjs"), "once", address, String(ECHO_PORT), String(timeoutMs)]);
    return code === 0 ? "" : out + err;
  }

  /** `tailscale ping`; @returns its last line, which says which way the answer came */
  async ping(peer, ...options) {
    return (await this.must("ping", ...options, peer.name)).trim().split("\n").at(-1);
  }

  /** Waits until it knows the peer as wanted. @returns its entry of the status */
  sees(name, wanted = () => true, options = {}) {
    return until(`${this.name} sees ${name} as wanted`, async () => {
      const peer = await this.peer(name);
      return peer && wanted(peer) && peer;
    }, options);
  }

  misses(name, options = {}) {
    return until(`${this.name} no longer knows ${name}`, async () => !(await this.peer(name)), options);
  }
}

const NET = "192.168.77";
const NET6 = "2001:db8:77:";
const ECHO_PORT = 7007;

/** An origin and joined-up machines with their clients, not logged in yet. */
export class Tailnet {
  /**
   * @param {Record<string, "old" | "new">} machines name -> version of the client
   * @param {object} [settings] of the origin
   * @param {(name: string) => string} [families] which addresses a machine has: "4", "6" or "46"
   */
  static async make(machines, settings = {}, families = () => "4") {
    const net = new Tailnet();
    net.families = families;
    net.world = await World.make();
    try {
      await net.world.wire("lan", `${NET}.1/24`, `${NET6}:1/64`);
      net.numHosts = 1;
      net.origin = await Origin.make(await net.machine("origin"), settings);
      await net.origin.cli("users", "create", "ann");
      net.clients = await Promise.all(Object.entries(machines).map((machine) => net.client(...machine)));
    } catch (error) {
      await net.close();
      throw error;
    }
    return net;
  }

  close() {
    return this.world.close();
  }

  /** A machine on the network where the origin is. */
  async machine(name, names = this.#server(this.families(name))) {
    const number = ++this.numHosts;
    const host = await this.world.host(name, names);
    if (this.families(name).includes("4")) {
      host.address = `${NET}.${number}`;
      await host.plug("lan", "eth0", `${host.address}/24`, `${NET}.1`);
    }
    if (this.families(name).includes("6")) {
      host.address6 = `${NET6}:${number}`;
      await host.plug("lan", "eth6", `${host.address6}/64`, `${NET6}:1`);
    }
    return host;
  }

  /** What /etc/hosts of a machine with these families says of the server. */
  #server(families) {
    const { address, address6 } = this.origin?.host ?? {};
    return { [SERVER_NAME]: [families.includes("4") && address, families.includes("6") && address6].filter(Boolean) };
  }

  /** One more machine with a running client, and a TCP echo on all of its addresses. */
  async client(name, version) {
    const client = new Client(await this.machine(name), version, this.origin);
    await client.start();
    await client.echo();
    this.clients?.push(client);
    return client;
  }

  /** Joins all of them by one key. */
  async join(...options) {
    const key = await this.origin.key("ann", "--reusable");
    await Promise.all(this.clients.map((client) => client.up(key, ...options)));
  }

  /** The server's record of a node: an object of the REST API. */
  async node(name) {
    return (await this.origin.cli("nodes", "list")).find((node) => node.givenName === name);
  }
}

/** Each ordered pair of different things. */
export const pairs = (things) => things.flatMap((a) => things.filter((b) => b !== a).map((b) => [a, b]));

/** A connection that sends and wants back numbers until it is asked how it went. */
export class Flow {
  static async open(from, address) {
    const flow = new Flow();
    flow.child = from.host.script("tcp_peer.mjs", "flow", address, ECHO_PORT);
    await until(`a flow from ${from.name} to ${address}`, () => {
      assert.doesNotMatch(flow.child.text, /failed/);
      return flow.child.text.includes("up");
    });
    return flow;
  }

  /** Ends it. @returns {Promise<{sent: number, echoed: number, gapMs: number}>} */
  async finish() {
    const exited = once(this.child, "close");
    this.child.stdin.end();
    await exited;
    assert.equal(this.child.exitCode, 0, this.child.text);
    return JSON.parse(this.child.text.trim().split("\n").at(-1));
  }
}
