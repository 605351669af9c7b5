// kill -9 of the origin in the middle of 1,000 concurrent key creations: what was acknowledged is
// there after a restart, and the database is sound. Over the unix socket, which no rate limit
// touches. EDGESCALE_BIN names another program than the release build.
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { readFile, writeFile } from "node:fs/promises";
import http from "node:http";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import { Sandbox, program } from "./cli_process.mjs";

const CLIENTS = 1000;
const START_TIMEOUT_MS = 10_000;

/** @type {Sandbox} */ let sandbox;
before(async () => {
  sandbox = await Sandbox.make();
});
after(() => sandbox.remove());

/** The origin as a process, on ports that the kernel gives. */
class Origin {
  static async start(file, socket) {
    const origin = new Origin();
    origin.socket = socket;
    origin.log = "";
    origin.child = spawn(program, ["serve", "--config", file], {
      env: sandbox.environment,
      stdio: ["ignore", "pipe", "pipe"],
    });
    origin.exited = once(origin.child, "exit");
    for (const stream of [origin.child.stdout, origin.child.stderr]) {
      stream.on("data", (data) => (origin.log += data));
    }
    const deadline = Date.now() + START_TIMEOUT_MS;
    for (;;) {
      const up = await origin.call("GET", "/api/v1/health").catch(() => undefined);
      if (up?.status === 200) return origin;
      assert.equal(origin.child.exitCode, null, `the origin ended:\n${origin.log}`);
      assert.ok(Date.now() < deadline, `the origin did not come up:\n${origin.log}`);
      await sleep(20);
    }
  }

  /** @returns {Promise<{status: number, body: any}>} rejects when the connection breaks */
  call(method, path, body, agent) {
    return new Promise((done, failed) => {
      const options = { socketPath: this.socket, method, path, agent };
      const request = http.request(options, (response) => {
        let text = "";
        response.on("data", (data) => (text += data));
        response.on("error", failed);
        // An answer counts only when it has come whole.
        response.on("end", () => done({ status: response.statusCode, body: JSON.parse(text) }));
      });
      request.on("error", failed);
      request.end(body === undefined ? undefined : JSON.stringify(body));
    });
  }

  async kill() {
    this.child.kill("SIGKILL");
    await this.exited;
  }

  async stop() {
    this.child.kill("SIGTERM");
    const [code] = await this.exited;
    return code;
  }
}

/**
 * 1,000 clients make keys, one after the other, until the origin is gone; it is killed once
 * `enough` answers are there. @returns the acknowledged keys, id -> text, and the refusals
 */
async function createUntilKilled(origin, enough) {
  const agent = new http.Agent({ keepAlive: true, maxSockets: CLIENTS });
  const acknowledged = new Map();
  const refused = [];
  let killed;
  const client = async () => {
    for (let misses = 0; !killed || misses === 0; ) {
      let answer;
      try {
        answer = await origin.call("POST", "/api/v1/preauthkey", { user: "1", reusable: true }, agent);
      } catch (error) {
        if (killed) return;
        // The listening queue of a unix socket is short: connect again.
        assert.ok(["EAGAIN", "ECONNRESET", "EPIPE"].includes(error.code), String(error));
        assert.ok(++misses < 1000, "the origin does not take connections");
        await sleep(5);
        continue;
      }
      if (answer.status === 200) {
        const { id, key } = answer.body.preAuthKey;
        assert.ok(!acknowledged.has(id), `id ${id} was given twice`);
        acknowledged.set(id, key);
      } else {
        refused.push(answer);
      }
      if (acknowledged.size >= enough) killed ??= origin.kill();
      if (killed) return;
    }
  };
  await Promise.all(Array.from({ length: CLIENTS }, client));
  await killed;
  agent.destroy();
  return { acknowledged, refused };
}

describe("an origin that is killed in the middle of 1,000 concurrent key creations", () => {
  test("has every acknowledged key after the restart, and a sound database", async () => {
    const folder = sandbox.path("kill");
    const socket = sandbox.path("kill.sock");
    const file = sandbox.path("kill.yaml");
    const database = `${folder}/db.sqlite`;
    await writeFile(
      file,
      [
        `state_dir: ${folder}`,
        `unix_socket: ${socket}`,
        "listen_addr: 127.0.0.1:0",
        'metrics_listen_addr: ""',
        `database: {type: sqlite, sqlite: {path: ${database}}}`,
        `limits: {connections: {total: ${2 * CLIENTS}, per_address: ${2 * CLIENTS}}}`,
        "",
      ].join("\n"),
    );
    let origin = await Origin.start(file, socket);
    assert.equal((await origin.call("POST", "/api/v1/user", { name: "ann" })).status, 200);

    const all = new Map();
    for (const enough of [1, 300, 1500]) {
      const { acknowledged, refused } = await createUntilKilled(origin, enough);
      assert.deepEqual(refused, [], "no creation was refused");
      assert.ok(acknowledged.size >= enough);
      for (const [id, key] of acknowledged) {
        assert.ok(!all.has(id), `id ${id} was given again after the restart`);
        all.set(id, key);
      }
      // Before anything repairs or checkpoints it: the file and its log as the kill left them.
      assert.equal((await readFile(database)).subarray(0, 15).toString(), "SQLite format 3");

      origin = await Origin.start(file, socket);
      const { body } = await origin.call("GET", "/api/v1/preauthkey");
      const listed = new Map(body.preAuthKeys.map(({ id, key }) => [id, key]));
      for (const [id, key] of all) {
        const shown = listed.get(id);
        assert.ok(shown, `key ${id} was acknowledged and is gone`);
        assert.equal(shown, `${key.slice(0, "tskey-auth-".length + 12)}-***`);
      }
      const check = execFileSync("sqlite3", [database, "PRAGMA integrity_check"]).toString().trim();
      assert.equal(check, "ok");
    }
    assert.ok(all.size >= 1801);
    assert.equal(await origin.stop(), 0, origin.log);
  });
});
