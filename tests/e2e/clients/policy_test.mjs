// A policy that changes under running stock clients: who reaches whom, who is seen, who may log in
// by SSH.
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { after, before, describe, test } from "node:test";

import { BASE_DOMAIN, Flow, Tailnet, whyNoClients } from "./tailnet.mjs";
import { until } from "./world.mjs";

const skip = whyNoClients();
const OWNERS = { tagOwners: { "tag:web": ["ann@"], "tag:db": ["ann@"] } };
const ANYTHING = { action: "accept", src: ["*"], dst: ["*:*"] };

describe("a policy that changes under running clients", { skip }, () => {
  /** @type {Tailnet} */ let net;
  /** @type {import("./tailnet.mjs").Client} */ let laptop, server, other;

  /** Puts a policy in force. @returns when that was, by performance.now() */
  async function put(policy) {
    const file = path.join(net.origin.folder, "policy.hujson");
    fs.writeFileSync(file, JSON.stringify({ ...OWNERS, ...policy }));
    await net.origin.cli("policy", "set", "--file", file);
    return performance.now();
  }

  /** Whether new connections are let through as wanted within a second of `since`. */
  async function withinASecond(from, to, wanted, since) {
    const address = await to.ip();
    for (;;) {
      const begun = performance.now();
      const reached = (await from.connect(address, 500)) === "";
      if (reached === wanted) return;
      assert.ok(begun - since < 1000, `${from.name} to ${to.name}: still ${reached ? "open" : "closed"}`);
    }
  }

  before(async () => {
    net = await Tailnet.make({ laptop: "new", server: "new", other: "old" }, { policy: { mode: "database" } });
    [laptop, server, other] = net.clients;
    const key = await net.origin.key("ann", "--reusable");
    await put({ acls: [ANYTHING] });
    await Promise.all([laptop.up(key), other.up(key, "--ssh")]);
    await server.up(await net.origin.key("ann", "--tags", "tag:web"), "--ssh");
    await laptop.sees("server", (seen) => seen.Online);
    await other.sees("server", (seen) => seen.Online);
  });
  after(() => net?.close());

  test("a deny stops the next connection within a second, and hides what is out of reach", async () => {
    const flow = await Flow.open(laptop, await server.ip());
    const since = await put({ acls: [{ action: "accept", src: ["ann@"], dst: ["tag:db:*"] }] });
    await withinASecond(laptop, server, false, since);
    await withinASecond(other, server, false, since);
    await laptop.misses("server");
    flow.child.kill("SIGKILL");
  });

  test("a grant opens it within a second, for the port that it names", async () => {
    const since = await put({ grants: [{ src: ["ann@"], dst: ["tag:web"], ip: ["tcp:7007"] }] });
    await withinASecond(laptop, server, true, since);
    await laptop.sees("server");
    // Nobody granted the way back, and no other port.
    assert.notEqual(await server.connect(await laptop.ip(), 500), "");
    await put({ grants: [{ src: ["ann@"], dst: ["tag:web"], ip: ["tcp:7008"] }] });
    await until("another port does not serve", async () => (await laptop.connect(await server.ip(), 500)) !== "");
  });

  test("a change of tags moves a node between rules within a second", async () => {
    const since = await put({
      acls: [
        { action: "accept", src: ["ann@"], dst: ["tag:web:7007"] },
        { action: "accept", src: ["tag:db"], dst: ["ann@:7007"] },
      ],
    });
    await withinASecond(laptop, server, true, since);
    assert.notEqual(await server.connect(await laptop.ip(), 500), "");
    const { id } = await net.node("server");
    await net.origin.cli("nodes", "tag", "--identifier", id, "--tags", "tag:db");
    const moved = performance.now();
    await withinASecond(laptop, server, false, moved);
    await withinASecond(server, laptop, true, moved);
    await net.origin.cli("nodes", "tag", "--identifier", id, "--tags", "tag:web");
    await withinASecond(laptop, server, true, performance.now());
  });

  test("a policy with a mistake is refused whole, and the running one stays", async () => {
    await assert.rejects(put({ acls: [{ action: "accept", src: ["nobody-knows@"], dst: ["tag:none:*"] }] }),
      /nobody-knows|tag:none/);
    assert.equal(await laptop.connect(await server.ip()), "");
  });

  /** A command by `tailscale ssh`. */
  const ssh = (from, user, to = server) => from.host.run(path.join(from.programs, "tailscale"),
    [`--socket=${from.socket}`, "ssh", `${user}@${to.name}`, "echo", "I am", "$(whoami) at $(hostname)"],
    { env: { ...from.environment, HOME: from.host.folder }, timeoutMs: 20_000 });

  test("tailscale ssh is refused without a rule, and allowed by one", async () => {
    await put({ acls: [ANYTHING] });
    for (const name of ["server", "other"]) await laptop.sees(name, (seen) => seen.sshHostKeys?.length > 0);
    assert.notEqual((await ssh(laptop, "root")).code, 0);

    await put({ acls: [ANYTHING], ssh: [{ action: "accept", src: ["ann@"], dst: ["tag:web", "autogroup:self"], users: ["root"] }] });
    const allowed = await until("the rule arrives", async () => {
      const result = await ssh(laptop, "root");
      if (result.code !== 0) throw new Error(result.out + result.err);
      return result;
    });
    assert.equal(allowed.out.trim(), "I am root at server");

    // From 1.80 to 1.102 and back.
    await Promise.all([[other, server], [laptop, other]].map(async ([from, to]) => {
      const { out, err } = await ssh(from, "root", to);
      assert.equal(out.trim(), `I am root at ${to.name}`, err);
    }));

    // Another user of that machine, and then nobody.
    assert.notEqual((await ssh(laptop, "daemon")).code, 0);
    await put({ acls: [ANYTHING], ssh: [] });
    await until("the rule is gone", async () => (await ssh(laptop, "root")).code !== 0);
  });

  test("Taildrive shares a folder once attributes and a grant allow it, between versions both ways", async () => {
    const { out, err } = await laptop.run("drive", "list");
    assert.match(out + err, /taildrive sharing not enabled, please add the attribute "drive:share"/);
    await put({
      nodeAttrs: [{ target: ["*"], attr: ["drive:share", "drive:access"] }],
      grants: [{ src: ["*"], dst: ["*"], ip: ["*"], app: { "tailscale.com/cap/drive": [{ shares: ["*"], access: "ro" }] } }],
    });
    await Promise.all([[laptop, other], [other, laptop]].map(async ([from, to]) => {
      const folder = path.join(to.host.folder, "shared");
      fs.mkdirSync(folder);
      fs.writeFileSync(path.join(folder, "note.txt"), `of ${to.name}`);
      await until("the attributes arrive", async () => (await to.run("drive", "share", "docs", folder)).code === 0);
      const url = `http://100.100.100.100:8080/${BASE_DOMAIN}/${to.name}/docs/note.txt`;
      const text = await until("the file", () => from.host.must("curl", ["-sSf", "-m", "5", url]));
      assert.equal(text, `of ${to.name}`);
    }));
  });
});
