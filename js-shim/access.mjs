// The host's part of Cloudflare Access tokens: the RS256 check and the fetch of the team's keys.
// Everything else about them is the module's (common/token/access_jwt.h).
import { AT, WORD } from "./wasm.mjs";
import { deadline } from "./leases.mjs";

const RS256 = { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" };
const FETCH_MS = 5000;
const MAX_JWKS = 65536;

let fetching = null;

function base64url(bytes) {
  return btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_")
    .replace(/=+$/, "");
}

/** After the verdict checkAccess. @returns {Promise<boolean>} false: the token is refused */
export async function checkAccess(core, request, instance) {
  const words = core.words;
  const generation = words[WORD.extra];
  let at = AT.text;
  const take = (len) => core.out.slice(at, at += len);
  const signed = take(words[WORD.textLen]);
  const signature = take(words[WORD.secondLen]);
  const n = base64url(take(words[WORD.thirdLen]));
  const e = base64url(take(words[WORD.fourthLen]));
  let good = false;
  try {
    const key = await crypto.subtle.importKey("jwk", { kty: "RSA", alg: "RS256", n, e }, RS256,
      false, ["verify"]);
    good = await crypto.subtle.verify(RS256, key, signature, signed);
  } catch {
    // A key or signature that WebCrypto will not take is a bad one.
  }
  const { core: current } = instance();
  const jwt = new TextEncoder().encode(request.headers.get("cf-access-jwt-assertion") ?? "");
  if (jwt.length > current.in.length) return false;
  const len = current.put(jwt);
  return current.call("es_access_verified", len, generation, good ? 1 : 0, Date.now()) === 1;
}

async function fetchKeys(url, instance) {
  const late = deadline(FETCH_MS);
  let text = "";
  try {
    const response = await Promise.race([fetch(url, { redirect: "manual" }), late.over]);
    if (response?.ok) text = (await Promise.race([response.text(), late.over])) ?? "";
  } catch {
    // Reported to the module as no keys.
  } finally {
    late.stop();
  }
  const { core } = instance();
  const bytes = new TextEncoder().encode(text);
  const len = bytes.length <= MAX_JWKS ? core.put(bytes) : 0;
  core.call("es_access_keys", len, Date.now());
}

/** After the verdict fetchAccessKeys. */
export function fetchAccessKeys(url, instance, ctx) {
  fetching ??= fetchKeys(url, instance).finally(() => { fetching = null; });
  ctx.waitUntil(fetching);
  return fetching;
}

/**
 * The fetch that is under way, or null: until it ends, the module would refuse unknown keys. Its own
 * deadline: the request that fetches may be torn down with its context.
 */
export function accessKeysUnderWay() {
  if (fetching === null) return null;
  const late = deadline(FETCH_MS);
  return Promise.race([fetching, late.over]).finally(late.stop);
}
