// Requests to the origin and its answers, as the verdict says: fields that may pass, streamed bodies.
import { counters } from "./counters.mjs";
import { deadline } from "./leases.mjs";
import { AT, FLAG, VERDICT, WORD } from "./wasm.mjs";

function send(env, url, init) {
  // An optional Workers VPC binding reaches an origin without a public address.
  return env.ORIGIN === undefined ? fetch(url, init) : env.ORIGIN.fetch(url, init);
}

/** @returns {[string, object]} url and init for fetch() */
export function outgoing(core, tables, request, verdict) {
  const words = core.words;
  const headers = new Headers();
  const received = request.headers;
  for (let mask = words[WORD.forwardMask]; mask !== 0; mask &= mask - 1) {
    const name = tables.forward[31 - Math.clz32(mask & -mask)];
    headers.set(name, received.get(name));
  }
  headers.set("x-edge-signature", core.text(AT.signature, words[WORD.signatureLen]));
  for (const [name, value] of tables.send) headers.set(name, value);
  if (verdict === VERDICT.forwardWebSocket) headers.set("upgrade", "websocket");
  const init = { method: request.method, headers, redirect: "manual" };
  if ((words[WORD.flags] & FLAG.hasBody) !== 0) init.body = request.body;
  const url = request.url;
  return [tables.settings.origin + url.slice(url.indexOf("/", 8)), init];
}

/**
 * @returns {Promise<Response | "bad_gateway" | "gateway_timeout">} the origin's own response, or the
 *   name of the refusal that stands for it
 */
export async function askOrigin(env, url, init, ms) {
  const late = deadline(ms);
  try {
    const response = await Promise.race([send(env, url, init), late.over]);
    if (response === undefined) {
      counters.origin_timeouts += 1;
      return "gateway_timeout";
    }
    return response;
  } catch {
    counters.origin_unreachable += 1;
    return "bad_gateway";
  } finally {
    late.stop();
  }
}

/** The origin's answer with its header replaced by ours and the fields that may pass. */
export function hardened(tables, route, verdict, response) {
  const headers = new Headers(tables.sets[tables.routes[route].set]);
  for (const [name, value] of response.headers) {
    // append: Set-Cookie comes once for each cookie.
    if (tables.keep.has(name)) headers.append(name, value);
  }
  const { status, webSocket } = response;
  if (verdict === VERDICT.forwardWebSocket && webSocket) {
    return new Response(null, { status: 101, webSocket, headers });
  }
  return new Response(response.body, { status, headers });
}
