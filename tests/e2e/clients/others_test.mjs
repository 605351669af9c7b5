// Others that speak with this server beside tailscaled: Tailscale's own relay, which asks who may use
// it, and a program with Tailscale inside (tsnet).
import assert from "node:assert/strict";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, before, describe, test } from "node:test";

import { BASE_DOMAIN, SERVER_NAME, Tailnet, clientsFolder, whyNoClients } from "./tailnet.mjs";
import { collect, until } from "./world.mjs";

const skip = whyNoClients();
const RELAY = "relay.example.net";
const PAGE_PORT = 8011;

describe("others than tailscaled", { skip }, () => {
  /** @type {Tailnet} */ let net;
  /** @type {string} */ let folder;
  /** @type {import("./tailnet.mjs").Client} */ let one, two;
  let derper;

  const mapWith = (address) => fs.writeFileSync(path.join(folder, "map.json"), JSON.stringify({
    Regions: { 900: { RegionID: 900, RegionCode: "outside", RegionName: "derper",
      Nodes: [{ Name: "900a", RegionID: 900, HostName: RELAY, IPv4: address }] } } }));

  before(async () => {
    folder = fs.mkdtempSync(path.join(os.tmpdir(), "edgescale-map-"));
    mapWith("192.0.2.1");
    net = await Tailnet.make({ one: "new", two: "old" },
      { derp: { server: { enabled: false }, paths: [path.join(folder, "map.json")] } });
    [one, two] = net.clients;

    const host = await net.machine("relay");
    await net.origin.certify(host, RELAY, `${RELAY}.crt`, `${RELAY}.key`);
    derper = collect(host.spawn(path.join(clientsFolder, "new/derper"),
      ["-hostname", RELAY, "-certmode", "manual", "-certdir", host.folder, "-c", path.join(host.folder, "derper.key"),
        "-http-port", "-1", "-verify-client-url", `https://${SERVER_NAME}/verify`],
      { env: { ...one.environment, HOME: host.folder } }));
    // It is read again when it changes.
    mapWith(host.address);
    await one.host.blockUdp(two.host.address);
    await two.host.blockUdp(one.host.address);
    await net.join();
  });
  after(async () => {
    await net?.close();
    fs.rmSync(folder, { recursive: true, force: true });
  });

  test("an outside relay that asks /verify carries this tailnet's nodes", async () => {
    for (const client of [one, two]) {
      await until("its relay", async () => (await client.self()).Relay === "outside", { timeoutMs: 30_000 });
    }
    await until("the relay carries", async () =>
      (await one.ping(two, "--c=1", "--until-direct=false", "--timeout=2s")).includes("via DERP(outside)"));
    assert.equal(await one.connect(await two.ip()), "");
  });

  test("and nobody else", async () => {
    // With a key that this tailnet does not have.
    await one.must("debug", "derp", "900");
    await until("the relay says so", () => /rejected: admission controller: .* not allowed/.test(derper.text));
  });

  test("a program with Tailscale inside joins, is served and serves, and knows who asks", async () => {
    const page = one.host.script("http_peer.mjs", PAGE_PORT);
    await until("the page is there", () => page.text.includes("listening"));
    const host = await net.machine("program");
    const program = collect(host.spawn(path.join(clientsFolder, "new/tsnet"),
      [path.join(host.folder, "tsnet"), `https://${SERVER_NAME}`, await net.origin.key("ann", "--ephemeral"), "program",
        `http://${await one.ip()}:${PAGE_PORT}/from-a-program`], { env: { ...one.environment, HOME: host.folder } }));
    const fetched = await until("what it fetched", () => {
      assert.equal(program.exitCode, null, program.text);
      return /^fetched (.*)$/m.exec(program.text)?.[1];
    }, { timeoutMs: 60_000 });
    const { path: asked, from } = JSON.parse(fetched);
    assert.equal(asked, "/from-a-program");
    assert.equal(from, (await one.peer("program")).TailscaleIPs[0]);
    for (const client of [one, two]) {
      const text = await client.host.must("curl", ["-sSf", "-m", "10", `http://program.${BASE_DOMAIN}/`]);
      assert.equal(text, `${client.name} of ann`);
    }
  });
});
