// The page in which browser_test.mjs runs Tailscale's client for browsers (cmd/tsconnect/wasm).
const said = [];

// Starts the client; what it tells is in `said`: {state}, {map}, {url} or {failed}.
async function join(config) {
  const go = new Go();
  const { instance } = await WebAssembly.instantiateStreaming(fetch("browser.wasm"), go.importObject);
  go.run(instance).then(() => said.push({ failed: "the client ended" }));
  window.ipn = newIPN(config);
  ipn.run({
    notifyState: (state) => {
      said.push({ state });
      // With the key that it has, as nobody is asked.
      if (state === "NeedsLogin") setTimeout(() => ipn.login());
    },
    notifyNetMap: (map) => said.push({ map: JSON.parse(map) }),
    notifyBrowseToURL: (url) => said.push({ url }),
    notifyPanicRecover: (what) => said.push({ failed: what }),
  });
}

// A request through the tailnet.
async function ask(url) {
  const answer = await ipn.fetch(url);
  return { status: answer.status, text: await answer.text() };
}
