// `./opr ws:test`: opens a WebSocket at URL/ws, which the origin echoes, and compares what comes
// back byte by byte: text, binary of sizes around WebSocket's own length limits, order, the
// sub-protocol and the close. Usage: HEADSCALE_API_KEY=... node ws_test.mjs URL
import { createHash, randomBytes } from "node:crypto";

const SUB_PROTOCOL = "edgescale-echo";
const TIMEOUT_MS = 10_000;
// Around 7-bit, 16-bit and 64-bit payload lengths (the origin takes no message over 64 KiB), and
// enough of them to fill buffers.
const SIZES = [0, 1, 125, 126, 127, 65_535, 65_536, ...Array(32).fill(50_000)];

const url = new URL("ws", process.argv[2].replace(/\/*$/, "/"));
url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
const key = process.env.HEADSCALE_API_KEY ?? "";

function fail(text) {
  console.log(`FAIL  websocket  ${url.href}: ${text}`);
  process.exit(1);
}

const deadline = setTimeout(() => fail(`no answer within ${TIMEOUT_MS / 1000} s`), TIMEOUT_MS);
const begun = performance.now();
const socket = new WebSocket(url, {
  protocols: [SUB_PROTOCOL],
  headers: { Authorization: `Bearer ${key}` },
});
socket.binaryType = "arraybuffer";

const sent = ["text: grüße, 你好", ...SIZES.map((size) => randomBytes(size))];
let received = 0;
let bytes = 0;
let closing = false;
let connectMs = 0;

socket.onopen = () => {
  connectMs = performance.now() - begun;
  if (socket.protocol !== SUB_PROTOCOL) {
    fail(`asked for the sub-protocol '${SUB_PROTOCOL}', got '${socket.protocol}'`);
  }
  for (const message of sent) socket.send(message);
};

const digest = (data) => createHash("sha256").update(data).digest("hex").slice(0, 16);

socket.onmessage = ({ data }) => {
  const want = sent[received++];
  if (typeof want === "string" ? data !== want : !Buffer.from(data).equals(want)) {
    const got = typeof data === "string" ? Buffer.from(data) : Buffer.from(data);
    fail(
      `message ${received} of ${sent.length} came back changed: sent ${want.length} bytes ` +
        `(sha256 ${digest(want)}), got ${got.length} (${digest(got)})`,
    );
  }
  bytes += Buffer.byteLength(data);
  if (received === sent.length) {
    closing = true;
    socket.close(1000, "done");
  }
};

socket.onerror = (event) => fail(event.error?.message || event.message || "the upgrade was refused");

socket.onclose = ({ code, reason }) => {
  if (!closing) fail(`closed with ${code} ${reason} after ${received} of ${sent.length} messages`);
  clearTimeout(deadline);
  const total = (performance.now() - begun).toFixed(0);
  console.log(
    `ok    websocket  ${url.href}: ${received} messages, ${bytes} bytes there and back unchanged, ` +
      `sub-protocol kept (open ${connectMs.toFixed(0)} ms, all ${total} ms)`,
  );
};
