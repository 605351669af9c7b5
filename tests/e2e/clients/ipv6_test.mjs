// Machines without any IPv4, and one with both, on a network where the origin has both.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { BASE_DOMAIN, SERVER_NAME, Tailnet, pairs, whyNoClients } from "./tailnet.mjs";
import { until } from "./world.mjs";

const skip = whyNoClients();

describe("clients on IPv6", { skip }, () => {
  /** @type {Tailnet} */ let net;
  /** @type {import("./tailnet.mjs").Client} */ let six, old, both;

  before(async () => {
    net = await Tailnet.make({ six: "new", six80: "old", both: "new" }, {},
      (name) => (name.startsWith("six") ? "6" : "46"));
    [six, old, both] = net.clients;
    await six.host.blockUdp(old.host.address6);
    await old.host.blockUdp(six.host.address6);
  });
  after(() => net?.close());

  test("join by the server's name, or by its address", async () => {
    const key = await net.origin.key("ann", "--reusable");
    const { address6 } = net.origin.host;
    await Promise.all([six.up(key), both.up(key),
      old.must("up", `--login-server=https://[${address6}]`, `--auth-key=${key}`, "--hostname=six80", "--timeout=30s")]);
    for (const [a, b] of pairs(net.clients)) await a.sees(b.name, (peer) => peer.Online);
  });

  test("measure the relay by STUN over IPv6", async () => {
    for (const client of [six, old, both]) {
      const report = await until("a report", async () => {
        const found = JSON.parse(await client.must("netcheck", "--format=json"));
        return found.RegionV6Latency?.[999] && found;
      });
      assert.equal(report.UDP, true);
      assert.equal(report.IPv6, true);
      assert.equal(report.IPv4, client === both);
      assert.equal(report.PreferredDERP, 999);
      assert.ok(report.GlobalV6.startsWith(`[${client.host.address6}]:`), report.GlobalV6);
    }
  });

  test("reach each other through the relay, over IPv6, while direct UDP is blocked", async () => {
    assert.match(await six.ping(old, "--c=1", "--until-direct=false", "--timeout=5s"), /via DERP\(edgescale\)/);
    assert.equal(await six.connect(`six80.${BASE_DOMAIN}`), "");
    assert.equal(await old.connect(`six.${BASE_DOMAIN}`), "");
    await six.host.unblockUdp(old.host.address6);
    await old.host.unblockUdp(six.host.address6);
  });

  test("ping every pair directly, on IPv6 where there is nothing else", async () => {
    for (const [a, b] of pairs([six, old, both])) {
      const line = await a.ping(b, "--c=20");
      assert.ok(line.includes(`via [${b.host.address6}]:`), line);
      assert.equal(await a.connect(`${b.name}.${BASE_DOMAIN}`), "");
      const { TailscaleIPs } = await a.peer(b.name);
      for (const address of TailscaleIPs) assert.equal(await a.connect(address), "", address);
    }
  });
});
