// Asks the limiter object for permits: one call at a time for each client, however many of its
// requests wait; an object that is late or unreachable leaves the decision to the isolate's own limit.
import { counters } from "./counters.mjs";
import { instanceFor } from "./instance.mjs";
import { AT, WORD } from "./wasm.mjs";

/** client -> {answered: Promise<boolean>, waiting: number} */
const asking = new Map();

/** Resolves to undefined after `ms`; stop() when it is no longer needed. */
export function deadline(ms) {
  let timer;
  const over = new Promise((resolve) => { timer = setTimeout(resolve, ms); });
  return { over, stop: () => clearTimeout(timer) };
}

export function clientOf(words) {
  return `${words[WORD.clientHigh]}:${words[WORD.clientLow]}:${words[WORD.context] & 3}`;
}

/** How many requests of this client wait for a lease, for the size of the next one. */
export function numWaiting(client) {
  return asking.get(client)?.waiting ?? 0;
}

async function call(namespace, name, message) {
  const stub = namespace.get(namespace.idFromName(name));
  const response = await stub.fetch("http://limiter/", { method: "POST", body: message });
  return response.ok ? new Uint8Array(await response.arrayBuffer()) : null;
}

/** Whether the object of this name answers, for /edge/status. */
export async function checkLimiter(env, ms) {
  const late = deadline(ms);
  try {
    const stub = env.LIMITER.get(env.LIMITER.idFromName("check"));
    const response = await Promise.race([stub.fetch("http://limiter/check"), late.over]);
    return response?.ok === true;
  } catch {
    return false;
  } finally {
    late.stop();
  }
}

async function ask(env, ms, low, high, context, nonce, name, message) {
  counters.limiter_calls += 1;
  const late = deadline(ms);
  let reply = null;
  try {
    const called = call(env.LIMITER, name, message);
    called.catch(() => {});
    reply = await Promise.race([called, late.over]);
  } catch {
    // Counted below, like silence.
  } finally {
    late.stop();
  }
  const { core } = instanceFor(env);
  const len = reply ? core.put(reply) : 0;
  const good = core.call("es_lease_reply", low, high, context, nonce, len, Date.now()) === 1;
  if (!good) counters.limiter_failures += 1;
  return good;
}

/**
 * After the verdict askLimiter; the words are still those of the decision.
 * @returns {Promise<boolean>} whether a lease or a refusal came back
 */
export function askLimiter(core, env, ctx, ms) {
  const words = core.words;
  const client = clientOf(words);
  const textLen = words[WORD.textLen];
  const name = core.text(AT.text, textLen);
  const message = core.out.slice(AT.text + textLen, AT.text + textLen + words[WORD.secondLen]);
  const answered = ask(env, ms, words[WORD.clientLow], words[WORD.clientHigh],
    words[WORD.context], words[WORD.extra], name, message).catch(() => false).finally(() => {
    if (asking.get(client) === entry) asking.delete(client);
  });
  const entry = { answered, waiting: 0 };
  asking.set(client, entry);
  // The others that wait must hear of it even if this request's client goes away.
  ctx.waitUntil(answered);
  return answered;
}

/** After the verdict waitLimiter. @returns {Promise<boolean>} as askLimiter */
export async function waitLimiter(core, ms) {
  const entry = asking.get(clientOf(core.words));
  if (entry === undefined) return false;
  entry.waiting += 1;
  // Its own deadline: the request that asks may be torn down with its context.
  const late = deadline(ms);
  try {
    return (await Promise.race([entry.answered, late.over])) === true;
  } finally {
    late.stop();
  }
}
