// SSH under a check rule, with stock clients: the person waits, an operator decides.
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { after, before, describe, test } from "node:test";

import { SERVER_NAME, Tailnet, whyNoClients } from "./tailnet.mjs";
import { collect, until } from "./world.mjs";

const skip = whyNoClients();
const ADDRESS = new RegExp(`https://${SERVER_NAME.replaceAll(".", "\\.")}/auth/(hskey-authreq-[A-Za-z0-9_-]{24})`);

describe("a log-in by SSH that needs an approval", { skip }, () => {
  /** @type {Tailnet} */ let net;
  /** @type {import("./tailnet.mjs").Client} */ let laptop;

  const rule = (more = {}) => ({ action: "check", src: ["ann@"], dst: ["tag:web"], users: ["root"], ...more });

  async function put(...ssh) {
    const file = path.join(net.origin.folder, "policy.hujson");
    fs.writeFileSync(file, JSON.stringify({
      tagOwners: { "tag:web": ["ann@"] },
      acls: [{ action: "accept", src: ["*"], dst: ["*:*"] }],
      ssh,
    }));
    await net.origin.cli("policy", "set", "--file", file);
  }

  /** `tailscale ssh`, going on; its text is what the person sees. */
  function connect(to) {
    const args = [`--socket=${laptop.socket}`, "ssh", `root@${to}`, "echo", "I am", "$(whoami) at $(hostname)"];
    return collect(laptop.host.spawn(path.join(laptop.programs, "tailscale"), args,
      { env: { ...laptop.environment, HOME: laptop.host.folder } }));
  }

  const ended = (child) => until("ssh ends", () => child.exitCode !== null, { timeoutMs: 30_000 });

  /** Connects until the person is shown an address: the rule may still be on its way. */
  function shown(to) {
    let child = connect(to);
    return until(`an address to approve ${to} at`, () => {
      const found = ADDRESS.exec(child.text);
      if (found) return { child, id: found[1], address: found[0] };
      if (child.exitCode !== null) {
        const { text } = child;
        child = connect(to);
        throw new Error(text);
      }
      return false;
    });
  }

  before(async () => {
    net = await Tailnet.make({ laptop: "new", server: "new", elder: "old" }, { policy: { mode: "database" } });
    let server, elder;
    [laptop, server, elder] = net.clients;
    await put(rule({ checkPeriod: "10m" }));
    await laptop.up(await net.origin.key("ann"));
    const key = await net.origin.key("ann", "--tags", "tag:web", "--reusable");
    await Promise.all([server, elder].map((client) => client.up(key, "--ssh")));
    for (const { name } of [server, elder]) await laptop.sees(name, (seen) => seen.sshHostKeys?.length > 0);
  });
  after(() => net?.close());

  for (const to of ["server", "elder"]) {
    test(`${to}: it waits, shows the address, opens when approved, and at once the next time`, async () => {
      const { child, id } = await shown(to);
      await new Promise((done) => setTimeout(done, 300));
      assert.equal(child.exitCode, null, child.text);
      assert.doesNotMatch(child.text, /I am root/);
      await net.origin.cli("auth", "approve", "--auth-id", id);
      await ended(child);
      assert.equal(child.exitCode, 0, child.text);
      assert.match(child.text, new RegExp(`I am root at ${to}`));

      const second = connect(to);
      await ended(second);
      assert.equal(second.exitCode, 0, second.text);
      assert.doesNotMatch(second.text, ADDRESS);
    });
  }

  test("a rejected one is refused, and the person told", async () => {
    await put(rule({ checkPeriod: "always" }));
    const { child, address } = await shown("server");
    await net.origin.cli("auth", "reject", "--auth-id", address);
    await ended(child);
    assert.notEqual(child.exitCode, 0);
    assert.match(child.text, /refused by an operator/);
    assert.doesNotMatch(child.text, /I am root/);
  });

  test("with 'always' every connection is asked for", async () => {
    const { child, id } = await shown("elder");
    await net.origin.cli("auth", "approve", "--auth-id", id);
    await ended(child);
    assert.equal(child.exitCode, 0, child.text);
    const next = await shown("elder");
    await net.origin.cli("auth", "reject", "--auth-id", next.id);
    await ended(next.child);
    assert.notEqual(next.child.exitCode, 0);
  });

  test("a rule that is deleted while somebody waits refuses, whatever an operator says then", async () => {
    const waiting = await shown("server");
    const late = await shown("server");
    await put();
    await ended(waiting.child);
    assert.notEqual(waiting.child.exitCode, 0);
    assert.match(waiting.child.text, /does not permit/);
    await assert.rejects(net.origin.cli("auth", "approve", "--auth-id", late.id));
    await ended(late.child);
    assert.doesNotMatch(late.child.text, /I am root/);
  });

  test("a restart of the origin gives who waits a new address", async () => {
    await put(rule());
    const { child, id } = await shown("server");
    await net.origin.stop();
    await net.origin.start();
    const fresh = await until("another address", () =>
      [...child.text.matchAll(new RegExp(ADDRESS, "g"))].map((found) => found[1]).find((other) => other !== id));
    await net.origin.cli("auth", "approve", "--auth-id", fresh);
    await ended(child);
    assert.match(child.text, /I am root at server/);
  });
});
