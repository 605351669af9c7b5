// Client code of two Tailscale versions (tests/e2e/go) against our control connection, DERP and
// STUN, without a control core behind them: each of its checks is one case here.
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import path from "node:path";
import { describe, test } from "node:test";

import { root, run } from "./instance.mjs";

const server = process.env.PROTOCOL_SERVER ?? path.join(root, "build/dev/bin/protocol_server");
const folder = process.env.EDGESCALE_CLIENTS ?? path.join(root, "build/clients");

for (const version of ["old", "new"]) {
  const client = path.join(folder, version, "protocol");
  const missing = [client, server].find((file) => !existsSync(file));
  const skip = missing && `${path.relative(root, missing)} is not built`;

  describe(`client code of the ${version} version`, { skip }, async () => {
    const { code, out } = skip ? {} : await run(client, [server], { timeoutMs: 120_000 });
    const lines = out?.split("\n").filter((line) => /^(ok|FAIL) /.test(line)) ?? [];
    for (const line of lines) {
      test(line.replace(/^(ok|FAIL) +/, "").replace(/ \([\d.m]*s\)$/, ""), () => {
        assert.ok(line.startsWith("ok "), out);
      });
    }
    test("runs all of its checks", () => {
      assert.equal(code, 0, out);
      assert.equal(lines.length, 12, out);
    });
  });
}
