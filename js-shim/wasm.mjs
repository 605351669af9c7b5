// One instance of edge.wasm and its buffers: copies texts in, calls, reads words back.
// The numbers here are those of edge/abi.h; tests/edge/abi_test.mjs compares them.

/** Results in the words, in the order of abi.h. */
export const WORD = {
  refusal: 0, status: 1, flags: 2, markLen: 3, retryAfter: 4, clientLow: 5, clientHigh: 6,
  context: 7, signatureLen: 8, logLen: 9, clientAt: 10, pointLen: 11, textLen: 12,
  secondLen: 13, thirdLen: 14, fourthLen: 15, extra: 16, countryAt: 17, countryLen: 18,
  forwardFields: 19,
};
export const FLAG = { terse: 1 };
export const AT = { signature: 0, log: 256, point: 1536, text: 2304 };

/** gate::Verdict */
export const VERDICT = {
  forward: 0, forwardWebSocket: 1, answerStatus: 2, refuse: 3, askLimiter: 4, waitLimiter: 5,
  checkAccess: 6, fetchAccessKeys: 7, readFields: 8,
};

// A flag of es_decide.
const FIELDS_DO_NOT_FIT = 4;

// Longer than every limit of the gate, so that what is cut here is refused there; and three bytes
// for each of these characters fit the buffer.
const MAX_URL = 16384;
const MAX_OTHER = 5000;

const MAX_POINT_TEXTS = 1024;

const encoder = new TextEncoder();
// All texts that come out are ASCII: the module checks or escapes what it was given.
const decoder = new TextDecoder();

/** What the module says about the environment: thrown once, logged, answered with 503. */
export class ConfigError extends Error {
  constructor(message, tables) {
    super(message);
    // Not enumerable: they are long, and a log of the error should be short.
    Object.defineProperty(this, "tables", { value: tables });
  }
}

export class Core {
  /**
   * @param {WebAssembly.Module} module
   * @param {string} settings the text of edge/config.h
   * @throws {ConfigError} when the environment is incomplete or malformed
   */
  constructor(module, settings) {
    // Of the request that is being decided; each read from the host costs a call.
    this.method = "";
    this.url = "";
    this.headers = null;
    this.country = "";
    // Method, URL, names and values of its fields, one behind the other, and how long the latter are.
    this.allTexts = "";
    this.fieldLengths = [];
    this.numFields = 0;
    // Whether the last request was let pass: the next one probably is, too.
    this.passing = false;
    // True while the module runs: an exception that finds it so has left the instance undefined.
    this.inside = false;
    this.pointTexts = new Map();
    const instance = new WebAssembly.Instance(module, {
      // Reached only through abort(): the call does not come back.
      wasi_snapshot_preview1: { proc_exit(code) { throw new Error(`edge.wasm ended with ${code}`); } },
    });
    const exports = instance.exports;
    exports._initialize();
    this.exports = exports;
    const memory = exports.memory.buffer;
    const layout = new Uint32Array(memory, exports.es_layout(), 8);
    this.in = new Uint8Array(memory, layout[0], layout[1]);
    this.out = new Uint8Array(memory, layout[2], layout[3]);
    this.outView = new DataView(memory, layout[2], layout[3]);
    this.words = new Uint32Array(memory, layout[4], layout[5]);
    this.lengths = new Uint32Array(memory, layout[6], layout[7]);

    crypto.getRandomValues(this.in.subarray(0, 16));
    const { read, written } = encoder.encodeInto(settings, this.in.subarray(16));
    // What does not fit is refused by its length.
    const good = exports.es_configure(read === settings.length ? 16 + written : this.in.length) === 1;
    const textLen = this.words[WORD.textLen];
    const text = this.text(0, textLen);
    if (!good) throw new ConfigError(text, this.text(textLen, this.words[WORD.secondLen]));
    /** The tables of edge/tables.h. */
    this.tables = text;
    this.wantsAccess = text.includes("\tjwks_url\t");
  }

  text(at, len) {
    return decoder.decode(this.out.subarray(at, at + len));
  }

  /**
   * The fields that go on, after a verdict that forwards: by name, as fetch() takes them.
   * @returns {Record<string, string>}
   */
  forwardFields() {
    const { words, allTexts: text, fieldLengths } = this;
    const headers = {};
    let at = this.method.length + this.url.length;
    for (let i = 0; i < this.numFields; ++i) {
      const value = at + fieldLengths[2 * i];
      const end = value + fieldLengths[2 * i + 1];
      if ((words[WORD.forwardFields + (i >>> 5)] >>> (i & 31) & 1) !== 0) {
        headers[text.slice(at, value)] = text.slice(value, end);
      }
      at = end;
    }
    return headers;
  }

  /**
   * Decides on one request. Reading its whole header costs more than all else of a refusal, so that
   * is done at once only where it will be needed, by the look of the last request.
   * @param {Request} request
   * @param {number} flags see es_decide
   * @param {number} now
   * @returns {number} a VERDICT; the words say the rest
   */
  decide(request, flags, now) {
    this.headers = request.headers;
    this.method = request.method;
    this.url = request.url;
    let verdict = this.passing ? this.#decideAll(flags, now) : this.#decideByName(flags, now);
    if (verdict === VERDICT.readFields) verdict = this.#decideAll(flags, now);
    this.passing = verdict !== VERDICT.refuse;
    return verdict;
  }

