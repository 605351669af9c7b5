// The rate limit at the real Worker: leases from the limiter object, and what holds without it.
import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import WebSocket from "ws";
import { API_KEY, edgeSpec, startEdge } from "./harness/edge.mjs";
import { startOrigin } from "./harness/origins.mjs";
import { request, sendRaw } from "./harness/raw_http.mjs";
import { startWorkerd } from "./harness/workerd.mjs";

async function withEdge(options, work) {
  const origin = await startOrigin();
  const edge = await startEdge({ origin: origin.url, ...options });
  const ask = (address, path = "/health", fields = []) => sendRaw(edge.port,
    request(`GET ${path}`, [...(address ? [`CF-Connecting-IP: ${address}`] : []), ...fields]));
  const counters = async () => {
    const { body } = await ask("198.51.100.250", "/edge/status", [`Authorization: Bearer ${API_KEY}`]);
    return JSON.parse(body).counters;
  };
  try {
    return await work({ origin, edge, ask, counters });
  } finally {
    await edge.stop();
    await origin.stop();
  }
}

const tally = (answers) => answers.reduce((sum, { status }) =>
  ({ ...sum, [status]: (sum[status] ?? 0) + 1 }), {});

test("121 requests of one client give 120 answers and then 429 with the fields that say when", () =>
  withEdge({}, async ({ ask, origin }) => {
    for (let i = 0; i < 120; ++i) assert.equal((await ask("192.0.2.1")).status, 200, `request ${i}`);
    const { status, headers, body } = await ask("192.0.2.1");
    assert.equal(status, 429);
    assert.ok(Number(headers["retry-after"]) > 0 && Number(headers["retry-after"]) <= 60);
    assert.match(headers["ratelimit"], /^"default";r=0;t=\d+$/);
    assert.equal(headers["ratelimit-policy"], '"default";q=120;w=60');
    assert.equal(JSON.parse(body).status, 429);
    assert.equal(origin.seen.length, 120);
    assert.equal((await ask("192.0.2.2")).status, 200);
  }));

test("in a flood of refusals an answer keeps no more than when to come again", () =>
  withEdge({ vars: { RATE_LIMIT_REQUESTS: "1", RATE_LIMIT_BURST: "0" } }, async ({ ask }) => {
    await ask("192.0.2.1");
    const refused = [];
    const isTerse = ({ body }) => body === "";
    for (let batch = 0; batch < 20 && !refused.some(isTerse); ++batch) {
      refused.push(...await Promise.all(Array.from({ length: 200 }, () => ask("192.0.2.1"))));
    }
    assert.ok(refused.every(({ status }) => status === 429));
    assert.ok(refused.some((answer) => !isTerse(answer)));
    const { headers } = refused.find(isTerse);
    assert.ok(Number(headers["retry-after"]) > 0);
    assert.equal(headers["x-content-type-options"], "nosniff");
    assert.equal(headers["ratelimit"] ?? headers["ratelimit-policy"], undefined);
  }));

test("concurrent requests of one client get exactly the limit, and share calls to the object", () =>
  withEdge({}, async ({ ask, counters }) => {
    const answers = await Promise.all(Array.from({ length: 200 }, () => ask("192.0.2.1")));
    assert.deepEqual(tally(answers), { 200: 120, 429: 80 });
    const { limiter_calls, limiter_failures, limiter_fallbacks } = await counters();
    assert.ok(limiter_calls <= 60, `${limiter_calls} calls`);
    assert.equal(limiter_failures + limiter_fallbacks, 0);
  }));

test("all addresses of an IPv6 /64, however spelt, are one client", () =>
  withEdge({ vars: { RATE_LIMIT_REQUESTS: "2", RATE_LIMIT_BURST: "0" } }, async ({ ask }) => {
    const answers = [];
    for (const address of ["2001:db8::1", "2001:DB8:0:0::2", "2001:db8:0:0:ffff::", "2001:db8:0:1::1"]) {
      answers.push((await ask(address)).status);
    }
    assert.deepEqual(answers, [200, 200, 429, 200]);
  }));

test("requests without a usable address share one limit", () =>
  withEdge({ vars: { RATE_LIMIT_REQUESTS: "2", RATE_LIMIT_BURST: "0" } }, async ({ ask }) => {
    const answers = [];
    for (const address of [null, "nonsense", "1.2.3.4, 5.6.7.8"]) answers.push((await ask(address)).status);
    assert.deepEqual(answers, [200, 200, 429]);
  }));

test("a stream counts once, however long it lives and however much it carries", () =>
  withEdge({ vars: { RATE_LIMIT_REQUESTS: "5", RATE_LIMIT_BURST: "0" } }, async ({ ask, edge }) => {
    const streams = [];
    for (const path of ["ts2021", "derp"]) {
      const ws = new WebSocket(`ws://127.0.0.1:${edge.port}/${path}`, ["derp"],
        { headers: { "CF-Connecting-IP": "192.0.2.1" } });
      await once(ws, "open");
      streams.push(ws);
    }
    for (const ws of streams) {
      for (let i = 0; i < 50; ++i) {
        ws.send(Buffer.from([i]));
        assert.equal((await once(ws, "message"))[0][0], i);
      }
    }
    const answers = [];
    for (let i = 0; i < 4; ++i) answers.push((await ask("192.0.2.1")).status);
    assert.deepEqual(answers, [200, 200, 200, 429]);
    // Being over the limit ends no stream.
    streams[0].send(Buffer.from([7]));
    assert.equal((await once(streams[0], "message"))[0][0], 7);
    for (const ws of streams) ws.terminate();
  }));

