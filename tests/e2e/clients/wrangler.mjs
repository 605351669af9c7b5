// The Worker as `./opr start` runs it, by `wrangler dev`, on a machine of a test's network; with
// TLS, as Cloudflare has it before a Worker.
import fs from "node:fs";
import path from "node:path";

import { API_KEY, TOKEN_KEY } from "../../edge/harness/edge.mjs";
import { root } from "../instance.mjs";
import { SERVER_NAME } from "./tailnet.mjs";
import { collect, end, until } from "./world.mjs";

export { TOKEN_KEY };

export class Wrangler {
  /**
   * @param {import("./world.mjs").Host} host knows the server's name as the origin's address
   * @param {import("./tailnet.mjs").Origin} origin
   */
  static async start(host, origin) {
    const worker = new Wrangler();
    const secrets = path.join(host.folder, "secrets");
    fs.writeFileSync(secrets, `HEADSCALE_API_KEY=${API_KEY}\nEDGE_TOKEN_KEY=${TOKEN_KEY}\n`);
    // In a process namespace: wrangler and its workerd end together.
    worker.process = collect(host.spawn("unshare", ["--pid", "--fork", "--kill-child", "--mount-proc",
      "env", "-C", root, process.execPath, path.join(root, "node_modules/wrangler/bin/wrangler.js"), "dev",
      "--ip", "0.0.0.0", "--port", "443", "--inspector-port", "0", "--local-protocol", "https",
      "--https-cert-path", path.join(origin.folder, "server.pem"),
      "--https-key-path", path.join(origin.folder, "server.key"),
      "--env-file", secrets, "--var", `HEADSCALE_URL:https://${SERVER_NAME}`,
      "--persist-to", path.join(host.folder, "wrangler"), "--show-interactive-dev-session=false"],
      { env: { ...process.env, HOME: host.folder, NO_COLOR: "1", NODE_EXTRA_CA_CERTS: origin.authority,
        WRANGLER_SEND_METRICS: "false", CLOUDFLARE_CF_FETCH_ENABLED: "false", WRANGLER_HIDE_BANNER: "true",
        WRANGLER_LOG_PATH: path.join(host.folder, "wrangler-logs"),
        WRANGLER_REGISTRY_PATH: path.join(host.folder, "wrangler-registry") } }));
    // It builds the module first, where `./opr test` has not.
    await until("wrangler dev serves", () => {
      if (worker.process.exitCode !== null) throw new Error(worker.process.text);
      return worker.process.text.includes("Ready on");
    }, { timeoutMs: 180_000 });
    return worker;
  }

  /** The Worker's log lines: an object for each request that has ended, or was upgraded. */
  requests() {
    return this.process.text.split("\n").filter((line) => line.startsWith("{")).map((line) => JSON.parse(line));
  }

  stop() {
    return end(this.process, "SIGKILL");
  }
}
