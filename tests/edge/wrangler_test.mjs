// What wrangler makes of wrangler.toml: the full binding table of production, and a dev server.
import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { API_KEY, TOKEN_KEY } from "./harness/edge.mjs";
import { startOrigin } from "./harness/origins.mjs";
import { ROOT } from "./harness/workerd.mjs";

const WRANGLER = path.join(ROOT, "node_modules/wrangler/bin/wrangler.js");

test("a dry run of the production deploy shows every binding", async () => {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), "es-dry-run-"));
  const { stdout } = await promisify(execFile)(process.execPath,
    [WRANGLER, "deploy", "--env", "production", "--dry-run", "--outdir", dir], { cwd: ROOT });
  const table = [...stdout.matchAll(/^env\.(\S+) \((.*?)\)\s+(\S.*?)\s*$/gm)]
    .map(([, name, detail, resource]) => `${name} ${resource} ${detail}`).sort();
  assert.deepEqual(table, [
    "ANALYTICS Analytics Engine Dataset edgescale_requests",
    'HEADSCALE_URL Environment Variable "http://100.64.0.10:8080"',
    "LIMITER Durable Object RateLimiter",
  ]);
  const files = fs.readdirSync(dir);
  assert.ok(files.some((f) => f.endsWith(".wasm")), files.join());
  fs.rmSync(dir, { recursive: true });
});

test("the Worker serves under wrangler dev", async () => {
  const origin = await startOrigin();
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), "es-dev-"));
  const secrets = path.join(dir, ".dev.vars");
  fs.writeFileSync(secrets, `HEADSCALE_API_KEY=${API_KEY}\nEDGE_TOKEN_KEY=${TOKEN_KEY}\n`);
  const child = spawn(process.execPath, [WRANGLER, "dev", "--ip", "127.0.0.1", "--port", "0",
    "--inspector-port", "0", "--env-file", secrets, "--var", `HEADSCALE_URL:${origin.url}`,
    "--persist-to", dir, "--show-interactive-dev-session=false"],
    { cwd: ROOT, stdio: ["ignore", "pipe", "pipe"], detached: true });
  const stop = () => { try { process.kill(-child.pid, "SIGKILL"); } catch { /* it has ended */ } };
  process.once("exit", stop);
  let output = "";
  try {
    const url = await new Promise((resolve, reject) => {
      const look = (chunk) => {
        output += chunk;
        const ready = /Ready on (http:\/\/\S+)/.exec(output);
        if (ready) resolve(ready[1]);
      };
      child.stdout.on("data", look);
      child.stderr.on("data", look);
      child.once("exit", () => reject(new Error(output)));
    });
    assert.equal((await fetch(`${url}/health`)).status, 200);
    assert.equal((await fetch(`${url}/api/v1/user`)).status, 401);
    const key = { headers: { authorization: `Bearer ${API_KEY}` } };
    assert.equal((await fetch(`${url}/api/v1/user`, key)).status, 200);
    const report = await (await fetch(`${url}/edge/status`, key)).json();
    assert.equal(report.ok, true);
    assert.equal(report.counters.record_failures, 0);
    // wrangler dev gives every local client the same address.
    assert.match(origin.seen[0].headers["x-edge-signature"], /\.(127\.0\.0\.1|::1|unknown)$/);
  } finally {
    stop();
    await origin.stop();
    fs.rmSync(dir, { recursive: true, force: true });
  }
});
