// `./opr derp:status`: really speaks with the embedded relay. Opens a DERP connection and reads the
// server's greeting, sends a STUN request and reads the answer, and prints what the relay counted.
// Usage: node derp_status.mjs ORIGIN_URL METRICS_URL
import { randomBytes } from "node:crypto";
import dgram from "node:dgram";
import { lookup } from "node:dns/promises";
import net from "node:net";
import tls from "node:tls";

const TIMEOUT_MS = 5000;
const [originUrl, metricsUrl] = process.argv.slice(2).map((text) => new URL(text));
let failed = false;

function line(verdict, what, text) {
  console.log(`${verdict.padEnd(5)} ${what.padEnd(10)} ${text}`);
  failed ||= verdict === "FAIL";
}

async function get(path) {
  const answer = await fetch(new URL(path, metricsUrl), { signal: AbortSignal.timeout(TIMEOUT_MS) });
  if (!answer.ok) throw new Error(`${metricsUrl.origin}${path} answered ${answer.status}`);
  return answer;
}

// The greeting: type 1, length, "DERP" and a key emoji, the server's public key.
const MAGIC = Buffer.from("44455250f09f9491", "hex");

/** @returns {Promise<{ms: number, version: string, key: string}>} */
function greet(url) {
  const secure = url.protocol === "https:";
  const port = Number(url.port) || (secure ? 443 : 80);
  return new Promise((resolve, reject) => {
    const begun = performance.now();
    const host = url.hostname.replace(/^\[|\]$/g, "");
    const ask = () =>
      socket.write(
        `GET /derp HTTP/1.1\r\nHost: ${url.host}\r\nUpgrade: DERP\r\nConnection: Upgrade\r\n\r\n`,
      );
    const socket = secure
      ? tls.connect({ host, port, servername: net.isIP(host) ? undefined : host }, ask)
      : net.connect({ host, port }, ask);
    const end = (settle, value) => {
      socket.destroy();
      settle(value);
    };
    socket.setTimeout(TIMEOUT_MS, () => end(reject, new Error("no greeting in time")));
    socket.on("error", (error) => end(reject, error));
    socket.on("close", () => reject(new Error("closed before the greeting")));
    let bytes = Buffer.alloc(0);
    socket.on("data", (piece) => {
      bytes = Buffer.concat([bytes, piece]);
      const head = bytes.indexOf("\r\n\r\n");
      if (head < 0) return;
      const text = bytes.subarray(0, head).toString("latin1");
      if (!text.startsWith("HTTP/1.1 101 ")) {
        end(reject, new Error(`answered "${text.split("\r\n")[0]}"`));
        return;
      }
      const frame = bytes.subarray(head + 4);
      if (frame.length < 5 + 40) return;
      const sound =
        frame[0] === 1 && frame.readUInt32BE(1) >= 40 && frame.subarray(5, 13).equals(MAGIC);
      const key = frame.subarray(13, 45).toString("hex");
      const named = /^derp-public-key: ([0-9a-f]{64})$/im.exec(text)?.[1] ?? key;
      if (!sound || named !== key) {
        end(reject, new Error("the greeting is not DERP's"));
        return;
      }
      const version = /^derp-version: (\d+)$/im.exec(text)?.[1] ?? "?";
      end(resolve, { ms: performance.now() - begun, version, key });
    });
  });
}

function crc32(bytes) {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return (crc ^ 0xffffffff) >>> 0;
}

// As Tailscale's clients ask: SOFTWARE "tailnode" and a fingerprint.
function stunRequest(id) {
  const request = Buffer.concat([
    Buffer.from("000100142112a442", "hex"),
    id,
    Buffer.from("802200087461696c6e6f646580280004", "hex"),
    Buffer.alloc(4),
  ]);
  request.writeUInt32BE((crc32(request.subarray(0, 32)) ^ 0x5354554e) >>> 0, 36);
  return request;
}

// The XOR-MAPPED-ADDRESS of the answer to `id`.
function mappedAddress(answer, id) {
  const ours =
    answer.length >= 32 && answer.readUInt16BE(0) === 0x0101 && answer.subarray(8, 20).equals(id);
  if (!ours || answer.readUInt16BE(20) !== 0x0020) return null;
  const mask = Buffer.concat([Buffer.from("2112a442", "hex"), id]);
  const port = answer.readUInt16BE(26) ^ 0x2112;
  const bytes = answer.subarray(28, answer[25] === 1 ? 32 : 44).map((b, i) => b ^ mask[i]);
  if (answer[25] === 1) return `${bytes.join(".")}:${port}`;
  const groups = Array.from({ length: 8 }, (_, i) => bytes.readUInt16BE(2 * i).toString(16));
  return `[${groups.join(":")}]:${port}`;
}

