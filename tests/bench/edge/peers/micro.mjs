// Times the module's own work inside workerd: a loop in one request, measured from outside because
// clocks stand still while a Worker runs. The first path segment says what, the second how often.
import module from "../build/edge/edge.wasm";
import { Core } from "../js-shim/wasm.mjs";

let core;
const encoder = new TextEncoder();
const arena = new Uint8Array(65536);
const lengths = new Uint32Array(200);

// What stands before any decision: the texts of a request, put together and encoded.
function handOver({ method, url, headers }) {
  let text = method + url;
  let num = 0;
  headers.forEach((value, name) => {
    text += name;
    text += value;
    lengths[num] = name.length;
    lengths[num + 1] = value.length;
    num += 2;
  });
  return encoder.encodeInto(text, arena).written;
}

function settings(env) {
  return Object.entries(env).filter(([, v]) => typeof v === "string")
    .map(([name, value]) => `${name}=${value}\n`).join("") +
    "LIMITER:durable_object\nANALYTICS:analytics\n";
}

export default {
  fetch(request, env) {
    const [, what, count] = new URL(request.url).pathname.split("/");
    core ??= new Core(module, settings(env));
    const text = settings(env);
    // "read": as requests come, header fields read from the host. "decide", "hand": those in hand.
    const real = new Request("http://edge.example/api/v1/user", request);
    const fields = new Map(request.headers);
    const inHand = {
      method: real.method,
      url: real.url,
      headers: { get: (name) => fields.get(name) ?? null, forEach: (f) => fields.forEach(f) },
    };
    const asked = what === "read" ? real : inHand;
    const now = Date.now();
    let forwarded = 0;
    for (let i = 0; i < Number(count); ++i) {
      if (what === "decide" || what === "read") forwarded += core.decide(asked, 1, now + i) === 0 ? 1 : 0;
      else if (what === "hand") forwarded += handOver(asked) > 0 ? 1 : 0;
      else if (what === "instance") forwarded += new Core(module, text).words.length > 0 ? 1 : 0;
    }
    return new Response(String(forwarded));
  },
};
