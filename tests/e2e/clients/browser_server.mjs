// The site that brings Tailscale's client into a browser; it is another origin than the control
// server, as everywhere in the field.
//
// usage: browser_server.mjs FOLDER_OF_THE_CLIENT PORT
import fs from "node:fs";
import http from "node:http";
import path from "node:path";

const [folder, port] = process.argv.slice(2);
const files = {
  "/": ["text/html", "<!doctype html><title>client</title><link rel=icon href=data:,>" +
    "<script src=wasm_exec.js></script><script src=browser_page.js></script>"],
  "/browser_page.js": ["text/javascript", fs.readFileSync(path.join(import.meta.dirname, "browser_page.js"))],
  "/wasm_exec.js": ["text/javascript", fs.readFileSync(path.join(folder, "wasm_exec.js"))],
  "/browser.wasm": ["application/wasm", fs.readFileSync(path.join(folder, "browser.wasm"))],
};
http.createServer((request, response) => {
  const [type, body] = files[request.url] ?? ["text/plain", ""];
  response.writeHead(files[request.url] ? 200 : 404, { "content-type": type }).end(body);
}).listen(Number(port), "127.0.0.1", () => console.log("listening"));
