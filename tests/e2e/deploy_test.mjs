// cf:deploy up to the point where it would need an account: each step stops with what to do. The
// steps that talk to Cloudflare are driven with a wrangler of ours that answers as the real one does.
import { test } from "node:test";
import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { problemsOf } from "../../scripts/deploy_check.mjs";
import { root, run } from "./instance.mjs";

const opr = path.join(root, "opr");

test("the dry run builds, finds every binding, and points out the examples", async () => {
  const { code, out } = await run(opr, ["cf:deploy", "--dry-run"]);
  assert.equal(code, 0, out);
  assert.match(out, /^ok +bindings: HEADSCALE_URL LIMITER ANALYTICS/m);
  assert.match(out, /route '[^']+' is the example/);
  assert.match(out, /nothing was deployed/);
});

test("a deploy with the example values stops before anything else", async () => {
  const { code, out } = await run(opr, ["cf:deploy"]);
  assert.equal(code, 1);
  assert.match(out, /wrangler\.toml is not ready for production/);
  assert.doesNotMatch(out, /Deployed/);
});

/**
 * Runs the deploy's steps with a wrangler that prints `answers[its first two words]`.
 * @returns {Promise<{code: number, out: string}>}
 */
async function withAnswers(t, answers, steps) {
  const folder = await mkdtemp(path.join(os.tmpdir(), "edgescale-deploy-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const fake = path.join(folder, "wrangler.js");
  await writeFile(
    fake,
    `const answers = ${JSON.stringify(answers)};
     const words = process.argv.slice(2);
     console.log(answers[words.slice(0, 2).join(" ")] ?? answers[words[0]] ?? "");`,
  );
  const script = `
    root=$PWD
    for part in base install build services checks nodes cloudflare; do . scripts/opr/$part.sh; done
    wrangler=${fake}
    ${steps}`;
  return run("bash", ["-euo", "pipefail", "-c", script], {
    env: { CLOUDFLARE_ACCOUNT_ID: "", CLOUDFLARE_API_TOKEN: "" },
  });
}

const account = "0123456789abcdef0123456789abcdef";

test("no login names both ways to log in", async (t) => {
  const { code, out } = await withAnswers(
    t,
    { whoami: "You are not authenticated. Please run `wrangler login`." },
    "check_cloudflare_login",
  );
  assert.equal(code, 1);
  assert.match(out, /not logged in/);
  assert.match(out, /\.\/opr wrangler login/);
  assert.match(out, /CLOUDFLARE_API_TOKEN/);
});

test("no network is not called a missing login", async (t) => {
  const { code, out } = await withAnswers(
    t,
    { whoami: "ERROR Unable to resolve Cloudflare's API hostname" },
    "check_cloudflare_login",
  );
  assert.equal(code, 1);
  assert.match(out, /Unable to resolve/);
  assert.doesNotMatch(out, /not logged in/);
});

test("of several accounts one must be chosen", async (t) => {
  const other = account.replace("0", "f");
  const { code, out } = await withAnswers(
    t,
    { whoami: `│ One │ ${account} │\n│ Two │ ${other} │` },
    "check_cloudflare_login",
  );
  assert.equal(code, 1);
  assert.match(out, /CLOUDFLARE_ACCOUNT_ID=/);
  assert.ok(out.includes(account) && out.includes(other));
});

test("a secret that production lacks is named with the command that puts it", async (t) => {
  const { code, out } = await withAnswers(
    t,
    { "secret list": '[{"name":"HEADSCALE_API_KEY","type":"secret_text"}]' },
    "check_worker_secrets",
  );
  assert.equal(code, 1);
  assert.match(out, /lacks secrets: EDGE_TOKEN_KEY$/m);
  assert.match(out, /\.\/opr wrangler secret put EDGE_TOKEN_KEY --env production/);
});

test("with login and secrets there the checks pass", async (t) => {
  const { code, out } = await withAnswers(
    t,
    {
      whoami: `│ One │ ${account} │`,
      "secret list": '[{"name":"HEADSCALE_API_KEY"},{"name":"EDGE_TOKEN_KEY"}]',
    },
    "check_cloudflare_login; check_worker_secrets",
  );
  assert.equal(code, 0, out);
});

test("a binding that the dry run does not list stops the deploy", async (t) => {
  const { code, out } = await withAnswers(
    t,
    { deploy: 'env.HEADSCALE_URL ("x")\nenv.ANALYTICS (edgescale_requests)' },
    "check_bindings",
  );
  assert.equal(code, 1);
  assert.match(out, /env\.production lacks the binding LIMITER/);
});

test("the configuration's check knows examples, loopback and private addresses", () => {
  const problems = (url, pattern = "edge.tailnet.dev", more = {}) =>
    problemsOf({ routes: [{ pattern }], vars: { HEADSCALE_URL: url }, ...more }).length;
  assert.equal(problems("https://origin.tailnet.dev"), 0);
  assert.equal(problems("https://origin.tailnet.dev", "api.example.com"), 1);
  assert.equal(problems("https://origin.example.com"), 1);
  assert.equal(problems("https://origin.example.com", "*.example.org/*"), 2);
  assert.equal(problems("http://127.0.0.1:8080"), 1);
  assert.equal(problems(undefined), 1);
  for (const address of ["100.64.0.10", "100.127.0.1", "10.1.2.3", "192.168.0.2", "172.16.9.9"]) {
    assert.equal(problems(`http://${address}:8080`), 1, address);
  }
  for (const address of ["100.128.0.10", "100.63.0.1", "172.32.0.1", "11.0.0.1"]) {
    assert.equal(problems(`http://${address}:8080`), 0, `${address} is not private`);
  }
  const service = { vpc_services: [{ binding: "ORIGIN" }] };
  assert.equal(problems("http://100.64.0.10:8080", undefined, service), 0);
  assert.equal(problemsOf({ vars: { HEADSCALE_URL: "https://a.dev" } }).length, 1, "no route");
});
