// A headless Chromium for tests, driven by its DevTools protocol over a pipe: no library between.
import { spawnSync } from "node:child_process";
import { X509Certificate, createHash } from "node:crypto";
import fs from "node:fs";
import path from "node:path";

import { collect, end } from "./world.mjs";

/** The program of Debian's package; undefined where there is none. */
export const chromium = ["chromium-headless-shell", "chromium"].find(
  (name) => spawnSync("sh", ["-c", `command -v ${name}`]).status === 0);

const ANSWER_TIMEOUT_MS = 60_000;

export class Chromium {
  #next = 0;
  /** @type {Map<number, {done: Function, failed: Function}>} */ #waiting = new Map();
  /** @type {Map<string, Page>} session -> page */ #pages = new Map();

  /**
   * @param {import("./world.mjs").Host} host the machine on which it runs
   * @param {string} certificate PEM file: the one certificate of an unknown authority that it takes
   */
  static async launch(host, certificate) {
    const browser = new Chromium();
    const { publicKey } = new X509Certificate(fs.readFileSync(certificate));
    const known = createHash("sha256").update(publicKey.export({ type: "spki", format: "der" })).digest("base64");
    // In a process namespace, so that nothing of its family outlives it. Its own sandbox does not
    // work for root.
    browser.process = collect(host.spawn("unshare", ["--pid", "--fork", "--kill-child", "--mount-proc",
      chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
      "--disable-background-networking", "--disable-component-update", "--remote-debugging-pipe",
      `--ignore-certificate-errors-spki-list=${known}`,
      `--user-data-dir=${path.join(host.folder, "chromium")}`, "about:blank"],
      { stdio: ["ignore", "pipe", "pipe", "pipe", "pipe"], env: { ...process.env, HOME: host.folder } }));
    const [, , , input, output] = browser.process.stdio;
    input.on("error", () => {}); // its end is noticed below
    let rest = "";
    output.setEncoding("utf8").on("data", (text) => {
      const messages = (rest + text).split("\0");
      rest = messages.pop();
      for (const message of messages) browser.#take(JSON.parse(message));
    });
    browser.process.once("exit", () => {
      for (const { failed } of browser.#waiting.values()) failed(new Error(`Chromium ended:\n${browser.process.text}`));
      browser.#waiting.clear();
    });
    const { product } = await browser.send("Browser.getVersion");
    browser.version = product;
    return browser;
  }

  /** @returns {Promise<object>} the result of a method of the protocol */
  send(method, params = {}, sessionId = undefined) {
    const id = ++this.#next;
    return new Promise((done, failed) => {
      const late = setTimeout(() => failed(new Error(`${method}: no answer`)), ANSWER_TIMEOUT_MS);
      this.#waiting.set(id, {
        done: (result) => (clearTimeout(late), done(result)),
        failed: (error) => (clearTimeout(late), failed(error)),
      });
      this.process.stdio[3].write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
    });
  }

  #take({ id, sessionId, method, params, result, error }) {
    if (id === undefined) return this.#pages.get(sessionId)?.happened(method, params);
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (error) waiting?.failed(new Error(error.message));
    else waiting?.done(result);
  }

  /** A new tab. */
  async page() {
    const { targetId } = await this.send("Target.createTarget", { url: "about:blank" });
    const { sessionId } = await this.send("Target.attachToTarget", { targetId, flatten: true });
    const page = new Page(this, sessionId);
    this.#pages.set(sessionId, page);
    for (const domain of ["Page", "Runtime", "Log", "Network"]) await page.send(`${domain}.enable`);
    return page;
  }

  close() {
    return end(this.process, "SIGKILL");
  }
}

/** A tab, and what its console holds against the pages in it. */
export class Page {
  /** Errors and warnings of the browser and of scripts: {text, url}. */
  complaints = [];
  /** What scripts wrote to the console. */
  log = "";
  /** Addresses of the WebSockets that were opened and accepted. */
  sockets = [];
  #sockets = new Map();
  #loaded = () => {};

  constructor(browser, sessionId) {
    Object.assign(this, { browser, sessionId });
  }

  send(method, params) {
    return this.browser.send(method, params, this.sessionId);
  }

  happened(method, params) {
    switch (method) {
      case "Page.loadEventFired":
        this.#loaded();
        break;
      case "Log.entryAdded":
        if (["error", "warning"].includes(params.entry.level)) this.complaints.push(params.entry);
        break;
      case "Runtime.exceptionThrown":
        this.complaints.push({ text: params.exceptionDetails.exception?.description ?? params.exceptionDetails.text });
        break;
      case "Runtime.consoleAPICalled":
        this.log += `${params.args.map(({ value, description }) => value ?? description).join(" ")}\n`;
        break;
      case "Network.webSocketCreated":
        this.#sockets.set(params.requestId, params.url);
        break;
      case "Network.webSocketHandshakeResponseReceived":
        if (params.response.status === 101) this.sockets.push(this.#sockets.get(params.requestId));
        break;
    }
  }

  /** Does what leads to another page, and waits until that is there. */
  async leads(act) {
    let late;
    const loaded = new Promise((done, failed) => {
      this.#loaded = done;
      late = setTimeout(() => failed(new Error(`no page was loaded: ${JSON.stringify(this.complaints)}`)), ANSWER_TIMEOUT_MS);
    });
    await Promise.all([act(), loaded]).finally(() => clearTimeout(late));
  }

  open(url) {
    return this.leads(async () => {
      const { errorText } = await this.send("Page.navigate", { url });
      if (errorText) throw new Error(`${url}: ${errorText}`);
    });
  }

  /** The value of an expression in the page; a promise is waited for. */
  async evaluate(expression) {
    const { result, exceptionDetails } = await this.send("Runtime.evaluate",
      { expression, awaitPromise: true, returnByValue: true });
    if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    return result.value;
  }

  text() {
    return this.evaluate("document.body.innerText");
  }

  /** Where the middle of an element is, once it is in view. */
  async #middle(selector) {
    const box = await this.evaluate(`(() => {
      const element = document.querySelector(${JSON.stringify(selector)});
      element.scrollIntoView({ block: "center" });
      const { x, y, width, height } = element.getBoundingClientRect();
      return { x: x + width / 2, y: y + height / 2 };
    })()`);
    return box;
  }

  /** Clicks as a person does, with the mouse. */
  async click(selector) {
    const at = { ...(await this.#middle(selector)), button: "left", clickCount: 1 };
    await this.send("Input.dispatchMouseEvent", { ...at, type: "mousePressed" });
    await this.send("Input.dispatchMouseEvent", { ...at, type: "mouseReleased" });
  }

  /** Types into a field. */
  async type(selector, text) {
    await this.click(selector);
    await this.send("Input.insertText", { text });
  }

  /** A picture of the page in a PNG file. */
  async picture(file, { width = 1000, height = 900, dark = false, scale = 1 } = {}) {
    await this.send("Emulation.setDeviceMetricsOverride", { width, height, deviceScaleFactor: scale, mobile: width < 600 });
    await this.send("Emulation.setEmulatedMedia",
      { features: [{ name: "prefers-color-scheme", value: dark ? "dark" : "light" }] });
    const { data } = await this.send("Page.captureScreenshot", { captureBeyondViewport: true });
    fs.writeFileSync(file, Buffer.from(data, "base64"));
  }
}
