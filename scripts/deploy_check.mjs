// `./opr cf:deploy`: what wrangler.toml's production environment still lacks, one problem a line;
// then the names of its routes, one `route NAME` a line. Exit code 1 with problems.
import { unstable_readConfig as readConfig } from "wrangler";

const config = readConfig({ config: "wrangler.toml", env: "production" });
const problems = [];
const isExample = (text) => /(^|[./@])example\.(com|org|net)\b|<[^>]*>|xxxx/i.test(text);

// RFC 1918, and RFC 6598, where tailnets live.
const isPrivate = (url) =>
  /\/\/(10\.|192\.168\.|172\.(1[6-9]|2\d|3[01])\.|100\.(6[4-9]|[7-9]\d|1[01]\d|12[0-7])\.)/.test(url);

const routes = [config.route, ...(config.routes ?? [])].filter(Boolean);
const names = routes.map((route) => (typeof route === "string" ? route : route.pattern));
if (names.length === 0) problems.push("env.production has no route: nothing would reach the Worker");
for (const name of names) {
  if (isExample(name)) problems.push(`route '${name}' is the example; put your own host there`);
}

const origin = config.vars?.HEADSCALE_URL ?? "";
if (origin === "") {
  problems.push("env.production.vars has no HEADSCALE_URL");
} else if (isExample(origin)) {
  problems.push(`HEADSCALE_URL '${origin}' is the example; put your origin's address there`);
} else if (/\/\/(127\.|localhost|\[::1\])/.test(origin)) {
  problems.push(`HEADSCALE_URL '${origin}' is this machine; Cloudflare cannot reach it`);
} else if (isPrivate(origin) && !config.vpc_services?.some(({ binding }) => binding === "ORIGIN")) {
  problems.push(
    `HEADSCALE_URL '${origin}' is a private address, which a Worker reaches only through a VPC ` +
      "service: add the binding ORIGIN (its comment shows how), or put a Tunnel's host there",
  );
}

for (const problem of problems) console.log(`problem ${problem}`);
for (const name of names) console.log(`route ${name}`);
process.exit(problems.length === 0 ? 0 : 1);
