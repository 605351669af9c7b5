// The command line as a process, in a folder of its own and without this process's configuration.
import { execFile } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";

export const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../..");
export const program = process.env.EDGESCALE_BIN ?? path.join(root, "build/release/bin/edgescale");

/** A folder that is home and working folder of the program. */
export class Sandbox {
  static async make() {
    const sandbox = new Sandbox();
    /** @type {string} */
    sandbox.folder = await mkdtemp(path.join(os.tmpdir(), "edgescale-cli-"));
    return sandbox;
  }

  get environment() {
    return { PATH: process.env.PATH, HOME: this.folder };
  }

  path(name) {
    return path.join(this.folder, name);
  }

  /** A configuration whose socket is `name`.sock. */
  async config(name, more = "") {
    const file = this.path(`${name}.yaml`);
    const socket = this.path(`${name}.sock`);
    await writeFile(file, `state_dir: ${this.path(name)}\nunix_socket: ${socket}\n${more}`);
    return { file, socket };
  }

  /** @returns {Promise<{code: number, out: string, err: string}>} */
  run(args, { env = {}, ...user } = {}) {
    return new Promise((done) => {
      const options = { cwd: this.folder, env: { ...this.environment, ...env }, timeout: 15_000, ...user };
      const child = execFile(program, args, options, (error, out, err) =>
        done({ code: error ? (error.code ?? -1) : 0, out, err }),
      );
      child.stdin.end();
    });
  }

  remove() {
    return rm(this.folder, { recursive: true, force: true });
  }
}

export async function listening(server, where) {
  server.listen(where);
  await once(server, "listening");
  return server;
}
