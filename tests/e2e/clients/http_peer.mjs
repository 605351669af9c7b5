// A page for tests, inside a machine of the test's network: what was asked, by whom, and 100 kB.
//
// usage: http_peer.mjs PORT
import http from "node:http";

http.createServer((request, response) => {
  const from = request.socket.remoteAddress.replace(/^::ffff:/, "");
  response.end(JSON.stringify({ path: request.url, from, filler: "y".repeat(100_000) }));
}).listen(Number(process.argv[2]), "::", () => console.log("listening"));
