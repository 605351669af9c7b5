// Tailscale's client for browsers (cmd/tsconnect/wasm), run by Node.
//
// usage: browser_client.mjs FOLDER CONTROL_URL AUTH_KEY HOSTNAME
// Each line on standard input is a URL that it fetches through the tailnet. Prints lines of JSON:
// {state}, {map}, {fetched: {status, text}} or {failed}. The client's log goes to standard error.
import fs from "node:fs";
import path from "node:path";
import readline from "node:readline";
import vm from "node:vm";

const [folder, controlURL, authKey, hostname] = process.argv.slice(2);
const say = (what) => process.stdout.write(`${JSON.stringify(what)}\n`);

// Go's runtime writes its log as a browser's console would show it.
console.log = console.error;
vm.runInThisContext(fs.readFileSync(path.join(folder, "wasm_exec.js"), "utf8"));
const go = new globalThis.Go();
const { instance } = await WebAssembly.instantiate(
  fs.readFileSync(path.join(folder, "browser.wasm")), go.importObject);
go.run(instance).then(() => process.exit(1));

const ipn = globalThis.newIPN({ authKey, controlURL, hostname });
ipn.run({
  notifyState: (state) => {
    say({ state });
    // With the key that it has, as nobody is asked.
    if (state === "NeedsLogin") setImmediate(() => ipn.login());
  },
  notifyNetMap: (map) => say({ map: JSON.parse(map) }),
  notifyBrowseToURL: (url) => say({ url }),
  notifyPanicRecover: (what) => say({ failed: what }),
});

readline.createInterface({ input: process.stdin }).on("line", async (url) => {
  try {
    const response = await ipn.fetch(url);
    say({ fetched: { status: response.status, text: await response.text() } });
  } catch (error) {
    say({ failed: String(error) });
  }
}).on("close", () => process.exit(0));
