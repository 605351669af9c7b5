// A small network of machines for tests: network, mount and UTS namespaces joined by bridges.
//
// Nothing has a name on the machine that runs the test: each namespace lives as long as the process
// that holds it, and that process ends with its standard input, so a test that is killed leaves no
// interface, address or rule behind. Programs started in a host die with this process.
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";

const RUN_TIMEOUT_MS = 30_000;

/** Why there can be no such network here; undefined when there can. */
export function whyNoWorld() {
  if (process.getuid() !== 0) return "network namespaces need root";
  for (const tool of ["ip", "iptables", "ip6tables", "nsenter", "openssl", "setpriv", "unshare"]) {
    if (spawnSync("sh", ["-c", `command -v ${tool}`]).status !== 0) return `${tool} is not installed`;
  }
  if (!fs.existsSync("/dev/net/tun")) return "there is no /dev/net/tun";
  const made = spawnSync("unshare", ["--net", "--mount", "--uts", "ip", "link", "add", "name", "b", "type", "bridge"]);
  if (made.status !== 0) return `no namespaces here: ${String(made.stderr).trim()}`;
  return undefined;
}

/** Ends a program by its own pid: politely, and after a while without asking. */
export async function end(child, signal = "SIGTERM", patienceMs = 5000) {
  if (!child || child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, "exit");
  child.kill(signal);
  const late = setTimeout(() => child.kill("SIGKILL"), patienceMs);
  await exited;
  clearTimeout(late);
}

/** Collects what a program prints, for the message of a failed test. */
export function collect(child) {
  child.text = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding("utf8").on("data", (data) => (child.text += data));
  }
  return child;
}

/** Asks until the answer is not undefined, null or false. @returns that answer */
export async function until(what, ask, { timeoutMs = 20_000, everyMs = 50 } = {}) {
  const deadline = performance.now() + timeoutMs;
  for (let last; ; ) {
    try {
      const answer = await ask();
      if (answer !== undefined && answer !== null && answer !== false) return answer;
    } catch (error) {
      last = error;
    }
    if (performance.now() > deadline) {
      throw new Error(`after ${timeoutMs} ms still not: ${what}${last ? ` (${last.message})` : ""}`);
    }
    await new Promise((done) => setTimeout(done, everyMs));
  }
}

const isIPv6 = (address) => address.includes(":");

class Namespace {
  /** @param {string} script shell commands that set it up, as the first thing inside it */
  static async make(script) {
    const space = new this();
    space.holder = collect(
      spawn("unshare", ["--net", "--mount", "--uts", "sh", "-ec",
        `mount --make-rprivate /; ${script}\necho ready; exec cat`], { stdio: ["pipe", "pipe", "pipe"] }));
    space.running = new Set();
    await until("a namespace", () => {
      if (space.holder.exitCode !== null) throw new Error(space.holder.text);
      return space.holder.text.includes("ready");
    }, { everyMs: 5 });
    return space;
  }

  /** A program inside, in the folder `/`; its pid is the program's own. */
  spawn(file, args, options = {}) {
    const inside = ["--target", String(this.holder.pid), "--net", "--mount", "--uts", "--",
      "setpriv", "--pdeathsig", "KILL", file, ...args];
    const child = spawn("nsenter", inside, { stdio: ["ignore", "pipe", "pipe"], ...options });
    this.running.add(child);
    child.once("exit", () => this.running.delete(child));
    return child;
  }

  /** Runs a program to its end. @returns {Promise<{code: number, out: string, err: string}>} */
  async run(file, args, { timeoutMs = RUN_TIMEOUT_MS, input, ...options } = {}) {
    const child = this.spawn(file, args, { stdio: ["pipe", "pipe", "pipe"], ...options });
    const result = { code: -1, out: "", err: "" };
    child.stdout.setEncoding("utf8").on("data", (data) => (result.out += data));
    child.stderr.setEncoding("utf8").on("data", (data) => (result.err += data));
    child.stdin.on("error", () => {}); // it may end without reading
    child.stdin.end(input);
    const late = setTimeout(() => child.kill("SIGKILL"), timeoutMs);
    const [code] = await once(child, "close");
    clearTimeout(late);
    result.code = code ?? -1;
    return result;
  }

  /** Like run, but anything except exit code 0 is an error. @returns what it printed */
  async must(file, args, options) {
    const { code, out, err } = await this.run(file, args, options);
    if (code !== 0) throw new Error(`${file} ${args.join(" ")} ended with ${code}:\n${out}${err}`);
    return out;
  }

