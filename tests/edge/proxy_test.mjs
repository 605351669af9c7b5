// What passes through the Worker when everything is well: bodies, headers, WebSockets.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { once } from "node:events";
import zlib from "node:zlib";
import WebSocket from "ws";
import { API_KEY, startEdge } from "./harness/edge.mjs";
import { startOrigin } from "./harness/origins.mjs";
import { request, sendRaw } from "./harness/raw_http.mjs";

let origin;
let edge;
let answer = null;
const key = { authorization: `Bearer ${API_KEY}` };

before(async () => {
  origin = await startOrigin((seen, response) => {
    if (answer) return answer(seen, response);
    response.end("ok");
  });
  edge = await startEdge({ origin: origin.url, vars: { RATE_LIMIT_REQUESTS: "1000",
    CF_ACCESS_CLIENT_ID: "id.access", CF_ACCESS_CLIENT_SECRET: "cfast_secret" } });
});
after(async () => {
  await edge?.stop();
  await origin?.stop();
});

test("a body goes up unchanged, with its length or chunked", async () => {
  const body = Buffer.from(Array.from({ length: 300_000 }, (_, i) => i * 7 & 255));
  answer = (seen, response) => response.end(seen.body);
  for (const init of [
    { body },
    { body: new ReadableStream({ start(c) { c.enqueue(body.subarray(0, 1000)); c.enqueue(body.subarray(1000)); c.close(); } }), duplex: "half" },
  ]) {
    const response = await fetch(`${edge.url}/api/v1/user`, { method: "POST", headers: key, ...init });
    assert.equal(response.status, 200);
    assert.ok(Buffer.from(await response.arrayBuffer()).equals(body));
  }
});

test("a body that says it is larger than 1 MiB is refused before it is read", async () => {
  const before = origin.seen.length;
  const { status } = await sendRaw(edge.port,
    request("POST /api/v1/user", [`Authorization: Bearer ${API_KEY}`, "Content-Length: 1048577"], "x"));
  assert.equal(status, 413);
  assert.equal(origin.seen.length, before);
});

test("an answer of known length keeps it, and one of unknown length is chunked", async () => {
  answer = (seen, response) => {
    response.setHeader("content-length", "5");
    response.end("hello");
  };
  assert.equal((await fetch(`${edge.url}/health`)).headers.get("content-length"), "5");
  answer = (seen, response) => {
    response.write("hel");
    response.end("lo");
  };
  const { headers } = await fetch(`${edge.url}/health`);
  assert.equal(headers.get("content-length"), null);
  assert.equal(headers.get("transfer-encoding"), "chunked");
});

test("a compressed answer passes as it is", async () => {
  const packed = zlib.gzipSync("hello ".repeat(100));
  answer = (seen, response) => {
    response.setHeader("content-encoding", "gzip");
    response.end(packed);
  };
  const { headers, body } = await sendRaw(edge.port, request("GET /health", ["Accept-Encoding: gzip"]));
  assert.equal(headers["content-encoding"], "gzip");
  assert.ok(body.includes(packed.toString("latin1")));
});

test("an answer streams: its first part arrives before the origin has sent the last", async () => {
  let release;
  answer = (seen, response) => {
    response.write("first");
    release = () => response.end("last");
  };
  const response = await fetch(`${edge.url}/machine/map`);
  const reader = response.body.getReader();
  const first = await reader.read();
  assert.equal(Buffer.from(first.value).toString(), "first");
  release();
  const last = await reader.read();
  assert.equal(Buffer.from(last.value).toString(), "last");
  assert.equal((await reader.read()).done, true);
});

test("a stream outlives the deadline, which is for the header alone", async () => {
  const other = await startEdge({ origin: origin.url, vars: { ORIGIN_TIMEOUT_MS: "200" } });
  answer = (seen, response) => {
    response.write("first");
    setTimeout(() => response.end("last"), 600);
  };
  assert.equal(await (await fetch(`${other.url}/machine/map`)).text(), "firstlast");
  const ws = new WebSocket(`ws://127.0.0.1:${other.port}/ts2021`);
  await once(ws, "open");
  await new Promise((resolve) => setTimeout(resolve, 500));
  ws.send("still here");
  assert.equal((await once(ws, "message"))[0].toString(), "still here");
  ws.terminate();
  await other.stop();
});

test("only the fields of the list come back, each cookie on its own", async () => {
  answer = (seen, response) => {
    response.setHeader("content-type", "text/plain");
    response.setHeader("set-cookie", ["a=1; Path=/", "b=2; Path=/"]);
    for (const name of ["server", "x-powered-by", "x-envoy-upstream", "access-control-allow-origin",
      "strict-transport-security", "content-security-policy"]) response.setHeader(name, "leak");
    response.setHeader("etag", '"x"');
    response.end("ok");
  };
  const { headers } = await fetch(`${edge.url}/register/x`);
  assert.deepEqual(headers.getSetCookie(), ["a=1; Path=/", "b=2; Path=/"]);
  assert.equal(headers.get("etag"), '"x"');
  assert.equal(headers.get("content-type"), "text/plain");
  assert.ok(![...headers.values()].includes("leak"));
});

