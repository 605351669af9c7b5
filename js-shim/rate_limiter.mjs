// The Durable Object of one client: the authority that lends permits to isolates. The arithmetic is
// the module's (common/limit/lease_authority.h); here is only the storage around it.
import { dropTrapped, instanceFor } from "./instance.mjs";
import { counters } from "./counters.mjs";
import { WORD } from "./wasm.mjs";

const MESSAGE_LEN = 32;

export class RateLimiter {
  #storage;
  #env;
  /** @type {Uint8Array | null} as it stands in storage */
  #state = null;
  // When nothing that the state says counts any more, and when the alarm rings.
  #until = 0;
  #alarmAt = 0;

  constructor(ctx, env) {
    this.#storage = ctx.storage;
    this.#env = env;
  }

  async fetch(request) {
    if (new URL(request.url).pathname === "/check") return new Response("ok");
    const message = new Uint8Array(await request.arrayBuffer());
    if (message.length !== MESSAGE_LEN) return new Response(null, { status: 400 });
    if (this.#state === null) {
      const saved = await this.#storage.get("state");
      // Another request may have read and changed it meanwhile.
      this.#state ??= saved ?? new Uint8Array(0);
    }
    // From here to the end nothing waits: one request at a time changes the state. The answer
    // leaves only after the write is safe (the object's output gate).
    const now = Date.now();
    const reply = this.#handle(message, now);
    return reply === null ? new Response(null, { status: 400 }) : new Response(reply);
  }

  #handle(message, now) {
    const { core } = instanceFor(this.#env);
    try {
      core.in.set(message);
      core.in.set(this.#state, MESSAGE_LEN);
      if (core.call("es_authority", this.#state.length, now) !== 1) return null;
    } catch (error) {
      // The caller gets no answer and decides alone.
      counters[dropTrapped() ? "traps" : "faults"] += 1;
      throw error;
    }
    const replyLen = core.words[WORD.textLen];
    this.#state = core.out.slice(replyLen, replyLen + core.words[WORD.secondLen]);
    this.#until = now + core.words[WORD.extra];
    this.#storage.put({ state: this.#state, until: this.#until });
    this.#wakeAt(this.#until, now);
    return core.out.slice(0, replyLen);
  }

  // One alarm is enough: it looks again when it rings.
  #wakeAt(time, now) {
    if (this.#alarmAt > now) return;
    this.#alarmAt = time + 1000;
    this.#storage.setAlarm(this.#alarmAt);
  }

  async alarm() {
    const now = Date.now();
    const until = this.#until || (await this.#storage.get("until")) || 0;
    this.#alarmAt = 0;
    if (until > now) {
      this.#wakeAt(until, now);
      return;
    }
    this.#state = null;
    this.#until = 0;
    await this.#storage.deleteAll();
  }
}
