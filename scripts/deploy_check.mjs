// `./opr cf:deploy`: what wrangler.toml's production environment still lacks, one `problem TEXT` a
// line; then its routes, one `route NAME` a line. Exit code 1 with problems.
import { fileURLToPath } from "node:url";

const isExample = (text) => /(^|[./@])example\.(com|org|net)\b|<[^>]*>|xxxx/i.test(text);
const isLoopback = (url) => /\/\/(127\.|localhost|\[::1\])/.test(url);
// RFC 1918, and RFC 6598, where tailnets live.
const isPrivate = (url) =>
  /\/\/(10\.|192\.168\.|172\.(1[6-9]|2\d|3[01])\.|100\.(6[4-9]|[7-9]\d|1[01]\d|12[0-7])\.)/.test(url);

/** @param {object} config an environment as wrangler reads it */
export function routesOf(config) {
  const routes = [config.route, ...(config.routes ?? [])].filter(Boolean);
  return routes.map((route) => (typeof route === "string" ? route : route.pattern));
}

/** @returns {string[]} */
export function problemsOf(config) {
  const problems = [];
  const routes = routesOf(config);
  if (routes.length === 0) {
    problems.push("env.production has no route: nothing would reach the Worker");
  }
  for (const name of routes.filter(isExample)) {
    problems.push(`route '${name}' is the example; put your own host there`);
  }
  const origin = config.vars?.HEADSCALE_URL ?? "";
  const hasService = config.vpc_services?.some(({ binding }) => binding === "ORIGIN");
  if (origin === "") {
    problems.push("env.production.vars has no HEADSCALE_URL");
  } else if (isExample(origin)) {
    problems.push(`HEADSCALE_URL '${origin}' is the example; put your origin's address there`);
  } else if (isLoopback(origin)) {
    problems.push(`HEADSCALE_URL '${origin}' is this machine; Cloudflare cannot reach it`);
  } else if (isPrivate(origin) && !hasService) {
    problems.push(
      `HEADSCALE_URL '${origin}' is a private address, which a Worker reaches only through a VPC ` +
        "service: add the binding ORIGIN (its comment shows how), or put a Tunnel's host there",
    );
  }
  return problems;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  // Slow to load, so only here.
  const { unstable_readConfig: readConfig } = await import("wrangler");
  const config = readConfig({ config: "wrangler.toml", env: "production" });
  const problems = problemsOf(config);
  for (const problem of problems) console.log(`problem ${problem}`);
  for (const name of routesOf(config)) console.log(`route ${name}`);
  process.exit(problems.length === 0 ? 0 : 1);
}
