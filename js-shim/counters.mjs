// What this isolate has counted since it began; GET /edge/status shows it.

export const counters = {
  instances: 0,
  traps: 0,
  faults: 0,
  forwarded: 0,
  passed_on: 0,
  websockets: 0,
  status: 0,
  misconfigured: 0,
  origin_unreachable: 0,
  origin_timeouts: 0,
  limiter_calls: 0,
  limiter_failures: 0,
  limiter_fallbacks: 0,
  record_failures: 0,
  /** @type {Record<string, number>} by the name of the refusal */
  refused: {},
};

export function countRefusal(name) {
  counters.refused[name] = (counters.refused[name] ?? 0) + 1;
}
