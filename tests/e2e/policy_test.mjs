// Policies by the command line against a real `edgescale serve`: from the database, and from a file.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import net from "node:net";
import { after, describe, test } from "node:test";
import { Sandbox, listening, program } from "./cli_process.mjs";

const GOOD = `{
  // who may what
  "tagOwners": {"tag:web": ["ann@"]},
  "acls": [
    {"action": "accept", "src": ["ann@"], "dst": ["tag:web:80"]},
  ],
}
`;
const OTHER = `{"acls": []}\n`;
const WRONG = `{"acls": [
  {"action": "accept", "src": ["group:a"], "dst": ["*:*"]},
  {"action": "accept", "src": ["*"], "dst": ["tag:b:22"]}]}\n`;

class Origin {
  static async start(sandbox, name, more) {
    const origin = new Origin();
    const listen = await listening(net.createServer(), { port: 0, host: "127.0.0.1" });
    origin.address = `http://127.0.0.1:${listen.address().port}`;
    listen.close();
    await once(listen, "close");
    const host = origin.address.slice("http://".length);
    const { file } = await sandbox.config(name, `listen_addr: ${host}\nmetrics_listen_addr: ""\n${more}`);
    origin.cli = (...args) => sandbox.run(["-c", file, ...args]);
    origin.log = "";
    origin.child = spawn(program, ["serve", "--config", file], { cwd: sandbox.folder, env: sandbox.environment });
    origin.child.stdout.on("data", (data) => (origin.log += data));
    origin.child.stderr.on("data", (data) => (origin.log += data));
    return origin;
  }
  async healthy() {
    await eventually(async () => {
      assert.equal(this.child.exitCode, null, `the origin ended:\n${this.log}`);
      return (await this.cli("health")).code === 0;
    }, () => `not healthy:\n${this.log}`);
    return this;
  }
  async stop() {
    if (!this.child || this.child.exitCode !== null) return;
    this.child.kill("SIGTERM");
    await once(this.child, "exit");
  }
}

async function eventually(condition, what = () => "in time") {
  const deadline = performance.now() + 20_000;
  while (!(await condition())) {
    assert.ok(performance.now() < deadline, what());
    await new Promise((done) => setTimeout(done, 50));
  }
}

describe("policies", async () => {
  const sandbox = await Sandbox.make();
  const running = [];
  const start = async (name, more) => {
    const origin = await Origin.start(sandbox, name, more);
    running.push(origin);
    return origin;
  };
  after(async () => {
    for (const origin of running) await origin.stop();
    await sandbox.remove();
  });
  for (const [name, text] of Object.entries({ good: GOOD, other: OTHER, wrong: WRONG })) {
    await writeFile(sandbox.path(`${name}.hujson`), text);
  }
  const file = (name) => sandbox.path(`${name}.hujson`);

  test("in the database: set, get, check, explain, and there after a restart", async () => {
    let origin = await (await start("database", "policy:\n  mode: database\n")).healthy();
    assert.match(origin.log, /there is no policy/);
    assert.equal((await origin.cli("users", "create", "ann")).code, 0);
    const none = await origin.cli("policy", "get");
    assert.notEqual(none.code, 0);
    assert.match(none.err, /acl policy not found/);

    const set = await origin.cli("policy", "set", "-f", file("good"));
    assert.equal(set.code, 0, set.err);
    assert.equal((await origin.cli("policy", "get")).out, GOOD);
    const asJson = JSON.parse((await origin.cli("policy", "get", "-o", "json")).out);
    assert.equal(asJson.policy, GOOD);
    assert.match(asJson.updatedAt, /^20/);
    assert.match((await origin.cli("policy", "get", "-o", "yaml")).out, /^policy: /m);

    const wrong = await origin.cli("policy", "set", "-f", file("wrong"));
    assert.notEqual(wrong.code, 0);
    assert.match(wrong.err, /line 2.*group:a/s);
    assert.match(wrong.err, /line 3.*tag:b/s);
    assert.equal((await origin.cli("policy", "get")).out, GOOD);
    assert.notEqual((await origin.cli("policy", "check", "-f", file("wrong"))).code, 0);
    assert.equal((await origin.cli("policy", "check", "-f", file("other"))).code, 0);
    assert.equal((await origin.cli("policy", "check", "--offline", "-f", file("other"))).code, 0);
    assert.equal((await origin.cli("policy", "get")).out, GOOD);

    const explain = ["policy", "explain", "--src", "100.64.0.1", "--dst", "100.64.0.2:80"];
    const denied = await origin.cli(...explain);
    assert.equal(denied.code, 0, denied.err);
    assert.match(denied.out, /denied/);
    const [decision] = JSON.parse((await origin.cli(...explain, "-o", "json")).out);
    assert.equal(decision.allowed, false);

    // The same over the network, with a key.
    const key = (await origin.cli("apikeys", "create")).out.trim();
    const remote = await sandbox.run(["policy", "get", "--address", origin.address, "--api-key", key]);
    assert.equal(remote.out, GOOD, remote.err);

    await origin.stop();
    origin = await (await start("database", "policy:\n  mode: database\n")).healthy();
    assert.equal((await origin.cli("policy", "get")).out, GOOD);
  });

  test("from a file: read at the start, on a change and on SIGHUP, and not to be set", async () => {
    const live = file("live");
    await writeFile(live, GOOD);
    const origin = await (await start("file", `policy:\n  path: ${live}\n`)).healthy();
    const got = async () => (await origin.cli("policy", "get")).out;
    assert.equal(await got(), GOOD);
    assert.equal(JSON.parse((await origin.cli("policy", "get", "-o", "json")).out).updatedAt, null);
    const refused = await origin.cli("policy", "set", "-f", file("other"));
    assert.notEqual(refused.code, 0);
    assert.match(refused.err, /update is disabled.*policy\.path/s);

    await writeFile(live, OTHER);
    await eventually(async () => (await got()) === OTHER);
    await writeFile(live, WRONG);
    await eventually(() => /policy was refused/.test(origin.log), () => origin.log);
    assert.match(origin.log, /group:a/);
    assert.equal(await got(), OTHER);
    await writeFile(live, GOOD);
    origin.child.kill("SIGHUP");
    await eventually(async () => (await got()) === GOOD);
  });

  test("round the server: refused while it runs, in service when it starts", async () => {
    const bypass = "--bypass-server-and-access-database-directly";
    let origin = await (await start("bypass", "policy:\n  mode: database\n")).healthy();
    assert.equal((await origin.cli("policy", "set", "-f", file("other"))).out, "The policy is in service.\n");
    const beside = await origin.cli("policy", "set", "-f", file("good"), bypass);
    assert.equal(beside.code, 1);
    assert.match(beside.err, /locked by another Edgescale \(process \d+\): stop it first/);
    assert.equal((await origin.cli("users", "create", "ann")).code, 0);
    await origin.stop();
    const stored = await origin.cli("policy", "set", "-f", file("good"), bypass);
    assert.equal(stored.code, 0, stored.err);
    assert.equal(stored.out, "The policy is stored; the server reads it when it starts.\n");
    origin = await (await start("bypass", "policy:\n  mode: database\n")).healthy();
    assert.equal((await origin.cli("policy", "get")).out, GOOD);
  });

  test("a wrong policy is no start", async () => {
    const origin = await start("wrong", `policy:\n  path: ${file("wrong")}\n`);
    if (origin.child.exitCode === null) await once(origin.child, "exit");
    assert.notEqual(origin.child.exitCode, 0);
    assert.match(origin.log, /group:a/);
    assert.match(origin.log, /tag:b/);
  });
});