/** @returns {Promise<{ms: number, address: string}>} */
async function askStun(host, port) {
  const { address, family } = await lookup(host);
  return new Promise((resolve, reject) => {
    const socket = dgram.createSocket(family === 6 ? "udp6" : "udp4");
    const id = randomBytes(12);
    const begun = performance.now();
    const send = () => socket.send(stunRequest(id), port, address);
    const again = setInterval(send, 500); // datagrams get lost
    const end = (settle, value) => {
      clearInterval(again);
      clearTimeout(deadline);
      socket.close();
      settle(value);
    };
    const deadline = setTimeout(() => end(reject, new Error("no answer in time")), TIMEOUT_MS);
    socket.on("error", (error) => end(reject, error));
    socket.on("message", (answer) => {
      const mapped = mappedAddress(answer, id);
      if (mapped) end(resolve, { ms: performance.now() - begun, address: mapped });
    });
    send();
  });
}

function readMetrics(text) {
  const values = new Map();
  for (const row of text.split("\n")) {
    const found = /^(edgescale_(?:derp|stun)_[^ ]+) (\S+)$/.exec(row);
    if (found) values.set(found[1], Number(found[2]));
  }
  return (name) => values.get(`edgescale_${name}`) ?? 0;
}

async function main() {
  const { embedded, map } = await (await get("/debug/derp")).json();
  const region = embedded ? map.Regions[embedded] : undefined;
  if (!embedded) {
    line("FAIL", "relay", "there is none: derp.server.enabled is false in the origin's config.yaml");
    return;
  }
  if (region) {
    const node = region.Nodes[0];
    const port = node.DERPPort ? `:${node.DERPPort}` : "";
    line("ok", "region", `${embedded} ${region.RegionCode} "${region.RegionName}", ${node.HostName}${port}`);
  } else {
    line("FAIL", "region", `${embedded} is not in the clients' map`);
  }
  for (const other of Object.values(map.Regions).filter((r) => r !== region)) {
    const hosts = other.Nodes.map((n) => n.HostName).join(", ");
    line("-", "region", `${other.RegionID} ${other.RegionCode} "${other.RegionName}", ${hosts} (not asked)`);
  }
  try {
    const relay = await greet(originUrl);
    line("ok", "relay", `${originUrl.origin}/derp speaks DERP ${relay.version}, key ${relay.key.slice(0, 16)}..., ${relay.ms.toFixed(0)} ms`);
  } catch (error) {
    line("FAIL", "relay", `${originUrl.origin}/derp: ${error.message}`);
  }
  const node = region?.Nodes[0];
  if (node && node.STUNPort === -1) {
    line("-", "stun", "off (derp.server.stun.enabled)");
  } else if (node) {
    const [host, port] = [node.IPv4 || node.HostName, node.STUNPort || 3478];
    try {
      const stun = await askStun(host, port);
      line("ok", "stun", `${host}:${port} sees this machine as ${stun.address}, ${stun.ms.toFixed(0)} ms`);
    } catch (error) {
      line("FAIL", "stun", `${host}:${port}: ${error.message}`);
    }
  }
  const value = readMetrics(await (await get("/metrics")).text());
  const drops = (reason) => value(`derp_packets_dropped_total{reason="${reason}"}`);
  line("ok", "clients", `${value("derp_clients")} connected, ${value("derp_home_clients")} at home here, ${value("derp_duplicate_keys")} keys twice`);
  line("ok", "packets", `${value('derp_packets_total{direction="in"}')} in, ${value('derp_packets_total{direction="out"}')} out; dropped: ${drops("queue_full")} of full queues, ${drops("unknown_destination")} to nobody, ${drops("duplicate_key")} to keys twice`);
  line("ok", "refused", `${value('derp_connections_refused_total{reason="handshake"}')} without a node's key, ${value('derp_connections_refused_total{reason="limit"}')} over a limit`);
}

try {
  await main();
} catch (error) {
  line("FAIL", "origin", `${error.cause?.code ?? error.message}: is it running? ./opr start`);
}
process.exit(failed ? 1 : 0);
