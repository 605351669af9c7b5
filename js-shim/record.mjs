// One log line and one data point for each request. Neither can fail the request.
import { counters } from "./counters.mjs";

/** Writes down the request that `core` decided or answered last; see Core.dataPoint(). */
export function record(core, env, context, refusal, country) {
  try {
    const line = core.logLine();
    console.log(line);
    env.ANALYTICS.writeDataPoint(core.dataPoint(context, refusal, country, line));
  } catch {
    counters.record_failures += 1;
  }
}

/** For what goes wrong in the edge itself: never anything that a client sent. */
export function logFault(fault, detail) {
  console.error(JSON.stringify({ time: Date.now(), twin: "edge", fault, detail }));
}
