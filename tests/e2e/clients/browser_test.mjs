// The client for browsers joins through the Worker, where everything is a WebSocket or plain HTTPS,
// and exchanges bytes with a native client that reaches the origin itself. One name, two addresses:
// the browser's machine finds the Worker under it, the native one the origin, as with a split
// between a proxied and a direct host.
import assert from "node:assert/strict";
import path from "node:path";
import readline from "node:readline";
import { after, before, describe, test } from "node:test";

import { startEdge, TOKEN_KEY } from "../../edge/harness/edge.mjs";
import { BASE_DOMAIN, Client, Origin, SERVER_NAME, clientsFolder, whyNoClients } from "./tailnet.mjs";
import { World, collect, until } from "./world.mjs";

const ORIGIN = "192.168.78.2";
const WORKER = "192.168.78.3";
const NATIVE = "192.168.78.11";
const BROWSER = "192.168.78.12";
const HTTP_PORT = 8008;

const skip = whyNoClients();

describe("the browser's client, through the Worker", { skip }, () => {
  /** @type {World} */ let world;
  /** @type {Origin} */ let origin;
  /** @type {Client} */ let native;
  let worker;
  let front;
  let browser;
  const said = [];

  const machine = async (name, address, names) => {
    const host = await world.host(name, names);
    await host.plug("lan", "eth0", `${address}/24`);
    await host.must("ip", ["route", "add", "default", "via", "192.168.78.1"]);
    return host;
  };

  before(async () => {
    world = await World.make();
    await world.wire("lan", "192.168.78.1/24");
    origin = await Origin.make(await machine("origin", ORIGIN), ORIGIN, `edge: {token_key: ${TOKEN_KEY}}\n`);
    const edge = await machine("edge", WORKER, { [SERVER_NAME]: ORIGIN });
    worker = await startEdge({ origin: `https://${SERVER_NAME}` },
      { authorities: [origin.authority], spawn: (...args) => edge.spawn(...args) });
    front = collect(edge.spawn(process.execPath, [path.join(import.meta.dirname, "front.mjs"),
      path.join(origin.folder, "server.pem"), path.join(origin.folder, "server.key"), String(worker.port)]));
    await until("TLS before the Worker", () => front.text.includes("listening"));

    native = new Client(await machine("native1", NATIVE, { [SERVER_NAME]: ORIGIN }), "new", origin);
    await native.start();
    await origin.cli("users", "create", "ann");
    await native.up(await origin.key("ann"));
  });
  after(async () => {
    await worker?.stop();
    await world?.close();
  });

  test("joins with a key, over WebSockets only", async () => {
    const host = await machine("browser1", BROWSER, { [SERVER_NAME]: WORKER });
    const key = await origin.key("ann", "--ephemeral");
    browser = host.spawn(process.execPath, [path.join(import.meta.dirname, "browser_client.mjs"),
      path.join(clientsFolder, "new"), `https://${SERVER_NAME}`, key, "browser1"],
      { stdio: ["pipe", "pipe", "pipe"], env: { NODE_EXTRA_CA_CERTS: origin.authority } });
    let log = "";
    browser.stderr.setEncoding("utf8").on("data", (text) => (log += text));
    readline.createInterface({ input: browser.stdout }).on("line", (line) => said.push(JSON.parse(line)));
    const map = await until("a map with the native peer", () => {
      assert.equal(browser.exitCode, null, log);
      return said.findLast(({ map }) => map?.peers.length)?.map;
    }, { timeoutMs: 60_000 }).catch((error) => {
      throw new Error(`${error.message}\n${log.slice(-6000)}\n${front.text}\n${worker.lines.slice(-20).join("\n")}`);
    });
    assert.equal(map.self.name, `browser1.${BASE_DOMAIN}.`);
    assert.deepEqual(map.peers.map(({ name }) => name), [`native1.${BASE_DOMAIN}.`]);
    await until("its relay", () => front.text.includes("101 GET /derp"), { timeoutMs: 60_000 });
    assert.match(front.text, /^101 GET \/ts2021$/m);
  });

  test("is seen by the native client, which reaches it through the relay", async () => {
    const peer = await until("it is online", async () => {
      const seen = await native.peer("browser1");
      return seen?.Online && seen;
    });
    assert.equal(peer.OS, "js");
    const { out } = await native.run("ping", "--until-direct=false", "--c=3", "--timeout=3s", "browser1");
    assert.match(out, /pong from browser1 \(.*\) via DERP\(edgescale\)/);
  });

  test("fetches from the native client, name and bytes both ways", async () => {
    const server = native.script("http_peer.mjs", HTTP_PORT);
    await until("the page is served", () => server.text.includes("listening"));
    for (const wanted of ["hello", "x".repeat(3000)]) {
      const before = said.length;
      browser.stdin.write(`http://${await native.ip()}:${HTTP_PORT}/${wanted}\n`);
      const answer = await until("an answer", () => said.slice(before).find((line) => line.fetched ?? line.failed),
        { timeoutMs: 30_000 });
      assert.equal(answer.fetched?.status, 200, JSON.stringify(answer));
      const { path: asked, from, filler } = JSON.parse(answer.fetched.text);
      assert.equal(asked, `/${wanted}`);
      assert.equal(from, (await native.peer("browser1")).TailscaleIPs[0]);
      assert.equal(filler.length, 100_000);
    }
  });
});
