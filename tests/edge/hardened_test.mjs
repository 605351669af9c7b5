// Answers that the origin has hardened itself: passed on as they are when their mark proves it, taken
// apart like anybody's when it does not. The mark is made here by Node's own HMAC.
import assert from "node:assert/strict";
import crypto from "node:crypto";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { newCore, NOW, fakeRequest } from "./harness/core.mjs";
import { API_KEY, edgeSpec, startEdge, TOKEN_KEY } from "./harness/edge.mjs";
import { startOrigin } from "./harness/origins.mjs";
import { request, sendRaw } from "./harness/raw_http.mjs";
import { startWorkerd } from "./harness/workerd.mjs";
import { AT, WORD } from "../../js-shim/wasm.mjs";

const hmac = (key, data) => crypto.createHmac("sha256", key).update(data).digest();
const key = hmac(Buffer.from(TOKEN_KEY, "hex"), "edgescale edge signature v1");

/** What is signed of a request: signature.h has the layout. */
function signedText({ time, method, url, address }) {
  const at = Buffer.alloc(8);
  at.writeBigUInt64BE(BigInt(time));
  const short = (text) => Buffer.concat([Buffer.from([text.length]), Buffer.from(text)]);
  return Buffer.concat([Buffer.from([3]), at, short(method), short(address), Buffer.from(url)]);
}

let revision;

/** The mark of an answer to this request, as hardened_mark.h says. */
function markFor({ method, url, headers }) {
  // The edge's own look at the origin's health is not signed.
  if (headers["x-edge-signature"] === undefined) return "none";
  const [, time, digits, address] = /^v3\.(\d+)\.([0-9a-f]{32})\.(.*)$/.exec(headers["x-edge-signature"]);
  const mac = hmac(key, signedText({ time, method, url, address })).toString("hex");
  assert.equal(mac.slice(0, 32), digits);
  return `${revision}.${mac.slice(32)}`;
}

let origin;
let edge;
let answer;
let lastSignature;  // of a request to /health

before(async () => {
  const core = newCore();
  core.decide(fakeRequest("GET", "http://e.example/health", { "cf-connecting-ip": "192.0.2.1" }), 1, NOW);
  const signatureLen = core.words[WORD.signatureLen];
  revision = core.text(AT.signature, signatureLen + core.words[WORD.markLen]).slice(signatureLen).slice(0, 8);
  origin = await startOrigin((seen, response) => answer(seen, response));
  edge = await startEdge({ origin: origin.url, vars: { ORIGIN_TIMEOUT_MS: "300" } });
  answer = (seen, response) => { lastSignature ??= seen.headers["x-edge-signature"]; response.end("ok"); };
  await get("/health");
});
after(async () => {
  await edge?.stop();
  await origin?.stop();
});

const get = (target = "/health") => sendRaw(edge.port, request(`GET ${target}`));

async function passedOn() {
  const { body } = await sendRaw(edge.port, request("GET /edge/status", [`Authorization: Bearer ${API_KEY}`]));
  return JSON.parse(body).counters.passed_on;
}

test("an answer with a good mark is passed on as it is, and recorded", async () => {
  const before = await passedOn();
  answer = (seen, response) => response.writeHead(202, { "x-edge-hardened": markFor(seen),
    "x-frame-options": "DENY", "content-length": "5" }).end("hello");
  const got = await get("/health?x=1");
  assert.equal(got.status, 202);
  assert.equal(got.body, "hello");
  assert.equal(got.headers["x-frame-options"], "DENY");
  // What the origin did not set was not added: the mark says that it has set all that is needed.
  assert.equal(got.headers["referrer-policy"], undefined);
  assert.equal(await passedOn(), before + 1);
  const point = edge.dataPoints().find(({ doubles }) => doubles[0] === 202);
  assert.equal(point.doubles[3], 5);
});

for (const [name, spoil] of [
  ["no mark", () => ({})],
  ["a mark of another request", (seen) => ({ "x-edge-hardened": markFor({ ...seen, headers: { ...seen.headers,
    "x-edge-signature": lastSignature }, url: "/health" }) })],
  ["a mark with the signature's own half", (seen) => ({ "x-edge-hardened":
    `${revision}.${seen.headers["x-edge-signature"]?.split(".")[2]}` })],
  ["a mark of other tables", (seen) => ({ "x-edge-hardened": markFor(seen).replace(/^......../, "00000000") })],
  ["two marks", (seen) => ({ "x-edge-hardened": [markFor(seen), markFor(seen)] })],
  ["the name of a proxy on the way", (seen) => ({ "x-edge-hardened": markFor(seen), server: "nginx/1.27" })],
]) {
  test(`${name}: the edge hardens the answer itself`, async () => {
    const before = await passedOn();
    answer = (seen, response) => response.writeHead(200, { "x-powered-by": "PHP", ...spoil(seen) }).end("ok");
    const got = await get("/version");
    assert.equal(got.status, 200);
    assert.equal(got.headers["referrer-policy"], "no-referrer");
    for (const leak of ["x-powered-by", "server", "x-edge-hardened"]) assert.equal(got.headers[leak], undefined);
    assert.equal(await passedOn(), before);
  });
}

test("a stream that is passed on outlives the deadline, which is for the header alone", async () => {
  answer = async (seen, response) => {
    response.writeHead(200, { "x-edge-hardened": markFor(seen) });
    for (const part of ["a", "b", "c", "d"]) {
      response.write(part);
      await sleep(200);
    }
    response.end("e");
  };
  const response = await fetch(`${edge.url}/health`);
  assert.equal(await response.text(), "abcde");
});

test("a body of unknown length, as HTTP/2 brings it, goes up whole", async () => {
  const bodies = [];
  answer = (seen, response) => { bodies.push(seen.body.toString()); response.end("ok"); };
  const front = `export default { fetch(request, env) {
    const body = new ReadableStream({ start(c) {
      for (const part of ["one ", "two ", "three"]) c.enqueue(new TextEncoder().encode(part));
      c.close();
    } });
    return env.EDGE.fetch("http://edge.example/health", { method: "POST", body,
      headers: { "cf-connecting-ip": "192.0.2.9", "content-type": "text/plain" } });
  } }`;
  const both = await startWorkerd({
    front: { inline: { "front.mjs": front }, services: { EDGE: "edge" }, analytics: "none" },
    edge: edgeSpec({ origin: origin.url }),
  });
  const response = await fetch(both.url);
  assert.equal(response.status, 200);
  await both.stop();
  assert.deepEqual(bodies, ["one two three"]);
});
