// The cases of cases.txt through edge.wasm; tests/unit/edge/differential_test.cc runs them natively.
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { AT, VERDICT, WORD } from "../../js-shim/wasm.mjs";
import { Tables } from "../../js-shim/tables.mjs";
import { newCore, NOW } from "./harness/core.mjs";
import { ROOT } from "./harness/workerd.mjs";

const NAMES = { forward: VERDICT.forward, websocket: VERDICT.forwardWebSocket,
  status: VERDICT.answerStatus, refuse: VERDICT.refuse };
const READ = new Set(["case", "request", "peer", "field", "at", "times", "verdict", "refusal", "retry",
  "forward", "body", "signature", "proof"]);

/** Each case as {word: [values]}; a word that nobody reads is a mistake in the file. */
export function readCases() {
  const text = fs.readFileSync(path.join(ROOT, "tests/edge/cases.txt"), "utf8");
  const cases = [{}];
  for (const line of text.split("\n")) {
    if (line.startsWith("#")) continue;
    if (line === "") {
      cases.push({});
      continue;
    }
    const [, word, rest] = /^(\w+) ?(.*)$/.exec(line);
    assert.ok(READ.has(word), line);
    (cases.at(-1)[word] ??= []).push(rest);
  }
  return cases.filter((c) => c.case !== undefined);
}

// \xNN are bytes; what a Worker sees of a header is their UTF-8 decoding.
const unescape = (text) => Buffer.from(
  text.replace(/\\x([0-9a-f]{2})/g, (_, hex) => String.fromCharCode(parseInt(hex, 16))), "latin1").toString("utf8");

// One that reads by name what a refusal needs, and one that reads the whole header at once.
const cores = { frugal: newCore(), hopeful: newCore() };
const tables = new Tables(cores.frugal.tables);

readCases().forEach((c, index) => Object.entries(cores).forEach(([how, core]) => {
  test(`${c.case[0]} (${how})`, () => {
    const [method, ...url] = c.request[0].split(" ");
    const fields = new Map([["cf-connecting-ip", c.peer?.[0] ?? `10.9.${index >> 8}.${index & 255}`]]);
    for (const field of c.field ?? []) {
      const colon = field.indexOf(": ");
      fields.set(field.slice(0, colon), unescape(field.slice(colon + 2)));
    }
    const headers = { get: (name) => fields.get(name) ?? null, forEach: (f) => fields.forEach(f) };
    let verdict;
    for (let i = 0; i < Number(c.times?.[0] ?? 1); ++i) {
      core.passing = how === "hopeful";
      verdict = core.decide({ method, url: url.join(" "), headers }, 1, Number(c.at?.[0] ?? NOW));
    }
    const words = core.words;
    assert.equal(verdict, NAMES[c.verdict[0]]);
    const refusal = verdict === VERDICT.refuse ? tables.refusals[words[WORD.refusal]].name : undefined;
    assert.equal(refusal, c.refusal?.[0]);
    assert.equal(words[WORD.retryAfter], Number(c.retry?.[0] ?? 0));
    if (verdict <= VERDICT.forwardWebSocket) {
      assert.equal(Object.keys(core.forwardFields()).sort().join(" "), c.forward?.[0] ?? "");
    }
    if (c.signature) {
      const signed = core.text(AT.signature, words[WORD.signatureLen] + words[WORD.markLen]);
      assert.equal(signed.slice(0, words[WORD.signatureLen]), c.signature[0]);
      assert.match(signed.slice(words[WORD.signatureLen]), new RegExp(`^[0-9a-f]{8}\\.${c.proof[0]}$`));
    }
  });
}));
