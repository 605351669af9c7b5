// The Worker: asks the module for a verdict and applies it. No policy lives here.
//
// A refusal is answered without a promise; a request that passes waits for nothing before the fetch
// to the origin, unless its client needs a new lease. Every failure ends in a refusal of the table.
import { accessKeysUnderWay, checkAccess, fetchAccessKeys } from "./access.mjs";
import { counters, countRefusal } from "./counters.mjs";
import { dropTrapped, instanceFor, lastTables } from "./instance.mjs";
import { askLimiter, clientOf, numWaiting, waitLimiter } from "./leases.mjs";
import { askOrigin, failure, hardened, isHardened, outgoing } from "./origin.mjs";
import { logFault, record } from "./record.mjs";
import { statusAnswer } from "./status.mjs";
import { ConfigError, FLAG, VERDICT, WORD } from "./wasm.mjs";

export { RateLimiter } from "./rate_limiter.mjs";

// Flags of es_decide.
const LIMITER_UNREACHABLE = 1;
const ACCESS_REFUSED = 2;
const MAX_ROUNDS = 200;
// What is known of a request whose decision was never made: client unknown, no method.
const NO_TICKET = { low: 0, high: 0, context: 0xff0001, country: "" };

function refuse(core, tables, env) {
  const words = core.words;
  const index = words[WORD.refusal];
  countRefusal(tables.refusals[index].name);
  const ready = tables.refusal(index, words[WORD.retryAfter], core);
  const terse = (words[WORD.flags] & FLAG.terse) !== 0;
  record(core, env, words[WORD.context], index, core.country);
  return terse ? ready.terse : new Response(ready.body, ready.init);
}

/** The fault of this edge itself: 503 without a sound environment, else 500; after a trap inside the
 * module the next request gets a new instance. */
function faulted(error, env, began) {
  if (error instanceof ConfigError) {
    counters.misconfigured += 1;
    logFault("misconfigured", error.message);
    return lastTables().respond("misconfigured");
  }
  const trapped = dropTrapped();
  counters[trapped ? "traps" : "faults"] += 1;
  logFault(trapped ? "trap" : "fault", `${error?.name}: ${error?.message}`);
  try {
    const { core, tables } = instanceFor(env);
    const index = tables.refusalIndex.internal;
    core.answer({ ...NO_TICKET, began }, 500, index, 0, Date.now());
    record(core, env, NO_TICKET.context, index, NO_TICKET.country);
    return tables.respond("internal");
  } catch {
    return new Response(null, { status: 500 });
  }
}

function ticketOf(core, began) {
  const words = core.words;
  return {
    low: words[WORD.clientLow],
    high: words[WORD.clientHigh],
    context: words[WORD.context],
    began,
    country: core.country,
  };
}

/** Tells the module the outcome and writes it down; the instance may be another one by now. */
function settle(env, ticket, status, refusal, responseBytes) {
  const { core } = instanceFor(env);
  core.answer(ticket, status, refusal, responseBytes, Date.now());
  record(core, env, ticket.context, refusal, ticket.country);
}

function refuseByName(name, tables, env, ticket) {
  const index = tables.refusalIndex[name];
  countRefusal(name);
  settle(env, ticket, tables.refusals[index].status, index, 0);
  return tables.respond(name);
}

/** The origin's answer, hardened and written down. */
function received(response, tables, env, ticket, verdict, method, mark) {
  if (verdict === VERDICT.forward && isHardened(response, mark)) {
    counters.forwarded += 1;
    counters.passed_on += 1;
    settle(env, ticket, response.status, 0, Number(response.headers.get("content-length") ?? 0));
    return response;
  }
  let hard;
  try {
    hard = hardened(tables, ticket.context >>> 8 & 0xff, verdict, method, response);
  } catch {
    // A status that no response may have: the origin talks garbage.
    counters.origin_unreachable += 1;
    return refuseByName("bad_gateway", tables, env, ticket);
  }
  const { answer, responseBytes } = hard;
  const { status } = answer;
  if (status === 101) counters.websockets += 1;
  else counters.forwarded += 1;
  settle(env, ticket, status, 0, responseBytes);
  return answer;
}

