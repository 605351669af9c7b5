// Cloudflare Access at the real Worker: the module checks the token, WebCrypto its signature, and the
// keys come from the team's address, which a second Worker plays here.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { API_KEY, edgeSpec } from "./harness/edge.mjs";
import { startOrigin } from "./harness/origins.mjs";
import { request, sendRaw } from "./harness/raw_http.mjs";
import { startWorkerd } from "./harness/workerd.mjs";

const TEAM = "team.cloudflareaccess.com";
const AUD = "4714c1358e65fe4b408ad6d432a5f878f08194bdb4752441fd56faefa9b2b6f2";
const RS256 = { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" };
const OUTBOUND = `let fetches = 0;
export default { async fetch(request, env) {
  const url = new URL(request.url);
  if (url.hostname === "${TEAM}") {
    console.log("JWKS " + ++fetches);
    if (url.pathname !== "/cdn-cgi/access/certs") return new Response(null, { status: 404 });
    await new Promise((resolve) => setTimeout(resolve, 50));
    return new Response(env.JWKS);
  }
  return fetch(request);
} }`;

const base64url = (data) => Buffer.from(data).toString("base64url");
let origin;
let edge;
let keys;
let clients = 0;

async function makeKey(kid) {
  const pair = await crypto.subtle.generateKey(
    { ...RS256, modulusLength: 2048, publicExponent: new Uint8Array([1, 0, 1]) }, true, ["sign", "verify"]);
  const { n, e } = await crypto.subtle.exportKey("jwk", pair.publicKey);
  return { kid, pair, jwk: { kid, kty: "RSA", alg: "RS256", use: "sig", n, e } };
}

async function token(changes = {}, { key = keys.good, header = {} } = {}) {
  const now = Math.floor(Date.now() / 1000);
  const claims = { aud: [AUD], email: "admin@example.com", exp: now + 600, iat: now, nbf: now,
    iss: `https://${TEAM}`, type: "app", sub: "x", ...changes };
  const text = `${base64url(JSON.stringify({ alg: "RS256", kid: key.kid, typ: "JWT", ...header }))}.` +
    base64url(JSON.stringify(claims));
  return `${text}.${base64url(await crypto.subtle.sign(RS256, key.pair.privateKey, Buffer.from(text)))}`;
}

const ask = (jwt, path = "/api/v1/user") => sendRaw(edge.port, request(`GET ${path}`, [
  `CF-Connecting-IP: 198.18.0.${clients++ % 250}`, `Authorization: Bearer ${API_KEY}`,
  ...(jwt ? [`Cf-Access-Jwt-Assertion: ${jwt}`] : [])]));

before(async () => {
  keys = { good: await makeKey("one"), stranger: await makeKey("two") };
  origin = await startOrigin();
  const main = edgeSpec({ origin: origin.url, outbound: "outbound",
    vars: { ACCESS_TEAM_DOMAIN: TEAM, ACCESS_AUD: AUD } });
  const outbound = { inline: { "outbound.mjs": OUTBOUND },
    text: { JWKS: JSON.stringify({ keys: [keys.good.jwk], public_certs: [] }) } };
  edge = await startWorkerd({ main, outbound });
});
after(async () => {
  await edge?.stop();
  await origin?.stop();
});

test("many first requests at once fetch the keys once, and all pass", async () => {
  const jwt = await token();
  const answers = await Promise.all(Array.from({ length: 8 }, () => ask(jwt)));
  assert.deepEqual(answers.map(({ status }) => status), Array(8).fill(200));
  assert.equal(edge.lines.filter((line) => line.startsWith("JWKS")).length, 1);
});

test("the token does not reach the origin", async () => {
  assert.equal((await ask(await token())).status, 200);
  assert.equal(origin.seen.at(-1).headers["cf-access-jwt-assertion"], undefined);
});

test("client paths need no token", async () => {
  assert.equal((await ask(null, "/health")).status, 200);
});

for (const [name, make] of [
  ["no token", () => null],
  ["another audience", () => token({ aud: ["another"] })],
  ["another issuer", () => token({ iss: "https://evil.cloudflareaccess.com" })],
  ["an expired token", () => token({ exp: Math.floor(Date.now() / 1000) - 600 })],
  ["a token of the future", () => token({ nbf: Math.floor(Date.now() / 1000) + 600 })],
  ["a stranger's key under our kid", () => token({}, { key: { ...keys.stranger, kid: "one" } })],
  ["an unknown kid", () => token({}, { key: keys.stranger })],
  ["the algorithm none", () => token({}, { header: { alg: "none" } })],
  ["the algorithm HS256", () => token({}, { header: { alg: "HS256" } })],
  ["a changed claim", async () => {
    const [head, , signature] = (await token()).split(".");
    const [, body] = (await token({ email: "evil@example.com" })).split(".");
    return `${head}.${body}.${signature}`;
  }],
]) {
  test(`${name} is refused, and nothing reaches the origin`, async () => {
    const before = origin.seen.length;
    assert.equal((await ask(await make())).status, 401);
    assert.equal(origin.seen.length, before);
  });
}
