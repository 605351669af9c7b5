// A raw HTTP/1.1 client: sends exactly the bytes that a test wants, which no HTTP library would.
import net from "node:net";

/**
 * @param {number} port
 * @param {string | Buffer} bytes a text is sent as Latin-1
 * @returns {Promise<{status: number, headers: Record<string, string>, body: string, raw: string}>}
 *   status 0 when the connection closed without an answer
 */
export function sendRaw(port, bytes, { ms = 5000 } = {}) {
  return new Promise((resolve, reject) => {
    const socket = net.connect(port, "127.0.0.1");
    const chunks = [];
    const late = setTimeout(() => socket.destroy(new Error("no answer in time")), ms);
    socket.on("connect", () => socket.write(typeof bytes === "string" ? Buffer.from(bytes, "latin1") : bytes));
    socket.on("data", (chunk) => {
      chunks.push(chunk);
      if (isComplete(Buffer.concat(chunks).toString("latin1"))) socket.end();
    });
    socket.on("error", (error) => (error.code === "ECONNRESET" ? undefined : reject(error)));
    socket.on("close", () => {
      clearTimeout(late);
      resolve(parse(Buffer.concat(chunks).toString("latin1")));
    });
  });
}

function isComplete(raw) {
  const { headers, body, status } = parse(raw);
  return status !== 0 && headers["content-length"] !== undefined &&
    body.length >= Number(headers["content-length"]);
}

function parse(raw) {
  const end = raw.indexOf("\r\n\r\n");
  if (end < 0) return { status: 0, headers: {}, body: "", raw };
  const [first, ...lines] = raw.slice(0, end).split("\r\n");
  const headers = {};
  for (const line of lines) {
    const colon = line.indexOf(":");
    headers[line.slice(0, colon).toLowerCase()] = line.slice(colon + 1).trim();
  }
  return { status: Number(first.split(" ")[1]), headers, body: raw.slice(end + 4), raw };
}

/** A request with a Host and `Connection: close`, and whatever else is given. */
export function request(line, fields = [], body = "") {
  return `${line} HTTP/1.1\r\nHost: edge.example\r\nConnection: close\r\n` +
    fields.map((field) => `${field}\r\n`).join("") + `\r\n${body}`;
}
