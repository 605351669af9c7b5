// The command line as a process: its transport against servers made here (the unix socket, HTTP,
// TLS, and things that go wrong), and what needs no server. cli_origin_test.mjs has the real one.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdir, readFile, writeFile } from "node:fs/promises";
import { existsSync } from "node:fs";
import http from "node:http";
import https from "node:https";
import net from "node:net";
import path from "node:path";
import { after, before, describe, test } from "node:test";

import { Sandbox, listening, program, root } from "./cli_process.mjs";

/** @type {Sandbox} */ let sandbox;
before(async () => {
  sandbox = await Sandbox.make();
});
after(() => sandbox.remove());
const edgescale = (...args) => sandbox.run(...args);
const config = (...args) => sandbox.config(...args);

/** Answers every request with `status` and `body`; keeps what came. */
function scripted(status, body, headers = {}) {
  const seen = [];
  const handler = (request, response) => {
    let text = "";
    request.on("data", (data) => (text += data));
    request.on("end", () => {
      const { method, url, headers: got } = request;
      seen.push({ method, url, headers: got, body: text });
      response.writeHead(status, { "Content-Type": "application/json", ...headers }).end(body);
    });
  };
  return { seen, handler };
}

const twoUsers = JSON.stringify({
  users: [
    { id: "1", name: "ann", displayName: "", email: "", createdAt: "2026-01-02T03:04:05Z" },
    { id: "2", name: "bob", displayName: "Bob", email: "", createdAt: "2026-01-02T03:04:05Z" },
  ],
});