// A window of 3 s instead of a minute: 100 requests in it are 30 ms apart.
test("a well-behaved client costs at most one object call for every ten requests", () =>
  withEdge({ vars: { RATE_LIMIT_WINDOW_MS: "3000", LEASE_MS: "750" } }, async ({ ask, counters }) => {
    const began = Date.now();
    for (let i = 0; i < 200; ++i) {
      assert.equal((await ask("192.0.2.1")).status, 200, `request ${i}`);
      await sleep(Math.max(0, began + (i + 1) * 30 - Date.now()));
    }
    // The operator's status request asks once for itself.
    const calls = (await counters()).limiter_calls - 1;
    assert.ok(calls <= 20, `${calls} calls for 200 requests`);
  }));

test("two isolates together hand out no more than the limit", async () => {
  const origin = await startOrigin();
  // The second Worker uses the first one's object namespace, as two isolates of one Worker do.
  const first = edgeSpec({ origin: origin.url });
  const second = edgeSpec({ origin: origin.url, limiterOf: "main" });
  const front = {
    inline: { "front.mjs": `export default { fetch(request, env) {
      return (Math.random() < 0.5 ? env.A : env.B).fetch(request); } }` },
    services: { A: "main", B: "other" },
  };
  const edge = await startWorkerd({ front, main: first, other: second });
  try {
    const answers = [];
    for (let i = 0; i < 300; ++i) {
      answers.push(await sendRaw(edge.port, request("GET /health", ["CF-Connecting-IP: 192.0.2.9"])));
    }
    const granted = tally(answers)[200];
    assert.ok(granted <= 120, `${granted} granted`);
    // What one isolate holds and the other lacks is lost; it must not be much.
    assert.ok(granted >= 90, `${granted} granted`);
    const points = edge.dataPoints();
    assert.equal(points.length, 300);
  } finally {
    await edge.stop();
    await origin.stop();
  }
});

for (const [name, fetchBody] of [
  ["fails", "throw new Error('down');"],
  ["answers garbage", "return new Response('garbage');"],
  ["answers 500", "return new Response(null, {status: 500});"],
  ["never answers", "await new Promise(() => { setTimeout(() => {}, 1e6); });"],
]) {
  test(`a limiter object that ${name}: the isolate's own limit decides, counted`, async () => {
    const broken = `import worker from "./worker_real.mjs"; export default worker;
      export class RateLimiter { async fetch() { ${fetchBody} } }`;
    const spec = edgeSpec();
    const modules = { "js-shim/worker.mjs": "", ...spec.modules };
    modules["js-shim/worker_real.mjs"] = "js-shim/worker.mjs";
    const vars = { RATE_LIMIT_REQUESTS: "5", RATE_LIMIT_BURST: "1", LIMITER_TIMEOUT_MS: "150" };
    await withEdge({ modules, inline: { "js-shim/worker.mjs": broken }, vars }, async ({ ask, counters }) => {
      const answers = [];
      for (let i = 0; i < 10; ++i) answers.push(await ask("192.0.2.1"));
      assert.deepEqual(tally(answers), { 200: 6, 429: 4 });
      const { limiter_failures, limiter_fallbacks } = await counters();
      assert.ok(limiter_failures >= 6 && limiter_fallbacks >= 6);
    });
  });
}

// The object alone, on a storage that hands its answers out when the test says so: real input gates
// would hide what the object itself gets wrong.
const OBJECT = `import { RateLimiter } from "../js-shim/rate_limiter.mjs";
export default { async fetch(request, env) {
  const waiting = [];
  const storage = {
    get: () => new Promise((resolve) => waiting.push(() => resolve(undefined))),
    put() {}, setAlarm() {}, async deleteAll() {},
  };
  const object = new RateLimiter({ storage }, env);
  const message = new Uint8Array(32);
  message[0] = 2;
  message[23] = 200;
  const ask = async () => {
    const response = await object.fetch(new Request("http://limiter/", { method: "POST", body: message }));
    return new DataView(await response.arrayBuffer()).getUint16(2);
  };
  const asked = [ask(), ask(), ask()];
  while (waiting.length < 3) await scheduler.wait(1);
  for (const answer of waiting) { answer(); await scheduler.wait(5); }
  return Response.json(await Promise.all(asked));
} }`;

test("requests that reach a fresh object together are counted together", async () => {
  const spec = edgeSpec({ vars: { LEASE_PERMITS: "100" } });
  const worker = await startWorkerd({ main: { ...spec, modules: { "bench/object.mjs": "", ...spec.modules },
    inline: { "bench/object.mjs": OBJECT }, limiter: true } });
  const permits = await (await fetch(worker.url)).json();
  await worker.stop();
  assert.equal(permits.length, 3);
  assert.ok(permits.reduce((a, b) => a + b) <= 120, permits.join(" "));
});
