// Stock Tailscale clients of two versions join, reach each other and stay: three machines with TUN
// devices in namespaces, an origin with TLS, relay and STUN on a fourth.
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { after, before, describe, test } from "node:test";

import { BASE_DOMAIN, Flow, Origin, SERVER_NAME, Tailnet, clientsFolder, pairs, whyNoClients } from "./tailnet.mjs";
import { until } from "./world.mjs";

const skip = whyNoClients();

describe("stock clients of two versions", { skip }, () => {
  /** @type {Tailnet} */ let net;
  /** @type {import("./tailnet.mjs").Client[]} */ let clients;

  before(async () => {
    net = await Tailnet.make({ new1: "new", old1: "old", new2: "new" });
    clients = net.clients;
  });
  after(() => net?.close());

  test("join by one reusable key, and see each other by MagicDNS name", async () => {
    await net.join();
    for (const client of clients) {
      const others = clients.filter((other) => other !== client);
      for (const { name } of others) await client.sees(name, (peer) => peer.Online);
      const status = await client.status();
      assert.equal(status.BackendState, "Running");
      assert.equal(status.Self.DNSName, `${client.name}.${BASE_DOMAIN}.`);
      assert.equal(status.CurrentTailnet.MagicDNSSuffix, BASE_DOMAIN);
      const names = Object.values(status.Peer).map((peer) => peer.DNSName).sort();
      assert.deepEqual(names, others.map(({ name }) => `${name}.${BASE_DOMAIN}.`).sort());
      assert.ok(status.Self.TailscaleIPs[0].startsWith("100."), status.Self.TailscaleIPs[0]);
      assert.ok(status.Self.TailscaleIPs[1].startsWith("fd7a:115c:a1e0:"), status.Self.TailscaleIPs[1]);
      assert.deepEqual(Object.values(status.User).map((user) => user.LoginName), ["ann"]);
    }
  });

  test("resolve each other through 100.100.100.100, with and without the domain", async () => {
    for (const [a, b] of pairs(clients)) {
      assert.match(a.host.readEtc("resolv.conf"), /^nameserver 100\.100\.100\.100$/m);
      for (const name of [b.name, `${b.name}.${BASE_DOMAIN}`]) {
        const found = await a.host.must("getent", ["ahostsv4", name]);
        assert.equal(found.split(/\s/)[0], await b.ip(), `${name} at ${a.name}`);
      }
    }
  });

  test("ping every pair directly", async () => {
    for (const [a, b] of pairs(clients)) {
      assert.match(await a.ping(b, "--c=20"), new RegExp(`via ${b.host.address}:\\d+ in`));
    }
  });

  test("exchange bytes over TCP between every pair, both ways", async () => {
    for (const [a, b] of pairs(clients)) assert.equal(await a.connect(`${b.name}.${BASE_DOMAIN}`), "");
  });

  test("find relay and STUN healthy by netcheck", async () => {
    for (const client of clients) {
      const report = JSON.parse(await client.must("netcheck", "--format=json"));
      assert.equal(report.UDP, true);
      assert.equal(report.PreferredDERP, 999);
      assert.equal(report.GlobalV4.split(":")[0], client.host.address);
      assert.ok(report.RegionLatency[999] > 0);
    }
  });

  test("pass Tailscale's own prober of relays: TLS, STUN, and packets through the relay", async () => {
    const [{ environment }] = clients;
    // The prober is no node of the tailnet: a relay that serves everybody.
    const relay = await net.machine("relay");
    const origin = await Origin.make(relay, { derp: { server: { verify_clients: false } } });
    const region = { RegionID: 999, RegionCode: "edgescale", RegionName: "probed", Nodes: [
      { Name: "999a", RegionID: 999, HostName: SERVER_NAME, IPv4: relay.address, STUNPort: 3478 }] };
    const map = path.join(relay.folder, "derpmap.json");
    fs.writeFileSync(map, JSON.stringify({ Regions: { 999: region } }));
    const host = await net.machine("prober", { [SERVER_NAME]: relay.address });
    const { code, out, err } = await host.run(path.join(clientsFolder, "new/derpprobe"),
      ["-once", "-spread=false", `-derp-map=file://${map}`],
      { env: { ...environment, SSL_CERT_FILE: origin.authority }, timeoutMs: 60_000 });
    assert.equal(code, 0, out + err);
    for (const probe of ["tls", "udp", "999a/mesh"]) {
      assert.match(err, new RegExp(`good: derp/edgescale/999a/${probe}: `));
    }
    assert.doesNotMatch(err, /^\S+ \S+ bad: /m);
    await origin.stop();
  });

  test("send a file by Taildrop", async () => {
    const [a, b] = clients;
    const sent = path.join(a.host.folder, "sent.bin");
    fs.writeFileSync(sent, Buffer.alloc(200_000, "taildrop "));
    for (const [from, to] of [[a, b], [b, a]]) {
      await from.must("file", "cp", sent, `${to.name}:`);
      const folder = fs.mkdtempSync(path.join(to.host.folder, "inbox-"));
      await to.must("file", "get", "--wait", folder);
      assert.ok(fs.readFileSync(sent).equals(fs.readFileSync(path.join(folder, "sent.bin"))));
    }
  });

  test("reach each other through the relay when direct UDP is blocked", async () => {
    const [a, , c] = clients;
    await a.host.blockUdp(c.host.address);
    await c.host.blockUdp(a.host.address);
    // Each end gives the direct path up by itself, six seconds after it last worked; until then what
    // it sends there is lost.
    await until("the relay carries, both ways", async () =>
      (await a.ping(c, "--c=1", "--until-direct=false", "--timeout=1s")).includes("via DERP(edgescale)") &&
      (await a.peer(c.name)).CurAddr === "" && (await c.peer(a.name)).CurAddr === "");
    assert.equal(await a.connect(`${c.name}.${BASE_DOMAIN}`), "");
    assert.equal(await c.connect(`${a.name}.${BASE_DOMAIN}`), "");
    const { Relay, CurAddr } = await a.peer(c.name);
    assert.deepEqual({ Relay, CurAddr }, { Relay: "edgescale", CurAddr: "" });
  });

  for (const [signal, what] of [["SIGTERM", "is restarted"], ["SIGKILL", "is killed with -9 and started again"]]) {
    test(`keep their flows, direct and relayed, while the origin ${what}`, async () => {
      const [a, b, c] = clients;
      const nodes = () => net.origin.rows("select id, node_key, machine_key, ipv4 from nodes order by id");
      const before = await nodes();
      const direct = await Flow.open(a, await b.ip());
      const relayed = await Flow.open(a, await c.ip());
      const begun = performance.now();
      await net.origin.stop(signal);
      const stopMs = performance.now() - begun;
      assert.ok(stopMs < 3000, `the origin took ${stopMs} ms to stop`);
      await net.origin.start();

      // All of them hear of a change at the new origin: they are connected again.
      const id = (await net.node(b.name)).id;
      const fresh = `${b.name}-${signal.toLowerCase()}`;
      await net.origin.cli("nodes", "rename", "--identifier", id, fresh);
      for (const peer of [a, c]) await peer.sees(fresh, () => true, { timeoutMs: 60_000 });
      await until("its own name", async () => (await b.self()).DNSName === `${fresh}.${BASE_DOMAIN}.`,
        { timeoutMs: 60_000 });
      await net.origin.cli("nodes", "rename", "--identifier", id, b.name);
      for (const peer of [a, c]) await peer.sees(b.name, (seen) => seen.Online, { timeoutMs: 60_000 });

      const gaps = { direct: (await direct.finish()).gapMs, relayed: (await relayed.finish()).gapMs };
      assert.ok(gaps.direct < 1500, `the direct flow stood still for ${gaps.direct} ms`);
      assert.ok(gaps.relayed < 20_000, `the relayed flow stood still for ${gaps.relayed} ms`);
      assert.deepEqual(await nodes(), before, "nothing is registered twice or changed");
    });
  }

  test("go back to a direct path when it heals", async () => {
    const [a, , c] = clients;
    await a.host.unblockUdp(c.host.address);
    await c.host.unblockUdp(a.host.address);
    assert.match(await a.ping(c, "--c=30"), new RegExp(`via ${c.host.address}:\\d+ in`));
  });
});
