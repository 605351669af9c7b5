// `./opr cf:deploy`: what wrangler.toml's production environment still lacks, one problem a line;
// then the names of its routes, one `route NAME` a line. Exit code 1 with problems.
import { unstable_readConfig as readConfig } from "wrangler";

const config = readConfig({ config: "wrangler.toml", env: "production" });
const problems = [];
const isExample = (text) => /(^|[./@])example\.(com|org|net)\b|<[^>]*>|xxxx/i.test(text);

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
}

for (const problem of problems) console.log(`problem ${problem}`);
for (const name of names) console.log(`route ${name}`);
process.exit(problems.length === 0 ? 0 : 1);