test("a redirect is handed to the client, not followed", async () => {
  answer = (seen, response) => {
    response.writeHead(302, { location: "/elsewhere" });
    response.end();
  };
  const before = origin.seen.length;
  const response = await fetch(`${edge.url}/register/x`, { redirect: "manual" });
  assert.equal(response.status, 302);
  assert.equal(response.headers.get("location"), "/elsewhere");
  assert.equal(origin.seen.length, before + 1);
});

for (const status of [204, 304, 404, 410, 500, 503]) {
  test(`the origin's ${status} passes`, async () => {
    answer = (seen, response) => {
      response.writeHead(status);
      response.end();
    };
    assert.equal((await fetch(`${edge.url}/register/x`)).status, status);
  });
}

test("HEAD and OPTIONS pass, without a body and with their length", async () => {
  answer = (seen, response) => {
    response.setHeader("content-length", "5");
    response.setHeader("allow", "GET");
    response.end(seen.method === "HEAD" ? undefined : "hello");
  };
  const head = await fetch(`${edge.url}/health`, { method: "HEAD" });
  assert.equal(head.status, 200);
  assert.equal(head.headers.get("content-length"), "5");
  assert.equal(await (await fetch(`${edge.url}/health`, { method: "OPTIONS" })).text(), "hello");
});

test("an origin behind Access gets the Worker's own service token", async () => {
  answer = null;
  await fetch(`${edge.url}/health`, { headers: { "cf-access-client-id": "forged" } });
  const { headers } = origin.seen.at(-1);
  assert.equal(headers["cf-access-client-id"], "id.access");
  assert.equal(headers["cf-access-client-secret"], "cfast_secret");
});

test("a WebSocket passes with its sub-protocol, both ways, text and binary", async () => {
  const ws = new WebSocket(`ws://127.0.0.1:${edge.port}/ts2021?x=1`, ["tailscale-control-protocol"],
    { perMessageDeflate: false });
  await once(ws, "open");
  assert.equal(ws.protocol, "tailscale-control-protocol");
  const sent = Buffer.from(Array.from({ length: 100_000 }, (_, i) => i & 255));
  ws.send(sent);
  const [data, isBinary] = await once(ws, "message");
  assert.ok(isBinary && data.equals(sent));
  ws.send("text");
  assert.equal((await once(ws, "message"))[0].toString(), "text");
  ws.close(1000);
  await once(ws, "close");
  const seen = origin.seen.at(-1);
  assert.equal(seen.method, "GET");
  assert.equal(seen.url, "/ts2021?x=1");
  assert.ok(seen.headers["x-edge-signature"]);
});

test("the answer to a WebSocket upgrade carries the security headers too", async () => {
  const ws = new WebSocket(`ws://127.0.0.1:${edge.port}/derp`, ["derp"]);
  const [[response]] = await Promise.all([once(ws, "upgrade"), once(ws, "open")]);
  assert.ok(response.headers["strict-transport-security"]);
  ws.terminate();
});

const upgrade = ["Upgrade: websocket", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version: 13"];
for (const [name, line, fields, status] of [
  ["an upgrade by POST", "POST /ts2021", upgrade, 426],
  ["an upgrade by POST on /derp", "POST /derp", upgrade, 400],
  ["an upgrade where none is known", "GET /api/v1/user", [...upgrade, `Authorization: Bearer ${API_KEY}`], 400],
  ["an upgrade without a key", "GET /derp", upgrade.slice(0, 1), 426],
  ["an upgrade of another version", "GET /derp", [...upgrade.slice(0, 2), "Sec-WebSocket-Version: 8"], 426],
  ["the echo socket without a key", "GET /ws", upgrade, 401],
]) {
  test(`${name} is refused`, async () => {
    const before = origin.seen.length;
    // Connection: Upgrade instead of the harness's close.
    const bytes = request(line, fields).replace("Connection: close", "Connection: Upgrade");
    assert.equal((await sendRaw(edge.port, bytes)).status, status);
    assert.equal(origin.seen.length, before);
  });
}

test("every request left one log line and one data point", async () => {
  const points = edge.dataPoints();
  const lines = edge.logs().filter((line) => line.verdict);
  assert.equal(points.length, lines.length);
  assert.ok(points.length >= 20);
  assert.ok(points.some(({ blobs }) => blobs[3] === "websocket"));
});