/** The origin's answer, or the refusal that stands for it: one promise, whatever happens. */
function forward(core, tables, request, env, began, verdict) {
  const ticket = ticketOf(core, began);
  const { url, init, mark } = outgoing(core, tables, request, verdict);
  return new Promise((resolve) => {
    askOrigin(env, url, init, tables.originTimeout, (response) => {
      try {
        resolve(received(response, tables, env, ticket, verdict, init.method, mark));
      } catch (error) {
        resolve(faulted(error, env, began));
      }
    }, (error) => {
      try {
        resolve(refuseByName(failure(error), tables, env, ticket));
      } catch (fault) {
        resolve(faulted(fault, env, began));
      }
    });
  });
}

async function answerStatus(core, tables, env, began) {
  const ticket = ticketOf(core, began);
  counters.status += 1;
  const answer = await statusAnswer(env, tables);
  settle(env, ticket, answer.status, 0, 0);
  return answer;
}

function apply(verdict, core, tables, request, env, began) {
  if (verdict === VERDICT.refuse) return refuse(core, tables, env);
  if (verdict === VERDICT.answerStatus) return answerStatus(core, tables, env, began);
  return forward(core, tables, request, env, began, verdict);
}

/** The verdicts that ask for something first: gets it and decides again. */
async function undecided(verdict, core, tables, request, env, ctx, began) {
  const limiterMs = Number(tables.settings.limiter_timeout_ms);
  const instance = () => instanceFor(env);
  let flags = 0;
  for (let round = 0; verdict > VERDICT.refuse; ++round) {
    if (round === MAX_ROUNDS) throw new Error("no verdict");
    let waiting = 0;
    if (verdict === VERDICT.askLimiter || verdict === VERDICT.waitLimiter) {
      const client = clientOf(core.words);
      const answered = verdict === VERDICT.askLimiter
        ? await askLimiter(core, env, ctx, limiterMs)
        : await waitLimiter(core, limiterMs);
      if (!answered) {
        // The isolate's own limit decides this request, unless a lease or a refusal is in hand.
        if ((flags & LIMITER_UNREACHABLE) === 0) counters.limiter_fallbacks += 1;
        flags |= LIMITER_UNREACHABLE;
      }
      waiting = Math.min(numWaiting(client), 1000);
    } else if (verdict === VERDICT.checkAccess) {
      if (!await checkAccess(core, request, instance)) flags |= ACCESS_REFUSED;
    } else {
      await fetchAccessKeys(tables.settings.jwks_url, instance, ctx);
    }
    core = instanceFor(env).core;
    verdict = core.decide(request, flags | waiting << 8, Date.now());
  }
  return apply(verdict, core, tables, request, env, began);
}

async function later(work, env, began) {
  try {
    return await work();
  } catch (error) {
    return faulted(error, env, began);
  }
}

export default {
  fetch(request, env, ctx) {
    const began = Date.now();
    try {
      const { core, tables } = instanceFor(env);
      const keys = accessKeysUnderWay();
      if (keys !== null) {
        return later(async () => {
          await keys;
          const now = instanceFor(env);
          const verdict = now.core.decide(request, 0, Date.now());
          return undecided(verdict, now.core, now.tables, request, env, ctx, began);
        }, env, began);
      }
      const verdict = core.decide(request, 0, began);
      if (verdict === VERDICT.refuse) return refuse(core, tables, env);
      if (verdict > VERDICT.refuse) {
        return later(() => undecided(verdict, core, tables, request, env, ctx, began), env, began);
      }
      if (verdict === VERDICT.answerStatus) {
        return later(() => answerStatus(core, tables, env, began), env, began);
      }
      return forward(core, tables, request, env, began, verdict);
    } catch (error) {
      return faulted(error, env, began);
    }
  },
};