  async close() {
    const { pid } = this.holder;
    await Promise.all([...this.running].map((child) => end(child, "SIGKILL")));
    // What those have started may have left their family (Taildrive's servers do).
    const space = networkOf(pid);
    for (const other of fs.readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
      if (!space || networkOf(other) !== space) continue;
      try {
        process.kill(Number(other), "SIGKILL");
      } catch (error) {
        if (error.code !== "ESRCH") throw error; // it has ended meanwhile
      }
    }
    await end(this.holder, "SIGKILL");
  }
}

/** The network namespace of a process, as text; undefined when there is no such process. */
function networkOf(pid) {
  try {
    return fs.readlinkSync(`/proc/${pid}/ns/net`);
  } catch {
    return undefined;
  }
}

/** One machine: addresses on wires, an /etc of its own, a host name. */
export class Host extends Namespace {
  /** Cuts or heals the UDP traffic with another address, both ways; everything else passes. */
  async blockUdp(address, action = "-I") {
    await this.must(isIPv6(address) ? "ip6tables" : "iptables", ["-t", "raw", action, "PREROUTING", "-s", address, "-p", "udp", "-j", "DROP"]);
  }
  unblockUdp(address) {
    return this.blockUdp(address, "-D");
  }

  /** Puts an interface of this machine on a wire (a bridge of the world). */
  async plug(wire, device, address, gateway = undefined) {
    const port = `p${this.world.numPorts++}`;
    const { wires } = this.world;
    await wires.must("ip", ["link", "add", "name", port, "type", "veth", "peer", "name", device,
      "netns", String(this.holder.pid)]);
    await wires.must("ip", ["link", "set", port, "master", wire, "up"]);
    await this.must("ip", ["address", "add", address, "dev", device, ...(isIPv6(address) ? ["nodad"] : [])]);
    await this.must("ip", ["link", "set", device, "up"]);
    if (gateway) await this.must("ip", ["route", "add", "default", "via", gateway, "dev", device]);
  }

  /** Runs a program of this folder by Node. */
  script(name, ...args) {
    return collect(this.spawn(process.execPath, [path.join(import.meta.dirname, name), ...args.map(String)],
      { stdio: ["pipe", "pipe", "pipe"] }));
  }

  readEtc(name) {
    return fs.readFileSync(path.join(this.folder, "etc", name), "utf8");
  }
}

/** The machines, and the folder in which their files are. */
export class World {
  static async make() {
    const world = new World();
    world.folder = fs.mkdtempSync(path.join(os.tmpdir(), "edgescale-clients-"));
    world.hosts = [];
    world.numPorts = 0;
    // Forwards, without any route: what asks for the Internet is told at once that there is none.
    world.wires = await Namespace.make("ip link set lo up; echo 1 >/proc/sys/net/ipv4/ip_forward; echo 1 >/proc/sys/net/ipv6/conf/all/forwarding");
    return world;
  }

  /** A network. `gateways` are addresses on it where nobody forwards anything. */
  async wire(name, ...gateways) {
    await this.wires.must("ip", ["link", "add", "name", name, "type", "bridge"]);
    for (const address of gateways) {
      await this.wires.must("ip", ["address", "add", address, "dev", name, ...(isIPv6(address) ? ["nodad"] : [])]);
    }
    await this.wires.must("ip", ["link", "set", name, "up"]);
  }

  /**
   * @param {string} name
   * @param {Record<string, string | string[]>} names what its /etc/hosts knows: name -> addresses
   */
  async host(name, names = {}) {
    const folder = path.join(this.folder, name);
    const etc = path.join(folder, "etc");
    fs.mkdirSync(folder);
    // A copy, so that programs may replace /etc/resolv.conf as they do on a machine of their own.
    fs.cpSync("/etc", etc, { recursive: true, verbatimSymlinks: true });
    const known = Object.entries({ localhost: "127.0.0.1", [name]: "127.0.1.1", ...names });
    fs.writeFileSync(path.join(etc, "hosts"), known.flatMap(([n, a]) => [a].flat().map((one) => `${one} ${n}\n`)).join(""));
    fs.rmSync(path.join(etc, "resolv.conf"), { force: true });
    fs.writeFileSync(path.join(etc, "resolv.conf"), "# nobody to ask\n");
    const host = await Host.make(
      `mount --bind '${etc}' /etc; mount -t sysfs sysfs /sys; hostname ${name}; ip link set lo up`);
    host.world = this;
    host.name = name;
    host.folder = folder;
    this.hosts.push(host);
    return host;
  }

  async close() {
    await Promise.all(this.hosts.map((host) => host.close()));
    await this.wires?.close();
    fs.rmSync(this.folder, { recursive: true, force: true });
  }
}
