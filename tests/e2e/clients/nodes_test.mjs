// What an operator does to nodes reaches stock clients: names, log-outs, expiry, removal, routes.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { BASE_DOMAIN, SERVER_NAME, Tailnet, whyNoClients } from "./tailnet.mjs";
import { end, until } from "./world.mjs";

const SUBNET = "10.55.0";
const UPLINK = "198.51.100";
const OUTSIDE = "203.0.113";
const skip = whyNoClients();

describe("what an operator does to nodes", { skip }, () => {
  /** @type {Tailnet} */ let net;
  /** @type {import("./tailnet.mjs").Client} */ let a, b, c;

  let cutAt;

  const nodes = (...args) => net.origin.cli("nodes", ...args);
  const id = async (client) => (await net.node(client.name)).id;

  before(async () => {
    net = await Tailnet.make({ alpha: "new", beta: "old", gamma: "new" },
      { node: { ephemeral: { inactivity_timeout: "66s" } }, limits: { stranger_timeout: "2s" } });
    [a, b, c] = net.clients;
    await net.join();
    for (const peer of [b, c]) await a.sees(peer.name, (seen) => seen.Online);
  });
  after(() => net?.close());

  test("an ephemeral node that is cut off goes offline at its peers", async () => {
    const client = await net.client("cut", "old");
    await client.up(await net.origin.key("ann", "--ephemeral"));
    await a.sees("cut", (seen) => seen.Online);
    await end(client.daemon, "SIGKILL");
    cutAt = performance.now();
    for (const peer of [a, b]) await peer.sees("cut", (seen) => !seen.Online);
  });

  test("a new name reaches the node and its peers, and resolves", async () => {
    await nodes("rename", "--identifier", await id(b), "printer");
    await a.sees("printer");
    await a.misses(b.name);
    await until("its own name", async () => (await b.self()).DNSName === `printer.${BASE_DOMAIN}.`);
    const found = await a.host.must("getent", ["ahostsv4", "printer"]);
    assert.equal(found.split(/\s/)[0], await b.ip());
    await nodes("rename", "--identifier", (await net.node("printer")).id, b.name);
    await a.sees(b.name);
  });

  test("an interactive log-in waits for longer than a stranger may stay, and gets its answer at once", async () => {
    const client = await net.client("delta", "new");
    const up = client.spawn("up", `--login-server=https://${SERVER_NAME}`, "--hostname=delta");
    const url = await until("an address to visit", () => /https:\/\/\S+\/register\/\S+/.exec(up.text)?.[0]);
    const waiting = async () =>
      /^edgescale_control_connections_waiting (\d+)$/m.exec(
        await net.origin.host.must("curl", ["-sS", "http://127.0.0.1:9090/metrics"]))?.[1];
    await until("the client polls for the approval", async () => (await waiting()) === "1");
    const connections = () => net.origin.child.text.match(/route="?\/ts2021/g).length;
    const before = connections();
    await new Promise((done) => setTimeout(done, 5000));
    assert.equal(await waiting(), "1");
    assert.equal(connections(), before, "nobody had to connect again");
    assert.equal(up.exitCode, null);
    const begun = performance.now();
    await net.origin.cli("auth", "register", "--auth-id", url, "--user", "ann");
    await until("tailscale up ends", () => up.exitCode !== null);
    assert.equal(up.exitCode, 0, up.text);
    assert.ok(performance.now() - begun < 3000);
    await a.sees("delta", (seen) => seen.Online);
  });

  test("a log-out makes the node wait for a log-in, and its peers learn that its key is void", async () => {
    const client = net.clients.find(({ name }) => name === "delta");
    await client.must("logout");
    assert.equal((await client.status()).BackendState, "NeedsLogin");
    await a.sees("delta", (seen) => seen.Expired === true || !seen.Online);
    const before = (await net.node("delta")).id;
    await client.up(await net.origin.key("ann"));
    await a.sees("delta", (seen) => seen.Online && !seen.Expired);
    assert.equal((await net.node("delta")).id, before, "the same node came back");
  });

  const knownTo = async (client) => (JSON.parse(await client.must("debug", "netmap")).Peers ?? []).length;

  test("an expired key puts the node out, with nobody in its map, until it logs in again", async () => {
    await nodes("expire", "--identifier", await id(c));
    await until("it must log in", async () => (await c.status()).BackendState === "NeedsLogin");
    await until("it knows nobody", async () => (await knownTo(c)) === 0);
    await a.sees(c.name, (seen) => seen.Expired === true);
    assert.notEqual(await a.connect((await net.node(c.name)).ipAddresses[0]), "");
    await c.up(await net.origin.key("ann"), "--force-reauth");
    await a.sees(c.name, (seen) => seen.Online && !seen.Expired);
    await until("it is reached again", async () => (await a.connect(await c.ip())) === "");
    assert.notEqual(await knownTo(c), 0);
  });

  test("an operator's later expiry brings expired nodes back without a log-in", async () => {
    for (const client of [b, c]) {
      const identifier = await id(client);
      await nodes("expire", "--identifier", identifier);
      await until("it must log in", async () => (await client.status()).BackendState === "NeedsLogin");
      await until("it knows nobody", async () => (await knownTo(client)) === 0);
      await nodes("expire", "--identifier", identifier, "--disable");
      await until("it runs", async () => (await client.status()).BackendState === "Running");
      await a.sees(client.name, (seen) => seen.Online && !seen.Expired);
      await until("it is reached again", async () => (await a.connect(await client.ip())) === "");
      assert.notEqual(await knownTo(client), 0);
    }
  });

  test("a deleted node is gone at its peers at once, must log in, and comes back as another", async () => {
    const client = net.clients.find(({ name }) => name === "delta");
    const before = await id(client);
    await nodes("delete", "--identifier", before, "--force");
    await a.misses("delta");
    await b.misses("delta");
    assert.equal(await net.node("delta"), undefined);
    await until("it must log in", async () => (await client.status()).BackendState === "NeedsLogin");
    await client.up(await net.origin.key("ann"));
    await a.sees("delta", (seen) => seen.Online);
    assert.notEqual((await net.node("delta")).id, before);
    await client.stop();
  });

  test("an ephemeral node that logs out is removed at once", async () => {
    const client = await net.client("visitor", "new");
    await client.up(await net.origin.key("ann", "--ephemeral"));
    await a.sees("visitor", (seen) => seen.Online);
    await client.must("logout");
    await a.misses("visitor");
    assert.equal(await net.node("visitor"), undefined);
    await client.stop();
  });

  test("a subnet route is invisible until it is approved, carries traffic, and can be withdrawn", async () => {
    const far = await net.world.host("far");
    await net.world.wire("back");
    await far.plug("back", "eth0", `${SUBNET}.10/24`);
    await b.host.plug("back", "eth1", `${SUBNET}.2/24`);
    await b.host.must("sysctl", ["-q", "-w", "net.ipv4.ip_forward=1"]);
    const server = far.script("tcp_peer.mjs", "echo", 7007);
    await until("the echo listens", () => server.text.includes("listening"));

    await b.must("set", `--advertise-routes=${SUBNET}.0/24`);
    for (const client of [a, c]) await client.must("set", "--accept-routes");
    await until("the server hears of it", async () =>
      (await net.node(b.name)).availableRoutes.includes(`${SUBNET}.0/24`));
    const routes = (peer) => (peer.PrimaryRoutes ?? []).concat(peer.AllowedIPs);
    assert.ok(!routes(await a.peer(b.name)).includes(`${SUBNET}.0/24`));
    assert.notEqual(await a.connect(`${SUBNET}.10`), "", "not approved, not reached");

    await nodes("approve-routes", "--identifier", await id(b), "--routes", `${SUBNET}.0/24`);
    for (const client of [a, c]) {
      const peer = await client.sees(b.name, (seen) => seen.AllowedIPs.includes(`${SUBNET}.0/24`));
      assert.deepEqual(peer.PrimaryRoutes, [`${SUBNET}.0/24`]);
      await until("it carries", async () => (await client.connect(`${SUBNET}.10`)) === "");
    }

    await b.must("set", "--advertise-routes=");
    await a.sees(b.name, (seen) => !routes(seen).includes(`${SUBNET}.0/24`));
    assert.notEqual(await a.connect(`${SUBNET}.10`), "");
  });

  test("an exit node is no choice until it is approved, then carries what goes outside", async () => {
    const inet = await net.world.host("outside");
    await net.world.wire("uplink");
    // Behind a router: an exit node does not open the networks that it stands in.
    await inet.plug("uplink", "eth0", `${UPLINK}.1/24`);
    await inet.must("ip", ["address", "add", `${OUTSIDE}.10/32`, "dev", "lo"]);
    await c.host.plug("uplink", "eth1", `${UPLINK}.2/24`);
    await c.host.must("ip", ["route", "add", `${OUTSIDE}.0/24`, "via", `${UPLINK}.1`]);
    await c.host.must("sysctl", ["-q", "-w", "net.ipv4.ip_forward=1"]);
    const server = inet.script("tcp_peer.mjs", "echo", 7007);
    await until("the echo listens", () => server.text.includes("listening"));

    await c.must("set", "--advertise-exit-node");
    await until("the server hears of it", async () =>
      (await net.node(c.name)).availableRoutes.includes("0.0.0.0/0"));
    assert.equal((await a.peer(c.name)).ExitNodeOption, false);
    assert.notEqual((await a.run("set", `--exit-node=${c.name}`)).code, 0);
    assert.notEqual(await a.connect(`${OUTSIDE}.10`), "");

    await nodes("approve-routes", "--identifier", await id(c), "--routes", "0.0.0.0/0,::/0");
    await a.sees(c.name, (seen) => seen.ExitNodeOption);
    await a.must("set", `--exit-node=${c.name}`);
    await until("it carries", async () => (await a.connect(`${OUTSIDE}.10`)) === "");
    await a.must("set", "--exit-node=");
    await until("not any more", async () => (await a.connect(`${OUTSIDE}.10`)) !== "");
  });

  test("the ephemeral node that was cut off is removed after its time", async () => {
    await a.misses("cut", { timeoutMs: 100_000, everyMs: 250 });
    assert.equal(await net.node("cut"), undefined);
    const seconds = (performance.now() - cutAt) / 1000;
    assert.ok(seconds > 60 && seconds < 110, `removed after ${seconds} s`);
  });
});