  // With the few fields that a refusal needs. The order of the texts is that of es_decide.
  #decideByName(flags, now) {
    const { headers, method, url } = this;
    const address = headers.get("cf-connecting-ip") ?? "";
    const authorization = headers.get("authorization") ?? "";
    const jwt = this.wantsAccess ? headers.get("cf-access-jwt-assertion") ?? "" : "";
    const country = this.country = headers.get("cf-ipcountry") ?? "";
    const all = method + url + address + authorization + jwt + country;
    if (all.length < MAX_URL) {
      const { written } = encoder.encodeInto(all, this.in);
      // Equal when all of it is ASCII, as it is in every honest request.
      if (written === all.length) {
        this.inside = true;
        const verdict = this.exports.es_decide(method.length, url.length, address.length,
          authorization.length, jwt.length, country.length, flags, now);
        this.inside = false;
        return verdict;
      }
    }
    let at = 0;
    const lengths = [method, url, address, authorization, jwt, country].map((text, i) => {
      const cut = text.slice(0, i === 1 ? MAX_URL : MAX_OTHER);
      const { written } = encoder.encodeInto(cut, this.in.subarray(at));
      at += written;
      return written;
    });
    return this.call("es_decide", ...lengths, flags, now);
  }

  #decideAll(flags, now) {
    const { method, url, lengths } = this;
    let text = method + url;
    let num = 0;
    // Measured in workerd: a quarter cheaper than for-of, which makes an array of each pair. Lengths
    // beyond the last are not written; there are too many then.
    this.headers.forEach((value, name) => {
      text += name;
      text += value;
      lengths[num] = name.length;
      lengths[num + 1] = value.length;
      num += 2;
    });
    const { read, written } = encoder.encodeInto(text, this.in);
    this.allTexts = text;
    this.numFields = num >>> 1;
    // Equal when all of it is ASCII and fits.
    if (read !== text.length || written !== read || num > lengths.length) {
      return this.#decideAllSlowly(flags, now);
    }
    this.fieldLengths = lengths;
    this.inside = true;
    const verdict = this.exports.es_decide_all(method.length, url.length, num >>> 1, flags, now);
    this.inside = false;
    const countryAt = this.words[WORD.countryAt];
    this.country = text.slice(countryAt, countryAt + this.words[WORD.countryLen]);
    return verdict;
  }

  // As #decideAll(), with each text measured on its own.
  #decideAllSlowly(flags, now) {
    const texts = [];
    this.headers.forEach((value, name) => { texts.push(name, value); });
    let at = 0;
    let fits = texts.length <= this.lengths.length;
    const [method, url, ...fields] = [this.method, this.url.slice(0, MAX_URL), ...texts].map((text) => {
      const { read, written } = encoder.encodeInto(text, this.in.subarray(at));
      fits &&= read === text.length;
      at += written;
      return written;
    });
    if (!fits) return this.#decideByName(flags | FIELDS_DO_NOT_FIT, now);
    this.lengths.set(fields);
    this.fieldLengths = texts.map((text) => text.length);
    this.country = this.headers.get("cf-ipcountry") ?? "";
    return this.call("es_decide_all", method, url, this.numFields, flags, now);
  }

  /** Calls an export that is not on every request's way. */
  call(name, ...args) {
    this.inside = true;
    const result = this.exports[name](...args);
    this.inside = false;
    return result;
  }

  /**
   * Tells the gate how a request ended that it let pass.
   * @param {{low: number, high: number, context: number, began: number, country: string}} ticket
   */
  answer(ticket, status, refusal, responseBytes, now) {
    const len = this.#putCountry(ticket.country);
    this.inside = true;
    this.exports.es_answer(ticket.low, ticket.high, ticket.context, status, refusal, len,
      responseBytes, ticket.began, now);
    this.inside = false;
  }

  // Two letters, as Cloudflare writes it, need no encoder.
  #putCountry(country) {
    if (country.length === 2) {
      const first = country.charCodeAt(0);
      const second = country.charCodeAt(1);
      if ((first | second) < 0x80) {
        this.in[0] = first;
        this.in[1] = second;
        return 2;
      }
    }
    return encoder.encodeInto(country, this.in).written;
  }

  /** @param {Uint8Array} bytes */
  put(bytes) {
    this.in.set(bytes);
    return bytes.length;
  }

  /** The RateLimit field of the refusal that was decided last. */
  rateLimit() {
    return this.text(AT.text, this.words[WORD.textLen]);
  }

  /** The JSON log line of the request that was decided or answered last. */
  logLine() {
    return this.text(AT.log, this.words[WORD.logLen]);
  }

  /**
   * Its data point, as writeDataPoint() wants it; the layout is that of common/analytics/event.h.
   * Its texts depend on these three alone (and on the instance), so they are decoded once.
   * @param {number} context WORD.context of the request
   * @param {number} refusal index of the refusal, 0 for none
   * @param {string} country
   * @param {string} line its log line, which names the client as the index does
   */
  dataPoint(context, refusal, country, line) {
    const key = context + refusal * 2 ** 24;
    let texts = this.pointTexts.get(key);
    if (texts === undefined || texts.country !== country) {
      texts = this.#readTexts(country);
      if (this.pointTexts.size >= MAX_POINT_TEXTS) this.pointTexts.clear();
      this.pointTexts.set(key, texts);
    }
    const out = this.out;
    let at = texts.end;
    const client = this.words[WORD.clientAt];
    const indexes = [line.slice(client, client + out[at])];
    at += 1 + out[at];
    const doubles = [];
    for (let left = out[at++]; left > 0; --left, at += 8) {
      doubles.push(this.outView.getUint32(at, true) + this.outView.getUint32(at + 4, true) * 2 ** 32);
    }
    return { blobs: texts.blobs, doubles, indexes };
  }

  #readTexts(country) {
    const blobs = [];
    let at = AT.point + 1;
    for (let left = this.out[AT.point]; left > 0; --left) {
      blobs.push(this.text(at + 1, this.out[at]));
      at += 1 + this.out[at];
    }
    return { blobs, country, end: at };
  }
}
