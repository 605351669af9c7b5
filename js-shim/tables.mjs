// What the module tells once (edge/tables.h), prepared as the host's own objects.

const MAX_PREPARED = 4096;
const MAX_REFUSALS = 64;
// What a terse answer keeps of the fields of a full one: each costs, and nobody waits for the rest.
const TERSE = new Set(["www-authenticate", "retry-after"]);

/** @param {string[][]} rows */
const pairs = (rows) => rows.map(([name, value]) => [name, value]);

export class Tables {
  /** @param {string} text */
  constructor(text) {
    this.settings = {};
    this.keep = new Set();
    this.send = [];
    this.routes = [];
    const sets = [];
    const refused = [];
    const terse = [];
    const refusals = [];
    const readers = {
      setting: ([name, value]) => { this.settings[name] = value; },
      keep: ([name]) => { this.keep.add(name); },
      send: (row) => { this.send.push(row); },
      route: ([index, name, set]) => { this.routes[index] = { name, set: Number(set) }; },
      set: ([index, ...field]) => { (sets[index] ??= []).push(field); },
      refusal: ([index, status, name, body]) => {
        refusals[index] = { index: Number(index), status: Number(status), name, body };
      },
      refused: ([index, ...field]) => { refused.push([Number(index), field]); },
      terse: (field) => { terse.push(field); },
    };
    for (const line of text.split("\n")) {
      if (line === "") continue;
      const [what, ...words] = line.split("\t");
      readers[what](words);
    }
    this.originTimeout = Number(this.settings.origin_timeout_ms);
    /** Headers of each set, to copy for an answer of the origin. */
    this.sets = sets.map((rows) => new Headers(pairs(rows)));
    this.refusals = refusals;
    /** @type {Record<string, number>} */
    this.refusalIndex = Object.fromEntries(refusals.filter(Boolean).map((r) => [r.name, r.index]));
    const extra = (index) => refused.filter(([at]) => at === index || at === -1).map(([, f]) => f);
    for (const refusal of refusals) {
      if (refusal) refusal.fields = extra(refusal.index);
    }
    this.fullFields = sets[0];
    this.terseFields = terse;
    this.prepared = new Map();
    this.models = new Map();
  }

  /**
   * An empty response with the status and header set of an answer on this route, to make others
   * after: new Response(body, model) costs less than reading the same from a plain object.
   * @throws {RangeError} when no response may have this status
   */
  model(route, status) {
    const set = this.routes[route].set;
    const key = set * 1000 + status;
    let model = this.models.get(key);
    if (model === undefined) {
      // 101 is made otherwise; its model only carries the headers.
      model = new Response(null, { status: status === 101 ? 200 : status, headers: this.sets[set] });
      this.models.set(key, model);
    }
    return model;
  }

  /**
   * What stands ready for one refusal: the pieces of a full answer, and an answer without a body,
   * which may be given any number of times.
   * @param {number} index
   * @param {number} retryAfter seconds, 0 for none
   * @param {import("./wasm.mjs").Core} [core] has the RateLimit field of a refusal with a wait
   */
  refusal(index, retryAfter, core) {
    // A small integer: others are slow to look up.
    const key = retryAfter * MAX_REFUSALS + index;
    let ready = this.prepared.get(key);
    if (ready === undefined) {
      const { status, body, fields } = this.refusals[index];
      const waiting = retryAfter > 0
        ? [["retry-after", String(retryAfter)], ["ratelimit", core.rateLimit()]]
        : [];
      const own = [...fields, ...waiting];
      const few = [...this.terseFields, ...own.filter(([name]) => TERSE.has(name))];
      ready = {
        body,
        init: { status, headers: new Headers([...this.fullFields, ...own]) },
        terse: new Response(null, { status, headers: new Headers(few) }),
      };
      if (this.prepared.size >= MAX_PREPARED) this.prepared.clear();
      this.prepared.set(key, ready);
    }
    return ready;
  }

  /** A full refusal by name, for what the shim itself meets. */
  respond(name) {
    const { body, init } = this.refusal(this.refusalIndex[name], 0);
    return new Response(body, init);
  }
}
