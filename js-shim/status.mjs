// GET /edge/status: what this isolate has counted, and whether limiter and origin answer now.
import { counters } from "./counters.mjs";
import { checkLimiter } from "./leases.mjs";
import { askOrigin, failure } from "./origin.mjs";

const CHECK_MS = 2000;

async function timed(work) {
  const began = Date.now();
  const result = await work();
  return { ...result, ms: Date.now() - began };
}

async function checkOrigin(env, origin, send) {
  const headers = new Headers(send);
  const init = { headers, redirect: "manual" };
  try {
    const response = await new Promise((resolve, reject) => {
      askOrigin(env, `${origin}/health`, init, CHECK_MS, resolve, reject);
    });
    await response.body?.cancel();
    return response.status === 200 ? { ok: true } : { ok: false, reason: `status ${response.status}` };
  } catch (error) {
    return { ok: false, reason: failure(error) };
  }
}

export async function statusAnswer(env, tables) {
  const [limiter, origin] = await Promise.all([
    timed(async () => ({ ok: await checkLimiter(env, CHECK_MS) })),
    timed(() => checkOrigin(env, tables.settings.origin, tables.send)),
  ]);
  const ok = limiter.ok && origin.ok;
  const headers = new Headers(tables.sets[0]);
  headers.set("content-type", "application/json");
  const body = JSON.stringify({ ok, limiter, origin, counters });
  return new Response(body, { status: ok ? 200 : 503, headers });
}
