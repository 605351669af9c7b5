// What stands before a Worker: TLS, and the client's address in a header. Upgraded connections are
// passed on as bytes.
//
// usage: front.mjs CERTIFICATE KEY WORKER_PORT
import fs from "node:fs";
import http from "node:http";
import https from "node:https";

const [certificate, key, port] = process.argv.slice(2);
const server = https.createServer({ cert: fs.readFileSync(certificate), key: fs.readFileSync(key) });

/** The same request to the Worker. */
function ask(request) {
  const { method, url, headers, socket } = request;
  const sent = http.request({
    port: Number(port),
    method,
    path: url,
    headers: { ...headers, "cf-connecting-ip": socket.remoteAddress.replace(/^::ffff:/, "") },
    agent: false,
  });
  // To a reader of the test: which requests came this way.
  sent.on("response", (answer) => console.log(`${answer.statusCode} ${method} ${url.split("?")[0]}`));
  sent.on("upgrade", () => console.log(`101 ${method} ${url.split("?")[0]}`));
  return sent;
}

server.on("request", (request, response) => {
  const sent = ask(request);
  sent.on("error", () => response.writeHead(502).end());
  sent.on("response", (answer) => {
    response.writeHead(answer.statusCode, answer.headers);
    answer.pipe(response);
  });
  request.pipe(sent);
});
server.on("upgrade", (request, socket, head) => {
  const sent = ask(request);
  const fail = () => socket.destroy();
  socket.on("error", () => sent.destroy());
  sent.on("error", fail).on("response", fail);
  sent.on("upgrade", (answer, upstream, first) => {
    const lines = [`HTTP/1.1 ${answer.statusCode} ${answer.statusMessage}`];
    for (let i = 0; i < answer.rawHeaders.length; i += 2)
      lines.push(`${answer.rawHeaders[i]}: ${answer.rawHeaders[i + 1]}`);
    socket.write(`${lines.join("\r\n")}\r\n\r\n`);
    socket.write(first);
    upstream.write(head);
    upstream.on("error", fail).on("close", fail).pipe(socket);
    socket.on("close", () => upstream.destroy()).pipe(upstream);
  });
  sent.end();
});
server.listen(443, "0.0.0.0", () => console.log("listening"));
