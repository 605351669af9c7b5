// The operator's command itself: what needs no running instance.
import { test } from "node:test";
import assert from "node:assert/strict";
import { mkdtemp, rm, readFile, writeFile, mkdir, stat } from "node:fs/promises";
import { spawn } from "node:child_process";
import net from "node:net";
import os from "node:os";
import path from "node:path";
import { freePorts, root, run } from "./instance.mjs";

const opr = path.join(root, "opr");

async function scratch(t) {
  const folder = await mkdtemp(path.join(os.tmpdir(), "edgescale-opr-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

test("the shell scripts pass shellcheck", async () => {
  const { code, out } = await run("shellcheck", ["-x", "-a", "opr"]);
  assert.equal(code, 0, out);
  const others = await run("shellcheck", ["scripts/build_edge", ".ci/run"]);
  assert.equal(others.code, 0, others.out);
});

test("a stray command names the nearest one and ends with 2", async () => {
  for (const [typed, meant] of [
    ["strat", "start"],
    ["stauts", "status"],
    ["health", "health:full"],
    ["node:regsiter", "node:register"],
    ["deploy", "cf:deploy"],
  ]) {
    const { code, out } = await run(opr, [typed]);
    assert.equal(code, 2);
    assert.match(out, new RegExp(`Did you mean: \\./opr ${meant}$`, "m"), typed);
  }
  for (const typed of ["xyzzy-nothing", "frob"]) {
    const far = await run(opr, [typed]);
    assert.equal(far.code, 2);
    assert.doesNotMatch(far.out, /Did you mean/);
  }
});

test("a command that is asked for help gives it and does nothing else", async () => {
  const { code, out } = await run(opr, ["start", "--help"]);
  assert.equal(code, 0);
  assert.match(out, /^Usage: \.\/opr COMMAND/);
});

test("every test that the threat model names exists", async () => {
  const text = await readFile(path.join(root, "docs/security.md"), "utf8");
  const named = new Set(text.match(/tests\/[\w./-]+\.(?:cc|mjs)/g));
  assert.ok(named.size > 15);
  for (const file of named) await stat(path.join(root, file));
});

test("every command of the seed guide is known", async () => {
  const { out } = await run(opr, ["help"]);
  const guide = ["cf:deploy", "cf:access", "health:full", "derp:status", "node:register", "start"];
  for (const command of [...guide, "stop", "logs", "ws:test", "update"]) {
    assert.ok(out.includes(`  ${command}`), `${command} is not in the help`);
  }
});

test("a port that is no port is refused with the variable's name", async (t) => {
  const state = await scratch(t);
  for (const port of ["0", "65536", "http", "-1", "8 0"]) {
    const { code, out } = await run(opr, ["status"], {
      env: { OPR_STATE: state, OPR_EDGE_PORT: port },
    });
    assert.equal(code, 1, port);
    assert.match(out, /OPR_EDGE_PORT is '.*'; a port is a number from 1 to 65535/);
  }
});

test("status of nothing says so and ends with 3", async (t) => {
  const state = await scratch(t);
  const { code, out } = await run(opr, ["status"], { env: { OPR_STATE: state } });
  assert.equal(code, 3);
  assert.match(out, /origin +not running/);
  assert.match(out, /Worker +not running/);
});

test("stop of nothing is fine", async (t) => {
  const state = await scratch(t);
  const { code, out } = await run(opr, ["stop"], { env: { OPR_STATE: state } });
  assert.equal(code, 0, out);
  assert.match(out, /Nothing was running/);
});

test("a pid that the kernel gave to somebody else is left alone", async (t) => {
  const state = await scratch(t);
  const bystander = spawn("sleep", ["60"], { stdio: "ignore" });
  t.after(() => bystander.kill());
  await mkdir(path.join(state, "run"), { recursive: true });
  // The pid is alive, its start time another: the process that was written down is gone.
  await writeFile(path.join(state, "run", "origin.pid"), `${bystander.pid} 12345\n`);
  const status = await run(opr, ["status"], { env: { OPR_STATE: state } });
  assert.match(status.out, /origin +not running/);
  await run(opr, ["stop"], { env: { OPR_STATE: state } });
  assert.equal(bystander.exitCode, null);
  assert.equal(bystander.signalCode, null);
  process.kill(bystander.pid, 0);
});

test("a taken port is named with its owner and the variable to set", async (t) => {
  const state = await scratch(t);
  const [metrics, edge] = await freePorts(2);
  const squatter = net.createServer().listen(0, "127.0.0.1");
  t.after(() => squatter.close());
  await new Promise((done) => squatter.on("listening", done));
  const taken = squatter.address().port;
  const { code, out } = await run(opr, ["start"], {
    env: {
      OPR_STATE: state,
      OPR_ORIGIN_PORT: String(taken),
      OPR_METRICS_PORT: String(metrics),
      OPR_EDGE_PORT: String(edge),
    },
  });
  assert.equal(code, 1, out);
  assert.match(out, new RegExp(`port ${taken}, which the origin needs, is taken by`));
  assert.match(out, new RegExp(`pid ${process.pid}`));
  assert.match(out, /OPR_ORIGIN_PORT=\d+ \.\/opr start/);
});

test("secrets are made once, in files that only their owner reads", async (t) => {
  const state = await scratch(t);
  const script = `
    root=$PWD; . scripts/opr/base.sh
    set_secret EDGE_TOKEN_KEY "$(random_hex 32)"; secret EDGE_TOKEN_KEY; echo
    set_secret OTHER 1; set_secret OTHER 2; secret OTHER; echo; secret EDGE_TOKEN_KEY`;
  const { code, out } = await run("bash", ["-ec", script], { env: { OPR_STATE: state } });
  assert.equal(code, 0, out);
  const [first, , other, , again] = out.split("\n");
  assert.match(first, /^[0-9a-f]{64}$/);
  assert.equal(other, "2");
  assert.equal(again, first);
  const file = path.join(state, ".dev.vars");
  assert.equal((await stat(file)).mode & 0o777, 0o600);
  assert.equal((await readFile(file, "utf8")).split("\n").filter(Boolean).length, 2);
});

test("the tally counts cases, not programs, and a crash is a failure", async (t) => {
  const folder = await scratch(t);
  const log = path.join(folder, "LastTest.log");
  const block = (n, name, output, verdict) =>
    `${n}/9 Testing: ${name}\n${n}/9 Test: ${name}\nOutput:\n${"-".repeat(58)}\n${output}\n` +
    `<end of output>\nTest time =   0.01 sec\n${"-".repeat(58)}\nTest ${verdict}.\n\n`;
  await writeFile(
    log,
    block(1, "clean", "All tests passed (41 assertions in 7 test cases)", "Passed") +
      block(2, "mixed", "test cases: 5 | 3 passed | 2 failed\nassertions: 9 | 8 passed", "Failed") +
      block(3, "crashed", "AddressSanitizer: heap-use-after-free", "Failed") +
      block(4, "arch", "0 wrong arrows", "Passed") +
      block(
        5,
        "needs_shared",
        "SKIPPED: vectors: ../shared is not there\nAll tests passed (1 assertion in 2 test cases)",
        "Passed",
      ) +
      // ctest's log calls these passed.
      block(6, "by_return_code", "nothing said", "Passed") +
      block(7, "by_both", "SKIPPED: no data", "Passed"),
  );
  const junit = path.join(folder, "ctest.xml");
  const skipped = (name) => `<testcase name="${name}"><skipped message=""/></testcase>`;
  await writeFile(
    junit,
    `<testsuite><testcase name="clean"/>${skipped("by_return_code")}${skipped("by_both")}</testsuite>`,
  );
  const cases = path.join(folder, "edge.cases");
  await writeFile(cases, "passed\ta\t\npassed\tb\t\nfailed\tc\tbecause\nskipped\td\tno tool\n");
  const args = ["scripts/opr/tally.py", "--ctest", log, junit, "--cases", cases];
  const { code, out } = await run("python3", args);
  assert.equal(code, 1);
  assert.match(out, /\n14 passed, 4 failed, 4 skipped\n$/);
  assert.match(out, /FAILED: crashed/);
  assert.match(out, /FAILED: c: because/);
  assert.match(out, /skipped: needs_shared: vectors: \.\.\/shared is not there/);

  await writeFile(cases, "");
  const nothing = await run("python3", ["scripts/opr/tally.py", "--cases", cases]);
  assert.equal(nothing.code, 1, "no test at all is a failure");
  await writeFile(cases, "passed\ta\t\n");
  const lost = await run("python3", ["scripts/opr/tally.py", "--cases", cases, "--lost", "x"]);
  assert.match(lost.out, /\n1 passed, 1 failed, 0 skipped\n$/);
});