describe("the unix socket", () => {
  test("a request goes to the configured socket without a key", async () => {
    const { file, socket } = await config("plain");
    const { seen, handler } = scripted(200, twoUsers);
    const server = await listening(http.createServer(handler), socket);
    const list = await edgescale(["users", "list", "--config", file, "-o", "json"]);
    const byEnv = await edgescale(["users", "list", "-o", "yaml"], { env: { HEADSCALE_CONFIG: file } });
    const table = await edgescale(["users", "list"], { env: { EDGESCALE_UNIX_SOCKET: socket } });
    server.close();
    assert.deepEqual([list.code, list.err], [0, ""]);
    assert.deepEqual(JSON.parse(list.out), JSON.parse(twoUsers).users);
    assert.match(byEnv.out, /^- id: "1"\n  name: "ann"\n/);
    assert.match(table.out, /^ID \| Name \| Username \| Email \| Role +\| Created\n1 {2}\| {6}\| ann/);
    assert.doesNotMatch(table.out, /\x1b/);
    assert.equal(seen.length, 3);
    assert.equal(seen[0].url, "/api/v1/user");
    assert.equal(seen[0].headers.authorization, undefined);
    assert.equal(seen[0].headers.host, "localhost");
  });

  test("a body is sent as JSON with its length", async () => {
    const { file, socket } = await config("body");
    const { seen, handler } = scripted(200, '{"user":{"id":"3","name":"zoë"}}');
    const server = await listening(http.createServer(handler), socket);
    const created = await edgescale(["-c", file, "user", "create", "zoë"]);
    server.close();
    assert.equal(created.out, "User created: zoë, id 3\n");
    assert.equal(seen[0].method, "POST");
    assert.equal(seen[0].headers["content-type"], "application/json");
    assert.equal(Number(seen[0].headers["content-length"]), Buffer.byteLength(seen[0].body));
    assert.deepEqual(JSON.parse(seen[0].body), { name: "zoë" });
  });

  test("no server says which socket, and how to start one", async () => {
    const { file, socket } = await config("absent");
    const { code, out, err } = await edgescale(["-c", file, "health"]);
    assert.equal(code, 1);
    assert.equal(out, "");
    assert.ok(err.startsWith(`Error: no server is running here: there is no socket ${socket}.`), err);
    assert.match(err, /edgescale serve/);
    const json = await edgescale(["-c", file, "health", "-o", "json"]);
    assert.match(JSON.parse(json.err).error, /no server is running here/);
    assert.equal(json.out, "");
  });

  test("a socket that a dead server left behind is recognised", async () => {
    const { file, socket } = await config("stale");
    const child = spawnSync(process.execPath, [
      "-e",
      `require("net").createServer().listen(${JSON.stringify(socket)}, () => process.kill(process.pid, "SIGKILL"))`,
    ]);
    assert.equal(child.signal, "SIGKILL");
    const { code, err } = await edgescale(["-c", file, "health"]);
    assert.equal(code, 1);
    assert.match(err, /nobody listens on .*stale\.sock/);
  });

  test(
    "permission denied names the owner, the group and the mode",
    { skip: process.getuid?.() !== 0 && "needs root to be another user" },
    async () => {
      const { file, socket } = await config("closed");
      await chmod(sandbox.folder, 0o755);
      await chmod(file, 0o644);
      const server = await listening(http.createServer(), socket);
      await chmod(socket, 0o770);
      const { code, err } = await edgescale(["-c", file, "health"], { uid: 65534, gid: 65534 });
      server.close();
      assert.equal(code, 1);
      assert.match(err, /permission denied on .*closed\.sock: it belongs to root, group root, mode 0770\. Become a member of group root/);
    },
  );

  test("a mistake elsewhere in the configuration is mentioned, not fatal", async () => {
    const { file, socket } = await config("typo", "log: {level: loud}\n");
    const server = await listening(http.createServer(scripted(200, twoUsers).handler), socket);
    const { code, out, err } = await edgescale(["-c", file, "users", "list", "-o", "json-line"]);
    server.close();
    assert.equal(code, 0);
    assert.equal(JSON.parse(out).length, 2);
    assert.ok(err.includes(`1 mistake: see 'edgescale configtest --config ${file}'`), err);
  });

  test("a configuration that is named and not there is not replaced by the defaults", async () => {
    const { code, err } = await edgescale(["-c", "missing.yaml", "users", "list"]);
    assert.equal(code, 1);
    assert.match(err, /^Error: the configuration .*missing\.yaml cannot be found: name the server's with --config/);
  });
});

describe("what answers badly", () => {
  /** A server on the socket that sends these bytes to whoever speaks, and closes. */
  async function withBytes(name, bytes, args = []) {
    const { file, socket } = await config(name);
    const server = await listening(
      net.createServer((peer) => {
        peer.on("error", () => {});
        peer.once("data", () => (bytes === null ? undefined : peer.end(bytes)));
      }),
      socket,
    );
    const begun = performance.now();
    const result = await edgescale(["-c", file, "health", ...args]);
    server.close();
    return { ...result, ms: performance.now() - begun };
  }

  test("silence ends at the timeout", async () => {
    const { code, err, ms } = await withBytes("silent", null, ["--timeout", "300ms"]);
    assert.equal(code, 1);
    assert.match(err, /did not answer within 300ms; --timeout waits longer/);
    assert.ok(ms >= 300 && ms < 5000, `${ms} ms`);
  });

  test("an endless head, an endless body and a trickle are cut off", async () => {
    const head = await withBytes("head", `HTTP/1.1 200 OK\r\nX: ${"a".repeat(100_000)}\r\n\r\n{}`);
    assert.equal(head.code, 1);
    assert.match(head.err, /the answer is too large/);
    const body = await withBytes("large", "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n{");
    assert.equal(body.code, 1);
    assert.match(body.err, /the answer is too large/);

    const { file, socket } = await config("trickle");
    const server = await listening(
      net.createServer((peer) => {
        peer.on("error", () => {});
        peer.write("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
        const drip = setInterval(() => peer.write(" "), 20);
        peer.on("close", () => clearInterval(drip));
      }),
      socket,
    );
    const trickle = await edgescale(["-c", file, "health", "--timeout", "400ms"]);
    server.close();
    assert.equal(trickle.code, 1);
    assert.match(trickle.err, /did not answer within 400ms/);
  });

  test("nothing, half an answer and no HTTP each get a clear line", async () => {
    assert.match((await withBytes("empty", "")).err, /closed the connection without an answer/);
    const half = await withBytes("half", 'HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{"a"');
    assert.equal(half.code, 1);
    assert.match(half.err, /^Error: /);
    assert.match((await withBytes("ssh", "SSH-2.0-OpenSSH_9.2\r\n")).err, /does not speak HTTP/);
  });
});

describe("a server elsewhere", () => {
  test("needs a key, and sends it as Bearer over plain HTTP too", async () => {
    const { seen, handler } = scripted(200, twoUsers);
    const server = await listening(http.createServer(handler), { port: 0, host: "127.0.0.1" });
    const address = `http://127.0.0.1:${server.address().port}`;
    const without = await edgescale(["users", "list", "--address", address]);
    const flag = await edgescale(["users", "list", "--address", address, "--api-key", "k1"]);
    const env = await edgescale(["users", "list"], {
      env: { HEADSCALE_CLI_ADDRESS: `${address}/base/`, HEADSCALE_CLI_API_KEY: "k2" },
    });
    server.close();
    assert.equal(without.code, 1);
    assert.match(without.err, /needs an API key: set HEADSCALE_CLI_API_KEY/);
    assert.deepEqual([flag.code, env.code], [0, 0]);
    assert.deepEqual(seen.map((s) => s.headers.authorization), ["Bearer k1", "Bearer k2"]);
    assert.deepEqual(seen.map((s) => s.url), ["/api/v1/user", "/base/api/v1/user"]);
    assert.equal(seen[0].headers.host, address.slice("http://".length));
  });

  test("a refused key, a redirect and a proxy's page are told apart", async () => {
    const cases = [
      [401, '{"code":16,"message":"Unauthorized"}', {}, /refused the API key \(401\)/],
      [302, "", { Location: "https://login.example/" }, /redirects to https:\/\/login\.example\//],
      [200, "<html>Sign in</html>", { "Content-Type": "text/html" }, /a web page came back/],
      [409, '{"code":6,"message":"user already exists"}', {}, /^Error: user already exists\n$/],
    ];
    for (const [status, body, headers, expected] of cases) {
      const server = await listening(http.createServer(scripted(status, body, headers).handler), {
        port: 0,
        host: "127.0.0.1",
      });
      const address = `http://127.0.0.1:${server.address().port}`;
      const { code, out, err } = await edgescale(["users", "list", "--address", address, "--api-key", "k"]);
      server.close();
      assert.equal(code, 1);
      assert.equal(out, "");
      assert.match(err, expected);
    }
  });

  test("nobody there and no such host are told apart", async () => {
    const server = await listening(net.createServer(), { port: 0, host: "127.0.0.1" });
    const { port } = server.address();
    server.close();
    await once(server, "close");
    const refused = await edgescale(["health", "--address", `http://127.0.0.1:${port}`, "--api-key", "k"]);
    assert.match(refused.err, /cannot connect to .*: Connection refused/);
    const lost = await edgescale(["health", "--address", "http://host.invalid", "--api-key", "k"]);
    assert.match(lost.err, /cannot find the host host\.invalid/);
  });

  describe("over TLS", () => {
    let server, port, seen, authority;
    before(async () => {
      const key = sandbox.path("tls.key");
      authority = sandbox.path("tls.pem");
      const made = spawnSync("openssl", [
        ...["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"],
        ...["-keyout", key, "-out", authority, "-days", "2", "-subj", "/CN=localhost"],
        ...["-addext", "subjectAltName=DNS:localhost"],
      ]);
      assert.equal(made.status, 0, String(made.stderr));
      const answers = scripted(200, twoUsers);
      seen = answers.seen;
      server = https.createServer(
        { key: await readFile(key), cert: await readFile(authority) },
        answers.handler,
      );
      await listening(server, { port: 0, host: "127.0.0.1" });
      port = server.address().port;
    });
    after(() => server.close());

    const list = (host, args = [], env = {}) =>
      edgescale(["users", "list", "--address", `https://${host}:${port}`, "--api-key", "k", ...args], { env });

    test("an unknown authority is refused before the key is sent, unless told otherwise", async () => {
      const refused = await list("localhost");
      assert.equal(refused.code, 1);
      assert.match(refused.err, /the certificate of https:\/\/localhost:\d+ is not trusted: self-signed certificate/);
      assert.equal(seen.length, 0);
      assert.equal((await list("localhost", ["--insecure"])).code, 0);
      assert.equal((await list("localhost", [], { HEADSCALE_CLI_INSECURE: "true" })).code, 0);
    });

    test("a trusted certificate is accepted for its own name only", async () => {
      const env = { SSL_CERT_FILE: authority };
      assert.equal((await list("localhost", [], env)).code, 0);
      const other = await list("127.0.0.1", [], env);
      assert.equal(other.code, 1);
      assert.match(other.err, /is not trusted: IP address mismatch/);
    });

    test("plain HTTP to a TLS port and TLS to a plain port hint at each other", async () => {
      const plain = await edgescale(["health", "--address", `http://localhost:${port}`, "--api-key", "k"]);
      assert.equal(plain.code, 1);
      const http1 = await listening(http.createServer(scripted(200, "{}").handler), { port: 0, host: "127.0.0.1" });
      const tls = await edgescale(["health", "--address", `https://localhost:${http1.address().port}`, "--api-key", "k"]);
      http1.close();
      assert.match(tls.err, /Does the server speak plain http:\/\//);
    });
  });
});

describe("without a server", () => {
  test("configtest lists everything that is wrong and exits with 1", async () => {
    const file = sandbox.path("wrong.yaml");
    await writeFile(file, "listen_adr: 127.0.0.1:1\nlog:\n  level: loud\ndatabase: {debug: true}\n");
    const bad = await edgescale(["configtest", "-c", file]);
    assert.equal(bad.code, 1);
    assert.equal(bad.out, "");
    assert.equal(
      bad.err,
      `${file}:1:1: listen_adr: there is no such key: did you mean listen_addr?\n` +
        `${file}:3:10: log.level: expected one of trace, debug, info, warn, error, found "loud"\n` +
        `warning: ${file}:4:12: database.debug: has no effect here\n2 to fix\n`,
    );
    const json = await edgescale(["configtest", "-c", file, "-o", "json"]);
    assert.equal(json.code, 1);
    assert.equal(JSON.parse(json.out).problems[0].key, "listen_adr");
    const example = path.join(root, "docs/config-example.yaml");
    const good = await edgescale(["configtest", "--config", example]);
    assert.deepEqual(good, { code: 0, out: `the configuration is good: ${example}\n`, err: "" });
    assert.equal((await edgescale(["configtest", "-c", "/nonexistent.yaml"])).code, 1);
    assert.equal((await edgescale(["configtest"])).code, 0);
  });

  test("the configuration is found in the home and the working folder", async () => {
    const home = sandbox.path("home");
    await mkdir(path.join(home, ".edgescale"), { recursive: true });
    await writeFile(path.join(home, ".edgescale/config.yaml"), "nonsense: 1\n");
    const { err } = await edgescale(["configtest"], { env: { HOME: home } });
    assert.match(err, /home\/\.edgescale\/config\.yaml:1:1: nonsense/);
  });

  test("a dump is a configuration that means the same, without its secrets", async () => {
    const { file } = await config("dumped", `edge: {token_key: ${"0123456789abcdef".repeat(4)}}\n`);
    const { code, out } = await edgescale(["dumpConfig", "-c", file]);
    assert.equal(code, 0);
    assert.match(out, /token_key: "\*\*\*"/);
    assert.doesNotMatch(out, /0123456789abcdef/);
    const again = sandbox.path("again.yaml");
    await writeFile(again, out.replace('"***"', '""'));
    assert.equal((await edgescale(["configtest", "-c", again])).code, 0);
  });

  test("version, private keys and exit codes", async () => {
    const version = JSON.parse((await edgescale(["version", "-o", "json"])).out);
    assert.match(version.version, /^\d+\.\d+\.\d+$/);
    const one = (await edgescale(["generate", "private-key"])).out;
    const two = JSON.parse((await edgescale(["gen", "private-key", "-o", "json"])).out).private_key;
    assert.match(one, /^privkey:[0-9a-f]{64}\n$/);
    assert.notEqual(one.trim(), two);
    assert.equal((await edgescale(["usrs"])).code, 2);
    assert.equal((await edgescale(["--help"])).code, 0);
    assert.equal((await edgescale([])).code, 2);
  });

  test("a full disk under stdout is an error", { skip: !existsSync("/dev/full") && "there is no /dev/full" }, async () => {
    const result = spawnSync("sh", ["-c", `"${program}" version > /dev/full`], { cwd: sandbox.folder });
    assert.equal(result.status, 1);
    assert.match(String(result.stderr), /cannot write to stdout/);
  });
});
