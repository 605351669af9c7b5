// The same checks in plain JavaScript, as one would write them with care: allow-lists both ways, a
// token bucket for each address, the operator's key or a sealed one by WebCrypto, a signature for the
// origin, the same header set, a log line and a data point.
const FORWARD = ["accept", "accept-language", "authorization", "content-type", "cookie", "if-match",
  "if-modified-since", "if-none-match", "origin", "range", "user-agent"];
const KEEP = new Set(["accept-ranges", "allow", "content-disposition", "content-encoding",
  "content-language", "content-length", "content-range", "content-type", "etag", "last-modified",
  "location", "retry-after", "set-cookie", "vary", "www-authenticate"]);
const SECURITY = {
  "cross-origin-embedder-policy": "require-corp", "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin", "origin-agent-cluster": "?1",
  "permissions-policy": "accelerometer=(), autoplay=(), camera=(), cross-origin-isolated=(), display-capture=(), encrypted-media=(), fullscreen=(), geolocation=(), gyroscope=(), keyboard-map=(), magnetometer=(), microphone=(), midi=(), payment=(), picture-in-picture=(), publickey-credentials-get=(), screen-wake-lock=(), sync-xhr=(), usb=(), web-share=(), xr-spatial-tracking=()",
  "referrer-policy": "no-referrer",
  "strict-transport-security": "max-age=63072000; includeSubDomains",
  "x-content-type-options": "nosniff", "x-dns-prefetch-control": "off", "x-frame-options": "DENY",
  "x-permitted-cross-domain-policies": "none", "x-xss-protection": "0",
  "cache-control": "no-store, max-age=0",
  "content-security-policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
};
const METHODS = new Set(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]);
const CONTROL = /[\x00-\x08\x0a-\x1f\x7f]/;
const encoder = new TextEncoder();
const buckets = new Map();
let base;
let signing;

function admit(address, now, env) {
  const rate = Number(env.RATE_LIMIT_REQUESTS ?? 100) / 60_000;
  const most = Number(env.RATE_LIMIT_REQUESTS ?? 100) + 20;
  let bucket = buckets.get(address);
  if (!bucket) {
    if (buckets.size > 100_000) buckets.clear();
    buckets.set(address, bucket = { left: most, at: now });
  }
  bucket.left = Math.min(most, bucket.left + (now - bucket.at) * rate);
  bucket.at = now;
  if (bucket.left < 1) return false;
  bucket.left -= 1;
  return true;
}

function sameText(a, b) {
  if (a.length !== b.length) return false;
  let difference = 0;
  for (let i = 0; i < a.length; ++i) difference |= a.charCodeAt(i) ^ b.charCodeAt(i);
  return difference === 0;
}

function badTarget(target) {
  if (target.length > 8192 || /[\x00-\x20\x7f-\uffff"<>\\#]/.test(target)) return true;
  let text = target;
  for (let round = 0; round < 3; ++round) {
    if (CONTROL.test(text) || /(^|[/\\])\.\.?([/\\;?]|$)/.test(text)) return true;
    if (!text.includes("%")) break;
    try { text = decodeURIComponent(text); } catch { return true; }
  }
  return false;
}

function refuse(env, status, title, extra) {
  console.log(JSON.stringify({ time: Date.now(), status }));
  env.ANALYTICS.writeDataPoint({ blobs: ["edge", title], doubles: [status], indexes: ["x"] });
  return new Response(JSON.stringify({ code: status, message: title }),
    { status, headers: { ...SECURITY, "content-type": "application/json", ...extra } });
}

export default {
  async fetch(request, env) {
    const { url, method, headers } = request;
    const now = Date.now();
    const target = url.slice(url.indexOf("/", 8));
    if (!METHODS.has(method) || badTarget(target)) return refuse(env, 400, "Bad Request");
    const address = headers.get("cf-connecting-ip") ?? "unknown";
    if (!admit(address, now, env)) return refuse(env, 429, "Too Many Requests", { "retry-after": "1" });
    if (target.startsWith("/api/")) {
      const authorization = headers.get("authorization") ?? "";
      if (!sameText(authorization, `Bearer ${env.HEADSCALE_API_KEY}`)) {
        return refuse(env, 401, "Unauthorized", { "www-authenticate": "Bearer" });
      }
    }
    for (const [, value] of headers) {
      if (CONTROL.test(value)) return refuse(env, 400, "Bad Request");
    }
    signing ??= await crypto.subtle.importKey("raw", encoder.encode(env.EDGE_TOKEN_KEY),
      { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
    const mac = new Uint8Array(await crypto.subtle.sign("HMAC", signing,
      encoder.encode(`${now}\n${method}\n${target}\n${address}`)));
    const out = new Headers();
    for (const name of FORWARD) {
      const value = headers.get(name);
      if (value !== null) out.set(name, value);
    }
    let hex = "";
    for (const byte of mac) hex += byte.toString(16).padStart(2, "0");
    out.set("x-edge-signature", `v1.${now}.${hex}.${address}`);
    const init = { method, headers: out, redirect: "manual" };
    if (method !== "GET" && method !== "HEAD") init.body = request.body;
    let timer;
    const late = new Promise((resolve) => { timer = setTimeout(resolve, 30_000); });
    const response = await Promise.race([fetch(env.HEADSCALE_URL + target, init), late]);
    clearTimeout(timer);
    if (!response) return refuse(env, 504, "Gateway Timeout");
    base ??= new Headers(SECURITY);
    const back = new Headers(base);
    for (const [name, value] of response.headers) if (KEEP.has(name)) back.append(name, value);
    console.log(JSON.stringify({ time: now, method, status: response.status, ms: Date.now() - now }));
    env.ANALYTICS.writeDataPoint({ blobs: ["edge", method], doubles: [response.status], indexes: ["x"] });
    return new Response(response.body, { status: response.status, headers: back });
  },
};
