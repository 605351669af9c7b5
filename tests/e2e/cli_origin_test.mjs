// Every command against a real `edgescale serve`.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { stat } from "node:fs/promises";
import net from "node:net";
import { after, before, describe, test } from "node:test";
import { Sandbox, listening, program } from "./cli_process.mjs";

describe("a real origin", () => {
  let sandbox, child, file, address, log;
  const cli = (...args) => sandbox.run(["-c", file, ...args]);
  const json = async (...args) => {
    const { code, out, err } = await cli(...args, "-o", "json");
    assert.equal(code, 0, err);
    return JSON.parse(out);
  };

  before(async () => {
    sandbox = await Sandbox.make();
    const listen = await listening(net.createServer(), { port: 0, host: "127.0.0.1" });
    const { port } = listen.address();
    listen.close();
    await once(listen, "close");
    ({ file } = await sandbox.config("origin", `listen_addr: 127.0.0.1:${port}\nmetrics_listen_addr: ""\n`));
    address = `http://127.0.0.1:${port}`;
    log = "";
    child = spawn(program, ["serve", "--config", file], { cwd: sandbox.folder, env: sandbox.environment });
    child.stdout.on("data", (data) => (log += data));
    child.stderr.on("data", (data) => (log += data));
    const deadline = performance.now() + 10_000;
    for (;;) {
      if ((await cli("health")).code === 0) break;
      assert.equal(child.exitCode, null, `the origin ended:\n${log}`);
      assert.ok(performance.now() < deadline, `the origin is not healthy:\n${log}`);
      await new Promise((done) => setTimeout(done, 50));
    }
  });
  after(async () => {
    if (child && child.exitCode === null) {
      child.kill("SIGTERM");
      await once(child, "exit");
    }
    await sandbox.remove();
  });

  test("its socket has the configured permission", async () => {
    assert.equal((await stat(sandbox.path("origin.sock"))).mode & 0o777, 0o770);
  });

  test("the deployment guide's commands make a user and a key", async () => {
    const created = await cli("user", "create", "admin");
    assert.equal(created.code, 0, created.err);
    const id = (await json("users", "list")).find((user) => user.name === "admin").id;
    const key = await cli("authkey", "create", id, "--reusable", "--expiration", "24h");
    assert.equal(key.code, 0, key.err);
    assert.match(key.out, /^tskey-auth-[0-9a-f]{12}-[0-9a-f]+\n$/);
    const [listed] = await json("preauthkeys", "list");
    assert.equal(listed.reusable, true);
    assert.equal(listed.user.name, "admin");
    assert.ok(!listed.key.includes(key.out.trim().split("-").at(-1)));
    const left = Date.parse(listed.expiration) - Date.now();
    assert.ok(Math.abs(left - 24 * 3600_000) < 60_000, `${left} ms`);
  });

  test("users are made, renamed, found and destroyed", async () => {
    const user = await json("users", "create", "ann", "-d", "Ann", "-e", "ann@example.com");
    assert.equal(user.displayName, "Ann");
    const twice = await cli("users", "create", "ann");
    assert.equal(twice.code, 1);
    assert.match(twice.err, /^Error: .*exist/);
    const bad = await cli("users", "create", "1");
    assert.equal(bad.code, 1);
    assert.equal((await json("users", "rename", "-n", "ann", "-r", "anna")).name, "anna");
    assert.deepEqual((await json("users", "list", "-n", "anna")).map((u) => u.id), [user.id]);
    assert.deepEqual((await json("users", "list", "-e", "ann@example.com")).map((u) => u.id), [user.id]);
    assert.equal((await cli("users", "role", "anna", "it-admin")).code, 0);
    assert.match((await cli("users", "list")).out, /\| anna +\| ann@example.com \| it-admin \|/);
    const alone = await cli("users", "destroy", "anna");
    assert.equal(alone.code, 1);
    assert.match(alone.err, /say --force/);
    assert.equal((await cli("users", "destroy", "anna", "--force")).code, 0);
    assert.deepEqual((await json("users", "list")).filter((u) => u.id === user.id), []);
    assert.match((await cli("users", "destroy", "anna", "--force")).err, /there is no user called "anna"/);
  });

  test("pre-auth keys are expired and deleted, by id and by the key itself", async () => {
    const user = await json("users", "create", "keys");
    const one = await json("pre", "create", "-u", "keys", "--ephemeral");
    const two = await json("pre", "create", "-u", user.id, "--tags", "tag:a,tag:b");
    assert.deepEqual(two.aclTags, ["tag:a", "tag:b"]);
    assert.equal((await cli("pre", "expire", "-i", one.id)).code, 0);
    const after = (await json("pre", "list")).find((key) => key.id === one.id);
    assert.ok(Date.parse(after.expiration) <= Date.now() + 1000);
    assert.match((await cli("pre", "list")).out, new RegExp(`^${one.id} .*\\(expired \\d+s ago\\)`, "m"));
    const pasted = await cli("pre", "delete", two.key);
    assert.equal(pasted.code, 0, pasted.err);
    assert.equal((await cli("pre", "delete", "-i", one.id)).code, 0);
    const left = (await json("pre", "list")).map((key) => key.id);
    assert.ok(!left.includes(one.id) && !left.includes(two.id));
    assert.equal((await cli("pre", "delete", "-i", "9999")).code, 1);
    assert.equal((await cli("pre", "create", "nobody")).code, 1);
  });

  test("an API key opens the server from elsewhere until it is expired", async () => {
    const key = (await cli("apikeys", "create", "--expiration", "1h")).out.trim();
    assert.match(key, /^tskey-api-[0-9a-f]{12}-[0-9a-f]+$/);
    const far = (k) =>
      sandbox.run(["users", "list", "-o", "json"], {
        env: { HEADSCALE_CLI_ADDRESS: address, HEADSCALE_CLI_API_KEY: k },
      });
    const good = await far(key);
    assert.equal(good.code, 0, good.err);
    assert.ok(Array.isArray(JSON.parse(good.out)));
    const wrong = await far(`${key.slice(0, -1)}${key.endsWith("0") ? "1" : "0"}`);
    assert.equal(wrong.code, 1);
    assert.match(wrong.err, /refused the API key \(401\)/);
    const listed = (await json("apikeys", "list")).find((k) => k.prefix.includes(key.split("-")[2]));
    assert.ok(listed);
    assert.ok(Math.abs(Date.parse(listed.lastSeen) - Date.now()) < 60_000, listed.lastSeen);
    const expired = await cli("apikeys", "expire", "-p", listed.prefix);
    assert.equal(expired.code, 0, expired.err);
    assert.equal((await far(key)).code, 1);
    const deleted = await cli("apikeys", "delete", "-i", listed.id);
    assert.equal(deleted.code, 0, deleted.err);
    assert.ok(!(await json("apikeys", "list")).some((k) => k.id === listed.id));
  });

  test("nodes and registrations answer for what is not there", async () => {
    assert.deepEqual(await json("nodes", "list"), []);
    assert.match((await cli("nodes", "list")).out, /^ID \| Hostname \| Name/);
    assert.deepEqual(await json("nodes", "list-routes"), []);
    for (const args of [
      ["nodes", "expire", "-i", "9"],
      ["nodes", "rename", "-i", "9", "new"],
      ["nodes", "delete", "-i", "9", "--force"],
      ["nodes", "tag", "-i", "9", "-t", "tag:a"],
      ["nodes", "approve-routes", "-i", "9", "-r", "10.0.0.0/8"],
    ]) {
      const { code, err } = await cli(...args);
      assert.equal(code, 1, args.join(" "));
      assert.match(err, /^Error: node not found/, args.join(" "));
    }
    await json("users", "create", "owner");
    const wrong = await cli("auth", "register", "-u", "owner", "--auth-id", "nonsense");
    assert.match(wrong.err, /^Error: invalid auth id/);
    const unknown = await cli("auth", "register", "-u", "owner", "--auth-id", "hskey-authreq-0123456789abcdef01234567");
    assert.match(unknown.err, /^Error: no registration is waiting under this id/);
    assert.match((await cli("nodes", "list", "-u", "nobody")).err, /^Error: user not found/);
  });

  test("a registration is approved, and its node changed in every way", async () => {
    await json("users", "create", "keeper");
    const id = "hskey-authreq-0123456789abcdef0123abcd";
    const waiting = ["debug", "create-node", "--name", "Living Room", "-u", "keeper", "-k", id, "-r", "10.0.0.0/24,10.1.0.0/16"];
    assert.equal((await json(...waiting)).registerMethod, "REGISTER_METHOD_UNSPECIFIED");
    assert.equal((await cli(...waiting)).code, 1, "the id is taken");
    const node = await json("auth", "register", "--auth-id", `https://vpn.example/register/${id}`, "--user", "keeper");
    assert.equal(node.givenName, "living-room");
    assert.equal(node.user.name, "keeper");
    const listed = async () => (await json("nodes", "list", "-u", "keeper"))[0];

    assert.equal((await json("nodes", "rename", "-i", node.id, "sofa")).givenName, "sofa");
    assert.deepEqual((await json("nodes", "approve-routes", "sofa", "-r", "10.0.0.0/24")).subnetRoutes, ["10.0.0.0/24"]);
    const routes = await cli("nodes", "list-routes");
    assert.match(routes.out, /sofa +\| 10\.0\.0\.0\/24 +\| 10\.0\.0\.0\/24, 10\.1\.0\.0\/16 +\| 10\.0\.0\.0\/24/);
    assert.deepEqual((await json("nodes", "approve-routes", "sofa", "-r", "")).approvedRoutes, []);
    await json("nodes", "expire", "sofa", "-e", "24h");
    const left = Date.parse((await listed()).expiry) - Date.now();
    assert.ok(Math.abs(left - 24 * 3600_000) < 60_000, `${left} ms`);
    assert.equal((await json("nodes", "expire", "sofa", "--disable")).expiry, null);
    assert.match((await cli("nodes", "list")).out, new RegExp(`\\n${node.id} +\\| Living Room +\\| sofa`));
    const map = await json("debug", "map", "sofa");
    assert.equal(map.Node.Name, "sofa.edgescale.internal.");
    assert.deepEqual(await json("nodes", "backfillips", "--force"), { changes: [] });

    const owned = await cli("users", "destroy", "keeper", "--force");
    assert.match(owned.err, /^Error: user not empty/);
    const alone = await cli("nodes", "delete", "sofa");
    assert.match(alone.err, /say --force/);
    assert.deepEqual(await json("nodes", "delete", "sofa", "--force"), { Result: "Node deleted" });
    assert.equal(await listed(), undefined);
    assert.equal((await cli("users", "destroy", "keeper", "--force")).code, 0);
  });

  test("many commands at once each get their own answer", async () => {
    const names = Array.from({ length: 12 }, (_, i) => `many${i}`);
    const made = await Promise.all(names.map((name) => json("users", "create", name)));
    assert.deepEqual(made.map((user) => user.name), names);
    assert.equal(new Set(made.map((user) => user.id)).size, names.length);
  });

  test("the log holds no secret", async () => {
    assert.doesNotMatch(log, /tskey-(auth|api)-[0-9a-f]{12}-[0-9a-f]{8}/);
  });
});
