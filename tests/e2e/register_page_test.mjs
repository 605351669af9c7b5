// The log-in page as a browser's user has it: through the Worker, in front of a real origin.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { after, before, describe, test } from "node:test";
import { startEdge, TOKEN_KEY } from "../edge/harness/edge.mjs";
import { Sandbox, program } from "./cli_process.mjs";
import { freePorts } from "./instance.mjs";

let nextId = 0;

describe("the log-in page", () => {
  let sandbox, origin, edge, file, log, key;
  const cli = (...args) => sandbox.run(["-c", file, ...args]);
  const json = async (...args) => {
    const { code, out, err } = await cli(...args, "-o", "json");
    assert.equal(code, 0, err);
    return JSON.parse(out);
  };
  // Each test is a client of its own.
  const ask = (address, path, options = {}) =>
    fetch(`${edge.url}${path}`, {
      redirect: "manual",
      ...options,
      headers: { "CF-Connecting-IP": address, ...options.headers },
    });
  const post = (address, id, form) =>
    ask(address, `/register/${id}`, { method: "POST", body: new URLSearchParams(form) });
  const ticketIn = (html) => /name="ticket" value="([^"]+)"/.exec(html)?.[1];

  /** A registration that waits, without a client. */
  async function waiting(name) {
    const id = `hskey-authreq-${String(++nextId).padStart(24, "0")}`;
    await json("debug", "create-node", "--name", name, "-u", "ann", "-k", id);
    return id;
  }

  before(async () => {
    sandbox = await Sandbox.make();
    const [port] = await freePorts(1);
    const settings = `listen_addr: 127.0.0.1:${port}\nmetrics_listen_addr: ""\nedge: {token_key: ${TOKEN_KEY}}\n`;
    ({ file } = await sandbox.config("origin", settings));
    log = "";
    origin = spawn(program, ["serve", "--config", file], { cwd: sandbox.folder, env: sandbox.environment });
    origin.stdout.on("data", (data) => (log += data));
    origin.stderr.on("data", (data) => (log += data));
    const deadline = performance.now() + 20_000;
    while ((await cli("health")).code !== 0) {
      assert.equal(origin.exitCode, null, `the origin ended:\n${log}`);
      assert.ok(performance.now() < deadline, `the origin is not healthy:\n${log}`);
      await new Promise((done) => setTimeout(done, 50));
    }
    edge = await startEdge({ origin: `http://127.0.0.1:${port}` });
    await json("users", "create", "ann", "-d", "Ann <3");
    await json("users", "create", "bob");
    key = (await cli("apikeys", "create")).out.trim();
  });
  after(async () => {
    await edge?.stop();
    if (origin && origin.exitCode === null) {
      origin.kill("SIGTERM");
      await once(origin, "exit");
    }
    await sandbox?.remove();
  });

  test("it is never stored, framed or scripted, and tells no other site its address", async () => {
    const id = await waiting("laptop");
    const page = await ask("192.0.2.1", `/register/${id}`);
    const html = await page.text();
    assert.equal(page.status, 200, html);
    assert.match(page.headers.get("content-type"), /^text\/html/);
    assert.match(page.headers.get("cache-control"), /no-store/);
    assert.equal(page.headers.get("referrer-policy"), "no-referrer");
    assert.equal(page.headers.get("x-frame-options"), "DENY");
    const policy = page.headers.get("content-security-policy");
    assert.match(policy, /default-src 'none'/);
    assert.match(policy, /form-action 'self'/);
    assert.doesNotMatch(policy, /script-src|unsafe/);
    assert.equal(page.headers.get("set-cookie"), null);
    assert.match(html, new RegExp(`edgescale auth register --auth-id ${id} --user USERNAME`));
    const style = await ask("192.0.2.1", "/register/page.css");
    assert.equal(style.status, 200);
    assert.match(style.headers.get("content-type"), /^text\/css/);
    await style.text();
  });

  test("an operator signs in, chooses the owner and approves", async () => {
    const id = await waiting("desktop");
    const signedIn = await (await post("192.0.2.2", id, { key, action: "sign-in" })).text();
    assert.ok(signedIn.includes("ann (Ann &lt;3)"));
    assert.ok(!signedIn.includes(key));
    const owner = (await json("users", "list", "-n", "bob"))[0].id;
    const form = { ticket: ticketIn(signedIn), user: owner, action: "approve" };
    const approved = await post("192.0.2.2", id, form);
    assert.equal(approved.status, 200);
    assert.match(await approved.text(), /in the tailnet as &quot;desktop&quot;/);
    const node = (await json("nodes", "list", "-u", "bob")).find((n) => n.name === "desktop");
    assert.equal(node.registerMethod, "REGISTER_METHOD_CLI");
    // Once decided there is nothing more.
    assert.equal((await post("192.0.2.2", id, form)).status, 404);
  });

  test("an operator turns a machine away", async () => {
    const id = await waiting("stranger");
    const signedIn = await (await post("192.0.2.3", id, { key })).text();
    const rejected = await post("192.0.2.3", id, { ticket: ticketIn(signedIn), user: "", action: "reject" });
    assert.equal(rejected.status, 200);
    assert.ok(!(await json("nodes", "list")).some((n) => n.name === "stranger"));
  });

  test("wrong keys and forged tickets open nothing, and are soon not looked at", async () => {
    const id = await waiting("guarded");
    const forged = await post("192.0.2.4", id, { ticket: `9999999999999.${"0".repeat(64)}`, user: "1", action: "approve" });
    assert.equal(forged.status, 403);
    for (let i = 0; i < 9; ++i) {
      assert.equal((await post("192.0.2.4", id, { key: `${key}${i}` })).status, 403);
    }
    const refused = await post("192.0.2.4", id, { key });
    assert.equal(refused.status, 429);
    assert.equal(refused.headers.get("retry-after"), "60");
    assert.ok(!(await json("nodes", "list")).some((n) => n.name === "guarded"));
  });

  test("unknown and malformed ids get a page that says what to do", async () => {
    const unknown = await ask("192.0.2.5", `/register/hskey-authreq-${"f".repeat(24)}`);
    assert.equal(unknown.status, 404);
    assert.match(await unknown.text(), /tailscale up/);
    const malformed = await ask("192.0.2.5", "/register/nonsense");
    assert.equal(malformed.status, 400);
    assert.match(await malformed.text(), /copy all of it/);
  });

  test("neither twin's log holds an id or a key", () => {
    assert.match(log, /register/);
    assert.doesNotMatch(log, /authreq-[0-9a-f]/);
    assert.ok(!log.includes(key));
    const edgeLog = JSON.stringify(edge.lines ?? edge.logs());
    assert.doesNotMatch(edgeLog, /authreq/);
    assert.ok(!edgeLog.includes(key));
  });
});
