// The least that a Worker with our promises must do for a request, and no check at all: it reads every
// field and hands on the ones that may go, with a signature (a constant), under a deadline; it looks at
// the mark of the answer, passes it on as it is, and leaves a log line and a data point. With
// REFUSE=1 it answers 401 to everybody: three fields read, a prepared answer, log line and data point.
const FORWARD = new Set(["accept", "accept-language", "authorization", "content-type", "cookie",
  "if-match", "if-modified-since", "if-none-match", "origin", "range", "user-agent"]);
const SIGNATURE = "v3.1795000000000.0f1e2d3c4b5a69788796a5b4c3d2e1f0.192.0.2.1";
const CLIENT = "0123456789abcdef";

function record(env, status, country) {
  console.log(`{"time":${Date.now()},"twin":"edge","route":"api","method":"GET","verdict":"forward",` +
    `"status":${status},"latency_ms":0,"origin_latency_ms":0,"request_bytes":0,"response_bytes":52,` +
    `"client":"${CLIENT}","country":"${country}","version":"0.1.0"}`);
  env.ANALYTICS.writeDataPoint({
    blobs: ["edge", "api", "GET", "forward", "", country, "0.1.0"],
    doubles: [status, 0, 0, 52, 0, 1], indexes: [CLIENT],
  });
}

const refused = new Response(null, { status: 401, headers: {
  "cache-control": "no-store", "strict-transport-security": "max-age=63072000; includeSubDomains",
  "x-content-type-options": "nosniff", "www-authenticate": 'Bearer realm="edgescale"',
} });

export default {
  fetch(request, env) {
    const { method, url, headers } = request;
    if (env.REFUSE !== undefined) {
      const address = headers.get("cf-connecting-ip");
      const authorization = headers.get("authorization");
      const country = headers.get("cf-ipcountry");
      if (address === null || authorization === null) return new Response(null, { status: 400 });
      record(env, 401, country);
      return refused;
    }
    const fields = {};
    let length = 0;
    let country = "";
    headers.forEach((value, name) => {
      length += name.length + value.length;
      if (FORWARD.has(name)) fields[name] = value;
      else if (name === "cf-ipcountry") country = value;
    });
    if (length > 32768) return new Response(null, { status: 431 });
    fields["x-edge-signature"] = SIGNATURE;
    const target = env.HEADSCALE_URL + url.slice(url.indexOf("/", 8));
    return new Promise((resolve, reject) => {
      setTimeout(reject, 30_000, "late");
      fetch(target, { method, headers: fields, redirect: "manual" }).then((response) => {
        const answer = response.headers;
        if (answer.get("x-edge-hardened") === "") return reject("no mark");
        if (answer.get("server") !== null || answer.get("content-length") === null) return reject("odd");
        record(env, response.status, country);
        resolve(response);
      }, reject);
    });
  },
};
