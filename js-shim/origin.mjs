// Requests to the origin and its answers, as the verdict says: fields that may pass, streamed bodies.
import { counters } from "./counters.mjs";
import { AT, VERDICT, WORD } from "./wasm.mjs";

/** @returns {{url: string, init: object, mark: string}} for fetch(); the mark of a hardened answer */
export function outgoing(core, tables, request, verdict) {
  const { words, method, url } = core;
  // A plain object: it crosses to the host once, where a Headers would for each field.
  const headers = core.forwardFields();
  const signatureLen = words[WORD.signatureLen];
  const signed = core.text(AT.signature, signatureLen + words[WORD.markLen]);
  headers["x-edge-signature"] = signed.slice(0, signatureLen);
  for (const [name, value] of tables.send) headers[name] = value;
  if (verdict === VERDICT.forwardWebSocket) headers.upgrade = "websocket";
  const init = { method, headers, redirect: "manual" };
  // Not by the fields: over HTTP/2 and 3 a body may come without Content-Length.
  if (method !== "GET" && method !== "HEAD" && request.body !== null) init.body = request.body;
  return {
    url: tables.settings.origin + url.slice(url.indexOf("/", 8)), init, mark: signed.slice(signatureLen),
  };
}

const LATE = { name: "TimeoutError" };

/**
 * Asks the origin and calls one of the two, once: with its response header, or after `ms` with LATE or
 * whatever fetch threw (see failure()). The deadline ends with the header: a body that is passed on
 * streams for as long as it likes (proxy_test.mjs holds workerd to that).
 * @param {(response: Response) => void} answered
 * @param {(error: object) => void} failed
 */
export function askOrigin(env, url, init, ms, answered, failed) {
  let waiting = true;
  const fail = (error) => {
    if (!waiting) return;
    waiting = false;
    failed(error);
  };
  let asked;
  try {
    // An optional Workers VPC binding reaches an origin without a public address.
    asked = env.ORIGIN === undefined ? fetch(url, init) : env.ORIGIN.fetch(url, init);
  } catch (error) {
    return fail(error);
  }
  // Measured in workerd: 1.5 us, where a signal on the fetch costs 8. It is not stopped: it ends with
  // the request's context, as does a fetch that came late (faults_test.mjs holds the host to that),
  // and stopping it would cost more than it does.
  setTimeout(fail, ms, LATE);
  asked.then((response) => {
    if (!waiting) return;
    waiting = false;
    answered(response);
  }, fail);
}

/** Counts what askOrigin() reported. @returns {string} the name of the refusal that stands for it */
export function failure(error) {
  if (error?.name === "TimeoutError") {
    counters.origin_timeouts += 1;
    return "gateway_timeout";
  }
  counters.origin_unreachable += 1;
  return "bad_gateway";
}

/**
 * Whether the origin has proved that it hardened this answer as we would (common/gate/
 * hardened_mark.h), and no proxy on the way has put its name in. Cloudflare's own is put in again on
 * the way out, whatever we do.
 */
export function isHardened(response, mark) {
  const { headers } = response;
  if (headers.get("x-edge-hardened") !== mark) return false;
  const server = headers.get("server");
  return server === null || server === "cloudflare";
}

/**
 * The origin's answer with its header replaced by ours and the fields that may pass.
 * @returns {{answer: Response, responseBytes: number}}
 */
export function hardened(tables, route, verdict, method, response) {
  const { webSocket } = response;
  const upgraded = verdict === VERDICT.forwardWebSocket && webSocket !== null;
  if (response.status === 101 && !upgraded) throw new RangeError("101 without a WebSocket");
  const model = tables.model(route, response.status);
  const answer = upgraded
    ? new Response(null, { status: 101, webSocket, headers: model.headers })
    : new Response(response.body, model);
  // The new response has a copy of the set; filling that is cheaper than a copy of our own.
  const own = answer.headers;
  let length = null;
  response.headers.forEach((value, name) => {
    if (name === "content-length") length = value;
    // append: Set-Cookie comes once for each cookie.
    else if (tables.keep.has(name)) own.append(name, value);
  });
  // The runtime frames a body itself, and knows its length: setting it too costs 20 us. Only the
  // answer to HEAD has a length and no body.
  if (length !== null && method === "HEAD") own.set("content-length", length);
  return { answer, responseBytes: Number(length ?? 0) };
}
