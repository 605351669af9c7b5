// Small origins: one that answers and remembers, and some that misbehave.
import http from "node:http";
import net from "node:net";
import { WebSocketServer } from "ws";

function listening(server) {
  return new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(server.address().port)));
}

/**
 * An origin that keeps every request it saw in `seen`.
 * @param {(request: object, response: http.ServerResponse) => void} [answer] sees {method, url,
 *   headers, rawHeaders, body}
 */
export async function startOrigin(answer) {
  const seen = [];
  const sockets = new Set();
  const server = http.createServer((request, response) => {
    const chunks = [];
    request.on("data", (chunk) => chunks.push(chunk));
    request.on("end", () => {
      const entry = {
        method: request.method, url: request.url, headers: request.headers,
        rawHeaders: request.rawHeaders, body: Buffer.concat(chunks),
      };
      seen.push(entry);
      if (answer) return answer(entry, response);
      response.setHeader("content-type", "application/json");
      response.end('{"ok":true}');
    });
  });
  server.on("connection", (socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
  });
  // Echoes frames; picks the first protocol that it is offered.
  const webSockets = new WebSocketServer({
    noServer: true,
    handleProtocols: (offered) => [...offered][0],
  });
  server.on("upgrade", (request, socket, head) => {
    seen.push({ method: request.method, url: request.url, headers: request.headers, upgrade: true });
    webSockets.handleUpgrade(request, socket, head, (ws) => {
      ws.on("message", (data, binary) => ws.send(data, { binary }));
    });
  });
  const port = await listening(server);
  return {
    port, url: `http://127.0.0.1:${port}`, seen,
    async stop() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** An origin on bare TCP: `talk` gets each socket once its first bytes are there. */
export async function startRawOrigin(talk) {
  const sockets = new Set();
  const server = net.createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    socket.once("data", () => talk(socket));
  });
  const port = await listening(server);
  return {
    port, url: `http://127.0.0.1:${port}`,
    async stop() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
